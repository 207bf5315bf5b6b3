"""From relative disparity to metres: scale and shift, and their robust fit to a reference depth.

1 / depth = scale * disparity + shift: a network trained without metric ground truth predicts inverse depth up to these
two numbers (Ranftl et al., PAMI 2022). They are fitted in inverse depth, where far pixels do not outweigh near ones.
Where a scale has factors, the right side is multiplied by a smooth field over the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .arrays import Depth, Factors
from .bands import Bands, Workspace
from .camera import PinholeCamera
from .errors import DataError
from .frames import Scale
from .registration import DepthView

MIN_PIXELS = 50  # with fewer pixels that have both disparity and reference depth there is no fit
_MIN_RELIEF = 0.02  # of inverse depth, relative: a flat wall fits any scale
_MAX_SAMPLES = 20_000
_TRIALS, _JUDGES = 300, 500
# Relative, of inverse depth: the next one is tried where fewer than _MOST agree, as with a poor model. A threshold from
# the residuals alone would fit only the wall that fills the view.
_TOLERANCES = (0.1, 0.2, 0.4)
_MOST = 0.55
_INLIER_SIGMAS = 2.5
_CLOSEST = 0.2  # of the tolerance: exact data has no noise to estimate a threshold from
_REFITS = 10
_LEAST = 1e-3  # relative difference of inverse depth that no sensor resolves
_ASPECT_TOLERANCE = 0.02
_BAND = 48  # rows of a field at a time

_Floats = NDArray[np.float64]
_Places = NDArray[np.intp]


def depth_from_disparity(disparity: Depth, scale: Scale, max_range: float, bands: Bands | None = None) -> Depth:
    """Depth (H, W) float32 in metres of a disparity; +Inf where the inverse depth falls to 1 / max_range or below.

    Inverse depth may be zero or negative there: it is beyond range, and never clipped to a wall at max_range.
    """
    depth, field = np.empty_like(disparity), Field.of(scale, disparity.shape)

    def step(rows: slice, work: Workspace) -> None:
        inverse = np.multiply(disparity[rows], np.float32(scale.scale), out=depth[rows])
        inverse += np.float32(scale.shift)
        if field is not None:
            inverse *= field.band(rows, work.array("field", inverse.shape))
        beyond = np.less_equal(inverse, np.float32(1 / max_range), out=work.mask("beyond", inverse.shape))
        np.copyto(inverse, np.float32(1), where=beyond)
        np.reciprocal(inverse, out=inverse)
        np.copyto(inverse, np.float32(np.inf), where=beyond)

    (bands or Bands()).run(disparity.shape, step)
    return depth


def sigma_from_disparity(
    sigma: Depth, depth: Depth, scale: Scale, max_range: float, bands: Bands | None = None
) -> Depth:
    """Sigma (H, W) of depth in metres from that of the disparity: z^2 * scale * factor * sigma, to first order.

    Beyond range it is the one at `max_range`.
    """
    made, field = np.empty_like(sigma), Field.of(scale, sigma.shape)

    def step(rows: slice, work: Workspace) -> None:
        band = np.multiply(sigma[rows], np.float32(scale.scale), out=made[rows])
        limited = np.minimum(depth[rows], np.float32(max_range), out=work.array("limited", band.shape))
        band *= limited
        band *= limited
        if field is not None:
            band *= field.band(rows, limited)

    (bands or Bands()).run(sigma.shape, step)
    return made


@dataclass(frozen=True)
class Field:
    """The field of an image, a band of rows at a time: `rows` (H, r) by `across` (r, W)."""

    rows: NDArray[np.float32]
    across: NDArray[np.float32]

    @classmethod
    def of(cls, scale: Scale, shape: tuple[int, ...]) -> Field | None:
        """That of a scale, None where it has no factors."""
        return None if scale.factors is None else cls.spread(scale.factors, shape)

    @classmethod
    def spread(cls, factors: Factors, shape: tuple[int, ...]) -> Field:
        """That of the factors at the centres of a grid's cells."""
        rows, columns = (spline(count, size) for count, size in zip(factors.shape, shape, strict=True))
        return cls(rows, factors @ columns.T)

    def band(self, rows: slice, out: Depth) -> Depth:
        """The field at some rows, in `out`: of the whole BLAS would start threads, which wait where cores are busy."""
        return np.matmul(self.rows[rows], self.across, out=out)


def spread(factors: Factors, shape: tuple[int, ...]) -> Depth:
    """The field (H, W) float32 of an image of `shape`, from the factors at the centres of a grid's cells.

    Quadratic B-splines: smooth, without creases, and between the smallest and the largest factor.
    """
    made, field = np.empty(shape, np.float32), Field.spread(factors, shape)
    for first in range(0, shape[0], _BAND):
        rows = slice(first, first + _BAND)
        field.band(rows, made[rows])
    return made


@lru_cache(maxsize=32)
def spline(count: int, size: int) -> NDArray[np.float32]:
    """(size, count) float32: the share of each of `count` cells along an axis in each of its `size` pixels."""
    at = (np.arange(size) + 0.5) * count / size - 0.5
    nearest = np.rint(at).astype(np.intp)
    aside, shares = at - nearest, np.zeros((size, count), np.float32)
    for step, share in ((-1, (0.5 - aside) ** 2 / 2), (0, 0.75 - aside**2), (1, (0.5 + aside) ** 2 / 2)):
        np.add.at(shares, (np.arange(size), np.clip(nearest + step, 0, count - 1)), share)
    shares.flags.writeable = False
    return shares


def fit_scale(disparity: Depth, reference: Depth) -> Scale:
    """Scale and shift that make `disparity` (H, W) agree with `reference` (h, w), depth in metres of the same view.

    The grids may differ in resolution: a reference pixel is compared with the disparity at its centre. Reference
    pixels that are not finite and positive do not count, so it may be sparse. Up to about half of the others may be
    wrong: truncated squares over lines through random pairs (MSAC, Torr and Zisserman, 2000), then least squares on
    the inliers. An inlier lies within 10 % of inverse depth (the mean of the pixel's own and the median), or 20 or
    40 % where fewer than 55 % do, or within 2.5 robust standard deviations where that is less. Deterministic.

    Raises DataError where fewer than MIN_PIXELS pixels count, the views differ in shape, the reference has no relief,
    or the best scale is not positive.
    """
    d, w = paired(disparity, reference)
    near, far = np.percentile(w, (95, 5))
    if near - far < _MIN_RELIEF * np.median(w):
        raise DataError(
            "expected a reference depth with relief, it is nearly constant: a flat view does not determine the scale"
        )
    for share in _TOLERANCES:
        tolerance = share / 2 * (w + np.median(w))
        scale, shift, inliers = _refined(d, w, tolerance, *_consensus(d, w, tolerance))
        if inliers.mean() >= _MOST:
            break
    if scale <= 0:
        raise DataError(
            f"expected a disparity that grows towards the camera, the reference depth shows the opposite (scale "
            f"{scale:.3g}): check that both show the same view at the same time"
        )
    residual = _residual(scale * d + shift, w)
    unexplained = residual / max(_residual(np.median(w), w), _LEAST)
    return Scale(scale, shift, float(inliers.mean()), residual=residual, unexplained=unexplained)


def fit_factor(disparity: Depth, reference: Depth, shift: float = 0.0) -> Scale:
    """The scale that makes `disparity` (H, W) agree with `reference` (h, w), with a given shift (1/m).

    One number, so a flat view or a single depth determines it: the median of the logarithms of
    (1 / reference - shift) / disparity, then the mean of those that lie within 10 % of it (20 or 40 % where fewer than
    55 % do), or within 2.5 robust standard deviations where that is less. Pixels where either is not positive do not
    count. Raises DataError as `fit_scale`, except that no relief is needed.
    """
    d, w = paired(disparity, reference)
    usable = (d > 0) & (w > shift)
    if usable.sum() < MIN_PIXELS:
        raise DataError(
            f"expected at least {MIN_PIXELS} pixels with positive disparity and inverse depth above the shift "
            f"{shift:g} 1/m, got {usable.sum()}: check that both show the same view"
        )
    ratios = np.log((w[usable] - shift) / d[usable])
    middle = float(np.median(ratios))
    for tolerance in _TOLERANCES:
        centre, inliers = _centre(ratios, middle, tolerance)
        if inliers.mean() >= _MOST:
            break
    scale = float(np.exp(centre))
    return Scale(scale, shift, float(inliers.mean()), residual=_residual(scale * d[usable] + shift, w[usable]))


def _centre(values: _Floats, start: float, tolerance: float) -> tuple[float, NDArray[np.bool_]]:
    """The mean of the values near `start`, with a tighter limit for small deviations, and which these are."""
    centre, limit = start, tolerance
    inliers = np.abs(values - centre) <= limit
    for _ in range(_REFITS):
        if not inliers.any():
            break
        previous, centre = inliers, float(values[inliers].mean())
        deviation = 1.4826 * float(np.median(np.abs(values[inliers] - centre)))
        limit = float(np.clip(_INLIER_SIGMAS * deviation, _CLOSEST * tolerance, tolerance))
        inliers = np.abs(values - centre) <= limit
        if np.array_equal(previous, inliers):
            break
    return centre, inliers


def _residual(made: _Floats | np.float64, w: _Floats) -> float:
    """Median relative difference of inverse depth, of all compared pixels."""
    return float(np.median(np.abs(made / w - 1)))


def on_rectified_grid(reference: Depth | DepthView, camera: PinholeCamera) -> Depth:
    """Depth registered to the image of `camera`, at any resolution, moved to the rectified grid, nearest.

    That of another camera is registered first.
    Raises CalibrationError under a rectifying rotation, DataError where the shape cannot be of the same view.
    """
    import cv2

    if isinstance(reference, DepthView):
        reference = reference.on(camera)
    _check_aspect(reference, camera.height, camera.width)
    if camera.is_rectified:
        return reference
    return camera.rectify_depth(cv2.resize(reference, camera.size, interpolation=cv2.INTER_NEAREST_EXACT))


def paired(disparity: Depth, reference: Depth) -> tuple[_Floats, _Floats]:
    """Disparity and inverse reference depth (N,) where both are known, evenly thinned out to _MAX_SAMPLES."""
    d, w, _, _ = placed(disparity, reference)
    return d, w


def placed(disparity: Depth, reference: Depth) -> tuple[_Floats, _Floats, _Places, _Places]:
    """As `paired`, with the rows and columns (N,) of the disparity."""
    height, width = disparity.shape
    _check_aspect(reference, height, width)
    places = np.flatnonzero((reference > 0) & (reference < np.inf))
    if len(places) > _MAX_SAMPLES:
        places = places[np.linspace(0, len(places) - 1, _MAX_SAMPLES).astype(np.intp)]
    rows, columns = np.divmod(places, reference.shape[1])
    w = 1 / reference[rows, columns].astype(np.float64)
    rows = (2 * rows + 1) * height // (2 * reference.shape[0])  # of the pixel that contains the centre
    columns = (2 * columns + 1) * width // (2 * reference.shape[1])
    d = disparity[rows, columns].astype(np.float64)
    known = np.isfinite(d)
    if known.sum() < MIN_PIXELS:
        raise DataError(
            f"expected at least {MIN_PIXELS} pixels with reference depth and disparity, got {known.sum()} of "
            f"{reference.size}: check that the reference depth, or the points, cover the view"
        )
    return d[known], w[known], rows[known], columns[known]


def _check_aspect(reference: Depth, height: int, width: int) -> None:
    if reference.ndim != 2 or abs(reference.shape[1] * height / (reference.shape[0] * width) - 1) > _ASPECT_TOLERANCE:
        size = "x".join(map(str, reference.shape[::-1]))
        raise DataError(
            f"reference depth of {size} pixels must have the shape of the image, {width}x{height}, at any resolution: "
            "register it to the colour camera"
        )


def _consensus(d: _Floats, w: _Floats, tolerance: _Floats) -> tuple[float, float]:
    """The line with the smallest truncated squared residuals among those through random pairs."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, len(d), (2, _TRIALS))
    apart = np.flatnonzero(d[first] != d[second])
    first, second = first[apart], second[apart]
    if not len(first):
        raise DataError("expected a disparity that varies, it is nearly constant: check the weights of the model")
    scale = (w[first] - w[second]) / (d[first] - d[second])
    shift = w[first] - scale * d[first]
    judges = rng.integers(0, len(d), min(_JUDGES, len(d)))
    lines = np.stack([scale, shift, np.full_like(scale, -1)], axis=1)
    residuals = lines @ (np.stack([d[judges], np.ones(len(judges)), w[judges]]) / tolerance[judges])
    np.square(residuals, out=residuals)
    best = int(np.argmin(np.minimum(residuals, 1, out=residuals).mean(axis=1)))
    return float(scale[best]), float(shift[best])


def _refined(
    d: _Floats, w: _Floats, tolerance: _Floats, scale: float, shift: float
) -> tuple[float, float, NDArray[np.bool_]]:
    """Least squares on the inliers of a line until they no longer change, with a tighter limit for small residuals."""
    inliers, limit = np.zeros(len(d), np.bool_), 1.0
    for _ in range(_REFITS):
        residual = np.abs(scale * d + shift - w) / tolerance
        previous, inliers = inliers, residual <= limit
        if np.array_equal(previous, inliers) or np.ptp(d[inliers]) <= 0:
            break
        scale, shift = _line(d[inliers], w[inliers])
        deviation = 1.4826 * float(np.median(residual[inliers]))
        limit = float(np.clip(_INLIER_SIGMAS * deviation, _CLOSEST, 1.0))
    return scale, shift, inliers


def _line(d: _Floats, w: _Floats) -> tuple[float, float]:
    """Least squares."""
    middle_d, middle_w = float(d.mean()), float(w.mean())
    away = d - middle_d
    scale = float(away @ (w - middle_w) / (away @ away))
    return scale, middle_w - scale * middle_d

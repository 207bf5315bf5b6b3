"""Errors of depth in metres over flat arrays of compared pixels, with the crops and fits that make them comparable.

Definitions of Eigen et al. (NIPS 2014), SILog as on KITTI; everything in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from ..arrays import Mask
from ..errors import DataError
from .figure import Figure

EIGEN_ROWS, EIGEN_COLUMNS = (45, 471), (41, 601)  # of 480 x 640, end excluded
# Garg et al. (ECCV 2016): first and last row and column of KITTI as shares of height and width, end excluded
GARG_ROWS, GARG_COLUMNS = (0.40810811, 0.99189189), (0.03594771, 0.96405229)
MIN_DISPARITY = 1e-3  # 1/m: lower bound of an aligned disparity before it is inverted
_MIN_FIT = 10

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DepthErrors:
    """Errors over N pixels, d depth and t truth in metres."""

    abs_rel: Annotated[float, Figure("AbsRel", "mean of |d − t| / t", "low")]
    sq_rel: Annotated[float, Figure("SqRel m", "mean of (d − t)² / t, metres", "low")]
    rmse: Annotated[float, Figure("RMSE m", "root of the mean of (d − t)², metres", "low")]
    rmse_log: Annotated[float, Figure("RMSE log", "root of the mean of (ln d − ln t)²", "low")]
    log10: Annotated[float, Figure("log10", "mean of |log10 d − log10 t|", "low")]
    silog: Annotated[float, Figure("SILog", "100 times the standard deviation of ln d − ln t", "low")]
    delta1: Annotated[float, Figure("δ < 1.25", "share of pixels within a factor of 1.25", "high", percent=True)]
    delta2: Annotated[float, Figure("δ < 1.25²", "share of pixels within a factor of 1.25²", "high", percent=True)]
    delta3: Annotated[float, Figure("δ < 1.25³", "share of pixels within a factor of 1.25³", "high", percent=True)]
    pixels: int


def depth_errors(
    depth: NDArray[np.floating], truth: NDArray[np.floating], logs: NDArray[np.floating] | None = None
) -> DepthErrors:
    """Compares depth with truth, both (N,) in metres, finite and positive. DataError otherwise, or if N is 0.

    `logs` (N,) float64 is ln depth - ln truth if it has been computed already.
    """
    d, t = depth.astype(np.float64).ravel(), truth.astype(np.float64).ravel()
    if d.shape != t.shape or not d.size:
        raise DataError(f"expected as many depths as true values, at least one, got {d.size} and {t.size}")
    if not (np.isfinite(d) & (d > 0) & np.isfinite(t) & (t > 0)).all():
        raise DataError("depth and truth must be finite and positive in every compared pixel")
    difference, ratio = d - t, np.maximum(d / t, t / d)
    squares = difference**2
    if logs is None:
        logs = np.log(d) - np.log(t)
    return DepthErrors(
        abs_rel=float(np.mean(np.abs(difference) / t)),
        sq_rel=float(np.mean(squares / t)),
        rmse=float(np.sqrt(np.mean(squares))),
        rmse_log=float(np.sqrt(np.mean(logs**2))),
        log10=float(np.mean(np.abs(logs)) / np.log(10)),
        silog=float(100 * np.std(logs)),
        delta1=float(np.mean(ratio < 1.25)),
        delta2=float(np.mean(ratio < 1.25**2)),
        delta3=float(np.mean(ratio < 1.25**3)),
        pixels=d.size,
    )


def eigen_crop(height: int, width: int) -> Mask:
    """(H, W) bool: Eigen's crop of NYU Depth V2, rows 45:471, columns 41:601 of 480 x 640, in proportion elsewhere."""
    inside = np.zeros((height, width), np.bool_)
    rows, columns = (
        slice(*(round(end * size / whole) for end in ends))
        for ends, size, whole in ((EIGEN_ROWS, height, 480), (EIGEN_COLUMNS, width, 640))
    )
    inside[rows, columns] = True
    return inside


def garg_crop(height: int, width: int) -> Mask:
    """(H, W) bool: Garg's crop of KITTI, rows 153:371 and columns 44:1197 of 375 x 1242, in proportion elsewhere."""
    inside = np.zeros((height, width), np.bool_)
    rows, columns = (
        slice(*(int(share * size) for share in shares)) for shares, size in ((GARG_ROWS, height), (GARG_COLUMNS, width))
    )
    inside[rows, columns] = True
    return inside


def affine_fit(disparity: NDArray[np.floating], truth: NDArray[np.floating]) -> tuple[float, float]:
    """Least-squares scale and shift (1/m) of scale * disparity + shift = 1 / truth over all pixels, both (N,).

    As in the evaluations of MiDaS and Marigold: not robust, so that anyone can reproduce it. DataError if the
    disparity is constant or there are fewer than 10 pixels.
    """
    x, y = disparity.astype(np.float64).ravel(), 1 / truth.astype(np.float64).ravel()
    if x.size < _MIN_FIT:
        raise DataError(f"a fit of scale and shift needs at least {_MIN_FIT} pixels, got {x.size}")
    centred = x - x.mean()
    spread = float(centred @ centred)
    if spread <= 1e-24 * x.size * max(1.0, float(np.square(x).mean())):
        raise DataError(f"a fit of scale and shift needs a disparity that varies, got {x[0]:g} everywhere")
    scale = float(centred @ (y - y.mean())) / spread
    return scale, float(y.mean() - scale * x.mean())


def depth_of_affine(disparity: NDArray[np.floating], scale: float, shift: float) -> _Floats:
    """Metres of an aligned disparity, clamped to at least MIN_DISPARITY so that no depth is negative."""
    aligned = scale * disparity.astype(np.float64) + shift
    return 1 / np.maximum(aligned, MIN_DISPARITY)

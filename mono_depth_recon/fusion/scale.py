"""The scale and shift of inverse depth between a frame and the map: estimated and removed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..alignment import MIN_PIXELS, fit_scale
from ..arrays import Depth
from ..errors import DataError
from ..frames import Scale

_AGREES = 0.1  # relative difference of depth below which frame and map show the same surface
_MIN_INLIERS = 0.5  # share of the pixels; with less, scale alone is estimated
_RANGE_PERCENTILES = (5, 95)


@dataclass(frozen=True)
class Fit:
    """How a frame relates to the map.

    `scale` maps its inverse depth to the map's; `change` is the largest relative change of depth by that, over the
    depths of the frame; `overlap` is the share of its known pixels that see the map, `agreement` the share of these
    that agree with it within 10 % after the scale is applied.
    """

    scale: Scale
    change: float
    overlap: float
    agreement: float


def fit_to_map(depth: Depth, rendered: Depth) -> Fit | None:
    """The fit of `depth` (H, W) to the map's `rendered` depth (h, w) of the same view, metres, NaN where unknown.

    Robust, in inverse depth, as `alignment.fit_scale`. Where the view is flat, or scale and shift do not explain half
    of the pixels, the scale alone (the median of the ratios). None where too few pixels have both depths.
    """
    near = on_grid(depth, rendered.shape)
    both = np.isfinite(near) & np.isfinite(rendered)
    if both.sum() < MIN_PIXELS:
        return None
    mine, map_ = 1 / near[both].astype(np.float64), 1 / rendered[both].astype(np.float64)
    ratio = float(np.median(map_ / mine))
    scale = Scale(ratio, 0.0, float(np.mean(np.abs(ratio * mine / map_ - 1) < _AGREES)))
    try:
        affine = fit_scale(np.where(both, 1 / near, np.float32(np.nan)), rendered)
        scale = affine if affine.inliers >= max(_MIN_INLIERS, scale.inliers) else scale
    except DataError:  # a flat view: only the scale can be estimated
        pass
    agreement = float(np.mean(np.abs((scale.scale * mine + scale.shift) / map_ - 1) < _AGREES))
    known = np.isfinite(near)
    ends = np.percentile(1 / near[known].astype(np.float64), _RANGE_PERCENTILES)
    change = float(np.max(np.abs(_relative(ends, scale))))
    return Fit(scale, change, float(both.sum() / known.sum()), agreement)


def corrected(depth: Depth, scale: Scale, share: float) -> Depth:
    """`depth` (H, W) with the share `share` (0 to 1) of its error `scale` removed; NaN where it would not be positive.

    1 / depth' = (1 + share (scale - 1)) / depth + share shift.
    """
    factor, shift = 1 + share * (scale.scale - 1), share * scale.shift
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.float32(factor) / depth + np.float32(shift)
        moved: Depth = np.where(np.isfinite(depth) & (inverse > 0), 1 / inverse, np.float32(np.nan))
    return moved


def _relative(inverse: np.ndarray, scale: Scale) -> np.ndarray:
    """Relative change of depth at inverse depths (N,); infinite where it would turn negative."""
    after = scale.scale * inverse + scale.shift
    return np.where(after > 0, inverse / np.maximum(after, 1e-12) - 1, np.inf)


def on_grid(depth: Depth, shape: tuple[int, ...]) -> Depth:
    """Depth at the centres of a coarser grid, nearest."""
    rows = (2 * np.arange(shape[0]) + 1) * depth.shape[0] // (2 * shape[0])
    columns = (2 * np.arange(shape[1]) + 1) * depth.shape[1] // (2 * shape[1])
    return depth[np.ix_(rows, columns)]

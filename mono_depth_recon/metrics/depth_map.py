"""Metrics of one depth map on a mask, in float64. The caller chooses the alignment, which the result names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Mask
from ..errors import DataError
from .depth import depth_errors

ALIGNMENTS = ("none", "median")


@dataclass(frozen=True)
class DepthMetrics:
    """Errors of one depth map (definitions of Eigen et al., NIPS 2014; SILog as on KITTI).

    `abs_rel` mean |d - t| / t; `rmse` metres; `delta1..3` shares of max(d/t, t/d) < 1.25, 1.25^2, 1.25^3;
    `silog` 100 * standard deviation of ln d - ln t; `pixels` compared; `coverage` share of the pixels with
    truth that have a prediction; the others do not enter the errors.
    """

    abs_rel: float
    rmse: float
    delta1: float
    delta2: float
    delta3: float
    silog: float
    pixels: int
    coverage: float
    alignment: str


def truth_mask(truth: NDArray[np.floating], min_range: float = 1e-3, max_range: float = np.inf) -> Mask:
    """Pixels whose reference depth (metres) is finite and within the range, both ends included."""
    return np.isfinite(truth) & (truth >= min_range) & (truth <= max_range)


def median_scale(depth: NDArray[np.floating], truth: NDArray[np.floating], mask: Mask | None = None) -> float:
    """median(truth) / median(depth) on the pixels that both have: the factor of alignment "median"."""
    d, t, _ = _compared(depth, truth, mask)
    return float(np.median(t) / np.median(d))


def depth_metrics(
    depth: NDArray[np.floating], truth: NDArray[np.floating], mask: Mask | None = None, alignment: str = "none"
) -> DepthMetrics:
    """Compares depth with truth, both (H, W) in metres, on `mask` (H, W) or wherever truth is finite and positive.

    alignment "none" compares metres; "median" multiplies depth by `median_scale` first. Raises DataError on
    different shapes, an unknown alignment or no common pixel.
    """
    if alignment not in ALIGNMENTS:
        raise DataError(f"alignment must be one of {', '.join(ALIGNMENTS)}, got '{alignment}'")
    d, t, coverage = _compared(depth, truth, mask)
    if alignment == "median":
        d = d * (np.median(t) / np.median(d))
    found = depth_errors(d, t)
    return DepthMetrics(
        abs_rel=found.abs_rel,
        rmse=found.rmse,
        delta1=found.delta1,
        delta2=found.delta2,
        delta3=found.delta3,
        silog=found.silog,
        pixels=found.pixels,
        coverage=coverage,
        alignment=alignment,
    )


def _compared(
    depth: NDArray[np.floating], truth: NDArray[np.floating], mask: Mask | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    known, both = both_known(depth, truth, mask)
    return depth[both].astype(np.float64), truth[both].astype(np.float64), float(both.sum() / known.sum())


def both_known(depth: NDArray[np.floating], truth: NDArray[np.floating], mask: Mask | None) -> tuple[Mask, Mask]:
    """Masks of known truth, and of known truth and depth. DataError for different shapes or no common pixel."""
    if depth.shape != truth.shape or (mask is not None and mask.shape != truth.shape):
        shapes = [depth.shape, truth.shape] + ([] if mask is None else [mask.shape])
        raise DataError(f"depth, truth and mask must have one shape, got {', '.join(map(str, shapes))}")
    known = np.isfinite(truth) & (truth > 0)
    if mask is not None:
        known &= mask
    both = known & np.isfinite(depth) & (depth > 0)
    if not both.any():
        raise DataError(f"no pixel to compare: {int(known.sum())} have truth, but none of them a positive finite depth")
    return known, both

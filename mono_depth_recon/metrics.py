"""Depth metrics on a mask, in float64. Alignment is the caller's choice and is named in the result.

`sigma_calibration` asks how well a predicted sigma tells the error of its depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .arrays import Mask
from .errors import DataError
from .metrics_depth import depth_errors

ALIGNMENTS = ("none", "median")


@dataclass(frozen=True)
class DepthMetrics:
    """Errors of one depth map (definitions of Eigen et al., NIPS 2014; SILog as on KITTI).

    `abs_rel` mean |d - t| / t; `rmse` metres; `delta1..3` shares of max(d/t, t/d) < 1.25, 1.25^2, 1.25^3;
    `silog` 100 * standard deviation of ln d - ln t; `pixels` compared; `coverage` share of the pixels with
    truth that have a prediction: the others do not count in the errors.
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


@dataclass(frozen=True)
class SigmaCalibration:
    """How well sigma tells the error |depth - truth|.

    `coverage_1`, `coverage_2` shares of pixels whose error is at most 1 and 2 sigma (normal errors: 0.683, 0.954);
    `spearman` rank correlation of sigma and error; `ause` area between the sparsification curves by sigma and by the
    error itself (`Sparsification`), 0 for a sigma that orders pixels as their errors do.
    """

    coverage_1: float
    coverage_2: float
    spearman: float
    ause: float
    pixels: int


@dataclass(frozen=True)
class Sparsification:
    """Mean error of what is left after `removed` (shares, from 0), as a multiple of the mean of all: (steps,) each.

    `by_sigma` removes the pixels of the largest sigma first, `oracle` those of the largest error (Ilg et al., ECCV
    2018).
    """

    removed: NDArray[np.float64]
    by_sigma: NDArray[np.float64]
    oracle: NDArray[np.float64]

    @property
    def ause(self) -> float:
        """Area between the two curves (trapezoids)."""
        gap = self.by_sigma - self.oracle
        return float(np.sum((gap[1:] + gap[:-1]) / 2 * np.diff(self.removed)))


def truth_mask(truth: NDArray[np.floating], min_range: float = 1e-3, max_range: float = np.inf) -> Mask:
    """Pixels whose reference depth (metres) is finite and within the range, both ends included."""
    return np.isfinite(truth) & (truth >= min_range) & (truth <= max_range)


def median_scale(depth: NDArray[np.floating], truth: NDArray[np.floating], mask: Mask | None = None) -> float:
    """median(truth) / median(depth) on the pixels that both have: the factor of alignment "median"."""
    d, t, _ = _compared(depth, truth, mask)
    return float(np.median(t) / np.median(d))


def depth_metrics(depth: NDArray[np.floating], truth: NDArray[np.floating], mask: Mask | None = None,
                  alignment: str = "none") -> DepthMetrics:
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
    return DepthMetrics(abs_rel=found.abs_rel, rmse=found.rmse, delta1=found.delta1, delta2=found.delta2,
                        delta3=found.delta3, silog=found.silog, pixels=found.pixels, coverage=coverage,
                        alignment=alignment)


def _compared(depth: NDArray[np.floating], truth: NDArray[np.floating],
              mask: Mask | None) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    known, both = _both_known(depth, truth, mask)
    return depth[both].astype(np.float64), truth[both].astype(np.float64), float(both.sum() / known.sum())


def sigma_calibration(depth: NDArray[np.floating], sigma: NDArray[np.floating], truth: NDArray[np.floating],
                      mask: Mask | None = None) -> SigmaCalibration:
    """Compares sigma with the error of depth, all (H, W) in metres, on `mask` or wherever truth is known.

    No alignment: an error of scale is an error. Raises DataError as `depth_metrics` does, and where sigma is not
    finite and at least 0 beside a compared depth.
    """
    error, s = sigma_errors(depth, sigma, truth, mask)
    return SigmaCalibration(coverage_1=float(np.mean(error <= s)), coverage_2=float(np.mean(error <= 2 * s)),
                            spearman=spearman(s, error), ause=sparsification(error, s).ause, pixels=error.size)


def sigma_errors(depth: NDArray[np.floating], sigma: NDArray[np.floating], truth: NDArray[np.floating],
                 mask: Mask | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """|depth - truth| and sigma (N,) of the pixels that `sigma_calibration` compares. Raises DataError as it does."""
    if sigma.shape != depth.shape:
        raise DataError(f"sigma must have the shape of depth, {depth.shape}, got {sigma.shape}")
    both = _both_known(depth, truth, mask)[1]
    s = sigma[both].astype(np.float64)
    if not (np.isfinite(s) & (s >= 0)).all():
        raise DataError("sigma must be finite and at least 0 wherever depth is known")
    return np.abs(depth[both].astype(np.float64) - truth[both]), s


def sparsification(error: NDArray[np.floating], sigma: NDArray[np.floating], steps: int = 50) -> Sparsification:
    """The two curves over `steps` shares from 0 to 1 - 1 / steps, from errors and sigmas (N,). DataError for none."""
    error, sigma = error.astype(np.float64).ravel(), sigma.ravel()
    if error.size != sigma.size or not error.size:
        raise DataError(f"expected errors and as many sigmas, got {error.size} and {sigma.size}")
    removed = np.arange(steps) / steps
    left = np.maximum(1, np.rint((1 - removed) * error.size)).astype(np.int64)
    scale = error.mean() or 1.0  # all errors zero: flat curves at zero
    curves = []
    for order in (np.argsort(sigma, kind="stable"), np.argsort(error, kind="stable")):
        curves.append(np.cumsum(error[order])[left - 1] / left / scale)
    return Sparsification(removed, *curves)


def spearman(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Rank correlation of two arrays (N,), ties at their mean rank; 0 where one of them is constant."""
    ranks = [_ranks(values) for values in (a, b)]
    first, second = (values - values.mean() for values in ranks)
    norm = np.sqrt(np.sum(first**2) * np.sum(second**2))
    return float(np.sum(first * second) / norm) if norm else 0.0


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[place.ravel()]
    return ranks


def _both_known(depth: NDArray[np.floating], truth: NDArray[np.floating],
                mask: Mask | None) -> tuple[Mask, Mask]:
    """Where truth is known, and where depth is too. Raises DataError on different shapes and no common pixel."""
    if depth.shape != truth.shape or (mask is not None and mask.shape != truth.shape):
        shapes = [depth.shape, truth.shape] + ([] if mask is None else [mask.shape])
        raise DataError(f"depth, truth and mask must have one shape, got {', '.join(map(str, shapes))}")
    known = np.isfinite(truth) & (truth > 0)
    if mask is not None:
        known &= mask
    both = known & np.isfinite(depth) & (depth > 0)
    if not both.any():
        raise DataError(f"no pixel to compare: {int(known.sum())} have truth, none of them a positive finite depth")
    return known, both

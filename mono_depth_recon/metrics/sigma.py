"""How well predicted sigma matches the error of depth: calibration, sparsification, anomaly detection."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ..arrays import Mask
from ..errors import DataError
from .depth_map import both_known

NOMINAL = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def calibration_curve(
    error: NDArray[np.floating], sigma: NDArray[np.floating], nominal: tuple[float, ...] = NOMINAL
) -> NDArray[np.float64]:
    """The shares of errors (N,) within the central intervals of a normal distribution of sigma (N,), for each share.

    A calibrated sigma gives `nominal`; lower values are overconfident. DataError unless there are as many errors as
    sigmas, at least one.
    """
    if error.shape != sigma.shape or not error.size:
        raise DataError(f"expected as many errors as sigmas, at least one, got {error.size} and {sigma.size}")
    widths = [NormalDist().inv_cdf((1 + share) / 2) for share in nominal]
    return np.array([np.mean(np.abs(error) <= width * sigma) for width in widths])


def roc_auc(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve of scores (N,): the probability that a positive has the larger score, ties half.

    NaN if all or none are positive. By the rank sum of Mann and Whitney (1947) in float64; for float32
    scores scipy's mannwhitneyu computes in float32, and its ranks are float32 since 1.18.
    """
    from scipy.stats import rankdata

    positive = positive.ravel()
    wanted, rest = int(positive.sum()), int((~positive).sum())
    if not wanted or not rest:
        return float("nan")
    rank_sum = rankdata(scores.ravel().astype(np.float64))[positive].sum()
    return float((rank_sum - wanted * (wanted + 1) / 2) / (wanted * rest))


@dataclass(frozen=True)
class SigmaCalibration:
    """How well sigma matches the error |depth - truth|.

    `coverage_1`, `coverage_2` shares of pixels whose error is at most 1 and 2 sigma (normal errors: 0.683, 0.954);
    `spearman` rank correlation of sigma and error; `ause` area between the sparsification curves by sigma and by the
    error itself (`Sparsification`), 0 for a sigma that orders pixels by their errors.
    """

    coverage_1: float
    coverage_2: float
    spearman: float
    ause: float
    pixels: int


@dataclass(frozen=True)
class Sparsification:
    """Mean error of the pixels that remain after `removed` (shares, from 0), over the mean of all: (steps,).

    `by_sigma` removes the pixels with the largest sigma first, `oracle` those with the largest error (Ilg et al., ECCV
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


def sigma_calibration(
    depth: NDArray[np.floating], sigma: NDArray[np.floating], truth: NDArray[np.floating], mask: Mask | None = None
) -> SigmaCalibration:
    """Compares sigma with the error of depth, all (H, W) in metres, on `mask` or wherever truth is known.

    No alignment: an error of scale is an error. Raises DataError as `depth_metrics` does, and if sigma is not
    finite and at least 0 in a compared pixel.
    """
    error, s = sigma_errors(depth, sigma, truth, mask)
    return SigmaCalibration(
        coverage_1=float(np.mean(error <= s)),
        coverage_2=float(np.mean(error <= 2 * s)),
        spearman=spearman(s, error),
        ause=sparsification(error, s).ause,
        pixels=error.size,
    )


def sigma_errors(
    depth: NDArray[np.floating], sigma: NDArray[np.floating], truth: NDArray[np.floating], mask: Mask | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """|depth - truth| and sigma (N,) of the pixels that `sigma_calibration` compares. Raises DataError as it does."""
    if sigma.shape != depth.shape:
        raise DataError(f"sigma must have the shape of depth, {depth.shape}, got {sigma.shape}")
    both = both_known(depth, truth, mask)[1]
    s = sigma[both].astype(np.float64)
    if not (np.isfinite(s) & (s >= 0)).all():
        raise DataError("sigma must be finite and at least 0 wherever depth is known")
    return np.abs(depth[both].astype(np.float64) - truth[both]), s


def sparsification(error: NDArray[np.floating], sigma: NDArray[np.floating], steps: int = 50) -> Sparsification:
    """The two curves over `steps` shares from 0 to 1 - 1 / steps, from errors and sigmas (N,). DataError for none."""
    error, sigma = error.astype(np.float64).ravel(), sigma.ravel()
    if error.size != sigma.size or not error.size:
        raise DataError(f"expected as many errors as sigmas, at least one, got {error.size} and {sigma.size}")
    removed = np.arange(steps) / steps
    left = np.maximum(1, np.rint((1 - removed) * error.size)).astype(np.int64)
    scale = error.mean() or 1.0  # all errors zero: flat curves at zero
    curves = []
    for order in (np.argsort(sigma, kind="stable"), np.argsort(error, kind="stable")):
        curves.append(np.cumsum(error[order])[left - 1] / left / scale)
    return Sparsification(removed, *curves)


def spearman(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Spearman's rank correlation of two arrays (N,), ties at their mean rank; 0 if one of them is constant."""
    from scipy.stats import spearmanr

    if not (np.ptp(a) and np.ptp(b)):  # undefined: scipy warns and returns NaN
        return 0.0
    return float(spearmanr(a, b).statistic)

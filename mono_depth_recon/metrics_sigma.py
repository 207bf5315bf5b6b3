"""What a predicted sigma is worth beyond one number: its calibration curve, and whether it finds what is strange."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from .errors import DataError

NOMINAL = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def calibration_curve(error: NDArray[np.floating], sigma: NDArray[np.floating],
                      nominal: tuple[float, ...] = NOMINAL) -> NDArray[np.float64]:
    """The shares of errors (N,) within the central intervals of a normal distribution of sigma (N,), for each share.

    An honest sigma answers `nominal`; less is overconfident. DataError for none, or as many of one as of the other.
    """
    if error.shape != sigma.shape or not error.size:
        raise DataError(f"expected errors and as many sigmas, got {error.size} and {sigma.size}")
    widths = [NormalDist().inv_cdf((1 + share) / 2) for share in nominal]
    return np.array([np.mean(np.abs(error) <= width * sigma) for width in widths])


def roc_auc(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve of scores (N,): the chance that a positive one has the larger score, ties half.

    NaN where all or none are positive. The rank sum of Mann and Whitney (1947).
    """
    scores, positive = scores.ravel(), positive.ravel()
    wanted, rest = scores[positive], np.sort(scores[~positive])
    if not wanted.size or not rest.size:
        return float("nan")
    below, up_to = (np.searchsorted(rest, wanted, side) for side in ("left", "right"))
    return float((below.sum(dtype=np.float64) + up_to.sum(dtype=np.float64)) / (2 * wanted.size * rest.size))

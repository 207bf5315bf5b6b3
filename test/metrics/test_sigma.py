"""Calibration curves and areas under the ROC, against scikit-learn and the normal distribution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mono_depth_recon.errors import DataError
from mono_depth_recon.metrics.sigma import NOMINAL, calibration_curve, roc_auc


def test_a_calibrated_sigma_is_on_the_diagonal_and_a_small_one_below() -> None:
    rng = np.random.default_rng(0)
    sigma = rng.uniform(0.1, 0.4, 200_000)
    error = np.abs(sigma * rng.standard_normal(sigma.size))
    assert calibration_curve(error, sigma) == pytest.approx(np.array(NOMINAL), abs=0.005)
    assert (calibration_curve(error, sigma / 2) < np.array(NOMINAL)).all()
    expected = [np.mean(error / sigma <= stats.norm.ppf((1 + share) / 2)) for share in NOMINAL]
    assert calibration_curve(error, sigma) == pytest.approx(expected, rel=1e-4)
    with pytest.raises(DataError, match="as many errors as sigmas"):
        calibration_curve(error, sigma[1:])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("digits", [8, 1])
def test_the_area_is_that_of_scikit_learn_also_with_ties(digits: int, dtype: type) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(2)
    positive = rng.random(5000) < 0.3
    scores = np.round(rng.normal(size=5000) + 0.7 * positive, digits).astype(dtype)
    expected = metrics.roc_auc_score(positive, scores.astype(np.float64))  # of float32 it has fewer digits
    assert roc_auc(scores, positive) == pytest.approx(expected, rel=1e-12)
    assert roc_auc(-scores, positive) == pytest.approx(1 - roc_auc(scores, positive))


def test_no_area_without_both_kinds() -> None:
    assert np.isnan(roc_auc(np.ones(3), np.ones(3, np.bool_))) and np.isnan(roc_auc(np.ones(3), np.zeros(3, np.bool_)))
    assert roc_auc(np.array([1.0, 2.0]), np.array([False, True])) == 1

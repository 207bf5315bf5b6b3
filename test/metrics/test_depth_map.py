"""Depth metrics against scikit-learn and hand-worked values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mono_depth_recon.errors import DataError
from mono_depth_recon.metrics.depth_map import depth_metrics, median_scale, truth_mask
from mono_depth_recon.metrics.sigma import sigma_calibration, sigma_errors, sparsification, spearman


def _pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.5, 6.0, (37, 53)).astype(np.float32)
    depth = (truth * np.exp(rng.normal(0.1, 0.25, truth.shape))).astype(np.float32)
    return depth, truth


def test_values_of_a_hand_worked_example() -> None:
    truth = np.array([[1.0, 2.0, 4.0, np.nan]], np.float32)
    depth = np.array([[1.5, 2.0, 2.0, 9.0]], np.float32)
    got = depth_metrics(depth, truth)
    assert got.abs_rel == pytest.approx((0.5 + 0 + 0.5) / 3)
    assert got.rmse == pytest.approx(np.sqrt((0.25 + 0 + 4) / 3))
    assert (got.delta1, got.delta2, got.delta3) == pytest.approx((1 / 3, 2 / 3, 2 / 3))  # ratios 1.5, 1, 2
    logs = np.log([1.5, 1.0, 0.5])
    assert got.silog == pytest.approx(100 * np.sqrt(np.mean(logs**2) - np.mean(logs) ** 2))
    assert (got.pixels, got.coverage, got.alignment) == (3, 1.0, "none")


def test_agrees_with_scikit_learn() -> None:
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    depth, truth = _pair()
    d, t = depth.astype(np.float64).ravel(), truth.astype(np.float64).ravel()
    got = depth_metrics(depth, truth)
    assert got.abs_rel == pytest.approx(sklearn_metrics.mean_absolute_percentage_error(t, d), rel=1e-12)
    assert got.rmse == pytest.approx(np.sqrt(sklearn_metrics.mean_squared_error(t, d)), rel=1e-12)
    log_error = sklearn_metrics.mean_squared_error(np.log(t), np.log(d))
    assert (got.silog / 100) ** 2 + np.mean(np.log(d / t)) ** 2 == pytest.approx(log_error, rel=1e-9)


def test_median_alignment_removes_any_scale_and_is_named() -> None:
    depth, truth = _pair()
    scale = median_scale(depth, truth)
    assert scale == pytest.approx(np.median(truth) / np.median(depth), rel=1e-6)
    once, again = (depth_metrics(factor * depth, truth, alignment="median") for factor in (1.0, 8.0))
    assert once == again
    assert once.alignment == "median"
    assert once.abs_rel == pytest.approx(depth_metrics(depth.astype(np.float64) * scale, truth).abs_rel)
    assert depth_metrics(8 * depth, truth).abs_rel > 5


def test_silog_does_not_see_scale() -> None:
    depth, truth = _pair()
    assert depth_metrics(4 * depth, truth).silog == pytest.approx(depth_metrics(depth, truth).silog)


def test_only_the_mask_counts_and_missing_predictions_show_in_coverage() -> None:
    depth, truth = _pair()
    mask = truth_mask(truth, 1.0, 4.0)
    outside = np.where(mask, depth, 1000.0).astype(np.float32)
    assert depth_metrics(outside, truth, mask) == depth_metrics(depth, truth, mask)
    assert median_scale(outside, truth, mask) == pytest.approx(
        np.median(truth[mask]) / np.median(depth[mask]), rel=1e-6
    )
    zeros = np.where(mask, truth, 0)  # unknown, as many sensors write it
    assert depth_metrics(depth, zeros) == depth_metrics(depth, truth, mask)
    holes = depth.copy()
    holes[:10], holes[10:12], holes[12:14] = np.nan, np.inf, 0
    got = depth_metrics(holes, truth)
    assert got.coverage == pytest.approx(23 / 37)
    assert got.abs_rel == pytest.approx(depth_metrics(depth[14:], truth[14:]).abs_rel)


def test_float64_inside() -> None:
    truth = np.full((1000, 1000), 3.0, np.float32)
    depth = truth * np.float32(1.1)
    assert depth_metrics(depth, truth).abs_rel == pytest.approx(float(depth[0, 0]) / 3 - 1, rel=1e-12)


@pytest.mark.parametrize(
    ("depth", "truth", "alignment", "says"),
    [
        (np.ones((2, 3)), np.ones((3, 2)), "none", "one shape"),
        (np.ones((2, 2)), np.full((2, 2), np.nan), "none", "no pixel to compare"),
        (np.full((2, 2), np.nan), np.ones((2, 2)), "none", "no pixel to compare"),
        (np.ones((2, 2)), np.ones((2, 2)), "affine", "none, median"),
    ],
)
def test_incomparable_input_is_one_line(depth: np.ndarray, truth: np.ndarray, alignment: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        depth_metrics(depth, truth, alignment=alignment)
    assert "\n" not in str(caught.value)


def test_truth_mask_includes_both_ends() -> None:
    truth = np.array([[np.nan, 0.0, 0.001, 5.0, 5.0001, np.inf]])
    assert truth_mask(truth, 0.001, 5.0).tolist() == [[False, False, True, True, False, False]]
    assert truth_mask(truth).tolist() == [[False, False, True, True, True, False]]


def _honest(pixels: tuple[int, int] = (200, 300)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth with normal errors of exactly the given sigma."""
    rng = np.random.default_rng(3)
    truth = rng.uniform(2, 6, pixels)
    sigma = rng.uniform(0.02, 0.3, pixels)
    return truth + sigma * rng.standard_normal(pixels), sigma, truth


def test_a_calibrated_sigma_has_the_coverage_of_the_normal_distribution() -> None:
    got = sigma_calibration(*_honest())
    assert got.coverage_1 == pytest.approx(stats.norm.cdf(1) - stats.norm.cdf(-1), abs=0.005)
    assert got.coverage_2 == pytest.approx(stats.norm.cdf(2) - stats.norm.cdf(-2), abs=0.005)
    assert got.pixels == 60_000
    depth, sigma, truth = _honest()
    assert sigma_calibration(depth, 2 * sigma, truth).coverage_1 == pytest.approx(got.coverage_2)


def test_rank_correlation_by_hand_with_ties_and_constants() -> None:
    a, b = np.array([10.0, 20.0, 20.0, 90.0]), np.array([3.0, 1.0, 2.0, 3.0])
    ranks_a, ranks_b = [1, 2.5, 2.5, 4], [3.5, 1, 2, 3.5]
    assert spearman(a, b) == pytest.approx(np.corrcoef(ranks_a, ranks_b)[0, 1])
    assert spearman(a, np.exp(a)) == pytest.approx(1) and spearman(a, -a) == pytest.approx(-1)
    assert spearman(np.ones(5), np.arange(5.0)) == 0 and spearman(np.arange(5.0), np.ones(5)) == 0
    depth, sigma, truth = _honest((40, 50))
    error, s = sigma_errors(depth, sigma, truth)
    assert sigma_calibration(depth, sigma, truth).spearman == spearman(s, error)


def test_sparsification_by_hand() -> None:
    error, sigma = np.array([4.0, 1.0, 3.0, 0.0]), np.array([0.4, 0.5, 0.2, 0.1])
    got = sparsification(error, sigma, steps=4)
    assert got.removed == pytest.approx([0, 0.25, 0.5, 0.75])
    assert got.by_sigma == pytest.approx(np.array([8 / 4, 7 / 3, 3 / 2, 0]) / 2)
    assert got.oracle == pytest.approx(np.array([8 / 4, 4 / 3, 1 / 2, 0]) / 2)
    assert got.ause == pytest.approx(0.25 * (0.25 + 0.5 + 0.25))


def test_a_sigma_in_the_order_of_the_errors_has_no_sparsification_error() -> None:
    depth, sigma, truth = _honest((40, 50))
    error = np.abs(depth - truth)
    perfect, useless = (sigma_calibration(depth, s, truth) for s in (error**2, np.ones_like(error)))
    assert perfect.ause == pytest.approx(0, abs=1e-12)
    assert perfect.spearman == pytest.approx(1)
    assert useless.ause > 0.2
    assert sigma_calibration(depth, sigma, truth).ause < useless.ause


def test_only_known_pixels_count_and_a_broken_sigma_is_one_line() -> None:
    depth, sigma, truth = _honest((40, 50))
    truth[:20] = np.nan
    sigma[:20] = np.nan  # beside unknown truth it does not matter
    assert sigma_calibration(depth, sigma, truth).pixels == 1000
    inside = np.zeros(depth.shape, np.bool_)
    inside[:, :10] = True
    assert sigma_calibration(depth, sigma, truth, inside) == sigma_calibration(
        depth[:, :10], sigma[:, :10], truth[:, :10]
    )
    for broken, says in ((np.full_like(sigma, -1), "at least 0"), (sigma[:5], "shape of depth")):
        with pytest.raises(DataError, match=says):
            sigma_calibration(depth, broken, truth)

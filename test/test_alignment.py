"""Scale and shift of disparity: recovered where known, equal to other solvers, refused where there are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from properties import QUICK

from mono_depth_recon.alignment import (
    MIN_PIXELS,
    depth_from_disparity,
    fit_factor,
    fit_scale,
    on_rectified_grid,
    paired,
    sigma_from_disparity,
    spread,
)
from mono_depth_recon.arrays import Depth
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.errors import CalibrationError, DataError
from mono_depth_recon.frames import Scale
from mono_depth_recon.registration import DepthView

WIDTH, HEIGHT = 160, 120
TRUTH = Scale(0.013, 0.07)


def scene(seed: int = 0) -> Depth:
    """A tilted floor with boxes: depth from 0.8 m to 9 m."""
    rng = np.random.default_rng(seed)
    depth = np.repeat(np.linspace(9.0, 1.5, HEIGHT)[:, None], WIDTH, axis=1)
    for _ in range(8):
        row, column = rng.integers(0, HEIGHT - 30), rng.integers(0, WIDTH - 30)
        depth[row : row + 30, column : column + 30] = rng.uniform(0.8, 4.0)
    return depth.astype(np.float32)


def disparity_of(depth: NDArray[np.floating], scale: Scale = TRUTH) -> Depth:
    return ((1 / depth.astype(np.float64) - scale.shift) / scale.scale).astype(np.float32)


def with_outliers(
    depth: Depth, share: float, wrong: Callable[[np.random.Generator, int], NDArray[np.float64]], seed: int = 1
) -> Depth:
    rng = np.random.default_rng(seed)
    chosen = rng.random(depth.shape) < share
    spoilt = depth.copy()
    spoilt[chosen] = wrong(rng, int(chosen.sum()))
    return spoilt


@pytest.mark.parametrize("scale", [TRUTH, Scale(0.5, 0.0), Scale(2e-4, -0.4), Scale(30.0, -0.05)])
def test_known_scale_and_shift_come_back(scale: Scale) -> None:
    depth = scene()
    fit = fit_scale(disparity_of(depth, scale), depth)
    assert fit.scale == pytest.approx(scale.scale, rel=1e-4)
    assert fit.shift == pytest.approx(scale.shift, abs=1e-4)
    assert fit.inliers == 1.0 and fit.held == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda rng, n: rng.uniform(0.3, 12.0, n),
        lambda rng, n: np.full(n, 0.35),
        lambda rng, n: np.full(n, 60.0),
        lambda rng, n: rng.normal(1.2, 0.05, n),
    ],
    ids=["anywhere", "all near", "all far", "a false wall"],
)
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_thirty_percent_outliers_leave_the_fit_within_one_percent(
    wrong: Callable[[np.random.Generator, int], NDArray[np.float64]], noise: float
) -> None:
    depth = scene()
    disparity = disparity_of(depth)
    disparity += np.random.default_rng(3).normal(0, noise * np.ptp(disparity), depth.shape).astype(np.float32)
    spoilt = with_outliers(depth, 0.3, wrong)
    fit = fit_scale(disparity, spoilt)
    made = depth_from_disparity(disparity_of(depth), fit, 100.0)
    assert fit.scale == pytest.approx(TRUTH.scale, rel=0.01)
    assert fit.shift == pytest.approx(TRUTH.shift, abs=0.01 * float(np.median(1 / depth)))
    assert np.abs(made / depth - 1).max() < (0.02 if noise else 0.003)
    assert 0.6 < fit.inliers < 0.8
    plain = np.polyfit(disparity.ravel(), 1 / spoilt.ravel(), 1)
    assert abs(plain[0] / TRUTH.scale - 1) > 0.05, "least squares alone is far off: the test is no pretence"


@pytest.mark.parametrize("share", [0.6, 0.85])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_wall_that_fills_most_of_the_view_does_not_decide_alone(share: float, noise: float) -> None:
    """Its pixels agree with every scale whose line passes through them; only the few others determine the right one."""
    depth = np.full((HEIGHT, WIDTH), 3.0, np.float32)
    depth[:, int(share * WIDTH) :] = scene()[:, int(share * WIDTH) :]
    relative = np.random.default_rng(2).normal(0, noise, depth.shape)
    fit = fit_scale(disparity_of((depth * (1 + relative)).astype(np.float32)), depth)
    assert fit.scale == pytest.approx(TRUTH.scale, rel=0.01)
    assert fit.inliers > (0.95 if noise else 0.999)


def test_a_poor_model_is_fitted_as_a_whole() -> None:
    """A quarter of smooth error in depth, where a narrow tolerance would fit a part that agrees by chance."""
    import cv2

    depth = scene()
    rng = np.random.default_rng(4)
    error = cv2.resize(rng.normal(0, 1, (5, 7)).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    disparity = disparity_of((depth * (1 + 0.25 * error / error.std())).astype(np.float32).clip(0.3, 20))
    fit = fit_scale(disparity, with_outliers(depth, 0.2, lambda rng, n: rng.uniform(0.3, 12.0, n)))
    best = np.polyfit(disparity.ravel(), 1 / depth.ravel(), 1)
    errors = [
        np.median(np.abs(depth_from_disparity(disparity, Scale(*line), 20.0) / depth - 1))
        for line in ((fit.scale, fit.shift), best)
    ]
    assert errors[0] < 1.1 * errors[1]
    assert fit.inliers > 0.55


def test_clean_data_give_what_numpy_gives() -> None:
    depth = scene()
    disparity = disparity_of(depth)
    design = np.stack([disparity.ravel(), np.ones(disparity.size)], axis=1).astype(np.float64)
    (scale, shift), *_ = np.linalg.lstsq(design, 1 / depth.ravel().astype(np.float64), rcond=None)
    fit = fit_scale(disparity, depth)
    assert (fit.scale, fit.shift) == (pytest.approx(scale, rel=1e-6), pytest.approx(shift, rel=1e-6))


def test_noisy_data_give_what_scipys_robust_solver_gives() -> None:
    from scipy.optimize import least_squares

    depth = with_outliers(scene(), 0.15, lambda rng, n: rng.uniform(0.3, 12.0, n))
    disparity = disparity_of(scene())
    disparity += np.random.default_rng(5).normal(0, 0.02 * np.ptp(disparity), depth.shape).astype(np.float32)
    d, w = disparity.ravel().astype(np.float64), 1 / depth.ravel().astype(np.float64)
    found = least_squares(
        lambda x: x[0] * d + x[1] - w, np.polyfit(d, w, 1), loss="cauchy", f_scale=0.02, x_scale=(0.01, 0.1)
    )
    fit = fit_scale(disparity, depth)
    assert fit.scale == pytest.approx(found.x[0], rel=0.02)
    assert fit.shift == pytest.approx(found.x[1], abs=0.005)


@settings(QUICK, max_examples=10)
@given(gain=st.floats(1e-3, 1e3), offset=st.floats(-10, 10), unit=st.floats(0.1, 10))
def test_the_fit_follows_the_units_of_disparity_and_depth(gain: float, offset: float, unit: float) -> None:
    """Another linear disparity gives the same depth; the same view in another unit of length the same shares."""
    depth = with_outliers(scene(), 0.2, lambda rng, n: rng.uniform(0.3, 12.0, n))
    disparity = disparity_of(scene(), Scale(1.0, 0.0))
    fit, other = fit_scale(disparity, depth), fit_scale((gain * (disparity + offset)).astype(np.float32), depth)
    assert other.scale * gain == pytest.approx(fit.scale, rel=1e-3)
    assert other.shift + fit.scale * offset == pytest.approx(fit.shift, abs=2e-3)
    scaled = fit_scale(disparity, (unit * depth).astype(np.float32))
    assert (scaled.scale * unit, scaled.shift * unit) == pytest.approx((fit.scale, fit.shift), rel=1e-3, abs=1e-4)
    for each in (other, scaled):
        assert (each.inliers, each.residual) == pytest.approx((fit.inliers, fit.residual), abs=1e-3)
    factor, larger = fit_factor(disparity, depth), fit_factor((gain * disparity).astype(np.float32), depth)
    assert larger.scale * gain == pytest.approx(factor.scale, rel=1e-4)


def test_the_fit_is_the_same_every_time() -> None:
    depth = with_outliers(scene(), 0.4, lambda rng, n: rng.uniform(0.3, 12.0, n))
    first, second = (repr(fit_scale(disparity_of(scene()), depth)) for _ in range(2))
    assert first == second  # as text: some of it is NaN


@pytest.mark.parametrize("shift", [0.0, 0.07])
@pytest.mark.parametrize("wrong", [lambda rng, n: rng.uniform(0.3, 12.0, n), lambda rng, n: np.full(n, 0.35)])
def test_a_factor_is_found_in_a_flat_view_too(
    shift: float, wrong: Callable[[np.random.Generator, int], NDArray[np.float64]]
) -> None:
    for depth in (scene(), np.full((HEIGHT, WIDTH), 2.0, np.float32)):
        disparity = disparity_of(depth, Scale(0.5, shift))
        noisy = depth * (1 + np.random.default_rng(6).normal(0, 0.02, depth.shape)).astype(np.float32)
        fit = fit_factor(disparity, with_outliers(noisy, 0.3, wrong), shift)
        assert (fit.scale, fit.shift) == (pytest.approx(0.5, rel=3e-3), shift)
        assert 0.65 < fit.inliers < 0.75 and fit.residual < 0.04
    with pytest.raises(DataError, match=r"at least 50 pixels with positive disparity .* above the shift 9 1/m, got 0"):
        fit_factor(disparity, depth, 9.0)


@pytest.mark.parametrize(("sigma", "share"), [(0.02, 0.9876), (0.06, 0.9044)])
def test_inliers_lie_within_ten_percent_and_two_and_a_half_deviations(sigma: float, share: float) -> None:
    """Normal errors of inverse depth: P(|e| < 2.5 sigma) of the small one, P(|e| < 0.1) of the large one."""
    depth, noise = scene(), np.random.default_rng(7).normal(0, sigma, (HEIGHT, WIDTH))
    w = 1 / depth.astype(np.float64)
    noisy = (1 / (w + noise * (w + np.median(w)) / 2)).astype(np.float32)
    assert fit_scale(disparity_of(depth), noisy).inliers == pytest.approx(share, abs=0.006)
    noisy = (depth * np.exp(noise)).astype(np.float32)
    assert fit_factor(disparity_of(depth, Scale(0.5, 0.0)), noisy).inliers == pytest.approx(share, abs=0.006)


def test_exact_data_leave_out_only_what_is_off_by_more_than_two_percent() -> None:
    depth, rng = scene(), np.random.default_rng(8)
    off = rng.choice([1.0, 1.015, 1 / 1.015, 1.03, 1 / 1.03], depth.shape, p=[0.6, 0.1, 0.1, 0.1, 0.1])
    spoilt = (depth * off).astype(np.float32)
    close = float(np.mean(np.abs(np.log(off)) < 0.02))
    assert fit_factor(disparity_of(depth, Scale(0.5, 0.0)), spoilt).inliers == close
    w = 1 / depth.astype(np.float64)
    spoilt = (1 / (w + (1 / off - 1) * (w + np.median(w)) / 2)).astype(np.float32)
    assert fit_scale(disparity_of(depth), spoilt).inliers == pytest.approx(close, abs=0.002)


def test_a_factor_needs_fifty_positive_disparities() -> None:
    depth = scene()
    disparity = np.zeros_like(depth)
    places = np.arange(MIN_PIXELS) * 383
    disparity.ravel()[places] = disparity_of(depth, Scale(0.5, 0.0)).ravel()[places]
    with np.errstate(all="raise"):
        fit = fit_factor(disparity, depth)
    assert fit.scale == pytest.approx(0.5, rel=1e-4) and fit.shift == 0 and fit.inliers == 1
    disparity.ravel()[places[0]] = 0
    with pytest.raises(DataError, match=r"at least 50 pixels with positive disparity .* the shift 0 1/m, got 49"):
        fit_factor(disparity, depth)
    reference = np.full_like(depth, 1 / 0.25)  # inverse depth is the shift: nothing is left for the disparity
    with np.errstate(all="raise"), pytest.raises(DataError, match=r"the shift 0.25 1/m, got 0"):
        fit_factor(np.ones_like(depth), reference, 0.25)


def test_a_dense_reference_is_thinned_out_evenly() -> None:
    """Of 480 x 400 pixels 20,000 are compared, from the first known one to the last."""
    reference = np.arange(1, 480 * 400 + 1, dtype=np.float32).reshape(400, 480)
    reference[0, :7] = np.nan
    d, w = paired(1 / reference, reference)
    assert len(d) == len(w) == 20_000 and d.dtype == w.dtype == np.float64
    kept = np.rint(1 / w)
    assert kept[0] == 8 and kept[-1] == 480 * 400 and set(np.diff(kept)) == {9, 10}
    np.testing.assert_allclose(d, w, rtol=1e-6)


def test_the_fit_says_what_it_leaves_unexplained() -> None:
    depth, noise = scene(), np.random.default_rng(3).normal(0, 0.03, (HEIGHT, WIDTH))
    good = fit_scale(disparity_of(depth), (depth * (1 + noise)).astype(np.float32))
    assert good.residual == pytest.approx(0.6745 * 0.03, rel=0.1), "the median of a normal error"
    assert good.unexplained < 0.1 and not good.doubt
    w = 1 / (depth * (1 + noise))
    constant = np.median(np.abs(np.median(w) / w - 1))
    assert good.unexplained == pytest.approx(good.residual / constant, rel=1e-4), "over that of a constant depth"
    rng = np.random.default_rng(5)
    other = fit_scale(disparity_of(depth) + rng.normal(0, 9, depth.shape).astype(np.float32), depth)
    assert other.unexplained > 4 * good.unexplained and other.doubt
    assert Scale(1.0, 0.0, 0.9, residual=0.04, unexplained=0.6).doubt == (
        "the residual of 4 % is hardly below that of a constant depth"
    )
    assert Scale(1.0, 0.0, 0.9, residual=0.2, unexplained=0.3).doubt == "the residual is 20 %"
    assert "only 30 % of the compared pixels agree" in Scale(1.0, 0.0, 0.3).doubt
    assert not Scale(1.0, 0.0).doubt, "numbers that were set by hand"


def test_a_disparity_that_runs_the_other_way_is_refused() -> None:
    depth = scene()
    with pytest.raises(DataError, match=r"grows towards the camera, .* shows the opposite \(scale -"):
        fit_scale(-disparity_of(depth), depth)
    with pytest.raises(DataError, match="grows towards the camera"):
        fit_scale(depth, with_outliers(depth, 0.3, lambda rng, n: rng.uniform(0.3, 12.0, n)))


def test_a_flat_view_does_not_determine_the_scale() -> None:
    rng = np.random.default_rng(0)
    wall = rng.normal(2.0, 0.002, (HEIGHT, WIDTH)).astype(np.float32)
    with pytest.raises(DataError, match="relief"):
        fit_scale(rng.uniform(1, 2, wall.shape).astype(np.float32), wall)
    constant = np.ones_like(wall)
    for changed in (1.0, 2.0):  # nowhere, in one pixel
        constant[5, 7] = changed
        with pytest.raises(DataError, match=r"^expected a disparity that varies, it is nearly constant"):
            fit_scale(constant, scene())


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_what_is_no_depth_does_not_count(bad: float) -> None:
    depth = scene()
    sparse = np.full_like(depth, bad)
    sparse[::7, ::5] = depth[::7, ::5]
    fit = fit_scale(disparity_of(depth), sparse)
    assert fit.scale == pytest.approx(TRUTH.scale, rel=1e-4)


def test_too_few_pixels_are_reported_with_their_number() -> None:
    depth = scene()
    sparse = np.full_like(depth, np.nan)
    sparse.ravel()[:: depth.size // MIN_PIXELS][:MIN_PIXELS] = 1  # where they are
    places = np.flatnonzero(np.isfinite(sparse))
    sparse.ravel()[places] = depth.ravel()[places]
    assert fit_scale(disparity_of(depth), sparse).scale == pytest.approx(TRUTH.scale, rel=1e-3)
    sparse.ravel()[places[0]] = np.nan
    with pytest.raises(DataError, match="at least 50 pixels with reference depth and disparity, got 49 of 19200"):
        fit_scale(disparity_of(depth), sparse)
    unknown = disparity_of(depth)
    unknown[:] = np.nan
    with pytest.raises(DataError, match="got 0 of 19200"):
        fit_scale(unknown, depth)


@pytest.mark.parametrize("factor", [0.25, 0.5, 2, 4])
def test_the_reference_may_have_another_resolution(factor: float) -> None:
    """A floor whose inverse depth is linear in the row, sampled at the centres of larger or smaller pixels."""

    def floor(rows: int, columns: int) -> Depth:
        share = (np.arange(rows) + 0.5) / rows
        return np.repeat((1 / (0.1 + 0.5 * share))[:, None], columns, axis=1).astype(np.float32)

    reference = floor(round(factor * HEIGHT), round(factor * WIDTH))
    fit = fit_scale(disparity_of(floor(HEIGHT, WIDTH)), reference)
    assert fit.scale == pytest.approx(TRUTH.scale, rel=0.01)
    assert fit.shift == pytest.approx(TRUTH.shift, abs=0.005)


def test_another_view_is_refused_by_its_shape() -> None:
    with pytest.raises(DataError, match="of 120x160 pixels must have the shape of the image, 160x120"):
        fit_scale(disparity_of(scene()), np.ascontiguousarray(scene().T))
    with pytest.raises(DataError, match="must have the shape of the image, 160x120"):
        on_rectified_grid(np.ones((10, 10), np.float32), PinholeCamera.from_hfov(160, 120, 60))


def test_depth_comes_back_from_its_disparity() -> None:
    depth = scene()
    np.testing.assert_allclose(depth_from_disparity(disparity_of(depth), TRUTH, 10.0), depth, rtol=1e-5)


def test_what_is_beyond_range_is_infinite_and_no_wall() -> None:
    disparity = np.array([[10.0, 2.0, 1.0, 0.5, 0.0, -1.0, -50.0, np.nan]], np.float32)
    with np.errstate(all="raise"):
        made = depth_from_disparity(disparity, Scale(0.1, 0.0), 10.0)
    np.testing.assert_allclose(made, [[1.0, 5.0, np.inf, np.inf, np.inf, np.inf, np.inf, np.nan]], rtol=1e-6)


def test_sigma_follows_the_derivative() -> None:
    """Against finite differences of the depth itself."""
    disparity = np.linspace(5, 80, 1000, dtype=np.float32)[None]
    sigma = np.full_like(disparity, 0.01)
    depth = depth_from_disparity(disparity, TRUTH, 100.0)
    step = (
        depth_from_disparity(disparity.astype(np.float64) - 0.01, TRUTH, 100.0).astype(np.float64)  # type: ignore
        - depth_from_disparity(disparity.astype(np.float64) + 0.01, TRUTH, 100.0)
    ) / 2  # type: ignore
    np.testing.assert_allclose(sigma_from_disparity(sigma, depth, TRUTH, 100.0), step, rtol=1e-2)
    beyond = np.full((1, 1), np.inf, np.float32)
    assert sigma_from_disparity(sigma[:, :1], beyond, TRUTH, 10.0)[0, 0] == pytest.approx(0.01 * 0.013 * 100)


FACTORS = np.array([[1.2, 0.8, 1.0], [0.9, 1.1, 1.3]], np.float32)


def test_a_field_multiplies_inverse_depth_and_sigma_follows_it() -> None:
    depth, varying = scene(), replace(TRUTH, factors=FACTORS)
    field = spread(FACTORS, depth.shape)
    made = depth_from_disparity(disparity_of(depth), varying, 100.0)
    np.testing.assert_allclose(made, depth / field, rtol=1e-5)
    assert np.isinf(depth_from_disparity(disparity_of(depth), varying, 9.0)).any(), "beyond range by the field"
    step, d = np.float64(0.01), disparity_of(depth).astype(np.float64)
    ends = [1 / (field * (TRUTH.scale * (d + sign * step) + TRUTH.shift)) for sign in (-1, 1)]
    sigma = np.full_like(depth, step)
    np.testing.assert_allclose(sigma_from_disparity(sigma, made, varying, 100.0), (ends[0] - ends[1]) / 2, rtol=1e-3)


def test_a_field_is_smooth_between_its_factors_and_the_same_at_every_size() -> None:
    """A quadratic B-spline: scipy's agrees away from the borders, which repeat the outermost factors."""
    from scipy.interpolate import BSpline

    rng = np.random.default_rng(0)
    factors = rng.uniform(0.7, 1.4, (5, 7)).astype(np.float32)
    field = spread(factors, (250, 350))
    assert field.dtype == np.float32 and factors.min() <= field.min() and field.max() <= factors.max()
    np.testing.assert_allclose(
        field[[0, 0, -1, -1], [0, -1, 0, -1]], factors[[0, 0, -1, -1], [0, -1, 0, -1]], rtol=0.02
    )
    padded = np.pad(factors.astype(np.float64), 1, mode="edge")
    rows, columns = (BSpline(np.arange(n + 5) - 2.0, np.eye(n + 2), 2) for n in factors.shape)
    at = ((np.arange(size) + 0.5) / 50 for size in field.shape)
    expected = rows(next(at)) @ padded @ columns(next(at)).T
    np.testing.assert_allclose(field, expected, rtol=1e-5)
    np.testing.assert_allclose(spread(np.ones((6, 8), np.float32), (33, 57)), 1, rtol=1e-6)
    np.testing.assert_allclose(spread(factors, (500, 700))[::10, ::10], field[::5, ::5], atol=0.01)


def test_the_reference_moves_to_the_rectified_grid_with_its_image() -> None:
    camera = PinholeCamera.from_intrinsics(160, 120, 130, 130, 81, 58, (0.3, 0.0, 0.0, 0.0))
    depth = scene()
    np.testing.assert_array_equal(on_rectified_grid(depth, camera), camera.rectify_depth(depth))
    half = on_rectified_grid(np.ascontiguousarray(np.repeat(np.repeat(depth, 2, 0), 2, 1)), camera)
    np.testing.assert_array_equal(half, camera.rectify_depth(depth))
    coarse = on_rectified_grid(np.ascontiguousarray(depth[::2, ::2]), camera)
    np.testing.assert_array_equal(coarse, camera.rectify_depth(np.repeat(np.repeat(depth[::2, ::2], 2, 0), 2, 1)))
    straight = PinholeCamera.from_hfov(160, 120, 60)
    beside = DepthView(np.full_like(depth, 2.0), straight, np.array(np.eye(4)) + np.eye(4, k=3) * 0.1)
    np.testing.assert_array_equal(on_rectified_grid(beside, straight), beside.on(straight))
    assert on_rectified_grid(depth, straight) is depth
    turned = PinholeCamera(160, 120, straight.K, R=np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float64))
    with pytest.raises(CalibrationError, match="rotation R"):
        on_rectified_grid(depth, turned)


def test_real_depth_as_a_disparity_with_noise(tum_folder: Callable[[str], object]) -> None:
    """Depth of a real sensor with its holes, against a distorted copy of itself at half the resolution."""
    from pathlib import Path

    import cv2

    folder = Path(str(tum_folder("rgbd_dataset_freiburg1_rpy_part")))
    raw = cv2.imread(str(sorted((folder / "depth").glob("*.png"))[60]), cv2.IMREAD_UNCHANGED)
    depth = np.where(raw > 0, raw / np.float32(5000), np.nan).astype(np.float32)
    assert np.isnan(depth).mean() > 0.1
    filled = np.where(np.isnan(depth), 3.0, depth)
    disparity = disparity_of(cv2.GaussianBlur(filled, (0, 0), 3))
    fit = fit_scale(disparity, np.ascontiguousarray(depth[::2, ::2]))
    assert fit.scale == pytest.approx(TRUTH.scale, rel=0.02)
    made = depth_from_disparity(disparity, fit, 10.0)
    error = np.abs(made / depth - 1)
    assert np.nanmedian(error) < 0.01

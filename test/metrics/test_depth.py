"""The metrics against independent implementations (scikit-image, scikit-learn, scipy) and analytic truth."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage, spatial

from mono_depth_recon.errors import DataError
from mono_depth_recon.frames import Prediction
from mono_depth_recon.metrics.depth import affine_fit, depth_errors, depth_of_affine, eigen_crop
from mono_depth_recon.metrics.depth_map import depth_metrics
from mono_depth_recon.metrics.edges import depth_edges, edge_errors
from mono_depth_recon.metrics.image import image_errors, min_max_scaled, ssim
from mono_depth_recon.metrics.protocols import PROTOCOLS, score
from mono_depth_recon.metrics.sequence import SequenceMeter

ALL = np.ones((48, 64), np.bool_)


def maps(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A smooth truth in metres and a prediction like it."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:48, :64]
    truth = 2 + np.sin(rows / 9 + seed) + 0.02 * columns
    return (truth * rng.uniform(0.8, 1.3, truth.shape)).astype(np.float32), truth.astype(np.float32)


@pytest.fixture
def real_pair(data_folder: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two real depth maps, one a little later than the other, with the holes of both."""
    from mono_depth_recon.datasets.tum import TumFolder

    frames = TumFolder(data_folder / "tum" / "rgbd_dataset_freiburg1_rpy_part")
    first, second = frames[122].depth, frames[123].depth
    assert first is not None and second is not None
    return first, second


@pytest.mark.parametrize("seed", range(5))
def test_depth_errors_are_their_definitions(seed: int) -> None:
    d, t = (m.astype(np.float64).ravel() for m in maps(seed))
    made = depth_errors(d, t)
    loop = [(a, b) for a, b in zip(d.tolist(), t.tolist(), strict=True)]
    n = len(loop)
    logs = [math.log(a) - math.log(b) for a, b in loop]
    mean = math.fsum(logs) / n
    expected = {
        "abs_rel": math.fsum(abs(a - b) / b for a, b in loop) / n,
        "sq_rel": math.fsum((a - b) ** 2 / b for a, b in loop) / n,
        "rmse": math.sqrt(math.fsum((a - b) ** 2 for a, b in loop) / n),
        "rmse_log": math.sqrt(math.fsum(x * x for x in logs) / n),
        "log10": math.fsum(abs(math.log10(a) - math.log10(b)) for a, b in loop) / n,
        "silog": 100 * math.sqrt(math.fsum((x - mean) ** 2 for x in logs) / n),
        **{f"delta{k}": sum(max(a / b, b / a) < 1.25**k for a, b in loop) / n for k in (1, 2, 3)},
    }
    for name, value in expected.items():
        assert getattr(made, name) == pytest.approx(value, rel=1e-9), name
    older = depth_metrics(d.reshape(48, 64), t.reshape(48, 64))
    assert (older.abs_rel, older.rmse, older.silog) == (made.abs_rel, made.rmse, made.silog)


def test_depth_errors_refuse_what_has_no_logarithm() -> None:
    for d, t in (([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([np.nan], [1.0]), ([1.0], [np.inf])):
        with pytest.raises(DataError):
            depth_errors(np.array(d), np.array(t))


def compare_with_libraries(p: NDArray[np.float64], t: NDArray[np.float64], mask: NDArray[np.bool_]) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    sklearn = pytest.importorskip("sklearn.metrics")
    made = image_errors(p, t, mask)
    assert made.mse == pytest.approx(metrics.mean_squared_error(t[mask], p[mask]), rel=1e-9)
    assert made.rmse == pytest.approx(made.mse**0.5)
    assert made.psnr == pytest.approx(metrics.peak_signal_noise_ratio(t[mask], p[mask], data_range=1), rel=1e-9)
    assert made.r2 == pytest.approx(sklearn.r2_score(t[mask], p[mask]), rel=1e-9)
    _, full = metrics.structural_similarity(np.where(mask, p, 0), np.where(mask, t, 0), data_range=1.0, full=True)
    whole = np.lib.stride_tricks.sliding_window_view(mask, (7, 7)).all(axis=(2, 3))
    assert made.ssim == pytest.approx(full[3:-3, 3:-3][whole].mean(), rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_picture_metrics_agree_with_scikit_image_and_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, t = rng.uniform(size=(2, 48, 64))
    mask = np.ones((48, 64), np.bool_)
    compare_with_libraries(p, t, mask)
    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    assert ssim(p, t) == pytest.approx(structural_similarity(p, t, data_range=1.0), rel=1e-9)
    mask[10:20, 30:45] = False
    compare_with_libraries(p, t, mask)


def test_picture_metrics_agree_on_real_frames(real_pair: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
    mask = np.isfinite(real_pair[0]) & np.isfinite(real_pair[1])
    p, t = (min_max_scaled(depth, mask) for depth in real_pair)
    compare_with_libraries(p, t, mask)
    assert image_errors(t, t, mask).ssim == pytest.approx(1)


def test_depth_errors_agree_with_scikit_learn_on_real_frames(
    real_pair: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    mask = np.isfinite(real_pair[0]) & np.isfinite(real_pair[1])
    d, t = (depth[mask].astype(np.float64) for depth in real_pair)
    made, logs = depth_errors(d, t), np.log(d / t)
    expected = {
        "abs_rel": sklearn.mean_absolute_percentage_error(t, d),
        "sq_rel": sklearn.mean_squared_error(t, d, sample_weight=1 / t) * np.mean(1 / t),
        "rmse": sklearn.root_mean_squared_error(t, d),
        "rmse_log": sklearn.root_mean_squared_error(np.log(t), np.log(d)),
        "log10": sklearn.mean_absolute_error(np.log10(t), np.log10(d)),
        "silog": 100 * sklearn.mean_squared_error(logs, np.full(logs.shape, logs.mean())) ** 0.5,
        **{f"delta{k}": sklearn.accuracy_score(np.ones(d.size), np.abs(logs) < k * np.log(1.25)) for k in (1, 2, 3)},
    }
    for name, value in expected.items():
        assert getattr(made, name) == pytest.approx(value, rel=1e-6), name


def test_boundaries_on_real_frames_agree_with_an_independent_count(
    real_pair: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """Distances by scipy's tree of the boundaries' pixels; holes filled by scipy's nearest neighbour."""
    mask = np.isfinite(real_pair[0]) & np.isfinite(real_pair[1])
    found, true = (depth_edges(depth, mask) for depth in real_pair)
    made = edge_errors(*real_pair, mask)
    of_found, of_true = (np.argwhere(edges).astype(np.float64) for edges in (found, true))
    to_true, to_found = spatial.cKDTree(of_true).query(of_found)[0], spatial.cKDTree(of_found).query(of_true)[0]
    assert made.accuracy == pytest.approx(to_true[to_true < 10].mean(), rel=1e-6)
    assert made.completeness == pytest.approx(np.minimum(to_found, 10).mean(), rel=1e-6)
    rows, columns = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    filled = real_pair[0][rows, columns]  # of equally near pixels any may count: nearly the same boundaries
    again = depth_edges(filled, np.ones(mask.shape, np.bool_))
    inner = ndimage.binary_erosion(mask, np.ones((7, 7)), border_value=1)
    assert (found & ~ndimage.binary_dilation(again, iterations=2)).sum() < 0.02 * found.sum() and found[inner].any()


def test_pictures_that_are_equal_constant_or_full_of_holes() -> None:
    t = maps(1)[1] / 5
    same = image_errors(t, t, ALL)
    assert (same.mse, same.psnr, same.r2) == (0, math.inf, 1) and same.ssim == pytest.approx(1)
    assert image_errors(t, np.full_like(t, 0.5), ALL).r2 == -math.inf
    checks = np.indices(t.shape).sum(axis=0) % 5 > 0
    assert math.isnan(image_errors(t, t, checks).ssim)  # no window without a hole
    with pytest.raises(DataError, match="mask is empty"):
        image_errors(t, t, ~ALL)
    with pytest.raises(DataError, match="at least 7x7"):
        ssim(t[:5], t[:5])


def test_min_max_scaling_is_over_the_mask() -> None:
    values = np.array([[1.0, 3.0, 100.0], [2.0, np.nan, 5.0]])
    mask = np.array([[True, True, False], [True, False, True]])
    assert np.array_equal(min_max_scaled(values, mask), [[0, 0.5, np.nan], [0.25, np.nan, 1]], equal_nan=True)
    assert not min_max_scaled(np.full((2, 3), 4.0), mask)[mask].any()
    with pytest.raises(DataError, match="expected finite values"):
        min_max_scaled(values, np.ones((2, 3), np.bool_))


@pytest.mark.parametrize("seed", range(3))
def test_the_affine_fit_is_that_of_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.5, 8, 500)
    disparity = 3 / truth - 0.2 + rng.normal(0, 0.05, 500)
    expected = np.linalg.lstsq(np.c_[disparity, np.ones(500)], 1 / truth, rcond=None)[0]
    scale, shift = affine_fit(disparity, truth)
    assert (scale, shift) == pytest.approx(tuple(expected), rel=1e-9)
    exact = affine_fit(3 / truth - 0.2, truth)
    assert depth_of_affine(3 / truth - 0.2, *exact) == pytest.approx(truth, rel=1e-9)
    assert depth_of_affine(np.array([-5.0]), 1, 0) == pytest.approx([1000])  # clamped to 1e-3 / m, never negative
    with pytest.raises(DataError, match="a disparity that varies"):
        affine_fit(np.full(500, 2.0), truth)
    with pytest.raises(DataError, match="at least 10 pixels"):
        affine_fit(disparity[:9], truth[:9])


def test_eigens_crop() -> None:
    crop = eigen_crop(480, 640)
    assert crop.sum() == 426 * 560 and crop[45, 41] and crop[470, 600] and not crop[44, 41] and not crop[470, 601]
    assert eigen_crop(240, 320).mean() == pytest.approx(crop.mean(), abs=0.01)


def test_metric_protocol_shows_an_error_of_scale_and_median_hides_it() -> None:
    truth = maps(2)[1]
    far = Prediction(depth=1.2 * truth)
    assert score(far, truth, PROTOCOLS["metric"]).figures["abs_rel"] == pytest.approx(0.2, rel=1e-5)
    assert score(far, truth, PROTOCOLS["median"]).figures["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert score(far, truth, PROTOCOLS["affine"]).figures["abs_rel"] == pytest.approx(0, abs=1e-6)


def test_an_exact_relative_model_is_perfect_when_aligned_and_fails_the_paper() -> None:
    """Why the paper's relative models have a negative R2: disparity is large where depth is small."""
    truth = maps(3)[1]
    relative = Prediction(disparity=5 / truth + 0.3)
    assert score(relative, truth, PROTOCOLS["affine"]).figures["abs_rel"] < 1e-5
    assert score(relative, truth, PROTOCOLS["nyu"]).figures["delta1"] == 1
    paper = score(relative, truth, PROTOCOLS["paper"]).figures
    assert paper["r2"] < -1.5 and paper["ssim"] < 0.7
    assert score(Prediction(depth=3 * truth), truth, PROTOCOLS["paper"]).figures["r2"] == pytest.approx(1)
    for name in ("metric", "median"):
        with pytest.raises(DataError, match=f"protocol {name} needs metres"):
            score(relative, truth, PROTOCOLS[name])


def test_range_crop_and_coverage() -> None:
    truth = np.full((480, 640), 4.0, np.float32)
    truth[:100], truth[:, :50], truth[200, 200] = 12.0, np.nan, 0
    depth = np.full((480, 640), 30.0, np.float32)
    depth[400:] = np.nan
    metric, nyu = (score(Prediction(depth=depth), truth, PROTOCOLS[name]) for name in ("metric", "nyu"))
    assert metric.figures["abs_rel"] == pytest.approx(6.5) and nyu.figures["abs_rel"] == pytest.approx(1.5)  # clamped
    assert metric.coverage == pytest.approx((300 * 590 - 1) / (380 * 590 - 1))
    assert metric.mask.sum() == 300 * 590 - 1 and nyu.mask.sum() == 300 * 551 - 1
    assert np.isnan(metric.aligned[~metric.mask]).all()


@pytest.mark.parametrize(
    ("depth", "truth", "says"),
    [
        (np.full((48, 64), np.nan), np.ones((48, 64)), "3072 have truth between 0.001 and 10 m, but none of them"),
        (np.ones((48, 64)), np.full((48, 64), np.nan), "none has truth between 0.001 and 10 m"),
        (np.ones((48, 32)), np.ones((48, 64)), "must have one shape"),
    ],
)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_input_that_cannot_be_scored_gives_the_reason(
    depth: NDArray[np.float64], truth: NDArray[np.float64], says: str, name: str
) -> None:
    inside = {"nyu": "2408", "kitti": "1652"}.get(name, "3072")  # pixels of the crop
    says = says.replace("3072", inside).replace("10 m", f"{PROTOCOLS[name].max_range:g} m")
    with pytest.raises(DataError, match=says):
        score(Prediction(depth=depth.astype(np.float32)), truth, PROTOCOLS[name])


def test_every_protocol_names_what_it_does() -> None:
    for name, protocol in PROTOCOLS.items():
        text = protocol.text()
        assert text.startswith(f"{name}: alignment ") and "\n" not in text
        assert all(word in text for word in ("space", "crop", f"truth 0.001 to {protocol.max_range:g} m", "averaging"))
        assert (", predictions clamped to it" in text) == protocol.clamped == (name in ("affine", "nyu", "kitti"))


@pytest.mark.parametrize(
    ("name", "size", "rows", "columns", "reach"),
    [
        ("nyu", (480, 640), slice(45, 471), slice(41, 601), 10.0),
        ("nyu", (240, 320), slice(22, 236), slice(20, 300), 10.0),
        ("kitti", (375, 1242), slice(153, 371), slice(44, 1197), 80.0),
        ("kitti", (370, 1226), slice(151, 366), slice(44, 1181), 80.0),
    ],
)
def test_crops_and_ranges_of_the_benchmarks(
    name: str, size: tuple[int, int], rows: slice, columns: slice, reach: float
) -> None:
    """Right by a factor of 1.1 inside the crop and wrong outside; truth beyond the range does not count."""
    truth = np.linspace(0.5, reach, size[0] * size[1]).reshape(size)
    depth = (5 * truth).astype(np.float32)
    depth[rows, columns] = 1.1 * truth[rows, columns]
    beyond = truth.copy()
    beyond[rows.start, columns.start : columns.start + 50] = reach + 1
    made = score(Prediction(depth=depth), beyond, PROTOCOLS[name])
    expected = np.zeros(size, bool)
    expected[rows, columns] = True
    expected[rows.start, columns.start : columns.start + 50] = False
    np.testing.assert_array_equal(made.mask, expected)
    held = np.minimum(1.1 * truth[expected], reach)  # predictions are clamped to the range
    errors = np.abs(held - truth[expected]) / truth[expected]
    assert made.figures["abs_rel"] == pytest.approx(errors.mean(), rel=1e-5)
    assert made.figures["delta1"] == 1 and made.figures["pixels"] == expected.sum()


def boxes(column: int, height: int = 96, width: int = 128) -> NDArray[np.float32]:
    depth = np.full((height, width), 4.0, np.float32)
    depth[30:60, column : column + 40] = 2.0
    return depth


def test_edges_lie_at_jumps_of_depth_and_a_shift_is_measured_in_pixels() -> None:
    mask = np.ones((96, 128), np.bool_)
    edges = depth_edges(boxes(40), mask)
    rows, columns = np.nonzero(edges)
    assert columns.min() in (39, 40) and columns.max() in (79, 80) and rows.min() in (29, 30) and rows.max() in (59, 60)
    for scale in (7.0, 0.1):
        assert np.array_equal(edges, depth_edges(scale * boxes(40), mask))
    same = edge_errors(boxes(40), boxes(40), mask)
    assert (same.accuracy, same.completeness) == (0, 0) and same.edges == same.true_edges > 100
    moved = edge_errors(boxes(44), boxes(40), mask)  # two sides of 30 by 4 pixels, two of 40 hardly
    assert moved.accuracy == pytest.approx(4 * 60 / 140, rel=0.2) == pytest.approx(moved.completeness, rel=0.2)


def test_missing_edges_cost_completeness_and_distant_ones_no_accuracy() -> None:
    mask = np.ones((96, 128), np.bool_)
    flat = edge_errors(np.full((96, 128), 3.0, np.float32), boxes(40), mask)
    assert math.isnan(flat.accuracy) and flat.completeness == 10 and flat.edges == 0
    extra = boxes(40)
    extra[75:90, 100:120] = 1.0
    assert edge_errors(extra, boxes(40), mask).accuracy == 0
    assert math.isnan(edge_errors(boxes(40), np.full((96, 128), 3.0, np.float32), mask).completeness)


def test_an_edge_five_pixels_beside_a_hole_is_found() -> None:
    holes, mask = boxes(40), np.ones((96, 128), np.bool_)
    holes[40:50, 45:60] = np.nan
    edges, whole = depth_edges(holes, mask), depth_edges(boxes(40), mask)
    assert np.array_equal(edges, whole) and edges[45, 38:42].any()


def test_holes_and_slopes_are_no_edges() -> None:
    ramp = np.tile(np.linspace(1, 3, 128, dtype=np.float32), (96, 1))
    holes = ramp.copy()
    holes[20:50, 30:70] = np.nan
    assert not depth_edges(holes, np.ones((96, 128), np.bool_)).any()
    mask = np.ones((96, 128), np.bool_)
    mask[:, 60:] = False
    assert not depth_edges(boxes(60), mask).any()  # outside the mask
    assert not depth_edges(np.full((96, 128), np.nan), mask).any()


def test_distances_agree_with_scipy() -> None:
    mask, a, b = np.ones((96, 128), np.bool_), boxes(30), boxes(37)
    found, true = depth_edges(a, mask), depth_edges(b, mask)
    to_true, to_found = ndimage.distance_transform_edt(~true), ndimage.distance_transform_edt(~found)
    made = edge_errors(a, b, mask)
    assert made.accuracy == pytest.approx(to_true[found & (to_true < 10)].mean(), rel=1e-6)
    assert made.completeness == pytest.approx(np.minimum(to_found[true], 10).mean(), rel=1e-6)


def test_drift_trend_and_flicker_of_a_sequence() -> None:
    truth = maps(4)[1]
    meter, times = SequenceMeter(), np.arange(40) / 10
    for t in times:
        meter.add(truth * np.exp(-0.05 * t), truth, ALL, float(t))  # 5 % nearer every second
    made = meter.result()
    assert made.scale_trend == pytest.approx(0.05, rel=1e-4) and made.frames == 40
    assert made.scale_drift == pytest.approx(np.std(0.05 * times), rel=1e-4)
    assert made.flicker == pytest.approx(0.005, rel=1e-3)


def test_a_moving_scene_is_no_flicker_and_a_wrong_constant_scale_no_drift() -> None:
    meter = SequenceMeter()
    for i in range(10):
        truth = maps(i)[1]
        meter.add(1.3 * truth, truth, ALL, 0.1 * i)
    made = meter.result()
    assert made.scale_drift == pytest.approx(0, abs=1e-6) and made.flicker == pytest.approx(0, abs=1e-6)
    gaps, empty = SequenceMeter(max_gap=0.5), np.full((48, 64), np.nan)
    for i in range(4):
        gaps.add(maps(i)[0], maps(i)[1], ALL, float(i))
        gaps.add(empty, empty, ALL, i + 0.1)
    assert math.isnan(gaps.result().flicker) and gaps.result().frames == 4
    assert math.isnan(SequenceMeter().result().scale_drift) and SequenceMeter().result().frames == 0


def sequence(frames: range, meter: SequenceMeter | None = None) -> SequenceMeter:
    """Frames 0.6 s apart whose scale and pixels change at random."""
    meter = SequenceMeter() if meter is None else meter
    for i in frames:
        depth, truth = maps(i)
        meter.add((1 + 0.1 * np.sin(i)) * depth, truth, ALL, 0.6 * i)
    return meter


def test_meters_of_parts_make_the_meter_of_the_whole() -> None:
    whole, joined = sequence(range(9)).result(), SequenceMeter()
    for part in (range(0), range(4), range(4, 4), range(4, 5), range(5, 9)):
        joined.extend(sequence(part))
    assert joined.result() == whole and whole.frames == 9
    assert sequence(range(5, 9), sequence(range(5))).result() == whole
    joined = sequence(range(5))
    joined.extend(sequence(range(5, 7)))
    assert sequence(range(7, 9), joined).result() == whole


def test_a_meter_takes_pixels_that_are_known_in_both_and_pairs_within_a_second() -> None:
    truth = np.full((4, 6), 2.0)
    depth, first = 2.2 * np.ones((4, 6)), SequenceMeter()
    for row, (bad, other) in enumerate(((np.nan, 9.0), (np.inf, 9.0), (0.0, 9.0), (-1.0, 9.0))):
        depth[row, 0], truth[row, 1], depth[row, 1] = bad, bad, other
    depth[:, 2] = 9.0
    mask = np.ones((4, 6), np.bool_)
    mask[:, 2] = False
    with np.errstate(all="raise"):
        first.add(depth, truth, mask, 5.0)
        assert first.result().frames == 1 and math.isnan(first.result().scale_drift)
        first.add(1.1 * depth, truth, mask, 6.0)
    made = first.result()
    assert (made.frames, made.flicker) == (2, pytest.approx(math.log(1.1)))
    assert made.scale_drift == pytest.approx(math.log(1.1) / 2) and made.scale_trend == pytest.approx(-math.log(1.1))
    apart = SequenceMeter()
    for stamp in (5.0, 6.1):
        apart.add(depth, truth, mask, stamp)
    assert math.isnan(apart.result().flicker) and apart.result().scale_drift == 0
    still = SequenceMeter()
    for _ in range(2):
        still.add(depth, truth, mask, 5.0)
    assert math.isnan(still.result().scale_trend) and still.result().flicker == 0


@pytest.mark.parametrize("relative", [False, True])
def test_a_constant_prediction_is_fitted_by_the_mean_inverse_depth_where_that_is_asked_for(relative: bool) -> None:
    truth = maps(3)[1]
    flat = np.full(truth.shape, 2.0, np.float32)
    prediction = Prediction(disparity=flat) if relative else Prediction(depth=flat)
    made = score(prediction, truth, PROTOCOLS["affine"], flat=True)
    assert made.protocol == "affine" and made.aligned == pytest.approx(1 / np.mean(1 / truth))
    with pytest.raises(DataError, match="needs a disparity that varies"):
        score(prediction, truth, PROTOCOLS["affine"])
    varied = Prediction(depth=maps(3)[0].astype(np.float32))
    assert (
        score(varied, truth, PROTOCOLS["affine"], flat=True).figures
        == score(varied, truth, PROTOCOLS["affine"]).figures
    )
    assert score(varied, truth, PROTOCOLS["paper"]).protocol == "paper"

"""The scale of depth with and without each source, on synthetic rooms: sensors made from true depth and poses."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from made_rooms import unlit

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.errors import DataError
from mono_depth_recon.evaluation.anchors import Drifting, by_model, track_scale
from mono_depth_recon.evaluation.simulated_sensors import hang_poster, lidar_points, random_points, true_depth
from mono_depth_recon.frames import Prediction, Sample
from mono_depth_recon.scale.marker import marker_depth
from mono_depth_recon.scale.marker_finder import detected

CAMERA = PinholeCamera.from_hfov(320, 240, 75)
CONFIG = with_values(Config(), {"scale.marker_size": 0.3})


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    room = unlit(8, CAMERA)
    return [room[i] for i in range(8)]


def test_every_source_takes_the_drift_away(samples: list[Sample]) -> None:
    done: list[tuple[int, int]] = []
    tracks = track_scale(samples, Drifting(), CONFIG, progress=lambda *at: done.append(at))
    assert list(tracks.ratios) == ["none", "points", "ground_plane", "odometry", "marker"] and done[-1] == (8, 8)
    ratios = {name: np.array(values) for name, values in tracks.ratios.items()}
    assert np.abs(ratios["none"] - 1).max() > 0.1
    assert np.abs(ratios["points"] - 1).max() < 0.02
    for name in ("ground_plane", "marker"):
        off, before = (np.nanmedian(np.abs(ratios[each] - 1)) for each in (name, "none"))
        assert np.isfinite(ratios[name]).sum() >= 6 and off < 0.6 * before, name
    assert tracks.summary("none")[0] == 8 and "no points yet by odometry" in next(iter(tracks.reasons["odometry"]))


def test_a_relative_model_has_the_scale_of_its_first_frame_without_a_source(samples: list[Sample]) -> None:
    factors = iter((1.0, 1.0, 0.5, 2.0))

    class Relative:
        name, output, device = "relative", "relative_disparity", "none"

        def predict(self, batch: object) -> list[Prediction]:
            truth = true_depth(next(shown))
            return [Prediction(disparity=(next(factors) / np.nan_to_num(truth, nan=3.0)).astype(np.float32))]

    shown = iter(samples)
    tracks = track_scale(samples[:4], by_model(Relative()), CONFIG, ["points"])  # type: ignore[arg-type]
    assert tracks.ratios["fixed"] == pytest.approx([1.0, 1.0, 2.0, 0.5], rel=0.01)
    assert tracks.ratios["points"] == pytest.approx([1.0] * 4, abs=0.02)


def test_what_a_recording_lacks_is_the_reason_for_no_metres(samples: list[Sample]) -> None:
    without = [replace(sample, T_world_camera=None) for sample in samples[:2]]
    tracks = track_scale(without, Drifting(), CONFIG)
    for name in ("ground_plane", "odometry", "marker"):
        assert np.isnan(tracks.ratios[name]).all() and "expected a recording with poses" in next(
            iter(tracks.reasons[name])
        )
        assert tracks.summary(name)[0] == 0 and np.isnan(tracks.error(name))
    assert np.isfinite(tracks.ratios["points"]).all()
    depth = true_depth(samples[0])
    blind = track_scale([replace(samples[0], depth=None)], lambda _: Prediction(depth=depth), CONFIG, ["points"])
    assert np.isnan([*blind.ratios["none"], *blind.ratios["points"]]).all()


def test_varying_sources_are_compared_with_themselves_away_from_the_anchors(samples: list[Sample]) -> None:
    """A model that bends: its error goes, by depth at random pixels that do not count themselves."""
    across = np.linspace(0.8, 1.25, CAMERA.width, dtype=np.float32)
    config = with_values(CONFIG, {"scale.varying": True})
    points = partial(random_points, count=300)
    bent = by_model(Bent(samples[:3], across))
    tracks = track_scale(samples[:3], bent, config, ["points", "ground_plane"], points=points)
    assert list(tracks.ratios) == ["none", "points", "points varying", "ground_plane"] == list(tracks.errors)
    expected = [np.nanmean(np.abs(true_depth(each) * across / true_depth(each) - 1)) for each in samples[:3]]
    np.testing.assert_allclose(tracks.errors["none"], expected, rtol=0.02)
    assert tracks.error("points varying") < 0.2 * tracks.error("points")
    made = random_points(samples[0], np.random.default_rng(0), 300)
    u = np.rint(made[:, 0] / made[:, 2] * CAMERA.fx + CAMERA.cx).astype(int)
    v = np.rint(made[:, 1] / made[:, 2] * CAMERA.fy + CAMERA.cy).astype(int)
    np.testing.assert_allclose(made[:, 2], true_depth(samples[0])[v, u])
    assert len({*zip(u, v, strict=True)}) == 300


class Bent:
    """A model whose depth is the true one times factors of the column."""

    name, output, device = "bent", "metric_depth", "none"

    def __init__(self, samples: list[Sample], across: np.ndarray) -> None:
        self._samples, self._across = {id(sample.rgb): sample for sample in samples}, across

    def predict(self, batch: list[tuple[np.ndarray, PinholeCamera]]) -> list[Prediction]:
        return [Prediction(depth=true_depth(self._samples[id(rgb)]) * self._across) for rgb, _ in batch]


def test_the_marker_hangs_at_one_place_and_is_read_at_its_depth(samples: list[Sample]) -> None:
    settings, found = replace(CONFIG.scale, marker_id=5), 0
    poster = hang_poster(samples, settings)
    for sample in samples:
        if not poster.visible(sample):
            continue
        painted = poster.seen_by(sample)
        assert painted.depth is sample.depth and not np.array_equal(painted.rgb, sample.rgb)
        for number, corners in detected(painted.rgb, settings):
            made = marker_depth(corners, CAMERA, settings.marker_size)
            known = np.isfinite(made)
            assert number == 5 and np.median(made[known] / true_depth(sample)[known]) == pytest.approx(1, abs=0.02)
            found += 1
    assert found >= 4


def test_nothing_is_drawn_where_the_marker_is_hidden_or_behind(samples: list[Sample]) -> None:
    poster = hang_poster(samples, CONFIG.scale)
    seen = next(sample for sample in samples if poster.visible(sample))
    near = replace(seen, depth=np.full_like(true_depth(seen), 0.2))
    np.testing.assert_array_equal(poster.seen_by(near).rgb, seen.rgb)
    assert seen.T_world_camera is not None
    behind = replace(seen, T_world_camera=seen.T_world_camera @ np.diag([-1.0, 1.0, -1.0, 1.0]))
    assert poster.seen_by(behind) is behind and not poster.visible(behind)
    rng = np.random.default_rng(0)
    rough = replace(seen, depth=rng.uniform(1, 3, true_depth(seen).shape).astype(np.float32))
    with pytest.raises(DataError, match="no flat place in view that a marker of 0.3 m fits on"):
        hang_poster([rough], CONFIG.scale)


def test_the_lidar_has_noise_and_outliers_about_the_true_depth(samples: list[Sample]) -> None:
    points = lidar_points(samples[0], np.random.default_rng(0))
    camera, truth = CAMERA, true_depth(samples[0])
    u, v = (
        np.rint(points[:, 0] / points[:, 2] * camera.fx + camera.cx),
        np.rint(points[:, 1] / points[:, 2] * camera.fy + camera.cy),
    )
    ratio = points[:, 2] / truth[v.astype(int), u.astype(int)]
    wrong = np.abs(ratio - 1) > 0.1
    assert len(np.unique(v)) == 16 and 0.05 < wrong.mean() < 0.12
    assert ratio[~wrong].std() == pytest.approx(0.02, rel=0.1)

"""The frame path's relative models, from disparity to metres, and sigma: every step has a known result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_models import FakeModel, RelativeModel, floor, lens, picture, pinhole, reconstructor, wall, write_mask

from mono_depth_recon.arrays import Depth
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.back_projection import unpack_rgb
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.errors import DataError, ModelError
from mono_depth_recon.frames import Frame, Prediction
from mono_depth_recon.models.base import View
from mono_depth_recon.pipeline import DepthReconstructor, Wanted
from mono_depth_recon.scale.evidence import Evidence
from mono_depth_recon.scale.reference import REFERENCE_DEPTH

TRUE_SCALE, TRUE_SHIFT = 0.02, 0.05


class ScaledFloorModel(FakeModel):
    """Disparity of the floor with a known scale and shift; sigma 0.1 of the disparity on request."""

    output = "relative_disparity"

    def __init__(self, sigma: float | None = None) -> None:
        super().__init__(floor)
        self._sigma = sigma

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        self.seen += batch
        made = [((1 / self._depth_of(c) - TRUE_SHIFT) / TRUE_SCALE).astype(np.float32) for _, c in batch]
        return [
            Prediction(disparity=d, sigma=None if self._sigma is None else np.full_like(d, self._sigma)) for d in made
        ]


class UncertainModel(FakeModel):
    """Walls at 2 m with a sigma that grows along the columns from 0 to 1 m."""

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        return [Prediction(depth=self._depth_of(c), sigma=column_sigma(c)) for _, c in batch]


def column_sigma(camera: PinholeCamera) -> Depth:
    return np.tile(np.linspace(0, 1, camera.width, dtype=np.float32), (camera.height, 1))


def beside(reference: Callable[[], Depth] | None) -> Evidence:
    return Evidence() if reference is None else Evidence({REFERENCE_DEPTH: reference})


RELATIVE = {"scale__source": "reference", "filter__edge_threshold": 0.0}


def test_a_given_scale_makes_metres() -> None:
    camera = pinhole()
    frame = reconstructor(
        ScaledFloorModel(),
        scale__source="fixed",
        scale__scale=TRUE_SCALE,
        scale__shift=TRUE_SHIFT,
        filter__edge_threshold=0.0,
    ).process(picture(camera), camera)
    exact = floor(camera)
    assert list(frame.timings) == ["rectify", "model", "scale", "filter", "guard", "cloud"]
    assert frame.depth is not None and frame.disparity is not None and frame.points is not None
    np.testing.assert_array_equal(np.isposinf(frame.depth), exact > 10)
    inside = np.isfinite(frame.depth)
    np.testing.assert_allclose(frame.depth[inside], exact[inside], rtol=1e-4)
    np.testing.assert_allclose(frame.points[inside][:, 1], 1.2, rtol=1e-4)
    assert frame.scale is not None and (frame.scale.scale, frame.scale.shift) == (TRUE_SCALE, TRUE_SHIFT)
    assert frame.no_metres == ""


def test_a_reference_makes_metres_and_is_asked_only_then() -> None:
    camera, asked = pinhole(), []

    def reference() -> Depth:
        asked.append(1)
        seen = floor(camera).copy()
        seen[:20] = np.nan
        return seen

    def process(model: FakeModel, wanted: Wanted | None = None, **values: object) -> Depth | None:
        running = reconstructor(model, **values)
        return running.process(picture(camera), camera, wanted or Wanted(), evidence=beside(reference)).depth

    depth = process(ScaledFloorModel(), **RELATIVE)
    assert depth is not None and len(asked) == 1
    inside = np.isfinite(depth)
    np.testing.assert_allclose(depth[inside], floor(camera)[inside], rtol=0.01)
    process(FakeModel(floor), scale__source="reference")
    process(ScaledFloorModel(), scale__source="fixed")
    process(ScaledFloorModel())
    process(ScaledFloorModel(), Wanted(depth=False, points=False), **RELATIVE)
    assert len(asked) == 1, "metric models, other sources and frames that nobody needs ask for none"


def test_the_reference_is_registered_to_the_raw_image() -> None:
    """A distorted camera: reference depth on the raw grid, as depth cameras deliver it."""
    camera = lens()
    rectified = floor(camera.rectified)
    rays = cv2.undistortPoints(
        np.stack(np.meshgrid(np.arange(320.0), np.arange(240.0)), -1).reshape(-1, 1, 2), camera.K, np.array(camera.D)
    ).reshape(240, 320, 2)
    raw = (1.2 / np.maximum(rays[..., 1], 1.2 / 60)).astype(np.float32)
    model = ScaledFloorModel()
    running = reconstructor(model, **RELATIVE)
    frame = running.process(picture(camera), camera, evidence=beside(lambda: np.ascontiguousarray(raw)))
    assert frame.depth is not None and frame.scale is not None
    assert frame.scale.scale == pytest.approx(TRUE_SCALE, rel=0.01)
    assert frame.scale.inliers > 0.9
    inside = np.isfinite(frame.depth)
    np.testing.assert_allclose(frame.depth[inside], rectified[inside], rtol=0.02)
    assert frame.disparity is not None
    np.testing.assert_array_equal(np.isnan(frame.disparity), ~camera.rectified_valid)  # type: ignore[operator]


def test_without_metres_a_frame_has_the_reason_and_keeps_its_disparity() -> None:
    camera = pinhole()

    def nothing() -> Depth:
        raise DataError("nobody publishes it")

    for values, reference, why in (
        ({}, None, "model fake gives relative disparity, which has no metres: set scale.source=fixed"),
        (RELATIVE, None, "needs reference depth beside the image, got none"),
        (RELATIVE, nothing, "nobody publishes it"),
        (RELATIVE, lambda: np.full((240, 320), np.nan, np.float32), "at least 50 pixels"),
        (RELATIVE, lambda: np.reciprocal(floor(camera)), "grows towards the camera"),
    ):
        frame = reconstructor(ScaledFloorModel(), **values).process(picture(camera), camera, evidence=beside(reference))
        assert frame.depth is None and frame.points is None and frame.sigma is None and frame.scale is None
        assert why in frame.no_metres
        assert frame.disparity is not None and np.isfinite(frame.disparity).all()


def test_the_robots_body_is_no_reference(tmp_path: Path) -> None:
    camera = pinhole()
    mask = write_mask(tmp_path / "body.png", camera)
    running = reconstructor(ScaledFloorModel(), camera__mask=mask, **RELATIVE)
    body = np.full((240, 320), np.nan, np.float32)
    body[121:, :79] = 0.5
    frame = running.process(picture(camera), camera, evidence=beside(lambda: body))
    assert "at least 50 pixels" in frame.no_metres and frame.disparity is not None
    assert np.isnan(frame.disparity[121:, :79]).all() and np.isfinite(frame.disparity[:, 81:]).all()


def test_the_fit_is_smoothed_per_camera_and_forgotten_with_another_source() -> None:
    first, second = pinhole(), pinhole()
    running = reconstructor(ScaledFloorModel(), scale__smoothing=0.5, **RELATIVE)

    def scale_with(camera: PinholeCamera, factor: float) -> float:
        frame = running.process(picture(camera), camera, evidence=beside(lambda: floor(camera) * np.float32(factor)))
        assert frame.scale is not None
        return frame.scale.scale / TRUE_SCALE

    assert scale_with(first, 1.0) == pytest.approx(1.0, rel=1e-3)
    assert scale_with(second, 0.5) == pytest.approx(2.0, rel=1e-3), "another camera begins on its own"
    assert scale_with(first, 1 / 1.01) == pytest.approx(1.005, rel=1e-4)
    assert scale_with(first, 0.5) == pytest.approx(2.0, rel=1e-3), "a good fit of another scale is taken at once"
    running.config = with_values(running.config, {"scale.source": "fixed", "scale.scale": 7.0})
    assert scale_with(first, 0.5) == pytest.approx(7.0 / TRUE_SCALE), "the next frame follows the parameters"
    running.config = with_values(running.config, {"scale.source": "reference"})
    assert scale_with(first, 0.25) == pytest.approx(4.0, rel=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_relative_network_is_an_error(value: float) -> None:
    def broken(of: PinholeCamera) -> Depth:
        depth = wall(of)
        depth[7, 9] = value if np.isnan(value) else 0
        return depth

    with np.errstate(divide="ignore"), pytest.raises(ModelError, match="disparity that is not finite: check the wei"):
        reconstructor(RelativeModel(broken)).process(picture(pinhole()), pinhole())


class DoubtfulModel(FakeModel):
    """Confidence grows from 0 at the left to 1 at the right."""

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        columns = [np.linspace(0, 1, camera.width, dtype=np.float32) for _, camera in batch]
        return [
            replace(each, confidence=np.repeat(column[None], camera.height, axis=0))
            for each, column, (_, camera) in zip(super().predict(batch), columns, batch, strict=True)
        ]


def test_confidence_gates_depth_cloud_and_map() -> None:
    camera = pinhole()
    frame = reconstructor(DoubtfulModel(wall)).process(picture(camera), camera)
    assert frame.depth is not None and frame.confidence is not None and np.isfinite(frame.depth).all()
    gated = reconstructor(DoubtfulModel(wall), filter__min_confidence=0.5).process(picture(camera), camera)
    assert gated.depth is not None and gated.points is not None
    np.testing.assert_array_equal(np.isnan(gated.depth), frame.confidence < 0.5)
    np.testing.assert_array_equal(np.isnan(gated.points[..., 2]), frame.confidence < 0.5)
    np.testing.assert_array_equal(gated.confidence, frame.confidence)  # it still tells why depth is missing
    without = reconstructor(FakeModel(wall), filter__min_confidence=0.5).process(picture(camera), camera).depth
    assert without is not None and np.isfinite(without).all()


def test_sigma_is_known_where_depth_is_and_gates_it() -> None:
    camera = pinhole()
    frame = reconstructor(UncertainModel(wall), filter__border=5).process(picture(camera), camera)
    assert frame.depth is not None and frame.sigma is not None and frame.points is not None
    np.testing.assert_array_equal(np.isnan(frame.sigma), np.isnan(frame.depth))
    inside = np.isfinite(frame.depth)
    np.testing.assert_array_equal(frame.sigma[inside], column_sigma(camera)[inside])
    assert frame.points.shape == (240, 320, 4)
    gated = reconstructor(UncertainModel(wall), filter__max_sigma=0.25).process(picture(camera), camera).depth
    assert gated is not None
    np.testing.assert_array_equal(np.isnan(gated), column_sigma(camera) > 0.25)
    beyond = reconstructor(UncertainModel(wall), filter__max_range=1.0).process(picture(camera), camera)
    assert beyond.depth is not None and np.isposinf(beyond.depth).all()
    assert beyond.sigma is not None and np.isnan(beyond.sigma).all()


@pytest.mark.parametrize("stride", [1, 3])
def test_the_cloud_carries_sigma_by_parameter(stride: int) -> None:
    camera = pinhole()
    running = reconstructor(UncertainModel(wall), cloud__sigma=True, cloud__stride=stride)
    frame = running.process(picture(camera), camera)
    plain = reconstructor(UncertainModel(wall), cloud__stride=stride).process(picture(camera), camera)
    assert frame.points is not None and plain.points is not None
    np.testing.assert_array_equal(frame.points[..., :4].view(np.uint32), plain.points.view(np.uint32))
    np.testing.assert_array_equal(frame.points[..., 4], column_sigma(camera)[::stride, ::stride])
    silent = reconstructor(FakeModel(wall), cloud__sigma=True).process(picture(camera), camera)
    assert silent.points is not None and np.isnan(silent.points[..., 4]).all()


def test_sigma_of_a_relative_model_is_in_metres() -> None:
    camera = pinhole()
    frame = reconstructor(ScaledFloorModel(sigma=0.1), **RELATIVE).process(
        picture(camera), camera, evidence=beside(lambda: floor(camera))
    )
    assert frame.depth is not None and frame.sigma is not None
    inside = np.isfinite(frame.depth)
    np.testing.assert_allclose(frame.sigma[inside], frame.depth[inside] ** 2 * TRUE_SCALE * 0.1, rtol=0.01)
    np.testing.assert_array_equal(np.isnan(frame.sigma), ~inside)
    gated = reconstructor(ScaledFloorModel(sigma=0.1), filter__max_sigma=0.05, **RELATIVE).process(
        picture(camera), camera, evidence=beside(lambda: floor(camera))
    )
    assert gated.depth is not None
    far = np.sqrt(0.05 / (TRUE_SCALE * 0.1))
    np.testing.assert_allclose(np.nanmax(gated.depth), far, rtol=0.02)
    assert np.isnan(gated.depth[floor(camera) > 1.02 * far]).all(), "beyond range too: it may not be that far"


@pytest.mark.parametrize("with_sigma", [False, True])
def test_the_voxel_grid_of_the_cloud_is_that_of_its_points(with_sigma: bool) -> None:
    """Means of positions and colours by cubes, as an independent loop makes them; sigma among them."""
    camera = PinholeCamera.from_hfov(48, 36, 60.0)
    values = {"cloud.voxel_size": 0.25, "cloud.sigma": with_sigma, "filter.border": 2}
    rgb = np.random.default_rng(3).integers(0, 256, (36, 48, 3), np.uint8)
    full = DepthReconstructor(FakeModel(floor), with_values(Config(), values | {"cloud.voxel_size": 0.0}))
    points = full.process(rgb, camera).points
    thin = DepthReconstructor(FakeModel(floor), with_values(Config(), values)).process(rgb, camera).points
    assert points is not None and thin is not None and thin.shape[0] == 1 and thin.shape[2] == points.shape[2]
    kept = points[np.isfinite(points[..., 2])]
    cubes: dict[tuple[int, ...], list[int]] = {}
    for place, at in enumerate(np.floor(kept[:, :3] / np.float32(0.25) + np.float32(0.5)).astype(int).tolist()):
        cubes.setdefault(tuple(at), []).append(place)
    means = np.array([kept[places, :3].mean(axis=0) for places in cubes.values()])
    colors = np.array([unpack_rgb(kept[places, 3]).mean(axis=0) for places in cubes.values()])
    assert thin.shape[1] == len(cubes) < len(kept) / 1.5
    order, theirs = np.lexsort(means.round(3).T), np.lexsort(thin[0, :, :3].round(3).T)
    np.testing.assert_allclose(thin[0, theirs, :3], means[order], atol=1e-4)
    assert np.abs(unpack_rgb(thin[0, theirs, 3]).astype(float) - colors[order]).max() <= 0.51
    assert not with_sigma or np.isnan(thin[..., 4]).all(), "this model tells none"


def test_a_voxel_grid_of_nothing_is_empty() -> None:
    camera = PinholeCamera.from_hfov(48, 36, 60.0)
    config = with_values(Config(), {"cloud.voxel_size": 0.05, "filter.border": 100})
    points = DepthReconstructor(FakeModel(wall), config).process(np.zeros((36, 48, 3), np.uint8), camera).points
    assert points is not None and points.shape == (1, 0, 4)


CORRECTED = {"scale__source": "reference", "filter__edge_threshold": 0.0, "filter__max_range": 200.0}


@pytest.mark.parametrize("how", ["factor", "affine"])
def test_a_metric_model_is_corrected_where_that_is_wanted(how: str) -> None:
    """The floor's own depth is the truth; the model's is 1.25 times that, for affine also with a shift of 0.02 / m."""
    camera, shift = pinhole(), 0.02 * (how == "affine")

    def wrong(of: PinholeCamera) -> Depth:
        return (1.25 / (1 / floor(of).astype(np.float64) + shift)).astype(np.float32)

    def process(**values: object) -> Frame:
        running = reconstructor(FakeModel(wrong), **{**CORRECTED, **values})
        return running.process(picture(camera), camera, evidence=beside(lambda: floor(camera)))

    plain, made = process(), process(scale__correct_metric=how)
    assert plain.depth is not None and plain.scale is None and made.depth is not None and made.scale is not None
    np.testing.assert_allclose(plain.depth, wrong(camera), rtol=1e-6)
    np.testing.assert_allclose(made.depth, floor(camera), rtol=2e-3)
    assert (made.scale.scale, made.scale.shift) == pytest.approx((1.25, -shift), abs=2e-3)
    assert (made.scale.source, made.disparity) == ("reference", None)
    fixed = process(scale__correct_metric=how, scale__source="fixed", scale__scale=2.0)
    assert fixed.depth is not None
    np.testing.assert_allclose(fixed.depth, wrong(camera) / 2, rtol=1e-5)
    assert process(scale__correct_metric=how, scale__source="none").scale is None


def test_sigma_of_a_corrected_model_follows_its_depth() -> None:
    camera = pinhole()
    values = {**CORRECTED, "scale__correct_metric": "factor", "scale__source": "fixed", "scale__scale": 0.5}
    frame = reconstructor(UncertainModel(wall), **values).process(picture(camera), camera)
    assert frame.depth is not None and frame.sigma is not None
    np.testing.assert_allclose(frame.depth, 4.0, rtol=1e-6)
    np.testing.assert_allclose(frame.sigma, 2 * column_sigma(camera), rtol=1e-5)


def test_a_metric_model_without_its_anchor_is_withheld_or_stale() -> None:
    """Never silently wrong: before the first anchor, and after `scale.timeout`."""
    camera = pinhole()
    values = {**CORRECTED, "scale__correct_metric": "factor", "scale__timeout": 1.0}

    def process(running: DepthReconstructor, stamp: float, reference: Callable[[], Depth] | None = None) -> Frame:
        return running.process(picture(camera), camera, evidence=beside(reference), stamp=stamp)

    strict, tolerant = (reconstructor(FakeModel(floor), **values, scale__on_timeout=w) for w in ("withhold", "stale"))
    first = process(strict, 0.0)
    assert first.depth is None
    assert first.no_metres == "scale.source=reference needs reference depth beside the image, got none"
    first = process(tolerant, 0.0)
    assert first.depth is not None and first.scale is not None and first.scale.stale
    np.testing.assert_allclose(first.depth, floor(camera), rtol=1e-5)
    for running in (strict, tolerant):
        anchored = process(running, 1.0, lambda: floor(camera) * np.float32(2))
        assert anchored.depth is not None and anchored.scale is not None and not anchored.scale.stale
        held = process(running, 1.9)
        assert held.depth is not None and held.scale is not None and (held.scale.held, held.scale.stale) == (1, False)
    late = process(strict, 2.1)
    assert late.depth is None
    assert late.no_metres.startswith("no new scale for 1.1 s (scale.timeout 1 s), depth is withheld")
    late = process(tolerant, 2.1)
    assert late.depth is not None and late.scale is not None and late.scale.stale
    np.testing.assert_allclose(late.depth, floor(camera) * 2, rtol=1e-4)


def test_a_model_that_bends_is_put_right_where_that_is_wanted() -> None:
    """Depth too large at the left and too small at the right; sigma follows the field."""
    camera = pinhole()
    across = np.linspace(0.8, 1.25, camera.width, dtype=np.float32)

    class Bent(FakeModel):
        def predict(self, batch: Sequence[View]) -> list[Prediction]:
            return [Prediction(depth=floor(c) / across, sigma=0.1 * floor(c) / across) for _, c in batch]

    def process(**values: object) -> Frame:
        running = reconstructor(Bent(floor), **{**CORRECTED, "scale__correct_metric": "factor", **values})
        return running.process(picture(camera), camera, evidence=beside(lambda: floor(camera)))

    plain, made = process(), process(scale__varying=True)
    for frame, off in ((plain, 0.1), (made, 0.015)):
        assert frame.depth is not None and frame.sigma is not None and frame.scale is not None
        error = np.abs(frame.depth / floor(camera) - 1).mean()
        assert (error > off) if frame is plain else (error < off)
        known = np.isfinite(frame.depth)
        np.testing.assert_allclose(frame.sigma[known], 0.1 * frame.depth[known], rtol=1e-3)
    assert plain.scale is not None and plain.scale.variation == 0
    assert made.scale is not None and made.scale.factors is not None
    ends = made.scale.scale * made.scale.factors[-1, [0, -1]]
    np.testing.assert_allclose(ends, 1 / across[[camera.width // 16, -camera.width // 16]], rtol=0.05)

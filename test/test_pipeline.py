"""The frame path with a model that answers analytic depth, so that every step has a known result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mono_depth_recon.arrays import Depth
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.errors import CalibrationError, ConfigError, DataError, ModelError
from mono_depth_recon.frames import Prediction
from mono_depth_recon.models.base import Output, View
from mono_depth_recon.pipeline import DepthReconstructor, Wanted
from mono_depth_recon.pointcloud import unpack_rgb

DISTORTION = (0.3, 0.0, 0.0, 0.0)


class FakeModel:
    """Answers `depth_of(camera)` and remembers what it was shown."""

    name, device = "fake", "none"
    output: Output = "metric_depth"

    def __init__(self, depth_of: Callable[[PinholeCamera], Depth]) -> None:
        self._depth_of = depth_of
        self.seen: list[View] = []

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        self.seen += batch
        return [Prediction(depth=self._depth_of(camera)) for _, camera in batch]

    def release_memory(self) -> None:
        """Nothing to give back."""


class RelativeModel(FakeModel):
    output = "relative_disparity"

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        return [Prediction(disparity=np.reciprocal(self._depth_of(camera))) for _, camera in batch]


def wall(camera: PinholeCamera) -> Depth:
    return np.full((camera.height, camera.width), 2.0, np.float32)


def floor(camera: PinholeCamera) -> Depth:
    """The floor 1.2 m below a level camera, 60 m away where it cannot be seen."""
    _, y = camera.rays
    depth = 1.2 / np.maximum(y, 1.2 / 60)
    return np.repeat(depth[:, None], camera.width, axis=1).astype(np.float32)


def lens(width: int = 320, height: int = 240) -> PinholeCamera:
    return PinholeCamera.from_intrinsics(width, height, 260, 260, 161, 118, DISTORTION)


def pinhole(width: int = 320, height: int = 240) -> PinholeCamera:
    return PinholeCamera.from_hfov(width, height, 60)


def picture(camera: PinholeCamera) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (camera.height, camera.width, 3), np.uint8)


def reconstructor(model: FakeModel, **values: object) -> DepthReconstructor:
    return DepthReconstructor(model, with_values(Config(), {k.replace("__", "."): v for k, v in values.items()}))


def test_a_frame_goes_through_in_order() -> None:
    camera, model = pinhole(), FakeModel(floor)
    rgb = picture(camera)
    frame = reconstructor(model, filter__edge_threshold=0.0).process(rgb, camera)
    assert frame.rgb is rgb
    assert frame.camera is camera
    assert list(frame.timings) == ["rectify", "model", "filter", "cloud"]
    assert all(seconds >= 0 for seconds in frame.timings.values())
    exact = floor(camera)
    assert frame.depth is not None
    np.testing.assert_array_equal(np.isposinf(frame.depth), exact > 10)
    inside = np.isfinite(frame.depth)
    np.testing.assert_array_equal(frame.depth[inside], exact[inside])
    assert frame.points is not None
    np.testing.assert_allclose(frame.points[inside][:, 1], 1.2, rtol=1e-6)  # the floor lies at y = 1.2 m
    np.testing.assert_array_equal(np.isnan(frame.points[..., 2]), ~inside)
    np.testing.assert_array_equal(unpack_rgb(frame.points[..., 3]), rgb)


def test_a_distorted_image_is_rectified_before_inference() -> None:
    camera, model = lens(), FakeModel(wall)
    rgb = picture(camera)
    frame = reconstructor(model).process(rgb, camera)
    (shown, shown_camera), = model.seen
    np.testing.assert_array_equal(shown, camera.rectify(rgb))
    assert shown_camera is camera.rectified
    assert frame.rgb is shown
    assert frame.camera is camera.rectified
    valid = camera.rectified_valid
    assert valid is not None
    assert not valid.all()
    assert frame.depth is not None
    np.testing.assert_array_equal(np.isnan(frame.depth), ~valid)


def test_a_distorted_image_is_refused_where_that_is_asked_for() -> None:
    model = FakeModel(wall)
    refusing = reconstructor(model, camera__distortion="refuse")
    with pytest.raises(CalibrationError, match=r"not rectified .*: subscribe to image_rect .* or set camera\."):
        refusing.process(picture(lens()), lens())
    assert not model.seen
    refusing.process(picture(pinhole()), pinhole())
    assert model.seen


@pytest.mark.parametrize(("wanted", "steps"), [
    (Wanted(depth=False, points=False), ["rectify"]),
    (Wanted(depth=True, points=False), ["rectify", "model", "filter", "cloud"]),
    (Wanted(depth=False, points=True), ["rectify", "model", "filter", "cloud"]),
])
def test_only_what_is_wanted_is_computed(wanted: Wanted, steps: list[str]) -> None:
    camera, model = lens(), FakeModel(wall)
    frame = reconstructor(model).process(picture(camera), camera, wanted)
    assert list(frame.timings) == steps
    needs_model = wanted.depth or wanted.points
    assert bool(model.seen) == needs_model
    assert (frame.depth is not None) == needs_model
    assert (frame.points is not None) == wanted.points
    np.testing.assert_array_equal(frame.rgb, camera.rectify(picture(camera)))


def test_the_points_go_into_the_buffer_that_is_given() -> None:
    camera = pinhole()
    out = np.empty((120, 160, 4), np.float32)
    frame = reconstructor(FakeModel(wall), cloud__stride=2).process(picture(camera), camera, out=out)
    assert frame.points is out
    assert (out[..., 2] == 2).all()


def write_mask(path: Path, camera: PinholeCamera) -> str:
    """White, with a black body in the lower left corner."""
    image = np.full((camera.height, camera.width), 255, np.uint8)
    image[camera.height // 2:, :camera.width // 4] = 0
    assert cv2.imwrite(str(path), image)
    return str(path)


def test_the_robots_body_has_no_depth(tmp_path: Path) -> None:
    camera = pinhole()
    mask = write_mask(tmp_path / "body.png", camera)
    frame = reconstructor(FakeModel(wall), camera__mask=mask).process(picture(camera), camera)
    body = np.zeros((240, 320), np.bool_)
    body[120:, :80] = True
    assert frame.depth is not None
    np.testing.assert_array_equal(np.isnan(frame.depth), body)
    assert (frame.depth[~body] == 2).all()


def test_the_mask_is_of_the_raw_image_and_rectified_with_it(tmp_path: Path) -> None:
    camera = lens()
    mask = write_mask(tmp_path / "body.png", camera)
    frame = reconstructor(FakeModel(wall), camera__mask=mask).process(picture(camera), camera)
    source_x, source_y = camera.rectification_maps
    covered = camera.rectified_valid
    assert covered is not None
    clearly = covered & (np.abs(source_x - 79.5) > 1) & (np.abs(source_y - 119.5) > 1)
    assert clearly.mean() > 0.5
    assert frame.depth is not None
    np.testing.assert_array_equal(np.isnan(frame.depth)[clearly], ((source_x < 79.5) & (source_y > 119.5))[clearly])
    assert np.isnan(frame.depth[~covered]).all()


def test_a_mask_that_does_not_fit_or_cannot_be_read(tmp_path: Path) -> None:
    mask = write_mask(tmp_path / "body.png", pinhole(64, 48))
    with pytest.raises(ConfigError, match="camera.mask is 64x48, the image is 320x240: make the mask"):
        reconstructor(FakeModel(wall), camera__mask=mask).process(picture(pinhole()), pinhole())
    with pytest.raises(ConfigError, match=r"camera.mask .*gone.png cannot be read as an image"):
        reconstructor(FakeModel(wall), camera__mask=str(tmp_path / "gone.png"))


def test_flying_pixels_range_and_border_follow_the_config() -> None:
    camera = pinhole()

    def step(of: PinholeCamera) -> Depth:
        return np.where(np.arange(of.width) < 160, 1.0, 4.0).astype(np.float32) * np.ones((of.height, 1), np.float32)

    def process(**values: object) -> Depth:
        depth = reconstructor(FakeModel(step), **values).process(picture(camera), camera).depth
        assert depth is not None
        return depth

    np.testing.assert_array_equal(np.flatnonzero(np.isnan(process()).all(axis=0)), [159, 160])
    assert np.isfinite(process(filter__edge_threshold=0.0)).all()
    near = process(filter__max_range=2.0, filter__edge_threshold=0.0)
    assert np.isposinf(near[:, 160:]).all()
    assert (near[:, :160] == 1).all()
    bordered = process(filter__border=10, filter__edge_threshold=0.0)
    assert np.isfinite(bordered).sum() == 300 * 220
    beyond = process(filter__max_range=2.0)
    assert np.isnan(beyond[:, 159]).all(), "the near side of an edge is unknown"
    assert np.isposinf(beyond[:, 160:]).all(), "what is beyond range is so on an edge too"


def test_an_edge_is_the_same_at_every_size_of_the_image() -> None:
    """A network's soft edge covers a share of the image: what flies at 320 pixels of width flies at 1280."""

    def ramp(of: PinholeCamera) -> Depth:
        """1 m to 4 m within 5 % of the width, as upsampling makes it."""
        inverse = np.interp(np.arange(of.width) / of.width, [0.45, 0.5], [1.0, 0.25]).astype(np.float32)
        return 1 / inverse * np.ones((of.height, 1), np.float32)

    shares = []
    for width in (320, 640, 1280):
        camera = PinholeCamera.from_hfov(width, width * 3 // 4, 60)
        depth = reconstructor(FakeModel(ramp)).process(picture(camera), camera).depth
        assert depth is not None
        shares.append(float(np.isnan(depth).all(axis=0).mean()))
    assert min(shares) > 0.01 and max(shares) - min(shares) <= 2 / 320


def test_the_config_may_be_replaced_between_frames() -> None:
    camera = pinhole()
    running = reconstructor(FakeModel(wall))
    before = running.process(picture(camera), camera)
    running.config = with_values(running.config, {"filter.max_range": 1.5, "cloud.stride": 4})
    after = running.process(picture(camera), camera)
    assert before.depth is not None
    assert (before.depth == 2).all(), "a finished frame stays as it is"
    assert after.depth is not None
    assert np.isposinf(after.depth).all()
    assert after.points is not None
    assert after.points.shape == (60, 80, 4)


def test_a_new_camera_takes_effect_on_its_frame() -> None:
    running = reconstructor(FakeModel(wall))
    for camera in (pinhole(), pinhole(160, 120), lens(), PinholeCamera.from_hfov(320, 240, 90)):
        frame = running.process(picture(camera), camera)
        assert frame.camera is camera.rectified
        assert frame.points is not None
        inside = np.isfinite(frame.points[..., 0])
        x = np.broadcast_to(camera.rectified.rays[0], inside.shape)
        np.testing.assert_allclose(frame.points[..., 0][inside], 2 * x[inside], rtol=1e-6)


def test_a_relative_model_gives_no_metres() -> None:
    camera = pinhole()
    frame = reconstructor(RelativeModel(wall)).process(picture(camera), camera)
    assert frame.depth is None
    assert frame.points is None
    assert frame.disparity is not None
    assert (frame.disparity == 0.5).all()


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_a_broken_network_is_an_error_and_no_wall(value: float) -> None:
    def broken(of: PinholeCamera) -> Depth:
        depth = wall(of)
        depth[7, 9] = value
        return depth

    with pytest.raises(ModelError, match="model fake returned depth that is not positive: check the weights"):
        reconstructor(FakeModel(broken)).process(picture(pinhole()), pinhole())


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(DataError, match="camera is 320x240, image is 160x120"):
        reconstructor(FakeModel(wall)).process(picture(pinhole(160, 120)), pinhole())


def test_the_embedded_model_gives_metres_of_the_camera() -> None:
    """Halving the focal length of the same pixels halves the depth: the canonical focal length at work."""
    config = with_values(Config(), {"filter.max_range": 1000.0, "filter.min_range": 0.0})
    running = DepthReconstructor.from_config(config)
    camera = PinholeCamera.from_intrinsics(320, 240, 260, 260, 160, 120)
    wide = PinholeCamera.from_intrinsics(320, 240, 130, 130, 160, 120)
    image = cv2.GaussianBlur(picture(camera), (0, 0), 8)
    near, far = (running.process(image, c, Wanted(points=False)).depth for c in (wide, camera))
    assert near is not None
    assert far is not None
    known = np.isfinite(near) & np.isfinite(far)
    assert known.mean() > 0.2
    np.testing.assert_allclose(2 * near[known], far[known], rtol=1e-5)


@pytest.mark.parametrize("image", [np.zeros((240, 320)), np.zeros((240, 320, 3), np.float32), None])
def test_what_is_no_image_is_said(image: object) -> None:
    with pytest.raises(DataError, match=r"\(H, W, 3\) uint8"):
        reconstructor(FakeModel(wall)).process(image, pinhole())  # type: ignore[arg-type]


# Relative models: from disparity to metres


TRUE_SCALE, TRUE_SHIFT = 0.02, 0.05


class ScaledFloorModel(FakeModel):
    """Disparity of the floor with a known scale and shift; sigma 0.1 of a disparity by request."""

    output = "relative_disparity"

    def __init__(self, sigma: float | None = None) -> None:
        super().__init__(floor)
        self._sigma = sigma

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        self.seen += batch
        made = [((1 / self._depth_of(c) - TRUE_SHIFT) / TRUE_SCALE).astype(np.float32) for _, c in batch]
        return [Prediction(disparity=d, sigma=None if self._sigma is None else np.full_like(d, self._sigma))
                for d in made]


class UncertainModel(FakeModel):
    """Walls at 2 m with a sigma that grows along the columns from 0 to 1 m."""

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        return [Prediction(depth=self._depth_of(c), sigma=column_sigma(c)) for _, c in batch]


def column_sigma(camera: PinholeCamera) -> Depth:
    return np.tile(np.linspace(0, 1, camera.width, dtype=np.float32), (camera.height, 1))


RELATIVE = {"scale__source": "reference", "filter__edge_threshold": 0.0}


def test_a_given_scale_makes_metres() -> None:
    camera = pinhole()
    frame = reconstructor(ScaledFloorModel(), scale__source="fixed", scale__scale=TRUE_SCALE, scale__shift=TRUE_SHIFT,
                          filter__edge_threshold=0.0).process(picture(camera), camera)
    exact = floor(camera)
    assert list(frame.timings) == ["rectify", "model", "scale", "filter", "cloud"]
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
        return running.process(picture(camera), camera, wanted or Wanted(), reference=reference).depth

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
    rays = cv2.undistortPoints(np.stack(np.meshgrid(np.arange(320.0), np.arange(240.0)), -1).reshape(-1, 1, 2),
                               camera.K, np.array(camera.D)).reshape(240, 320, 2)
    raw = (1.2 / np.maximum(rays[..., 1], 1.2 / 60)).astype(np.float32)
    model = ScaledFloorModel()
    running = reconstructor(model, **RELATIVE)
    frame = running.process(picture(camera), camera, reference=lambda: np.ascontiguousarray(raw))
    assert frame.depth is not None and frame.scale is not None
    assert frame.scale.scale == pytest.approx(TRUE_SCALE, rel=0.01)
    assert frame.scale.inliers > 0.9
    inside = np.isfinite(frame.depth)
    np.testing.assert_allclose(frame.depth[inside], rectified[inside], rtol=0.02)
    assert frame.disparity is not None
    np.testing.assert_array_equal(np.isnan(frame.disparity), ~camera.rectified_valid)  # type: ignore[operator]


def test_without_metres_a_frame_says_why_and_keeps_its_disparity() -> None:
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
        frame = reconstructor(ScaledFloorModel(), **values).process(picture(camera), camera, reference=reference)
        assert frame.depth is None and frame.points is None and frame.sigma is None and frame.scale is None
        assert why in frame.no_metres
        assert frame.disparity is not None and np.isfinite(frame.disparity).all()


def test_the_robots_body_is_no_reference(tmp_path: Path) -> None:
    camera = pinhole()
    mask = write_mask(tmp_path / "body.png", camera)
    running = reconstructor(ScaledFloorModel(), camera__mask=mask, **RELATIVE)
    body = np.full((240, 320), np.nan, np.float32)
    body[121:, :79] = 0.5
    frame = running.process(picture(camera), camera, reference=lambda: body)
    assert "at least 50 pixels" in frame.no_metres and frame.disparity is not None
    assert np.isnan(frame.disparity[121:, :79]).all() and np.isfinite(frame.disparity[:, 81:]).all()


def test_the_fit_is_smoothed_per_camera_and_forgotten_with_another_source() -> None:
    first, second = pinhole(), pinhole()
    running = reconstructor(ScaledFloorModel(), scale__smoothing=0.5, **RELATIVE)

    def scale_with(camera: PinholeCamera, factor: float) -> float:
        frame = running.process(picture(camera), camera, reference=lambda: floor(camera) * np.float32(factor))
        assert frame.scale is not None
        return frame.scale.scale / TRUE_SCALE

    assert scale_with(first, 1.0) == pytest.approx(1.0, rel=1e-3)
    assert scale_with(second, 0.5) == pytest.approx(2.0, rel=1e-3), "another camera begins on its own"
    assert scale_with(first, 0.5) == pytest.approx(1.5, rel=1e-3)
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
        picture(camera), camera, reference=lambda: floor(camera))
    assert frame.depth is not None and frame.sigma is not None
    inside = np.isfinite(frame.depth)
    np.testing.assert_allclose(frame.sigma[inside], frame.depth[inside]**2 * TRUE_SCALE * 0.1, rtol=0.01)
    np.testing.assert_array_equal(np.isnan(frame.sigma), ~inside)
    gated = reconstructor(ScaledFloorModel(sigma=0.1), filter__max_sigma=0.05, **RELATIVE).process(
        picture(camera), camera, reference=lambda: floor(camera))
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

"""The frame path with a model that returns analytic depth, so that every step has a known result."""

from __future__ import annotations

import gc
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_models import FakeModel, RelativeModel, floor, lens, picture, pinhole, reconstructor, wall, write_mask

from mono_depth_recon import pipeline
from mono_depth_recon.arrays import Depth, Mask
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.back_projection import unpack_rgb
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.errors import CalibrationError, ConfigError, DataError, ModelError
from mono_depth_recon.frames import Prediction
from mono_depth_recon.models.base import View
from mono_depth_recon.pipeline import DepthReconstructor, Wanted


def test_a_frame_goes_through_in_order() -> None:
    camera, model = pinhole(), FakeModel(floor)
    rgb = picture(camera)
    frame = reconstructor(model, filter__edge_threshold=0.0).process(rgb, camera)
    assert frame.rgb is rgb
    assert frame.camera is camera
    assert list(frame.timings) == ["rectify", "model", "filter", "guard", "cloud"]
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
    ((shown, shown_camera),) = model.seen
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


@pytest.mark.parametrize(
    ("wanted", "steps"),
    [
        (Wanted(depth=False, points=False), ["rectify"]),
        (Wanted(depth=True, points=False), ["rectify", "model", "filter", "guard", "cloud"]),
        (Wanted(depth=False, points=True), ["rectify", "model", "filter", "guard", "cloud"]),
    ],
)
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
    with pytest.raises(ConfigError, match=r"camera.mask: .*gone.png cannot be read: No such file .*: give a PNG"):
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


def test_a_frame_may_have_a_configuration_of_its_own() -> None:
    camera = pinhole()
    running = reconstructor(FakeModel(wall))
    own = with_values(running.config, {"filter.max_range": 1.5, "cloud.stride": 4})
    frame = running.process(picture(camera), camera, config=own)
    assert frame.depth is not None and np.isposinf(frame.depth).all()
    assert frame.points is not None and frame.points.shape == (60, 80, 4)
    after = running.process(picture(camera), camera)
    assert after.depth is not None and (after.depth == 2).all(), "the reconstructor's own is the default"


def test_cameras_that_alternate_rebuild_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[tuple[int, int]] = []
    build = pipeline.unknown_pixels

    def counted(camera: PinholeCamera, body: Mask | None) -> Mask | None:
        built.append(camera.size)
        return build(camera, body)

    monkeypatch.setattr(pipeline, "unknown_pixels", counted)
    running, cameras = reconstructor(FakeModel(wall)), (lens(), lens(160, 120))
    for turn in range(10):
        camera = cameras[turn % 2]
        running.process(picture(camera), camera)
    assert built == [(320, 240), (160, 120)]
    del camera, cameras
    gc.collect()
    assert not running._unknown, "a camera that is gone leaves nothing behind"


def test_threads_share_a_reconstructor_one_frame_at_a_time() -> None:
    class Alone(FakeModel):
        entered = threading.Lock()

        def predict(self, batch: Sequence[View]) -> list[Prediction]:
            assert self.entered.acquire(blocking=False), "two frames in the model at once"
            try:
                return super().predict(batch)
            finally:
                self.entered.release()

        def release_memory(self) -> None:
            self.predict([])

    running, camera = reconstructor(Alone(wall)), pinhole(64, 48)
    with ThreadPoolExecutor(4) as pool:
        frames = [pool.submit(running.process, picture(camera), camera) for _ in range(40)]
        others = [pool.submit(running.release_memory) for _ in range(10)]
        for each in [*frames, *others]:
            each.result(60)


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
def test_a_broken_network_is_an_error_and_not_a_wall(value: float) -> None:
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
def test_what_is_no_image_is_reported(image: object) -> None:
    with pytest.raises(DataError, match=r"\(H, W, 3\) uint8"):
        reconstructor(FakeModel(wall)).process(image, pinhole())  # type: ignore[arg-type]

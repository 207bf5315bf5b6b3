"""One frame, in a straight line: rectify, predict, filter, back-project."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import filters
from .arrays import Depth, Mask, Points, Rgb
from .camera import PinholeCamera
from .config import Config
from .errors import CalibrationError, ConfigError, DataError, ModelError
from .frames import Frame
from .models import DepthModel, load_model
from .pointcloud import back_project

# A network's edge spans a share of the image, not a number of pixels: the threshold is stated at this width.
_EDGE_WIDTH_PX = 640


@dataclass(frozen=True)
class Wanted:
    """What of a frame somebody needs; the rest is not computed. `rgb` alone needs no model."""

    depth: bool = True
    points: bool = True


class Stopwatch:
    """Seconds per step, in order."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, step: str) -> None:
        """Books the time since the last lap on `step`."""
        now = time.perf_counter()
        self.laps[step] = now - self._last
        self._last = now


class DepthReconstructor:
    """The frame path: `process(rgb, camera) -> Frame`.

    `config` may be replaced at any time by another immutable Config; a frame reads it once. The model
    is the one of construction. Not for two threads at once.

        reconstructor = DepthReconstructor.from_config(Config())
        frame = reconstructor.process(rgb, PinholeCamera.from_hfov(640, 480, 60))
    """

    def __init__(self, model: DepthModel, config: Config) -> None:
        self.model = model
        self.config = config
        self._body = load_mask(config.camera.mask) if config.camera.mask else None
        self._unknown: tuple[PinholeCamera, Mask | None] | None = None

    @classmethod
    def from_config(cls, config: Config) -> DepthReconstructor:
        """Loads the model of `config`. Raises ModelError, ConfigError."""
        return cls(load_model(config.model, config.cpu_threads), config)

    def process(self, rgb: Rgb, camera: PinholeCamera, wanted: Wanted = Wanted(), out: Points | None = None) -> Frame:
        """One image (H, W, 3) uint8 of `camera` to a Frame on the rectified grid.

        `out` receives the points (see `back_project`). Raises CalibrationError for a distorted image where
        `camera.distortion` is refuse, DataError where image and camera differ in size.
        """
        config, watch = self.config, Stopwatch()
        check_rgb(rgb)
        camera.check_image(rgb)
        unknown = self._unknown_of(camera)
        rgb, camera = self._rectified(rgb, camera, config)
        watch.lap("rectify")
        if not (wanted.depth or wanted.points):
            return Frame(rgb, camera, timings=watch.laps)
        prediction = self.model.predict([(rgb, camera)])[0]
        watch.lap("model")
        if prediction.depth is None:
            return Frame(rgb, camera, disparity=prediction.disparity, timings=watch.laps)
        depth = self._filtered(prediction.depth, unknown, config)
        watch.lap("filter")
        points = back_project(depth, camera, rgb, config.cloud.stride, out) if wanted.points else None
        watch.lap("cloud")
        return Frame(rgb, camera, depth, sigma=prediction.sigma, points=points, timings=watch.laps)

    def _rectified(self, rgb: Rgb, camera: PinholeCamera, config: Config) -> tuple[Rgb, PinholeCamera]:
        if camera.is_rectified:
            return rgb, camera
        if config.camera.distortion == "refuse":
            raise CalibrationError(
                "image is not rectified (D or R in camera_info): subscribe to image_rect with "
                "camera.input=rectified, or set camera.distortion=rectify"
            )
        return camera.rectify(rgb), camera.rectified

    def _filtered(self, depth: Depth, unknown: Mask | None, config: Config) -> Depth:
        settings = config.filter
        if not (depth > 0).all():  # also NaN: a broken network must not become a wall of points
            raise ModelError(f"model {self.model.name} returned depth that is not positive: check the weights")
        edges = None
        if settings.edge_threshold:
            edges = filters.flying_pixels(depth, settings.edge_threshold * _EDGE_WIDTH_PX / depth.shape[1])
            edges &= depth <= settings.max_range  # what is beyond range is so on an edge too
        filters.limit_range(depth, settings.min_range, settings.max_range)
        for mask in (edges, unknown):
            if mask is not None:
                filters.drop(depth, mask)
        filters.drop_border(depth, settings.border)
        return depth

    def _unknown_of(self, camera: PinholeCamera) -> Mask | None:
        """Pixels of the rectified grid that never have depth: robot body, and what the raw image does not cover."""
        if self._unknown is None or self._unknown[0] is not camera:
            self._unknown = (camera, _unknown_pixels(camera, self._body))
        return self._unknown[1]


def _unknown_pixels(camera: PinholeCamera, body: Mask | None) -> Mask | None:
    uncovered = None if camera.is_rectified or camera.rectified_valid is None else ~camera.rectified_valid
    if body is None:
        return uncovered
    if body.shape != (camera.height, camera.width):
        raise ConfigError(
            f"camera.mask is {body.shape[1]}x{body.shape[0]}, the image is {camera.width}x{camera.height}: "
            "make the mask of the image's size"
        )
    if not camera.is_rectified:
        body = camera.rectify(np.repeat(body[..., None].astype(np.uint8) * 255, 3, axis=2))[..., 0] > 0
    return body if uncovered is None else body | uncovered


def check_rgb(rgb: Rgb) -> None:
    """Raises DataError unless `rgb` is (H, W, 3) uint8."""
    if not isinstance(rgb, np.ndarray) or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        got = f"{rgb.shape} {rgb.dtype}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise DataError(f"image must be an array (H, W, 3) uint8 in RGB order, got {got}")


def load_mask(path: str) -> Mask:
    """(H, W) bool, true where the grey image at `path` is black: the robot's own body. Raises ConfigError."""
    import cv2

    image = cv2.imread(str(Path(path).expanduser()), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ConfigError(
            f"camera.mask {path} cannot be read as an image: give a PNG of the camera's size, black where the robot is"
        )
    return image == 0

"""Models that predict analytic depth, with cameras and images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mono_depth_recon.arrays import Depth
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.frames import Prediction
from mono_depth_recon.models.base import Output, View
from mono_depth_recon.pipeline import DepthReconstructor

DISTORTION = (0.3, 0.0, 0.0, 0.0)


class FakeModel:
    """Predicts `depth_of(camera)` and records its inputs."""

    name, device = "fake", "none"
    output: Output = "metric_depth"

    def __init__(self, depth_of: Callable[[PinholeCamera], Depth]) -> None:
        self._depth_of = depth_of
        self.seen: list[View] = []

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        self.seen += batch
        return [Prediction(depth=self._depth_of(camera)) for _, camera in batch]

    def release_memory(self) -> None:
        """Nothing to release."""


class RelativeModel(FakeModel):
    output = "relative_disparity"

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        self.seen += batch
        return [Prediction(disparity=np.reciprocal(self._depth_of(camera))) for _, camera in batch]


def wall(camera: PinholeCamera) -> Depth:
    return np.full((camera.height, camera.width), 2.0, np.float32)


def floor(camera: PinholeCamera) -> Depth:
    """The floor 1.2 m below a level camera; 60 m above the horizon."""
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


def write_mask(path: Path, camera: PinholeCamera) -> str:
    """White, with a black region in the lower left corner."""
    image = np.full((camera.height, camera.width), 255, np.uint8)
    image[camera.height // 2 :, : camera.width // 4] = 0
    assert cv2.imwrite(str(path), image)
    return str(path)

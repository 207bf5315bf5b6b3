"""A photographed floor and models that predict it, for tests of commands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mono_depth_recon.arrays import Depth
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import (
    ModelConfig,
)
from mono_depth_recon.frames import Prediction
from mono_depth_recon.models.base import Output, View

SIZE = (160, 120)


INTRINSICS = ["--intrinsics", "150", "150", "79.5", "59.5"]


class FloorModel:
    """Predicts `floor_depth`."""

    name, device = "floor", "none"
    output: Output = "metric_depth"

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        return [Prediction(depth=floor_depth(camera)) for _, camera in batch]

    def release_memory(self) -> None:
        """Nothing to release."""


SCALE, SHIFT = 0.02, -0.03


class RelativeModel(FloorModel):
    name = "sketch"
    output = "relative_disparity"

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        return [
            Prediction(disparity=((1 / floor_depth(camera) - SHIFT) / SCALE).astype(np.float32)) for _, camera in batch
        ]


def floor_depth(camera: PinholeCamera) -> Depth:
    """The plane 0.7 z + y = 1.5 m: a floor seen by a tilted camera."""
    _, y = camera.rays
    return np.repeat((1.5 / (0.7 + y))[:, None], camera.width, axis=1).astype(np.float32)


@pytest.fixture
def floor_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(settings: ModelConfig, threads: int) -> FloorModel:
        return RelativeModel() if settings.name == "sketch" else FloorModel()

    monkeypatch.setattr("mono_depth_recon.pipeline.load_model", load)


def photo(path: Path, size: tuple[int, int] = SIZE, focal_35mm: int | None = None) -> str:
    exif = Image.Exif()
    if focal_35mm:
        exif.get_ifd(0x8769)[0xA405] = focal_35mm
    ramp = np.linspace(40, 220, size[0], dtype=np.uint8)[None, :, None]
    Image.fromarray(np.broadcast_to(ramp, (size[1], size[0], 3)).copy()).save(path, exif=exif)
    return str(path)

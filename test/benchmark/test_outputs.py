"""The benchmark of outputs on demand: what is timed is checked first."""

from __future__ import annotations

import numpy as np
import pytest

from mono_depth_recon.arrays import Depth, Matrix
from mono_depth_recon.benchmark import outputs
from mono_depth_recon.benchmark.frame_path import Settings
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.obstacles import Surroundings, surroundings
from mono_depth_recon.config import SafeConfig
from mono_depth_recon.encoding import compressed_depth
from mono_depth_recon.errors import DataError

QUICK = Settings(repeats=2)


def test_every_output_has_its_figure() -> None:
    rows = [*outputs.obstacles(QUICK), *outputs.compressed(QUICK)]
    assert [row.name for row in rows] == [
        "obstacles: points_safe and scan",
        "compressed depth: 32FC1, png",
        "compressed depth: 32FC1, rvl",
        "compressed depth: 16UC1, png",
        "compressed depth: 16UC1, rvl",
        "compressed colour: jpeg",
    ]
    assert all(row.value and row.value > 0 and row.unit == "ms" for row in rows)


def test_obstacles_off_their_walls_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(depth: Depth, camera: PinholeCamera, T: Matrix, settings: SafeConfig) -> Surroundings:
        return surroundings(depth * np.float32(1.02), camera, T, settings)

    monkeypatch.setattr(outputs, "surroundings", wrong)
    with pytest.raises(DataError, match="scan must end at the walls of the room"):
        list(outputs.obstacles(QUICK))


def test_depth_that_is_not_read_back_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(depth: Depth, encoding: str, kind: str, near: float, far: float) -> tuple[str, bytes]:
        return compressed_depth(depth * np.float32(1.02), encoding, kind, near, far)

    monkeypatch.setattr(outputs, "compressed_depth", wrong)
    with pytest.raises(DataError, match="must be read back as it was"):
        list(outputs.compressed(QUICK))

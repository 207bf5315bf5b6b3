"""The benchmark of the guard: what is timed is checked first."""

from __future__ import annotations

import numpy as np
import pytest

from mono_depth_recon.benchmark import guard
from mono_depth_recon.benchmark.frame_path import Settings
from mono_depth_recon.benchmark.scene import room
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.errors import DataError

QUICK = Settings(repeats=3)


def test_the_guard_has_its_figures() -> None:
    rows = list(guard.guard(QUICK))
    assert [(row.name, row.limit) for row in rows] == [("guard: judge a frame", 3.0), ("guard: judge and smooth", None)]
    assert all(row.value and row.value > 0 and "3 frames compared" in row.note for row in rows)


def test_a_walk_that_looks_like_a_jump_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(camera: PinholeCamera, ahead: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        depth, rgb = room(camera, ahead)
        return depth * np.float32(1.1 if ahead > 0.1 else 1), rgb

    monkeypatch.setattr(guard, "room", wrong)
    with pytest.raises(DataError, match="frame 3 of a walk must not be a jump of scale"):
        list(guard.guard(QUICK))


def test_the_room_ahead_is_the_room_seen_from_there() -> None:
    camera = PinholeCamera.from_hfov(320, 240, 60)
    (depth, _), (nearer, _) = room(camera), room(camera, 0.5)
    end = depth == 4.0
    assert end.any() and (nearer[end] == 3.5).all()
    np.testing.assert_array_equal(nearer[depth < 3.5], depth[depth < 3.5])

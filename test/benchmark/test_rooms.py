"""The benchmark of synthetic rooms: what is timed is checked first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mono_depth_recon.benchmark.frame_path import Settings
from mono_depth_recon.benchmark.rooms import rooms
from mono_depth_recon.datasets.rooms.room import RoomSequence
from mono_depth_recon.errors import DataError
from mono_depth_recon.frames import Sample


def test_a_room_and_a_view_have_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mono_depth_recon.benchmark.rooms._VIEWS", 2)
    rows = list(rooms(Settings(), range(1)))
    assert [row.name for row in rows] == ["synthetic room: make one", "synthetic room: view at 640x480"]
    assert all(row.value and row.value > 0 and row.unit == "s" for row in rows)


def test_a_view_that_is_off_its_room_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mono_depth_recon.benchmark.rooms._VIEWS", 1)
    read = RoomSequence.read

    def wrong(sequence: RoomSequence, i: int) -> Sample:
        sample = read(sequence, i)
        return replace(sample, depth=np.asarray(sample.depth) * np.float32(0.98))

    monkeypatch.setattr(RoomSequence, "read", wrong)
    with pytest.raises(DataError, match="room0.* m from the surfaces of its room"):
        list(rooms(Settings(), range(1)))

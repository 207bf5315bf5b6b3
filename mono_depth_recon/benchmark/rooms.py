"""What synthetic rooms cost: to make one, and to render a view of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

import numpy as np

from ..datasets.rooms.room import RoomSequence
from ..errors import DataError
from ..frames import Sample
from .frame_path import Measurement, Settings
from .rows import Row

_VIEWS = 8
_OFF_M = 0.01  # a point of a view that is farther from every surface of its room is wrong


def rooms(_: Settings, seeds: range = range(5)) -> Iterator[Row]:
    """Processor seconds, of all cores together, for a room with its path, and for a view of 640x480 pixels.

    Raises DataError where the depth of a view is off the surfaces of its room.
    """
    made, seen = [], []
    for seed in seeds:
        start = time.process_time()
        sequence = RoomSequence(seed, length=_VIEWS)
        made.append(time.process_time() - start)
        for i in range(_VIEWS):
            start = time.process_time()
            sample = sequence.read(i)
            seen.append(time.process_time() - start)
            _check(sequence, sample)
    yield Row("synthetic room: make one", median(made), "s", note=f"processor time, {len(made)} rooms")
    yield Row("synthetic room: view at 640x480", median(seen), "s", note=f"processor time, {len(seen)} views")


def _check(sequence: RoomSequence, sample: Sample) -> None:
    assert sample.depth is not None and sample.T_world_camera is not None, "rendered views have both"
    x, y = sample.camera.rays
    rays = np.stack(np.broadcast_arrays(x[None], y[:, None], np.float32(1)), axis=-1)[::16, ::16]
    points = rays * sample.depth[::16, ::16, None] @ sample.T_world_camera[:3, :3].T + sample.T_world_camera[:3, 3]
    off = float(np.abs(sequence.room.clearance(points)).max())
    if not off < _OFF_M:
        raise DataError(f"{sample.name}: a point is {off:.3f} m from the surfaces of its room")


MEASUREMENTS: dict[str, Measurement] = {"rooms": rooms}

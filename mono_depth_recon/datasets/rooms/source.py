"""Synthetic rooms as data sets: views along the path of many rooms to train on, and the row of the table."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ...arrays import Matrix
from ...camera import PinholeCamera
from ...config import param
from ...errors import ConfigError
from ...frames import Sample
from ..dataset import Dataset, PerProcess
from ..kind import DatasetKind, OpenOptions, SourceSettings
from .room import RoomSequence

_ROOM = re.compile(r"room:(\d+)(?::(\d+))?")
_ROOM_FRAMES, _ROOM_SECONDS = 120, 8.0
_MOST_FRAMES = 100_000


def is_room(text: str) -> bool:
    """Whether a text names a synthetic room: room:SEED or room:SEED:FRAMES."""
    return _ROOM.fullmatch(text) is not None


@dataclass(frozen=True)
class RoomViewOptions:
    """How many views of how many rooms, with seeds from `first_seed` on.

    Each view has its own horizontal field of view and a tilt (pitch and roll, up to `tilt_deg` either way) on top of
    the path's pose; both follow from the room's seed. Raises ConfigError for an empty range.
    """

    rooms: int
    frames_per_room: int
    first_seed: int
    width: int
    height: int
    min_hfov_deg: float
    max_hfov_deg: float
    tilt_deg: float

    def __post_init__(self) -> None:
        if self.min_hfov_deg > self.max_hfov_deg:
            raise ConfigError(
                f"min_hfov_deg ({self.min_hfov_deg:g}) must not be above max_hfov_deg ({self.max_hfov_deg:g})"
            )


class RoomViews:
    """The views of one room: `view(i)` renders one. Making the room takes some seconds."""

    def __init__(self, seed: int, options: RoomViewOptions) -> None:
        size = options.width, options.height
        self.seed, frames = seed, options.frames_per_room
        self._path = RoomSequence(seed, PinholeCamera.from_hfov(*size, 60.0), length=frames, rate_hz=1.0)
        rng = np.random.default_rng((seed, 7))
        self._views = []
        for _ in range(frames):
            camera = PinholeCamera.from_hfov(*size, rng.uniform(options.min_hfov_deg, options.max_hfov_deg))
            self._views.append((camera, _tilt(*rng.uniform(-options.tilt_deg, options.tilt_deg, 2))))

    def view(self, i: int) -> Sample:
        """View i (0 to frames_per_room - 1), with exact depth and its pose."""
        camera, tilt = self._views[i]
        pose = self._path.pose(i) @ tilt
        rgb, depth = self._path.room.render(camera, pose)
        return Sample(rgb, camera, depth, float(i), f"room {self.seed} view {i}", pose)


class ManyRooms(Dataset):
    """All views of all rooms, room after room. Read them in order: only the last room is kept."""

    def __init__(self, name: str, options: RoomViewOptions) -> None:
        super().__init__(name)
        self.options = options
        self._room: PerProcess[list[RoomViews]] = PerProcess(list)

    @property
    def is_rendered(self) -> bool:
        """Each view is rendered."""
        return True

    def __len__(self) -> int:
        return self.options.rooms * self.options.frames_per_room

    def read(self, i: int) -> Sample:
        """View i, rendered."""
        room, kept = self._seed(i), self._room.get()
        if not kept or kept[0].seed != room:
            kept[:] = [RoomViews(room, self.options)]
        return kept[0].view(i % self.options.frames_per_room)

    def origin(self, i: int) -> str:
        """Room and view."""
        return f"room {self._seed(i)} view {i % self.options.frames_per_room}"

    def scene(self, i: int) -> str:
        """The room."""
        return f"room {self._seed(i)}"

    def _seed(self, i: int) -> int:
        return self.options.first_seed + i // self.options.frames_per_room


def _tilt(pitch_deg: float, roll_deg: float) -> Matrix:
    """(4, 4) rotation of a camera about its x axis and then about its z axis."""
    pitch, roll = math.radians(pitch_deg), math.radians(roll_deg)
    about_x = np.array([[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]])
    about_z = np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    T = np.eye(4)
    T[:3, :3] = about_x @ about_z
    return T


@dataclass(frozen=True)
class RoomsSettings(SourceSettings):
    """Synthetic rooms."""

    kind = "rooms"

    rooms: int = param(100, "number of rooms", low=1, high=10_000_000)
    frames_per_room: int = param(10, "views of each", low=1, high=_MOST_FRAMES)
    first_seed: int = param(0, "seed of the first room", low=0, high=2**31)
    width: int = param(160, "of a view", unit="px", low=8, high=8192)
    height: int = param(128, "of a view", unit="px", low=8, high=8192)
    min_hfov_deg: float = param(45.0, "horizontal field of view, from", unit="deg", low=1.0, high=170.0)
    max_hfov_deg: float = param(95.0, "to", unit="deg", low=1.0, high=170.0)
    tilt_deg: float = param(20.0, "random pitch and roll, either way", unit="deg", low=0.0, high=90.0)


def _of_settings(settings: RoomsSettings, _: Callable[[str], Path]) -> Dataset:
    options = {field.name: getattr(settings, field.name) for field in fields(RoomViewOptions)}
    return ManyRooms(settings.name, RoomViewOptions(**options))


def _open(path: Path, _: OpenOptions) -> Dataset:
    room = _ROOM.fullmatch(str(path))
    assert room is not None, "a path is opened after it was recognised"
    length = int(room[2] or _ROOM_FRAMES)
    if not 1 <= length <= _MOST_FRAMES:
        raise ConfigError(f"{path}: a room has 1 to {_MOST_FRAMES} frames, got {length}")
    # a loop takes equally long with few frames
    return RoomSequence(int(room[1]), length=length, rate_hz=length / _ROOM_SECONDS)


ROOMS = DatasetKind(
    "room:SEED",
    RoomsSettings,
    lambda path, _: is_room(str(path)),
    _open,
    _of_settings,
)

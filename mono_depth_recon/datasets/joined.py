"""Several recordings as one data set to train on: each is a scene, and each process opens them for itself."""

from __future__ import annotations

import glob
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path

from ..config import param
from ..errors import DataError
from ..frames import Sample
from .dataset import Dataset, PerProcess, Recording
from .kind import MAX_DEPTH_FACTOR, MAX_DIFFERENCE_S, WHOLE, OpenOptions, SourceSettings
from .limits import MAX_UNPACKED_BYTES
from .tum import NO_POSES

Opener = Callable[[Path, OpenOptions], Recording]


@dataclass(frozen=True)
class RecordingSettings(SourceSettings):
    """What recordings of every format have in a training configuration."""

    path: str = param("", "recording; * and ? name several")
    split: str = param(
        "scene",
        "a recording is a scene; time = stretches of each recording",
        choices=("scene", "time", "positions", *WHOLE),
    )
    train: str = param("", "of split positions: '0-100' or '0-40,60-100', both ends included")
    validation: str = param("", "likewise")
    test: str = param("", "likewise")
    camera: str = param("", "preset or 'fx fy cx cy [k1 k2 p1 p2 [k3]]', pixels; empty = that of the recording")
    depth_factor: float = param(
        0.0, "depth units per metre; 0 = 5000 (TUM), 1000 (16UC1), 1 (32FC1)", low=0.0, high=MAX_DEPTH_FACTOR
    )
    max_difference: float = param(0.02, "between colour and depth", unit="s", low=0.0, high=MAX_DIFFERENCE_S)
    max_depth: float = param(10.0, "farthest depth there can be", unit="m", low=0.1, high=1000.0)
    max_unpacked_bytes: int = param(
        MAX_UNPACKED_BYTES, "unpacked files of a compressed recording", unit="bytes", low=1, high=2**50
    )


@dataclass(frozen=True)
class _Member:
    """One recording, as far as it is known without opening it."""

    name: str
    opened: PerProcess[Recording]
    places: tuple[int, ...]
    origins: tuple[str, ...]
    files: tuple[tuple[Path, ...], ...]
    shared: tuple[Path, ...]
    per_metre: float


class Joined(Dataset):
    """The frames of all recordings that a path names (a pattern unless it exists), rectified; each is a scene.

    `opener` opens one of them with `options`; poses are not read. An archive is unpacked once, for all processes.
    Raises what `opener` raises, DataError where nothing is found.
    """

    def __init__(self, name: str, path: Path, opener: Opener, options: OpenOptions, max_depth: float) -> None:
        super().__init__(name, max_depth, path=path)
        is_pattern = glob.has_magic(str(path)) and not path.exists()  # a name may have brackets
        paths = [Path(found) for found in sorted(glob.glob(str(path)))] if is_pattern else [path]
        if not paths:
            raise DataError(f"{path}: no recording matches this pattern")
        self._kept: list[Recording] = []  # their unpacked files live as long as this object
        options = replace(options, rectified=True, poses=NO_POSES)
        self._members = [self._member(each, opener, options) for each in paths]
        self._ends = list(accumulate(len(member.places) for member in self._members))

    def __len__(self) -> int:
        return self._ends[-1]

    def read(self, i: int) -> Sample:
        """Frame i, from a recording that this process opens when it first needs it."""
        member, k = self._at(i)
        return member.opened.get()[k]

    def origin(self, i: int) -> str:
        """That of the recording: the colour file, or bag and stamp."""
        member, k = self._at(i)
        return member.origins[k]

    def scene(self, i: int) -> str:
        """The recording's name."""
        return self._at(i)[0].name

    def files(self, i: int) -> tuple[Path, ...]:
        """Those of the recording."""
        member, k = self._at(i)
        return member.files[k]

    def shared_files(self) -> tuple[Path, ...]:
        """Those of all recordings."""
        return tuple(file for member in self._members for file in member.shared)

    def per_metre(self, i: int) -> float:
        """The recording's depth factor."""
        return self._at(i)[0].per_metre

    @property
    def positions(self) -> Sequence[int]:
        """Place of every frame in its recording."""
        return [place for member in self._members for place in member.places]

    def _at(self, i: int) -> tuple[_Member, int]:
        place = bisect_right(self._ends, i)
        return self._members[place], i - (self._ends[place - 1] if place else 0)

    def _member(self, path: Path, opener: Opener, options: OpenOptions) -> _Member:
        if not path.exists():
            raise DataError(f"{path} does not exist: expected a recording")
        recording = opener(path, options)
        self.notes += recording.notes
        again = recording.reopening()
        frames = range(len(recording))
        member = _Member(
            path.name,
            PerProcess(again or partial(opener, path, options)),
            tuple(recording.positions),
            tuple(recording.origin(i) for i in frames),
            tuple(recording.files(i) for i in frames),
            recording.shared_files(),
            recording.per_metre(0),
        )
        if again is not None:
            self._kept.append(recording)
        else:
            recording.close()
        return member

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_kept": []}  # the process that unpacked them keeps them


def joined(settings: RecordingSettings, path: Path, opener: Opener, options: OpenOptions | None = None) -> Joined:
    """The recordings that the settings of a source name by `path`; `options` are those of one format."""
    options = replace(
        options or OpenOptions(),
        camera=settings.camera,
        depth_factor=settings.depth_factor,
        max_difference=settings.max_difference,
        max_unpacked_bytes=settings.max_unpacked_bytes,
    )
    return Joined(settings.name, path, opener, options, settings.max_depth)

"""Recordings as a source of training frames: TUM folders and archives, ROS 1 and ROS 2 bags, one or many."""

from __future__ import annotations

import glob
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path

from ..errors import ConfigError, DataError
from ..frames import Sample
from ..messages import MILLIMETRES
from .bags.index import is_bag
from .frame_source import FrameSource, PerProcess
from .opening import OpenOptions, depth_notes, open_dataset
from .recording import Recording
from .tum import NO_POSES, TumFolder
from .tum_archive import TumArchive


@dataclass(frozen=True)
class _Member:
    """One recording of a source, as far as it is known without its files."""

    name: str
    opened: PerProcess[Recording]
    places: tuple[int, ...]
    origins: tuple[str, ...]
    files: tuple[tuple[Path, ...], ...]
    per_metre: float


class RecordingSource(FrameSource):
    """The pairs of all recordings that a path names (`*` and `?` allowed), rectified; each recording is a scene.

    `options` say how they are read; poses are not looked for. An archive is unpacked once, for all processes.
    Raises what `open_dataset` raises, DataError where nothing is found.
    """

    def __init__(self, name: str, path: Path, options: OpenOptions, max_depth: float) -> None:
        super().__init__(name, max_depth)
        paths = [Path(found) for found in sorted(glob.glob(str(path)))] if glob.has_magic(str(path)) else [path]
        if not paths:
            raise DataError(f"{path}: no recording is called like that")
        self._paths = paths
        self._archives: list[TumArchive] = []
        self._members = [self._member(each, replace(options, rectified=True, poses=NO_POSES)) for each in paths]
        self._ends = list(accumulate(len(member.places) for member in self._members))

    def __len__(self) -> int:
        return self._ends[-1]

    def read(self, i: int) -> Sample:
        """Pair i, from a recording that this process opens when it first needs it."""
        member, k = self._at(i)
        return member.opened.get()[k]

    def origin(self, i: int) -> str:
        """The colour file, or bag and stamp."""
        member, k = self._at(i)
        return member.origins[k]

    def scene(self, i: int) -> str:
        """The recording's name."""
        return self._at(i)[0].name

    def files(self, i: int) -> tuple[Path, ...]:
        """Colour and depth of a TUM folder; a bag is one file."""
        member, k = self._at(i)
        return member.files[k] if member.files else ()

    def shared_files(self) -> tuple[Path, ...]:
        """Bags and archives, and the lists of a TUM folder."""
        return tuple(
            file
            for path in self._paths
            for file in ([path] if path.is_file() else sorted(path.glob("*")))
            if file.is_file()
        )

    def per_metre(self, i: int) -> float:
        """The recording's depth factor."""
        return self._at(i)[0].per_metre

    def positions(self) -> Sequence[int]:
        """Place of every pair in its recording; of TUM folders that of its colour image in rgb.txt."""
        return [place for member in self._members for place in member.places]

    def _at(self, i: int) -> tuple[_Member, int]:
        place = bisect_right(self._ends, i)
        return self._members[place], i - (self._ends[place - 1] if place else 0)

    def _member(self, path: Path, options: OpenOptions) -> _Member:
        recording = open_dataset(path, options)
        if recording.notes:  # depth is judged with all frames, not by the one in the middle
            judged = depth_notes(recording)
            self.notes += [note for note in recording.notes if note not in judged]
        again: Callable[[], Recording] = partial(open_dataset, path, options)
        files: tuple[tuple[Path, ...], ...] = ()
        per_metre = options.depth_factor or MILLIMETRES
        if isinstance(recording, TumFolder):
            per_metre = recording.depth_factor
            files = tuple((recording.colour[c].file, recording.depth[d].file) for c, d in recording.pairs)
            origins = tuple(str(colour) for colour, _ in files)
            if isinstance(recording, TumArchive):
                self._archives.append(recording)  # its folder lives as long as this object
                folder = next(parent for parent in files[0][0].parents if (parent / "rgb.txt").is_file())
                origins = tuple(f"{path}: {colour.relative_to(folder)}" for colour, _ in files)
                camera = replace(recording.camera)  # without the maps that it has made
                again = partial(TumFolder, folder, camera, options.max_difference, True, per_metre, NO_POSES, True)
        else:
            origins = tuple(f"{path}: stamp {stamp:.6f}" for stamp in recording.stamps)
        places = tuple(recording.positions)
        if not isinstance(recording, TumArchive):
            recording.close()
        return _Member(path.name, PerProcess(again), places, origins, files, per_metre)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_archives": []}  # the process that unpacked them keeps them


def check_kind(path: Path, is_bag_wanted: bool) -> None:
    """ConfigError where a bag is called a TUM sequence or the other way round."""
    if path.exists() and is_bag(path) != is_bag_wanted:
        found = "bag" if is_bag(path) else "tum"
        raise ConfigError(f"{path}: is of kind {found}, not {'bag' if is_bag_wanted else 'tum'}: change kind")

"""What training reads from: the frames of one data set in any format, cut into training, validation and test."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from ..arrays import Depth, Rgb
from ..camera import PinholeCamera
from ..errors import ConfigError, DataError
from ..frames import Sample

SPLITS = ("train", "validation", "test")

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the data: `where` is a file with its line, or an image of a file."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


class FrameSource(ABC):
    """Frames with depth, read when indexed: `source[i]` is a Sample whose camera is rectified, or a DataError.

    A source can be pickled and inherited by a forked process: each process opens files for itself. Before a fork,
    OpenCV must be without threads (`cv2.setNumThreads(0)`). It is not to be shared by threads. `max_depth` (metres) is
    the farthest depth that the set can have: it tells whether the unit is right. `notes` are remarks for the user,
    `gaps` frames that had to be left out. `is_rendered` says that a frame costs far more than reading it.
    """

    is_rendered = False

    def __init__(self, name: str, max_depth: float, per_metre: float = 1.0) -> None:
        self.name, self.max_depth, self._per_metre = name, max_depth, per_metre
        self.notes: list[str] = []
        self.gaps: list[Problem] = []

    @abstractmethod
    def __len__(self) -> int:
        """How many frames there are."""

    @abstractmethod
    def read(self, i: int) -> Sample:
        """Frame i (0 to len - 1)."""

    @abstractmethod
    def origin(self, i: int) -> str:
        """Where frame i stands, for messages: file and line, or file and number."""

    @abstractmethod
    def scene(self, i: int) -> str:
        """The place where frame i was taken: frames of one scene never stand in two splits."""

    def files(self, i: int) -> tuple[Path, ...]:
        """The files that frame i alone is made of; none where all frames lie in one file."""
        return ()

    def shared_files(self) -> tuple[Path, ...]:
        """The files that many frames are made of: a bag, a matrix file, a camera's."""
        return ()

    def per_metre(self, i: int) -> float:
        """The stored number of frame i that stands for one metre of depth."""
        return self._per_metre

    def pool(self) -> Sequence[int]:
        """The frames that a split of one's own may use."""
        return range(len(self))

    def official(self) -> dict[str, list[int]]:
        """The split that the publisher gives: frames of "train" and "test", perhaps of "validation"."""
        raise ConfigError(f"{self.name}: this data set has no official split")

    def positions(self) -> Sequence[int]:
        """The place of every frame in its recording, from 0."""
        raise ConfigError(f"{self.name}: positions are those of one recording")

    def __getitem__(self, i: int) -> Sample:
        if not 0 <= i < len(self):
            raise IndexError(f"{self.name}: frame {i} of {len(self)}")
        return self.read(i)


class SourcePart:
    """Some frames of a source: one of its splits."""

    def __init__(self, source: FrameSource, split: str, frames: Sequence[int]) -> None:
        self.source, self.split, self.frames = source, split, tuple(frames)

    @property
    def name(self) -> str:
        """Name of the source."""
        return self.source.name

    @property
    def is_rendered(self) -> bool:
        """Whether a frame costs far more than reading it."""
        return self.source.is_rendered

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, i: int) -> Sample:
        return self.source[self.frames[i]]

    def origin(self, i: int) -> str:
        """Where frame i of the part stands."""
        return self.source.origin(self.frames[i])

    def scene(self, i: int) -> str:
        """The scene of frame i of the part."""
        return self.source.scene(self.frames[i])

    def scenes(self) -> set[str]:
        """All scenes of the part."""
        return {self.source.scene(i) for i in self.frames}

    def places(self, key: int) -> Iterator[tuple[SourcePart, int]]:
        """Frame `key`, then those that may stand for it, should it be bad: its successors, round and round."""
        yield from ((self, (key + step) % len(self)) for step in range(len(self)))


class PerProcess(Generic[T]):
    """A thing with open files, of which every process makes its own when it first needs one; `make` can be pickled.

    What a forked process inherits is neither used nor dropped: to drop it could remove the temporary files of the
    process that made it.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[tuple[int, T]] = []

    def get(self) -> T:
        """This process's own."""
        if not self._made or self._made[-1][0] != os.getpid():
            self._made.append((os.getpid(), self._make()))
        return self._made[-1][1]

    def __getstate__(self) -> dict[str, object]:
        return {"_make": self._make, "_made": []}


def paired(rgb: Rgb, depth: Depth, camera: PinholeCamera, stamp: float, name: str) -> Sample:
    """The rectified sample of colour (H, W, 3) and depth (H, W) metres. DataError where their sizes differ."""
    for image, what in ((rgb, "colour"), (depth, "depth")):
        if image.shape[:2] != (camera.height, camera.width):
            raise DataError(
                f"{what} has {image.shape[1]}x{image.shape[0]} pixels, expected {camera.width}x"
                f"{camera.height}: colour, depth and intrinsics must be of one size"
            )
    if camera.is_rectified:
        return Sample(rgb, camera, depth, stamp, name)
    return Sample(camera.rectify(rgb), camera.rectified, camera.rectify_depth(depth), stamp, name)

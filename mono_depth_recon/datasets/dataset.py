"""What every data set is, whatever files it comes from: a sequence of samples, each read when indexed."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar, overload

import numpy as np

from ..arrays import Depth, Matrix, Rgb
from ..camera import PinholeCamera
from ..decoding import StreamBits
from ..errors import ConfigError, DataError, MonoDepthError
from ..frames import Sample

SPLITS = ("train", "validation", "test")
_LOOKED_AT = 8  # frames of a recording
MAX_DEPTH_M = 10.0  # how far depth cameras and rooms reach

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the data: `where` is a file with its line, or an image of a file."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


class Dataset(Sequence[Sample]):
    """Colour images with their depth and camera; only the frame being read is in memory.

    `max_depth` (metres) is the largest depth the set can contain, used to check the unit. `notes` are
    one-line messages for the user: what could not be read, which of several was chosen. `gaps` are frames that had
    to be left out. `splits` names the parts of the published split, `protocol` the usual evaluation protocol of
    the set, empty where the indoor ones apply. `benchmark` names the published figures (`metrics.published`) of its
    test part.

    A data set can be pickled and inherited by a forked process: each process opens its own files. Before a fork,
    OpenCV must be single-threaded (`cv2.setNumThreads(0)`). Threads may read concurrently, unless it `is_rendered`.
    Indexing raises DataError for a broken frame.
    """

    splits: tuple[str, ...] = ()
    protocol = ""
    benchmark = ""

    def __init__(
        self, name: str, max_depth: float = MAX_DEPTH_M, per_metre: float = 1.0, path: Path | None = None
    ) -> None:
        self.name, self.max_depth, self._per_metre = name, max_depth, per_metre
        self.path = path or Path(name)
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
        """Where frame i is found, for messages: file and line, or file and number."""

    @abstractmethod
    def scene(self, i: int) -> str:
        """The place where frame i was taken: frames of one scene are never in two splits."""

    @property
    def is_rendered(self) -> bool:
        """Whether a frame costs far more than reading it."""
        return False

    @property
    def stamps(self) -> list[float] | None:
        """The time of every frame in seconds; None unless the frames are one recording."""
        return None

    @property
    def positions(self) -> Sequence[int]:
        """The place of every frame, from 0, by which a user chooses some; of TUM folders that in rgb.txt."""
        return range(len(self))

    def files(self, i: int) -> tuple[Path, ...]:
        """The files that frame i alone is made of; none where all frames lie in one file."""
        return ()

    def shared_files(self) -> tuple[Path, ...]:
        """The files that many frames are made of: a bag, a matrix file, a camera's."""
        return ()

    def per_metre(self, i: int) -> float:
        """The stored value of frame i that represents one metre of depth."""
        return self._per_metre

    def pool(self) -> Sequence[int]:
        """The frames that a custom split may use."""
        return range(len(self))

    def official(self) -> dict[str, list[int]]:
        """The frames of each of `splits`. ConfigError without a published split, DataError where it is missing."""
        raise ConfigError(f"{self.name}: this data set has no official split")

    def part(self, split: str) -> Part:
        """The frames of one part of the official split. ConfigError where there is no such part."""
        frames = self.official()
        if split not in frames:
            raise ConfigError(f"{self.name}: the official split has no part {split}, it has {', '.join(frames)}")
        return Part(self, split, frames[split])

    def frame_names(self) -> list[str]:
        """What each frame is called in tables and files: its stamp with six decimals, else its place in six digits."""
        if self.stamps is None:
            return [f"{i:06d}" for i in range(len(self))]
        return [f"{stamp:.6f}" for stamp in self.stamps]

    def scenes(self) -> set[str]:
        """All scenes."""
        return {self.scene(i) for i in range(len(self))}

    def close(self) -> None:
        """Closes files and removes temporary folders; nothing can be read afterwards."""

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.name}: frame {index} of {len(self)}")
        return self.read(index % len(self))

    def samples(self, indices: Iterable[int], ahead: int = 2) -> Iterator[Sample | MonoDepthError]:
        """These frames, read up to `ahead` in advance by threads; a broken one is replaced by its error."""
        waiting = iter(indices)
        with ThreadPoolExecutor(ahead) as threads:
            reading = deque(threads.submit(self._attempt, i) for i in islice(waiting, ahead))
            while reading:
                done = reading.popleft().result()
                reading.extend(threads.submit(self._attempt, i) for i in islice(waiting, 1))
                yield done

    def _attempt(self, index: int) -> Sample | MonoDepthError:
        try:
            return self[index]
        except MonoDepthError as error:
            return error


class Part(Dataset):
    """Some frames of a data set: one of its splits. `source` may be replaced by one that holds the same frames."""

    def __init__(self, source: Dataset, split: str, frames: Sequence[int]) -> None:
        super().__init__(source.name, source.max_depth, path=source.path)
        self.notes, self.gaps, self.protocol = source.notes, source.gaps, source.protocol
        self.benchmark = source.benchmark if split == "test" else ""
        self.source, self.split, self.frames = source, split, tuple(frames)

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, i: int) -> Sample:
        """Frame i of the part."""
        return self.source[self.frames[i]]

    def origin(self, i: int) -> str:
        """Where frame i of the part is found."""
        return self.source.origin(self.frames[i])

    def scene(self, i: int) -> str:
        """The scene of frame i of the part."""
        return self.source.scene(self.frames[i])

    @property
    def is_rendered(self) -> bool:
        """That of the source."""
        return self.source.is_rendered

    def files(self, i: int) -> tuple[Path, ...]:
        """The files of frame i of the part."""
        return self.source.files(self.frames[i])

    def shared_files(self) -> tuple[Path, ...]:
        """That of the source."""
        return self.source.shared_files()

    def per_metre(self, i: int) -> float:
        """That of frame i of the part."""
        return self.source.per_metre(self.frames[i])

    def places(self, key: int) -> Iterator[tuple[Part, int]]:
        """Frame `key`, then its substitutes should it be bad: its successors, cyclically."""
        yield from ((self, (key + step) % len(self)) for step in range(len(self)))

    def close(self) -> None:
        """Closes the source."""
        self.source.close()


class Recording(Dataset):
    """The frames of one moving camera in the order of their stamps, with poses where they are known.

    `camera` is the raw colour camera; samples are on its grid or, with `rectified`, on the rectified one, where depth
    is moved by the same map (nearest, unknown stays unknown). `frame_id` and `world_frame` are the recording's own
    names without a leading slash, empty where it has none.
    """

    camera: PinholeCamera
    rectified: bool
    frame_id: str = ""
    world_frame: str = ""

    @property
    @abstractmethod
    def stamps(self) -> list[float]:
        """Colour stamp of every frame in seconds, growing."""

    def __len__(self) -> int:
        return len(self.stamps)

    def origin(self, i: int) -> str:
        """The recording and the stamp of frame i."""
        return f"{self.path}: stamp {self.stamps[i]:.6f}"

    def scene(self, i: int) -> str:
        """The recording's name: it is one scene."""
        return self.path.name

    def shared_files(self) -> tuple[Path, ...]:
        """The recording's file, or those in its folder."""
        files = [self.path] if self.path.is_file() else sorted(self.path.glob("*"))
        return tuple(file for file in files if file.is_file())

    def reopening(self) -> Callable[[], Recording] | None:
        """What opens the same frames in another process as long as this object lives; None: open the path again."""
        return None

    def bits_of_some(self, colour: Callable[[int, StreamBits], Rgb]) -> StreamBits:
        """The bits of colour images of 16 bits by frames spread over the recording, whichever is asked for first.

        Of images of 8 bits one is read by `colour`. What cannot be read is reported when its frame is asked for.
        Frames that need more bits later are noted.
        """
        bits = StreamBits()
        for i in dict.fromkeys(np.linspace(0, len(self) - 1, _LOOKED_AT).astype(int).tolist()):
            try:
                is_uniform = not np.ptp(colour(i, bits))
            except DataError:
                continue
            if not bits.bits and not is_uniform:  # a black one may have 16 bits
                break
        bits.say = partial(_note, self.notes, self.path)  # not of self: its files go with the last reference to it
        return bits

    def sample(self, rgb: Rgb, depth: Depth | None, stamp: float, name: str, pose: Matrix | None) -> Sample:
        """The sample of a raw pair, rectified if required; DataError where a size differs from the camera's."""
        camera = self.camera
        for image, what in ((rgb, "colour"), (depth, "depth")):
            if image is not None and image.shape[:2] != (camera.height, camera.width):
                raise DataError(
                    f"{name}, {what}: expected {camera.width}x{camera.height} pixels, as the camera has, "
                    f"got {image.shape[1]}x{image.shape[0]}"
                )
        if self.rectified:
            depth = None if depth is None else camera.rectify_depth(depth)
            rgb, camera = camera.rectify(rgb), camera.rectified
        return Sample(rgb, camera, depth, stamp, name, pose)


def _note(notes: list[str], path: Path, text: str) -> None:
    notes.append(f"{path}: {text}")


class PerProcess(Generic[T]):
    """An object with open files, made by each process when it first needs one; `make` can be pickled.

    What a forked process inherits is neither used nor released: releasing it could remove temporary files of the
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

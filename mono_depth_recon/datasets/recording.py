"""What every recorded data set is, whatever file it comes from: a sequence of samples, each read when indexed."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import overload

from ..arrays import Depth, Matrix, Rgb
from ..camera import PinholeCamera
from ..errors import DataError, MonoDepthError
from ..frames import Sample


class Recording(Sequence[Sample]):
    """The colour/depth pairs of a recording in the order of colour stamps; only the asked one is in memory.

    `camera` is the raw colour camera; samples are on its grid or, with `rectified`, on the rectified one, where depth
    is moved by the same map (nearest, unknown stays unknown). `notes` are one-line remarks for the user: what could
    not be read, what was chosen among several. `frame_id` and `world_frame` are the recording's own names without a
    leading slash, empty where it has none. Indexing raises DataError for a broken frame and is thread-safe.
    """

    path: Path
    camera: PinholeCamera
    rectified: bool
    notes: list[str]
    frame_id: str = ""
    world_frame: str = ""

    @property
    @abstractmethod
    def stamps(self) -> list[float]:
        """Colour stamp of every pair in seconds, growing."""

    @property
    def positions(self) -> list[int]:
        """Place of every pair in the recording, from 0; of TUM folders the place of its colour image in rgb.txt."""
        return list(range(len(self)))

    @abstractmethod
    def read(self, index: int) -> Sample:
        """Pair `index` (0 to len - 1), read from the file."""

    def close(self) -> None:
        """Gives back files and temporary folders; the recording cannot be read afterwards."""

    def __len__(self) -> int:
        return len(self.stamps)

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
            raise IndexError(f"frame {index} of {len(self)}")
        return self.read(index % len(self))

    def samples(self, indices: Iterable[int], ahead: int = 2) -> Iterator[Sample | MonoDepthError]:
        """These pairs, read by threads up to `ahead` before they are asked for; in place of a broken one its error."""
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

    def sample(self, rgb: Rgb, depth: Depth | None, stamp: float, name: str, pose: Matrix | None) -> Sample:
        """The sample of a raw pair, after a check of both sizes against the camera (DataError), rectified if asked."""
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

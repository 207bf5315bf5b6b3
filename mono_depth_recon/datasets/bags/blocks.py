"""What the bag formats share: topics, places of messages, and blocks of a file that may be compressed or cut short."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from ...errors import DataError
from ..limits import Limits
from .codecs import PIECE_BYTES, decompress

HEAD_BYTES = 16  # of a message: enough for the stamp of its header
IN_FILE = -1  # the block of messages that lie in the file as they are
_BLOCKS_KEPT = 4


@dataclass(frozen=True)
class Channel:
    """A topic of a bag: `type` as in ROS 2 (sensor_msgs/msg/Image), `encoding` ros1 or cdr, `definition` if there."""

    topic: str
    type: str
    encoding: str
    definition: str = ""


class Place(NamedTuple):
    """Where a message lies: block (its start in the file), offset and size in it; or IN_FILE, offset and size."""

    block: int
    offset: int
    size: int


class Entry(NamedTuple):
    """A message as the scan meets it: its first HEAD_BYTES bytes, not yet its content."""

    channel: Channel
    received_ns: int
    head: bytes
    place: Place


def ros2_type(name: str) -> str:
    """The type of a ROS 1 message by its name in ROS 2: sensor_msgs/msg/Image of sensor_msgs/Image."""
    package, _, kind = name.partition("/")
    return f"{package}/msg/{kind}"


class Store(Protocol):
    """One file of a bag. After a scan, `notes` lists what could not be read.

    `foreign` has for each topic of unknown encoding its encoding and type.
    """

    path: Path
    notes: list[str]
    foreign: dict[str, str]

    def entries(self) -> Iterator[Entry]:
        """Every readable message in file order. Raises DataError where the file is not of this format."""

    def read(self, place: Place) -> bytes:
        """The bytes of one message. Raises DataError where they are damaged."""

    def close(self) -> None:
        """Closes the file."""


class CutShortError(DataError):
    """The file ends in the middle of something, or its structure breaks off."""


class BlockFile:
    """Bytes of a file by position, from any thread; the last few decompressed blocks are kept."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path, self.limits = path, limits
        self.notes: list[str] = []
        self._file = path.open("rb")
        self.size = os.fstat(self._file.fileno()).st_size
        self._codecs: dict[int, tuple[int, int, str]] = {}
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, place: Place) -> bytes:
        """The bytes at `place`; DataError where they are too many, CutShortError where the file ends before them."""
        if problem := self.limits.chunk_problem("has a message", place.size):
            raise DataError(f"{self.path}: {problem}")
        if place.block == IN_FILE:
            return self.raw(place.offset, place.size)
        data = self._block(place.block)[place.offset : place.offset + place.size]
        if len(data) < place.size:
            raise CutShortError(f"{self.path}: block at byte {place.block} is damaged")
        return data

    def raw(self, start: int, size: int) -> bytes:
        """`size` bytes of the file from `start`; CutShortError where it ends before."""
        if start + size > self.size:
            raise CutShortError(f"{self.path}: ends at byte {self.size}, {start + size - self.size} bytes too early")
        return os.pread(self._file.fileno(), size, start)

    def unpacked(self, start: int, size: int, stated: int, codec: str) -> tuple[bytes, str]:
        """A compressed block of `size` bytes as far as it can be read, and what is wrong with it (empty: nothing).

        `stated` is the uncompressed size that the bag gives: no more is decompressed.
        """
        if problem := self.limits.chunk_problem("has a chunk", stated):
            return b"", problem
        self._codecs[start] = (size, stated, codec)
        data, problem = decompress(self._pieces(start, size), codec, stated, ", the size that the bag states")
        if start + size > self.size:
            problem = f"ends at byte {self.size} in the middle of a block"
        return data, problem

    def _pieces(self, start: int, size: int) -> Iterator[bytes]:
        end = min(start + size, self.size)
        for begin in range(start, end, PIECE_BYTES):
            yield os.pread(self._file.fileno(), min(PIECE_BYTES, end - begin), begin)

    def _block(self, start: int) -> bytes:
        with self._lock:
            if start in self._kept:
                self._kept.move_to_end(start)
                return self._kept[start]
        data, _ = self.unpacked(start, *self._codecs[start])  # outside the lock: two threads may decompress at once
        with self._lock:
            self._kept[start] = data
            while len(self._kept) > _BLOCKS_KEPT:
                self._kept.popitem(last=False)
        return data

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class BlockBag:
    """A bag in one file of blocks; formats give `magic`, `kind` (for messages) and `_scan`."""

    magic: bytes
    kind: str

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path = path
        self._file = BlockFile(path, limits)
        self.notes = self._file.notes
        self.foreign: dict[str, str] = {}
        self._channels: dict[int, Channel] = {}

    def read(self, place: Place) -> bytes:
        """The serialised message at `place`."""
        return self._file.read(place)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def entries(self) -> Iterator[Entry]:
        """Every readable message, in file order. Raises DataError where the file is not of this format."""
        with self.path.open("rb") as stream:
            if stream.read(len(self.magic)) != self.magic:
                raise DataError(f"{self.path}: expected {self.kind}, got something else")
            try:
                yield from self._scan(stream)
            except CutShortError as error:
                self.notes.append(f"{self.path}: {error}; the part before it is used")

    def _scan(self, stream: BinaryIO) -> Iterator[Entry]:
        """The messages after the magic."""
        raise NotImplementedError

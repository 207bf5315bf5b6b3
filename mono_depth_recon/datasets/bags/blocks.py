"""What the bag formats share: topics, places of messages, and blocks of a file that may be compressed or cut short."""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from ...errors import DataError

HEAD_BYTES = 16  # of a message: enough for the stamp of its header
IN_FILE = -1  # the block of messages that lie in the file as they are
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_BLOCKS_KEPT = 4
_SLICE = 1 << 22


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


class Store(Protocol):
    """One file of a bag. After a scan, `notes` lists what could not be read."""

    path: Path
    notes: list[str]

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

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        self._file = path.open("rb")
        self.size = os.fstat(self._file.fileno()).st_size
        self._codecs: dict[int, tuple[str, int]] = {}
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, place: Place) -> bytes:
        """The bytes at `place`; CutShortError where the file ends before them."""
        if place.block == IN_FILE:
            return self.raw(place.offset, place.size)
        data = self._block(place.block)[place.offset : place.offset + place.size]
        if len(data) < place.size:
            raise CutShortError(f"{self.path}: block at byte {place.block} is damaged")
        return data

    def raw(self, start: int, size: int) -> bytes:
        """`size` bytes of the file from `start`; CutShortError where it ends before."""
        data = os.pread(self._file.fileno(), size, start)
        if len(data) < size:
            raise CutShortError(f"{self.path}: ends at byte {self.size}, {start + size - self.size} bytes too early")
        return data

    def unpacked(self, start: int, size: int, codec: str) -> tuple[bytes, str]:
        """A compressed block, as far as it can be read, and what is wrong with it (empty: nothing)."""
        self._codecs[start] = (codec, size)
        data, problem = decompress(os.pread(self._file.fileno(), size, start), codec)
        if start + size > self.size:
            problem = f"ends at byte {self.size} in the middle of a block"
        return data, problem

    def _block(self, start: int) -> bytes:
        with self._lock:
            if start in self._kept:
                self._kept.move_to_end(start)
                return self._kept[start]
        codec, size = self._codecs[start]
        data, _ = self.unpacked(start, size, codec)  # outside the lock: two threads may decompress at once
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

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = BlockFile(path)
        self.notes = self._file.notes
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


def decompress(data: bytes, codec: str) -> tuple[bytes, str]:
    """`data` of codec bz2, lz4 or zstd, as far as it is whole, and what is wrong (empty: nothing)."""
    made = _decompressor(codec)
    try:
        out: bytes = made.decompress(data)
    except _codec_errors() as error:
        return _readable_part(data, codec), f"has a damaged {codec} block ({error})"
    return out, "" if made.eof else f"has an unfinished {codec} block"


def _readable_part(data: bytes, codec: str) -> bytes:
    """What comes out before the damage: the block again, in small pieces."""
    made, parts = _decompressor(codec), []
    for start in range(0, len(data), 4096):
        try:
            parts.append(made.decompress(data[start : start + 4096]))
        except _codec_errors():
            break
    return b"".join(parts)


def _decompressor(codec: str) -> Any:
    if codec == "bz2":
        import bz2

        return bz2.BZ2Decompressor()
    if codec == "lz4":
        try:
            from lz4.frame import LZ4FrameDecompressor
        except ImportError:
            raise needs_library() from None
        return LZ4FrameDecompressor()
    if codec == "zstd":
        return _zstd().ZstdDecompressor()
    raise DataError(f"compression of a bag must be bz2, lz4 or zstd, got '{codec}'")


def _codec_errors() -> tuple[type[Exception], ...]:
    errors: tuple[type[Exception], ...] = (OSError, EOFError, RuntimeError)  # of bz2 and lz4
    try:
        return (*errors, _zstd().ZstdError)
    except DataError:
        return errors


def _zstd() -> Any:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        raise needs_library() from None
    return zstd


def needs_library() -> DataError:
    """The error of a machine without the library that reads bags."""
    return DataError("bags need the library rosbags: pip install 'mono_depth_recon[datasets]'")


def is_zstd(head: bytes) -> bool:
    """Whether these first bytes are those of a zstd frame; a serialised message never starts with them."""
    return head[:4] == _ZSTD_MAGIC


def unpacked_message(data: bytes) -> bytes:
    """A message, decompressed where the recorder compressed messages one by one (`compression_mode: message`)."""
    if not is_zstd(data):
        return data
    message, problem = decompress(data, "zstd")
    if problem:
        raise DataError(f"message {problem}")
    return message


def unpack_file(source: Path, target: Path) -> str:
    """Decompresses a .zstd file piece by piece; returns what is wrong with it (empty: nothing)."""
    made = _decompressor("zstd")
    with source.open("rb") as packed, target.open("wb") as out:
        while piece := packed.read(_SLICE):
            try:
                out.write(made.decompress(piece))
            except _codec_errors() as error:
                return f"has damaged zstd data ({error})"
            if made.eof:
                return ""
    return "ends in the middle of its zstd data"

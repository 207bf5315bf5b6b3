"""MCAP files (mcap.dev/spec), read record by record up to the end of the data section.

The summary at the end is not needed, so that a file that was never closed or was cut short gives what it holds.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..limits import Limits
from .blocks import HEAD_BYTES, IN_FILE, BlockBag, Channel, CutShortError, Entry, Place, ros2_type

MAGIC = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 3, 4, 5, 6, 15
_LARGEST_NAME = 64  # of a compression
_MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
_CHUNK_HEAD = struct.Struct("<QQQI")  # start, end, uncompressed size, crc


class McapBag(BlockBag):
    """An .mcap file with chunks uncompressed, lz4 or zstd, or without chunks."""

    magic = MAGIC
    kind = "an MCAP file"

    def __init__(self, path: Path, limits: Limits) -> None:
        super().__init__(path, limits)
        self._schemas: dict[int, tuple[str, str]] = {}

    def _scan(self, stream: BinaryIO) -> Iterator[Entry]:
        return self._records(stream, self._file.size, IN_FILE)

    def _records(self, stream: BinaryIO, end: int, block: int) -> Iterator[Entry]:
        """The messages from here to `end`; those of the file itself end with a record of their own."""
        while stream.tell() < end:
            op, size = self._next(stream, end)
            start = stream.tell()
            if op == _DATA_END:
                return
            if op == _CHUNK and block != IN_FILE:
                raise CutShortError("has a chunk within a chunk")
            if op == _CHUNK:
                yield from self._chunk(stream, start, size)
            elif start + size > end:
                raise self._cut()
            elif op == _MESSAGE:
                yield from self._message(stream, start, size, block)
            elif op in (_SCHEMA, _CHANNEL):
                self._declare(op, stream.read(size))
            if start + size > end:
                raise self._cut()
            stream.seek(start + size)
        if block == IN_FILE:
            raise CutShortError("has no end, its recording was not closed")

    def _chunk(self, stream: BinaryIO, start: int, size: int) -> Iterator[Entry]:
        head = stream.read(_CHUNK_HEAD.size + 4)
        if len(head) < _CHUNK_HEAD.size + 4:
            raise self._cut()
        (length,), (_, _, stated, _) = struct.unpack("<I", head[-4:]), _CHUNK_HEAD.unpack(head[:-4])
        begin, end = stream.tell() + length + 8, start + size
        if length > _LARGEST_NAME or begin > end:
            raise CutShortError(f"has a malformed chunk at byte {start}")
        name = stream.read(length)
        if not name:
            with self.path.open("rb") as inside:
                inside.seek(begin)
                yield from self._records(inside, min(end, self._file.size), begin)
            return
        data, problem = self._file.unpacked(begin, end - begin, stated, name.decode(errors="replace"))
        if problem and end <= self._file.size:
            self.notes.append(f"{self.path}: {problem} at byte {begin}; the part before it is used")
        try:
            yield from self._records(io.BytesIO(data), len(data), begin)
        except CutShortError:
            if not problem:
                raise

    def _message(self, stream: BinaryIO, start: int, size: int, block: int) -> Iterator[Entry]:
        if size < _MESSAGE_HEAD.size:
            raise CutShortError(f"has a message of {size} bytes at byte {start}")
        channel, _, log_time, _ = _MESSAGE_HEAD.unpack(stream.read(_MESSAGE_HEAD.size))
        if channel not in self._channels:  # of another encoding
            return
        in_memory = isinstance(stream, io.BytesIO)
        place = Place(block if in_memory else IN_FILE, start + _MESSAGE_HEAD.size, size - _MESSAGE_HEAD.size)
        yield Entry(self._channels[channel], log_time, stream.read(min(place.size, HEAD_BYTES)), place)

    def _declare(self, op: int, data: bytes) -> None:
        try:
            self._declare_schema(data) if op == _SCHEMA else self._declare_channel(data)
        except struct.error as error:
            raise CutShortError(f"has a malformed record of {len(data)} bytes ({error})") from error

    def _declare_schema(self, data: bytes) -> None:
        name, encoding, text, _ = _strings(data, 2, 3)
        definition = text if encoding in ("ros2msg", "ros1msg") else ""
        self._schemas[struct.unpack_from("<H", data)[0]] = (name, definition)

    def _declare_channel(self, data: bytes) -> None:
        number, schema = struct.unpack_from("<HH", data)
        topic, encoding, _ = _strings(data, 4, 2)
        kind, definition = self._schemas.get(schema, ("", ""))
        if encoding == "ros1" and definition:
            kind = ros2_type(kind)
        elif encoding != "cdr" or not kind:
            self.foreign[topic] = f"{encoding or 'without encoding'}, {kind or 'without schema'}"
            return
        self._channels[number] = Channel(topic, kind, encoding, definition)

    def _next(self, stream: BinaryIO, end: int) -> tuple[int, int]:
        head = stream.read(9)
        if len(head) < 9:
            raise self._cut()
        op, size = struct.unpack("<BQ", head)
        if not op:
            raise CutShortError(f"breaks off at byte {stream.tell()} of {self._file.size}")
        return int(op), int(size)

    def _cut(self) -> CutShortError:
        return CutShortError(f"ends at byte {self._file.size} in the middle of a record")


def _strings(data: bytes, at: int, count: int) -> tuple[Any, ...]:
    """`count` texts, each after its length, and where they end. struct.error where one reaches beyond the data."""
    found = []
    for _ in range(count):
        (size,) = struct.unpack_from("<I", data, at)
        found.append(struct.unpack_from(f"{size}s", data, at + 4)[0].decode(errors="replace"))
        at += 4 + size
    return *found, at


def is_mcap(path: Path) -> bool:
    """Whether the file begins as an MCAP file does."""
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC

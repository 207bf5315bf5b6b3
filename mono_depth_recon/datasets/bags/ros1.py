"""ROS 1 bags, format 2.0 (wiki.ros.org/Bags/Format/2.0), read record by record.

The index at the end is not needed, so that a bag that was never closed or was cut short gives what it holds.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ...errors import DataError
from ..limits import Limits
from .blocks import HEAD_BYTES, IN_FILE, BlockBag, Channel, CutShortError, Entry, Place, ros2_type

MAGIC = b"#ROSBAG V2.0\n"
_MESSAGE, _BAG_HEADER, _CHUNK, _CONNECTION = 2, 3, 5, 7
_LARGEST_HEADER = 1 << 20


class Ros1Bag(BlockBag):
    """A .bag file with chunks uncompressed, bz2 or lz4."""

    magic = MAGIC
    kind = "a ROS 1 bag of format 2.0 ('#ROSBAG V2.0')"

    def __init__(self, path: Path, limits: Limits) -> None:
        super().__init__(path, limits)
        self._indexed: dict[int, Channel] = {}

    def _scan(self, stream: BinaryIO) -> Iterator[Entry]:
        while stream.tell() < self._file.size:
            begin = stream.tell()
            fields, size = self._record(stream, begin)
            start, op = stream.tell(), _number(fields, b"op", "<B")
            if op == _BAG_HEADER:
                self._note_index(fields)
            elif op == _CHUNK:
                yield from self._chunk(fields, start, size)
            if start + size > self._file.size:
                raise CutShortError(f"ends at byte {self._file.size} in the middle of a record")
            if op == _CONNECTION:
                self._connect(fields, stream.read(size))
            elif op == _MESSAGE:
                yield self._message(stream, fields, IN_FILE, size)
            stream.seek(start + size)

    def _chunk(self, fields: dict[bytes, bytes], start: int, size: int) -> Iterator[Entry]:
        codec = fields.get(b"compression", b"none").decode(errors="replace")
        if codec == "none":
            with self.path.open("rb") as stream:
                stream.seek(start)
                yield from self._inside(stream, min(start + size, self._file.size), IN_FILE)
            return
        data, problem = self._file.unpacked(start, size, _number(fields, b"size", "<I"), codec)
        if problem and start + size <= self._file.size:
            self.notes.append(f"{self.path}: {problem} at byte {start}; the part before it is used")
        try:
            yield from self._inside(io.BytesIO(data), len(data), start)
        except CutShortError:
            if not problem:
                raise

    def _inside(self, stream: BinaryIO, end: int, block: int) -> Iterator[Entry]:
        while stream.tell() < end:
            fields, size = self._record(stream, stream.tell())
            start, op = stream.tell(), _number(fields, b"op", "<B")
            if start + size > end:
                raise CutShortError(f"ends at byte {self._file.size} in the middle of a message")
            if op == _CONNECTION:
                self._connect(fields, stream.read(size))
            elif op == _MESSAGE:
                yield self._message(stream, fields, block, size)
            stream.seek(start + size)

    def _message(self, stream: BinaryIO, fields: dict[bytes, bytes], block: int, size: int) -> Entry:
        place = Place(block, stream.tell(), size)
        number = _number(fields, b"conn", "<I")
        channel = self._channels.get(number) or self._indexed.get(number)
        if channel is None:
            raise CutShortError(f"has a message of an unknown connection at byte {place.offset}")
        time = _number(fields, b"time", "<Q")
        received_ns = (time & 0xFFFFFFFF) * 10**9 + (time >> 32)  # seconds, then nanoseconds
        return Entry(channel, received_ns, stream.read(min(size, HEAD_BYTES)), place)

    def _connect(self, fields: dict[bytes, bytes], data: bytes) -> None:
        self._channels.setdefault(_number(fields, b"conn", "<I"), self._channel(fields, data))

    def _channel(self, fields: dict[bytes, bytes], data: bytes) -> Channel:
        described = _fields(data)
        if b"type" not in described or b"topic" not in fields:
            raise CutShortError("has a connection without topic and type")
        return Channel(
            fields[b"topic"].decode(errors="replace"),
            ros2_type(described[b"type"].decode(errors="replace")),
            "ros1",
            described.get(b"message_definition", b"").decode(errors="replace"),
        )

    def _record(self, stream: BinaryIO, begin: int) -> tuple[dict[bytes, bytes], int]:
        """Header fields and data size of the record at the stream, which is positioned at its data afterwards."""
        length = stream.read(4)
        size = struct.unpack("<I", length)[0] if len(length) == 4 else _LARGEST_HEADER + 1
        header = stream.read(size) if size <= _LARGEST_HEADER else b""
        data_size = stream.read(4)
        if len(header) < size or len(data_size) < 4:
            raise CutShortError(f"breaks off in the record at byte {begin} of {self._file.size}")
        return _fields(header), struct.unpack("<I", data_size)[0]

    def _read_index(self, start: int) -> None:
        """The connections that the index repeats, for a bag whose first chunks are damaged."""
        with self.path.open("rb") as stream:
            stream.seek(min(start, self._file.size) or self._file.size)
            while stream.tell() < self._file.size:
                fields, size = self._record(stream, stream.tell())
                if _number(fields, b"op", "<B") != _CONNECTION or stream.tell() + size > self._file.size:
                    return
                self._indexed[_number(fields, b"conn", "<I")] = self._channel(fields, stream.read(size))

    def _note_index(self, fields: dict[bytes, bytes]) -> None:
        index = _number(fields, b"index_pos", "<Q")
        if encryptor := fields.get(b"encryptor", b"").decode(errors="replace"):
            raise DataError(f"{self.path}: is encrypted ({encryptor}), which is not supported")
        with suppress(CutShortError):
            self._read_index(index)
        if not index:
            self.notes.append(f"{self.path}: has no index, its recording was not closed; read from the start")


def _fields(data: bytes) -> dict[bytes, bytes]:
    """name=value fields, each after its length."""
    fields, at = {}, 0
    while at < len(data):
        if at + 4 > len(data) or at + 4 + (size := struct.unpack_from("<I", data, at)[0]) > len(data):
            raise CutShortError(f"has a malformed header of {len(data)} bytes")
        name, _, value = data[at + 4 : at + 4 + size].partition(b"=")
        fields[name] = value
        at += 4 + size
    return fields


def _number(fields: dict[bytes, bytes], name: bytes, form: str) -> int:
    value = fields.get(name, b"")
    if len(value) != struct.calcsize(form):
        raise CutShortError(f"has a record without {name.decode()}")
    return int(struct.unpack(form, value)[0])


def is_ros1_bag(path: Path) -> bool:
    """Whether the file begins as a ROS 1 bag does."""
    with path.open("rb") as stream:
        return stream.read(8) == MAGIC[:8]

"""Bounds on what compressed recordings may expand to: a few kilobytes can stand for many gigabytes.

They are checked while decompressing, piece by piece.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from ..atomic import FULL
from ..errors import DataError

MAX_CHUNK_BYTES = 256 << 20
MAX_UNPACKED_BYTES = 64 << 30
MAX_CHUNK_HELP = "largest chunk or message of a bag, in memory; default: %(default)s"
MAX_UNPACKED_HELP = "largest sum of the files that a compressed recording unpacks to; default: %(default)s"
KEPT_FREE_SHARE = 0.05  # of the disk with the temporary folder, which others need too
KEPT_FREE_BYTES = 256 << 20, 8 << 30  # at least, at most


@dataclass(frozen=True)
class Limits:
    """`chunk_bytes`: a chunk or message of a bag in memory; `unpacked_bytes`: the unpacked files of a recording."""

    chunk_bytes: int = MAX_CHUNK_BYTES
    unpacked_bytes: int = MAX_UNPACKED_BYTES

    def chunk_problem(self, what: str, size: int) -> str:
        """Why something of `size` bytes is not read into memory; empty where it may be."""
        if size <= self.chunk_bytes:
            return ""
        return f"{what} of {size} bytes, above max_chunk_bytes ({self.chunk_bytes}): raise it if you trust the file"


def kept_free(total: int) -> int:
    """How many bytes of a disk of `total` bytes unpacking leaves free."""
    least, most = KEPT_FREE_BYTES
    return min(max(int(KEPT_FREE_SHARE * total), least), most)


class UnpackedFiles:
    """Counts what is written to a temporary folder, before it is written."""

    def __init__(self, source: Path, folder: Path, limits: Limits) -> None:
        self._source, self._folder, self._limit, self._total = source, folder, limits.unpacked_bytes, 0

    def add(self, size: int) -> None:
        """Counts `size` more bytes. DataError where they exceed the limit or the disk has no space for them."""
        self._total += size
        if self._total > self._limit:
            raise DataError(
                f"{self._source}: expands to more than max_unpacked_bytes ({self._limit}): raise it if you trust the "
                "file, or unpack it yourself"
            )
        disk = shutil.disk_usage(self._folder)
        kept = kept_free(disk.total)
        if size and size > disk.free - kept:
            raise DataError(
                f"{self._source}: unpacking needs {size} more bytes in {self._folder}, where {disk.free} are free, of "
                f"which {kept} are kept: unpack it yourself, or set TMPDIR to a folder on a larger disk"
            )

    def write(self, out: FileIO, data: bytes) -> None:
        """Writes bytes that were counted, without a buffer that could fail later. DataError where the disk is full."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[out.write(rest) :]
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise DataError(
                f"{self._source}: cannot be unpacked to {self._folder} ({error.strerror}): free some space, or set "
                "TMPDIR to a folder on another disk"
            ) from error

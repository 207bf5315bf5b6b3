"""Bounds on what compressed recordings may expand to: a few kilobytes can stand for many gigabytes.

They are checked while decompressing, piece by piece.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError

MAX_CHUNK_BYTES = 256 << 20
MAX_UNPACKED_BYTES = 64 << 30
MAX_CHUNK_HELP = "largest chunk or message of a bag, in memory; default: %(default)s"
MAX_UNPACKED_HELP = "largest sum of the files that a compressed recording unpacks to; default: %(default)s"
KEPT_FREE_BYTES = 256 << 20  # of the disk with the temporary folder


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
        free = shutil.disk_usage(self._folder).free
        if size > free - KEPT_FREE_BYTES:
            raise DataError(
                f"{self._source}: unpacking needs more space in {self._folder} than the {free} bytes that are free: "
                "unpack it yourself, or set TMPDIR to a folder on a larger disk"
            )

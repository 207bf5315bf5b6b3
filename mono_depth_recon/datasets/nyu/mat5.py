"""Arrays of numbers in MATLAB 5 files (MAT-File Format, The MathWorks), read without a library that trusts the file."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...paths import regular_file

_HEADER_BYTES = 128
_LARGEST_BYTES = 16 << 20  # of the file and of each compressed array; splits.mat has 3 kB
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)  # double to uint64; text, cells, structures and sparse arrays are others


def read_numbers(path: Path, key: str) -> NDArray[np.float64] | None:
    """The elements of the numeric array `key`, column by column; None where the file has no array of that name.

    Raises DataError where the file is damaged, larger than 16 MiB or not of MATLAB 5.
    """
    try:
        if (size := regular_file(path).stat().st_size) > _LARGEST_BYTES:
            raise ValueError(f"it has {size} bytes, more than {_LARGEST_BYTES}")
        data = path.read_bytes()
        order = {b"IM": "<", b"MI": ">"}.get(data[_HEADER_BYTES - 2 : _HEADER_BYTES])
        if order is None:
            raise ValueError("it does not begin as one of MATLAB 5")
        return next((numbers for name, numbers in _arrays(data[_HEADER_BYTES:], order) if name == key), None)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, struct.error, zlib.error) as error:
        raise DataError(f"{path}: expected a MATLAB file, got one that cannot be read ({error})") from error


def _arrays(data: bytes, order: str) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Names and elements of the numeric arrays; ValueError, struct.error and zlib.error for damage."""
    for kind, body in _elements(data, order):
        if kind == _COMPRESSED:
            yield from _arrays(_inflated(body), order)
        elif kind == _MATRIX:
            parts = list(_elements(body, order))
            if len(parts) < 4:
                raise ValueError(f"an array has {len(parts)} of 4 parts")
            (_, flags), _, (_, name), (stored, numbers) = parts[:4]
            (kind,) = struct.unpack_from(order + "I", flags)
            if kind & 0xFF in _NUMERIC_CLASSES and stored in _NUMBERS:
                yield name.decode("latin-1"), np.frombuffer(numbers, order + _NUMBERS[stored]).astype(np.float64)


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of the elements, which begin at multiples of 8; of four bytes or fewer they are in the tag."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from(order + "II", data, at)
        if kind >> 16:
            kind, size, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        else:
            start = at + 8
            end = start + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if size > len(data) - start or start + size > end:
            raise ValueError(f"an element of {size} bytes reaches beyond its place")
        yield kind, data[start : start + size]
        at = end


def _inflated(data: bytes) -> bytes:
    decompressor = zlib.decompressobj()
    made = decompressor.decompress(data, _LARGEST_BYTES)
    if not decompressor.eof:
        raise ValueError(f"an array is cut off, or expands to more than {_LARGEST_BYTES} bytes")
    return made

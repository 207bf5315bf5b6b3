"""Arrays of .npz files from outside: what a header claims is compared with the file and a limit before it is read."""

from __future__ import annotations

import math
import os
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray


def names_of(archive: zipfile.ZipFile) -> list[str]:
    """The names of the arrays."""
    return [name.removesuffix(".npy") for name in archive.namelist()]


def read_array(archive: zipfile.ZipFile, name: str, largest: int) -> NDArray[Any]:
    """The array `name` of numbers or booleans, as `np.savez` stored it; its checksum holds.

    Raises ValueError where it is packed, which may expand without end, or has more than `largest` bytes; and all that
    `errors.DAMAGED_NPZ` lists, and OSError.
    """
    member = archive.getinfo(f"{name}.npy")
    assert archive.fp is not None, "it is open"
    size = os.fstat(archive.fp.fileno()).st_size
    if member.compress_type != zipfile.ZIP_STORED or not member.file_size == member.compress_size <= size:
        raise ValueError(f"{member.filename} is not stored as it was written")
    with archive.open(member) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"{member.filename} has another version of numpy's format")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        count = math.prod(shape) * dtype.itemsize
        if dtype.kind not in "bfiu" or count != member.file_size - stream.tell():
            raise ValueError(f"{member.filename} is no array of numbers as long as its shape {shape}")
        if count > largest:
            raise ValueError(f"{member.filename} has {count} bytes, more than {largest}")
        return np.frombuffer(bytearray(stream.read()), dtype).reshape(shape, order="F" if fortran else "C")

"""Files that are written completely or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .paths import is_too_long, name_too_long

Chunk: TypeAlias = bytes | NDArray[Any]

# Error numbers for a disk, a quota or a file-size limit that has been reached.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomically(path: Path, chunks: Sequence[Chunk]) -> None:
    """Writes `chunks` one after another to `path`, replacing an existing file only once all of it is on the disk.

    Raises DataError (one line) where the folder cannot be written or the disk is full; nothing partial stays.
    """
    partial = path.with_name(f".{path.name}{partial_suffix(os.getpid())}")
    if is_too_long(partial):
        raise DataError(name_too_long(path))
    try:
        _write_synced(partial, chunks)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)  # before the free space is measured
        raise DataError(_reason(path, chunks, error)) from error
    finally:
        partial.unlink(missing_ok=True)


def partial_suffix(pid: int) -> str:
    """How the name of an unfinished file of the process `pid` ends."""
    return f".{pid}.part"


def remove_partial_files(folder: Path, pid: int) -> None:
    """Removes what the process `pid` was writing into `folder` when it was killed."""
    for leftover in folder.glob(f".*{partial_suffix(pid)}"):
        leftover.unlink(missing_ok=True)


def writable_folder(folder: Path) -> Path:
    """`folder`, made where it is missing; raises DataError where it cannot be made or written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {folder}: {error.strerror}; choose a writable one") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"cannot write into the folder {folder}: change its permissions or choose another one")
    return folder


def check_folder(folder: Path) -> None:
    """Raises DataError where `writable_folder` would refuse `folder`; makes nothing."""
    nearest = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    if not nearest.is_dir():
        raise DataError(f"cannot make the folder {folder}: {nearest} is not a folder; choose a writable one")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise DataError(f"cannot write into the folder {nearest}: change its permissions or choose another one")


def unused_path(path: Path) -> Path:
    """`path`, or the first of `name_2`, `name_3` ... that does not exist."""
    candidate, number = path, 2
    while candidate.exists():
        candidate = path.with_name(f"{path.stem}_{number}{path.suffix}")
        number += 1
    return candidate


def _write_synced(path: Path, chunks: Sequence[Chunk]) -> None:
    with open(path, "wb") as file:
        for chunk in chunks:
            file.write(chunk if isinstance(chunk, bytes) else np.ascontiguousarray(chunk).data)
        file.flush()
        os.fsync(file.fileno())


def _reason(path: Path, chunks: Sequence[Chunk], error: OSError) -> str:
    if error.errno not in FULL:
        return f"cannot write {path}: {error.strerror}; choose a folder that exists and can be written"
    needed = sum(len(chunk) if isinstance(chunk, bytes) else chunk.nbytes for chunk in chunks)
    free = shutil.disk_usage(path.parent).free
    return (
        f"cannot write {path}: {error.strerror}; it needs {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are free: "
        "free some space or choose a folder on another disk"
    )

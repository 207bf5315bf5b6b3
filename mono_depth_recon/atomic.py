"""Files that are written completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .paths import is_too_long, name_too_long

Chunk: TypeAlias = bytes | NDArray[Any]

_PARTIAL = re.compile(r"\..+\.\d+\.part", re.DOTALL)
_tidied: set[Path] = set()

# Error numbers for a disk, a quota or a file-size limit that has been reached.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomically(path: Path, chunks: Sequence[Chunk]) -> None:
    """Writes `chunks` one after another to `path`, replacing an existing file only once all of it is on the disk.

    Raises DataError (one line) where the folder cannot be written or the disk is full; nothing partial stays. What
    killed processes left in the folder goes with the first file that this process writes there.
    """
    write_together([(path, chunks)])


def write_together(files: Sequence[tuple[Path, Sequence[Chunk]]]) -> None:
    """As `write_atomically`, of several files: none replaces another before all of them are on the disk.

    They are renamed in this order: the file that names the others comes last.
    """
    for path, _ in files:
        if is_too_long(_partial(path)):
            raise DataError(name_too_long(path))
    current = files[0]
    try:
        with contextlib.ExitStack() as held, contextlib.ExitStack() as undo:
            for current in files:
                path, chunks = current
                _tidy(path.parent)
                file = held.enter_context(_locked(_partial(path)))
                undo.callback(_partial(path).unlink, missing_ok=True)
                _write_synced(file, chunks)
            for path, _ in files:
                os.replace(_partial(path), path)
            undo.pop_all()  # from here on the names may be another thread's
    except OSError as error:
        raise DataError(_reason(*current, error)) from error


def _partial(path: Path) -> Path:
    """The name of the unfinished file."""
    return path.with_name(f".{path.name}{partial_suffix(os.getpid())}")


def partial_suffix(pid: int) -> str:
    """How the name of an unfinished file of the process `pid` ends."""
    return f".{pid}.part"


def _tidy(folder: Path) -> None:
    """Removes the unfinished files of processes that have ended, once for each folder.

    A process holds the lock of the file that it writes, whatever its number is and wherever it runs; the kernel frees
    the lock when the process ends.
    """
    if folder in _tidied:
        return
    _tidied.add(folder)
    for leftover in folder.glob(".*.part"):
        if not _PARTIAL.fullmatch(leftover.name):
            continue
        with contextlib.suppress(OSError):  # gone meanwhile, of somebody else, a link, or locked
            if stat.S_ISREG(leftover.lstat().st_mode):
                with open(leftover, "rb", opener=_open_at_once) as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    leftover.unlink()


def _open_at_once(name: str, flags: int) -> int:
    """Opens what `name` itself is: no file behind a link, and no wait for the other end of a pipe."""
    return os.open(name, flags & ~os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


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


def folder_within(folder: Path, name: str) -> Path:
    """The folder `name` of `folder`, made where it is missing. DataError also where it is a link to another place."""
    made = writable_folder(folder / name)
    if not made.resolve().is_relative_to(folder.resolve()):
        raise DataError(
            f"{made} is a link to {made.resolve()}, outside of {folder}: nothing is written there; remove it"
        )
    return made


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


def _locked(path: Path) -> BinaryIO:
    """The file at `path`, new or emptied, for writing, with its lock held until it is closed."""
    while True:
        file = open(path, "wb", opener=_open_at_once)  # noqa: SIM115
        with contextlib.suppress(OSError):  # a file system without locks: nothing is tidied there either
            fcntl.flock(file, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                file.truncate(0)
                return file
        file.close()  # another thread, or a process that tidies, was faster


def _write_synced(file: BinaryIO, chunks: Sequence[Chunk]) -> None:
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

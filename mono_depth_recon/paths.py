"""Paths from outside: home folders, names that are too long, and what is no regular file."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from .errors import ConfigError

_CACHE = "mono_depth_recon"
_SHOWN = 40  # characters of a name that is too long


def expanded(path: str | Path) -> Path:
    """`path` with a leading `~` or `~user` replaced by the home folder.

    Raises ConfigError if there is none, or where the path is longer than file systems take.
    """
    try:
        return checked(Path(path).expanduser())
    except RuntimeError as error:
        user = Path(path).parts[0][1:]
        whose = f"the user '{user}', which does not exist" if user else "a user without one (HOME is not set)"
        raise ConfigError(
            f"'{path}' begins with the home folder of {whose}: give the path without ~{'' if user else ', or set HOME'}"
        ) from error


def checked(path: Path) -> Path:
    """`path`. Raises ConfigError where it or a name in it is longer than file systems take: `exists` fails there."""
    if is_too_long(path):
        raise ConfigError(name_too_long(path))
    return path


def is_too_long(path: Path) -> bool:
    """Whether the file system refuses a path for its length."""
    try:
        path.lstat()
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    return False


def name_too_long(path: Path) -> str:
    """The line about a path that the file system refuses for its length."""
    longest = max(path.parts, key=lambda part: len(os.fsencode(part)), default="")
    return (
        f"the name is too long: '{longest[:_SHOWN]}...' has {len(os.fsencode(longest))} bytes, the path "
        f"{len(os.fsencode(path))}; a file takes about 230 and a path 4095: choose a shorter one"
    )


def names_file(path: Path) -> bool:
    """Whether `path`, which a file's content may have given, is that of a regular file; one of any length may be asked.

    Raises OSError where a folder on the way cannot be searched.
    """
    try:
        return path.is_file()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise


def regular_file(path: Path) -> Path:
    """`path`. Raises OSError where it is a device, pipe or socket, whose reading may never end, or cannot be seen."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # to open a folder is an error of its own
        raise OSError(errno.EINVAL, "expected a regular file, got a device, pipe or socket", str(path))
    return path


def names_entry(name: str) -> bool:
    """Whether a text from a file or a user can be the name of one file or folder, and leads nowhere else."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def bounded_file(path: Path, most: int) -> Path:
    """`path`. Raises OSError as `regular_file`, and where it has more than `most` bytes: for what is read whole."""
    if (size := regular_file(path).stat().st_size) > most:
        raise OSError(errno.EFBIG, f"it has {size} bytes, at most {most} are read", str(path))
    return path


def user_cache() -> Path:
    """The package's folder in the user's cache (Linux: $XDG_CACHE_HOME, else ~/.cache). Raises ConfigError."""
    import platformdirs

    try:
        folder = platformdirs.user_cache_path(_CACHE)
    except RuntimeError:  # of some versions; others keep the ~
        folder = Path("~") / ".cache" / _CACHE
    return expanded(folder)

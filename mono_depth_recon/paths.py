"""Paths from outside: home folders, names that are too long, and what is no regular file."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from .errors import ConfigError

_CACHE = "mono_depth_recon"


def expanded(path: str | Path) -> Path:
    """`path` with a leading `~` or `~user` replaced by the home folder. Raises ConfigError if there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        user = Path(path).parts[0][1:]
        whose = f"the user '{user}', which does not exist" if user else "a user without one (HOME is not set)"
        raise ConfigError(
            f"'{path}' begins with the home folder of {whose}: give the path without ~{'' if user else ', or set HOME'}"
        ) from error


def regular_file(path: Path) -> Path:
    """`path`. Raises OSError where it is a device, pipe or socket, whose reading may never end, or cannot be seen."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # to open a folder is an error of its own
        raise OSError(errno.EINVAL, "expected a regular file, got a device, pipe or socket", str(path))
    return path


def user_cache() -> Path:
    """The package's folder in the user's cache (Linux: $XDG_CACHE_HOME, else ~/.cache). Raises ConfigError."""
    import platformdirs

    try:
        folder = platformdirs.user_cache_path(_CACHE)
    except RuntimeError:  # of some versions; others keep the ~
        folder = Path("~") / ".cache" / _CACHE
    return expanded(folder)

"""How this process handles the memory of frames."""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory(limit_mib: int = 256) -> None:
    """Lets glibc keep up to `limit_mib` of freed memory instead of giving it back after every frame.

    A frame allocates and frees some megabytes. By default they are mapped and unmapped each time, and the page
    faults cost several times the arithmetic (`mono-depth-recon bench` shows it). Other C libraries: nothing to do.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, 32 * 1024 * 1024)  # glibc's own upper bound
    libc.mallopt(_M_TRIM_THRESHOLD, limit_mib * 1024 * 1024)

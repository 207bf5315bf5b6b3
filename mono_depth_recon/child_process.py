"""Child processes that end with their parent, however it ends (Linux)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None)  # here, because nothing may be loaded between fork and exec


def kill_when_parent_ends() -> None:
    """Has the kernel kill this process when its parent ends, even in a step that holds Python's lock.

    Suitable for `subprocess.Popen(preexec_fn=...)`. The parent is the thread that started this process.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def end_with_parent(parent: int) -> None:
    """As `kill_when_parent_ends`, called by the child; exits at once where process `parent` has ended already."""
    kill_when_parent_ends()
    if os.getppid() != parent:
        sys.exit(0)


def reap_at_end(child: subprocess.Popen[bytes]) -> None:
    """Collects the exit status of `child` as soon as it ends, in a thread: until then it would stay as a zombie."""

    def wait() -> None:
        with contextlib.suppress(ChildProcessError):  # collected already
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # leaves `child` to other threads meanwhile
        child.wait()

    threading.Thread(target=wait, name=f"reap_{child.pid}", daemon=True).start()

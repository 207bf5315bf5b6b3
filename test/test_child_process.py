"""Children that end with their parent, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT

CHILD = "import os, threading; from mono_depth_recon.child_process import end_with_parent; "
STARTED_BY = {
    "itself": "import os, subprocess, sys; subprocess.Popen([sys.executable, '-c', "
    f"{CHILD + 'end_with_parent({}); print(os.getpid(), flush=True); threading.Event().wait()'!r}"
    ".format(os.getpid())]).wait()",
    "before exec": "import subprocess, sys; from mono_depth_recon.child_process import kill_when_parent_ends; "
    "subprocess.Popen([sys.executable, '-c', "
    "'import os, threading; print(os.getpid(), flush=True); threading.Event().wait()'], "
    "preexec_fn=kill_when_parent_ends).wait()",
}


@pytest.mark.parametrize("how", STARTED_BY)
def test_a_child_is_killed_with_its_parent(how: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTED_BY[how]], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        parent.send_signal(signal.SIGKILL)
        assert parent.stdout.read() == "", "the pipe ends when the child has ended too"


def test_a_child_whose_parent_has_gone_exits_at_once() -> None:
    code = CHILD + f"end_with_parent({os.getpid() + 10**7}); print('still here')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    assert done.stdout == ""

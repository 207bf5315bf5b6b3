"""The machine and library versions of a measurement, and fresh processes to measure in."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

from ..errors import DataError
from ..models.runtimes.base import cpu_name

_LIBRARIES = (
    "numpy",
    "numba",
    "opencv-python-headless",
    "openvino",
    "onnxruntime",
    "nncf",
    "torch",
    "transformers",
    "open3d",
    "open3d-cpu",
)


def fresh_process(code: str, *arguments: str, timeout_s: float = 120) -> str:
    """The last line that `code` prints in a new interpreter. Raises DataError with its last error line if it fails."""
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env=python_environment(),
    )
    if result.returncode:
        last = (result.stderr.strip() or "it printed nothing").splitlines()[-1]
        raise DataError(f"the fresh process ended with {result.returncode}: {last}")
    return result.stdout.strip().splitlines()[-1]


def python_environment() -> dict[str, str]:
    """The environment of a new interpreter that imports the same modules as this one."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def device() -> str:
    """The CPU and the number of cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cpu_name()}, {cores} cores, {platform.system()} {platform.machine()}"


def versions() -> str:
    """Versions of Python and of the installed libraries."""
    installed = {dist.metadata["Name"].lower(): dist.version for dist in importlib.metadata.distributions()}
    found = [f"{name} {installed[name]}" for name in _LIBRARIES if name in installed]
    return ", ".join([f"Python {platform.python_version()}", *found])


def peak_bytes() -> int:
    """Peak resident memory of this process; ru_maxrss would be that of its parent if larger."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    peaks = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
    return peaks[0] if peaks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def commit() -> str:
    """'commit abc1234' of the source tree of the package, or its version if it is installed."""
    top = Path(__file__).resolve().parents[2]
    command = ["git", "-C", str(top), "describe", "--always", "--dirty"]
    if (top / ".git").exists():
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return f"commit {done.stdout.strip()}"
    from .. import __version__

    return f"mono_depth_recon {__version__}"

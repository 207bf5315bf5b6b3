"""Processes that end with their test, separate ROS domains, and installations of the package."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCALHOST = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
_SHOWN_LETTERS = 5000
DEADLINE_S = 300.0  # of every wait, which ends when its condition holds: only a hanging test reaches it


@contextlib.contextmanager
def reserved_domain() -> Iterator[int]:
    """A ROS domain that no other test on this machine uses within the context.

    An abstract socket per number is the reservation: the kernel drops it with the process, whatever happens.
    """
    numbers = list(range(1, 102))  # from 102 they collide with the ephemeral ports of Linux
    random.SystemRandom().shuffle(numbers)
    for number in numbers:
        with socket.socket(socket.AF_UNIX) as reservation:
            try:
                reservation.bind(f"\0mono_depth_recon_domain_{number}")
            except OSError:
                continue
            yield number
            return
    pytest.fail("all ROS domains from 1 to 101 are reserved by running tests")


class Process:
    """A started command with its output in a file; every wait has a deadline and shows the output when it fails."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str], folder: Path | None) -> None:
        self.command = [str(word) for word in command]
        self.log = log
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                self.command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                cwd=folder,
                start_new_session=True,
            )
        self.pid = self._popen.pid

    @property
    def output(self) -> str:
        """Its output so far, both streams."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def running(self) -> bool:
        """Whether it is still running."""
        return self._popen.poll() is None

    def wait_for(self, text: str, deadline: float = DEADLINE_S) -> str:
        """Waits until `text` is in the output and returns the output; fails after `deadline` seconds or if it ends."""
        end = time.monotonic() + deadline
        while text not in self.output:
            ended = not self.running
            if ended and text not in self.output:
                pytest.fail(f"{self} ended with {self._popen.returncode} and never said '{text}':\n{self.output}")
            if time.monotonic() > end:
                pytest.fail(f"{self} did not say '{text}' within {deadline} s:\n{self.output}")
            time.sleep(0.02)
        return self.output

    def wait(self, deadline: float = DEADLINE_S) -> int:
        """Waits for the end and returns the exit status; fails after `deadline` seconds."""
        try:
            return self._popen.wait(deadline)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self} still runs after {deadline} s:\n{self.output}")

    def stop(self, sent: signal.Signals = signal.SIGINT, deadline: float = DEADLINE_S) -> int:
        """Sends the signal to the process alone, waits for its end and returns the exit status."""
        if self.running:
            self._popen.send_signal(sent)
        return self.wait(deadline)

    def kill_all(self) -> None:
        """Kills the process and every child in its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()

    def left_behind(self) -> list[str]:
        """Command lines of the processes alive in its session."""
        return [line for pid, line in _session_members(self.pid) if pid != self.pid or self.running]

    def __str__(self) -> str:
        return " ".join(self.command[:4])


def _session_members(session: int) -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                words = (entry / "cmdline").read_bytes().split(b"\0")
                yield int(entry.name), b" ".join(words).decode(errors="replace")


class Processes:
    """Starts commands and kills those that are left at the end; `start(command)` returns a Process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Process] = []

    def start(
        self, command: Sequence[str | Path], env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Process:
        """Starts `command` in a session of its own; `env` is added to this process' environment."""
        log = self._folder / f"process_{len(self._started)}.log"
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        self._started.append(Process([str(word) for word in command], log, environment, cwd))
        return self._started[-1]

    def python(self, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Process:
        """Starts this interpreter: `python("-m", "mono_depth_recon.ros.node.recon_node")`."""
        return self.start([sys.executable, *arguments], env, cwd)

    def outputs(self) -> list[tuple[str, str]]:
        """What each was and wrote in the end, for reports of failures."""
        return [
            (f"{process}, {'running' if process.running else 'ended'}", process.output[-_SHOWN_LETTERS:])
            for process in self._started
        ]

    def kill_all(self) -> None:
        """Ends all of them."""
        for process in self._started:
            process.kill_all()


@dataclass(frozen=True)
class Installation:
    """The package installed into its own prefix, as for a user."""

    prefix: Path

    @property
    def share(self) -> Path:
        """The folder of launch and config."""
        return self.prefix / "share" / "mono_depth_recon"

    @property
    def executables(self) -> Path:
        """The folder of the executables for `ros2 run`."""
        return self.prefix / "lib" / "mono_depth_recon"

    @property
    def site_packages(self) -> Path:
        """The folder of the Python package."""
        return next(self.prefix.glob("lib/python3*/site-packages"))

    @property
    def env(self) -> dict[str, str]:
        """The environment after sourcing the installation, with this interpreter first on PATH."""
        return {
            "AMENT_PREFIX_PATH": str(self.prefix),
            "PYTHONPATH": str(self.site_packages),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }


def copy_sources(target: Path) -> Path:
    """Copies the sources that an installation needs, without build products; returns `target`."""
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("mono_depth_recon", "launch", "config", "resource"):
        shutil.copytree(ROOT / name, target / name, ignore=ignore)
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "package.xml", "LICENSE"):
        shutil.copy2(ROOT / name, target)
    return target


def run_checked(command: Sequence[str], folder: Path, deadline: float = DEADLINE_S) -> str:
    """Runs a command to its end and returns its output, both streams; fails with it when the command fails."""
    result = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=deadline,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if result.returncode:
        pytest.fail(f"{' '.join(command)} ended with {result.returncode}:\n{result.stdout}")
    return result.stdout


def map_worker(node: int) -> int:
    """The child process with the map."""
    lists = [threads.read_text() for threads in Path(f"/proc/{node}/task").glob("*/children")]
    for child in " ".join(lists).split():
        if b"workers.map:MapKeeper" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    pytest.fail("the node has no map worker")

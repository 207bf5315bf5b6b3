"""The demo's other processes: started in a ROS domain of their own, watched, and gone at the end whatever happens."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ...child_process import kill_when_parent_ends
from ...errors import MonoDepthError

# Modules of the executables, to be started in this Python
RECON_NODE = "mono_depth_recon.ros.node.recon_node"
ROOMS_CAMERA = "mono_depth_recon.ros.cameras.rooms_camera"
REPLAY = "mono_depth_recon.ros.cameras.replay"
RECORDER = "mono_depth_recon.ros.tools.recorder"
MAPPING_PROBE = "mono_depth_recon.ros.tools.mapping_probe"
EXCHANGE = "mono_depth_recon.ros.tools.exchange"

_DEADLINES_S = ((signal.SIGINT, 8.0), (signal.SIGTERM, 4.0))
_STOPPING = (signal.SIGINT, signal.SIGTERM)
_POLL_S = 0.05
_LAST_LINES = 12
_ROS_PREFIX = re.compile(r"^\[(INFO|WARN|ERROR|FATAL)\] \[[\d.]+\] \[[\w.]+\]: ")


class Child:
    """One started ROS 2 node of this package; its output goes to a file."""

    def __init__(self, name: str, module: str, arguments: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.is_ready = False  # its output says so
        self._log = folder / f"{name}.log"
        self._read = 0
        with self._log.open("wb") as output:
            # A session of its own: Ctrl-C in the terminal goes to the demo, which stops its children in order.
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, env=dict(env), start_new_session=True, preexec_fn=kill_when_parent_ends,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    def new_lines(self) -> list[str]:
        """Complete lines of its output since the last call, without the prefix of ROS logs."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            text = log.read()
        text = text[: text.rfind(b"\n") + 1]
        self._read += len(text)
        lines = [_ROS_PREFIX.sub("", line) for line in text.decode(errors="replace").splitlines()]
        self.is_ready |= any(line.startswith("ready") for line in lines)
        return lines

    def how_it_ended(self) -> str:
        """Its exit status or signal, and the last lines of its output."""
        status = self.exit_status or 0
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
        return "\n".join([f"{self.name} {how}; its last lines:", *(f"    {line}" for line in lines)])

    def send(self, sent: signal.Signals) -> None:
        """Sends a signal to it alone: it ends its own children."""
        if self.exit_status is None:
            self._process.send_signal(sent)

    def kill(self) -> None:
        """Ends it and whatever it has left in its session."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Children:
    """The children of one run; a context manager that stops them with SIGINT, then SIGTERM, then SIGKILL."""

    def __init__(self, folder: Path, env: Mapping[str, str], say: Callable[[str, str], None]) -> None:
        self._folder, self._env, self._say = folder, env, say
        self._running: list[Child] = []

    def start(self, name: str, module: str, arguments: Sequence[str]) -> Child:
        """Starts `python -m module arguments`."""
        self._running.append(Child(name, module, arguments, self._env, self._folder))
        return self._running[-1]

    def watch(self, until: Callable[[], bool], what: str, deadline_s: float, *quits: Child) -> None:
        """Relays the children's output until `until()` holds. Only `quits` may end meanwhile, with status 0.

        Raises MonoDepthError where another one ends, or at the deadline.
        """
        end = time.monotonic() + deadline_s
        while not until():
            self.relay()
            for child in self._running:
                if child.exit_status is not None and (child not in quits or child.exit_status != 0):
                    raise MonoDepthError(child.how_it_ended())
            if time.monotonic() > end:
                raise MonoDepthError(f"expected {what} within {deadline_s:g} s: see whether this machine is overloaded")
            time.sleep(_POLL_S)
        self.relay()

    def relay(self) -> None:
        """Passes on the children's output since the last call."""
        for child in self._running:
            for line in child.new_lines():
                self._say(child.name, line)

    def stop(self) -> None:
        """Ends all of them; returns when they are gone."""
        for sent, seconds in _DEADLINES_S:
            for child in self._running:
                child.send(sent)
            end = time.monotonic() + seconds
            while time.monotonic() < end and any(child.exit_status is None for child in self._running):
                time.sleep(_POLL_S)
        for child in self._running:
            child.kill()
        self._running.clear()

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *error: object) -> None:
        before = {each: signal.signal(each, signal.SIG_IGN) for each in _STOPPING}  # the deadlines bound what follows
        self.stop()
        for each, handler in before.items():
            signal.signal(each, handler)


class Stopped(KeyboardInterrupt):
    """SIGINT or SIGTERM came; `number` is the signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def raise_on_signals() -> None:
    """From now on SIGINT and SIGTERM raise Stopped in the main thread."""

    def stop(number: int, _: object) -> None:
        raise Stopped(number)

    for each in _STOPPING:
        signal.signal(each, stop)


@contextmanager
def own_domain() -> Iterator[dict[str, str]]:
    """Environment variables of a ROS domain that is this machine's only and no other demo's, while the context lasts.

    An abstract socket per domain is the reservation: the system drops it with the process, whatever happens.
    """
    numbers = list(range(1, 102))  # those above meet the ephemeral ports of Linux
    random.SystemRandom().shuffle(numbers)
    for number in numbers:
        with socket.socket(socket.AF_UNIX) as reservation:
            try:
                reservation.bind(f"\0mono_depth_recon_domain_{number}")
            except OSError:  # taken
                continue
            humble = os.environ.get("ROS_DISTRO") == "humble"  # before ROS_AUTOMATIC_DISCOVERY_RANGE
            alone = {"ROS_LOCALHOST_ONLY": "1"} if humble else {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
            yield {"ROS_DOMAIN_ID": str(number), **alone}
            return
    raise MonoDepthError("expected a free ROS domain from 1 to 101, all are reserved: wait for the other demos to end")

"""Writers that are killed at random moments, and what is then in their folder."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .writers import WRITERS, Writer

_START_S = 600.0  # with imports of large libraries on a busy machine


@dataclass
class Kills:
    """What became of one kind of file: kills, those in the middle of a file, and faults by their description."""

    writer: str
    kills: int = 0
    midway: int = 0
    broken: list[str] = field(default_factory=list)
    left_behind: int = 0

    @property
    def failed(self) -> bool:
        """Whether a file was not whole, or an unfinished one stayed."""
        return bool(self.broken or self.left_behind)


def kill_writer(name: str, times: int, seed: int) -> Kills:
    """Kills the writer of that name `times` times, in a process of its own, which imports once and forks."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(name, times, seed, theirs))
    process.start()
    theirs.close()
    try:
        while not ours.poll(1.0):
            if not process.is_alive():
                raise RuntimeError(f"{name}: the process with the writer ended with {process.exitcode}, see above")
        made: Kills = ours.recv()
        return made
    finally:
        process.kill()
        process.join()


def _run(name: str, times: int, seed: int, answer: multiprocessing.connection.Connection) -> None:
    writer = next(each for each in WRITERS if each.name == name)
    with tempfile.TemporaryDirectory(prefix="kills_") as place:
        answer.send(_kills(writer, Path(place), times, np.random.default_rng(seed)))


def _kills(writer: Writer, folder: Path, times: int, rng: np.random.Generator) -> Kills:
    made, write = Kills(writer.name), writer.prepare(folder)
    started = time.monotonic()
    _end(_forked(lambda: write(0)))
    once = time.monotonic() - started
    for _ in range(times):
        child = _forked(lambda: _forever(write))
        time.sleep(rng.uniform(0, 3 * once))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        made.kills += 1
        made.midway += any(folder.glob("**/.*.part"))
        try:
            writer.check(folder)
        except Exception as error:  # noqa: BLE001 - whatever a reader says of a broken file
            made.broken.append(f"{type(error).__name__}: {error}")
    _end(_forked(lambda: write(1)))
    made.left_behind = len(list(folder.glob("**/.*.part")))
    return made


def _forever(write: Callable[[int], object]) -> None:
    version = 1
    while True:
        write(version)
        version += 1


def _forked(work: Callable[[], object]) -> int:
    """The number of a child process that does the work: every child begins as a new one, as to unfinished files."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)


def _end(child: int) -> None:
    if os.waitpid(child, 0)[1] != 0:
        raise RuntimeError("the writer failed without being killed, see above")

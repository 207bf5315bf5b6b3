"""Tries in worker processes, which may die, hang or fill their memory without harm."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from mono_depth_recon.errors import MonoDepthError

from .files import check_line
from .target import Target

MEMORY_BYTES = 3 << 30  # beyond what a worker has after it read the sound files
_START_S = 600.0  # with imports of large libraries on a busy machine
_READY = "ready"
RESULT, REFUSED = "result", "our error"
_NUMBERS = re.compile(r"\d+")  # failures that differ by numbers only are one
_WATCHED = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect", "os.remove", "os.rename")


@dataclass
class Tally:
    """What became of the tries of one target; `failures` by their description, with the number of the first."""

    target: str
    counts: Counter[str] = field(default_factory=Counter)
    failures: dict[str, int] = field(default_factory=dict)

    @property
    def tried(self) -> int:
        """The number of tries that came to an end."""
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        """Those that ended in neither a result nor one of our errors."""
        return self.tried - self.counts[RESULT] - self.counts[REFUSED]

    def add(self, number: int, outcome: str) -> None:
        """Counts one try."""
        self.counts[outcome] += 1
        if outcome not in (RESULT, REFUSED):
            self.failures.setdefault(outcome, number)


def run(
    targets: Sequence[Target],
    tries: int,
    seed: int,
    first: int = 0,
    jobs: int = 2,
    deadline_s: float = 60.0,
    source: str = "fuzzing",
) -> list[Tally]:
    """`tries` of every target, numbered from `first`; one that takes longer than `deadline_s` is a failure.

    A try depends on nothing but target, seed and number. Workers take the targets by name from the module `source`.
    """
    with ThreadPoolExecutor(jobs) as threads:
        orders = [_Order(target.name, seed, deadline_s, source) for target in targets]
        work = [threads.submit(_tally, order, range(first, first + tries)) for order in orders]
        return [each.result() for each in work]


@dataclass(frozen=True)
class _Order:
    target: str
    seed: int
    deadline_s: float
    source: str


def _tally(order: _Order, numbers: range) -> Tally:
    tally, at = Tally(order.target), numbers.start
    while at < numbers.stop:  # a new process after each that ended
        with tempfile.TemporaryDirectory(prefix="fuzz_", ignore_cleanup_errors=True) as place:
            for number, outcome in _outcomes(order, range(at, numbers.stop), Path(place)):
                tally.add(number, outcome)
                at = number + 1
    return tally


def _outcomes(order: _Order, numbers: range, place: Path) -> Iterator[tuple[int, str]]:
    """The outcomes from one process, until it ends; its files are below `place`."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(order, numbers, theirs, place), daemon=True)
    process.start()
    theirs.close()
    try:
        if _answer(ours, process, _START_S) != (_READY, False):
            raise RuntimeError(f"{order.target}: the sound files are not read, see above")
        for number in numbers:
            answer, ended = _answer(ours, process, order.deadline_s)
            yield number, answer
            if ended:
                return
    finally:
        process.kill()
        process.join()
        ours.close()


def _answer(ours: Connection, process: BaseProcess, deadline_s: float) -> tuple[str, bool]:
    """What the worker says next, and whether it will say no more."""
    try:
        return (str(ours.recv()), False) if ours.poll(deadline_s) else (f"no answer within {deadline_s:g} s", True)
    except (EOFError, OSError):
        process.join()
        return _death(process.exitcode or 0), True


def _death(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def _work(order: _Order, numbers: range, answers: Connection, place: Path) -> None:
    """In the worker: sends 'ready', then the outcome of each try."""
    targets: Sequence[Target] = import_module(order.source).TARGETS
    os.environ["HF_HUB_OFFLINE"] = "1"
    target = next(each for each in targets if each.name == order.target)
    os.environ["XDG_CACHE_HOME"] = tempfile.tempdir = str(place)
    sound = place / "sound"
    sound.mkdir()
    target.prepare(sound)
    _bound_memory()
    answers.send(_READY)
    with open(os.devnull, "wb") as nowhere:  # libraries print what they refuse
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    watch = _Watch(place)
    sys.addaudithook(watch)
    for number in numbers:
        folder = place / f"{number}"
        folder.mkdir()
        rng = np.random.default_rng((order.seed, zlib.crc32(order.target.encode()), number))
        with watch:
            outcome = outcome_of(partial(target.attempt, sound, folder, rng))
        answers.send(watch.seen or outcome)
        shutil.rmtree(folder, ignore_errors=True)


def outcome_of(attempt: Callable[[], None]) -> str:
    """RESULT, REFUSED for one of our errors with a fit line, else what was raised and where."""
    try:
        attempt()
    except MonoDepthError as error:
        try:
            check_line(error)
        except ValueError as problem:
            return f"{type(error).__name__}: {problem}"
        return REFUSED
    except Exception as error:  # noqa: BLE001 - what else there is, is what is looked for
        return _described(error)
    return RESULT


def _described(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "mono_depth_recon" in frame.filename or "training" in frame.filename]
    place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    return f"{type(error).__name__} at {place}: {_NUMBERS.sub('#', ' '.join(str(error).split()))[:120]}"


def _bound_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    with contextlib.suppress(ValueError):  # a lower limit is set already
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class _Watch:
    """An audit hook that notes what no file may cause: programs, connections, and writes outside `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._on, self.seen = str(folder), False, ""

    def __enter__(self) -> None:
        self._on, self.seen = True, ""

    def __exit__(self, *exc_info: object) -> None:
        self._on = False

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._on:
            return
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and not isinstance(path, int) and not _is_below(path, self._folder, "/dev", "/proc"):
                self.seen = f"opened {str(path)[:80]} for writing"
        elif event in _WATCHED and not _is_below(arguments[0], self._folder) and not _within_a_folder(arguments):
            self.seen = f"{event} {str(arguments)[:100]}"


def _is_below(path: object, *folders: str) -> bool:
    """Whether a path, or a relative one from the working folder, is below one of the folders."""
    return isinstance(path, str | bytes | os.PathLike) and os.path.abspath(os.fsdecode(path)).startswith(
        tuple(f"{folder}/" for folder in folders)
    )


def _within_a_folder(arguments: tuple[object, ...]) -> bool:
    """Whether a name counts from an open folder, as shutil.rmtree gives it."""
    return len(arguments) > 1 and isinstance(arguments[-1], int) and arguments[-1] >= 0

"""A worker process for steps that hold Python's global lock for seconds: it takes jobs and returns results.

The worker is a fresh interpreter that imports neither ROS nor torch. Arrays travel through anonymous shared memory
(memfd), which the kernel frees, whichever process ends first. Linux only.
"""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..atomic import remove_partial_files
from ..child_process import end_with_parent, reap_at_end
from ..errors import MonoDepthError

_ALIGNMENT = 64
# A process that computes nothing between that many looks has frozen: 5 minutes, in which even one that gets idle cores
# alone does something. Looks are counted, not time, so that a pause of this process too counts once.
_LOOK_S, _LOOKS = 10.0, 30
_BOOT = (
    "import sys; sys.path[:] = sys.argv[7:]; from mono_depth_recon.workers.process import serve; "
    "serve(sys.argv[1], *map(int, sys.argv[2:7]))"
)

_Layout = list[tuple[str, tuple[int, ...], int]]  # dtype, shape and offset of every array


class Job(Protocol):
    """Work for the process: `run` receives what the worker holds, if anything, then the arrays of the call."""

    @property
    def folder(self) -> Path | None:
        """The folder of the files it writes, None if it writes none."""

    @property
    def run(self) -> Any:
        """The method that runs in the worker; its errors are raised in the caller, as MonoDepthError."""

    def lost(self, cause: str) -> str:
        """The message for the caller if the process ended before the result."""


class JobWorker:
    """Runs jobs one after another in a process of low priority; a context manager.

    With `idle` it runs only when a core is otherwise idle (sched(7), SCHED_IDLE). The process starts with the
    first job (or `start`) and ends with `close`, or with this process, however that ends.
    `holding` ('module:class' of this package) is instantiated there once and passed to every job. What it holds is lost
    when the process dies: then the next job fails with that message. Without `holding` a new process takes over.
    A process that stands still for minutes without a result is ended. A bug in a job does not end the process: its
    traceback is printed, and the job fails with a MonoDepthError.
    `deaths` counts the processes that ended by themselves.
    """

    def __init__(self, name: str, threads: int = 1, niceness: int = 10, idle: bool = False, holding: str = "") -> None:
        self._name, self._threads, self._holding = name, threads, holding
        self._niceness, self._idle = niceness, idle
        self._lock = threading.Lock()  # guards the two below
        self._process: _Process | None = None
        self._closed = False
        self.deaths = 0
        # One thread for the worker's whole life: the kernel kills the process when the thread that started it ends.
        self._thread = ThreadPoolExecutor(1, name.replace(" ", "_"), initializer=_block_interrupts)

    def start(self) -> Future[int]:
        """Starts the process ahead of the first job; the future holds its process id."""
        return self._thread.submit(lambda: self._running(None).pid)

    def submit(self, job: Job, *arrays: NDArray[Any]) -> Future[Any]:
        """Queues a job with its arrays, which must not change before the result is there.

        The future raises the MonoDepthError of the job, or one if the process died or was closed; the next job gets a
        new process. After `close` the call itself raises MonoDepthError.
        """
        with self._lock:
            self._refuse_when_closed()
            return self._thread.submit(self._run, job, arrays)

    def close(self) -> None:
        """Ends the process immediately, with its current job; queued jobs fail. Nothing is left behind."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
        self._thread.shutdown(wait=True)
        if self._process is not None:
            self._process.reap()
            self._process = None

    def __enter__(self) -> JobWorker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _running(self, job: Job | None) -> _Process:
        """The process; raises MonoDepthError if it died with what it held for `job`."""
        with self._lock:
            self._refuse_when_closed()
            if self._process is not None and not self._process.is_alive():
                status, self._process = self._process.reap(), None
                self.deaths += 1
                if self._holding and job is not None:
                    raise MonoDepthError(job.lost(_cause(self._name, status)))
            if self._process is None:
                self._process = _Process(self._holding, self._threads, self._niceness, self._idle)
            return self._process

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise MonoDepthError(f"the {self._name} is closed: the node is stopping")

    def _run(self, job: Job, arrays: Sequence[NDArray[Any]]) -> Any:
        process = self._running(job)
        try:
            reply = process.ask(job, arrays)
        except (EOFError, OSError) as error:
            if job.folder is not None:
                remove_partial_files(job.folder, process.pid)
            raise MonoDepthError(job.lost(self._end_of(process, error))) from error
        if isinstance(reply, MonoDepthError):
            raise reply
        return reply

    def _end_of(self, process: _Process, error: Exception) -> str:
        with self._lock:
            status = process.reap()
            self._process = None
            self.deaths += not self._closed
            if self._closed:
                return "the node is stopping"
            return f"the {self._name} {error}" if isinstance(error, TimeoutError) else _cause(self._name, status)


def _cause(name: str, status: int) -> str:
    how = signal.Signals(-status).name if status < 0 else f"exit status {status}, see its output"
    return f"the {name} ended ({how})"


class _Process:
    """The parent's end: a child interpreter, a pipe of messages and shared memory for arrays."""

    def __init__(self, holding: str, threads: int, niceness: int, idle: bool) -> None:
        self._pipe, child_pipe = Pipe()
        self._memory = os.memfd_create("mono_depth_recon_arrays")
        handles = (child_pipe.fileno(), self._memory)
        arguments = [holding, *(str(number) for number in (*handles, os.getpid(), niceness, int(idle)))]
        self._child = subprocess.Popen(
            [sys.executable, "-c", _BOOT, *arguments, *sys.path],
            pass_fds=handles,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
        child_pipe.close()
        reap_at_end(self._child)

    @property
    def pid(self) -> int:
        return self._child.pid

    def is_alive(self) -> bool:
        return self._child.poll() is None

    def ask(self, job: Job, arrays: Sequence[NDArray[Any]]) -> Any:
        """Runs `job` in the child; raises EOFError or OSError if the child dies, TimeoutError if it stands still."""
        layout, size = _layout(arrays)
        os.ftruncate(self._memory, max(1, size))
        with mmap.mmap(self._memory, max(1, size)) as shared:
            for array, place in zip(arrays, layout, strict=True):
                np.copyto(_view(shared, place), array)
        self._pipe.send((job, layout))
        self._wait()
        return self._pipe.recv()

    def _wait(self) -> None:
        before, still = -1, 0
        while not self._pipe.poll(_LOOK_S):
            now = _cpu_ticks(self.pid)
            before, still = now, still + 1 if now == before else 0
            if still == _LOOKS:
                raise TimeoutError(f"stood still for {_LOOK_S * _LOOKS:.0f} s and was ended")

    def kill(self) -> None:
        self._child.kill()

    def reap(self) -> int:
        """Ends the child, frees everything and returns the exit status (negative: a signal)."""
        self._child.kill()
        status = self._child.wait()
        if not self._pipe.closed:
            self._pipe.close()
            os.close(self._memory)
        return status


def _cpu_ticks(pid: int) -> int:
    """What the process has computed so far (proc(5): utime + stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _layout(arrays: Sequence[NDArray[Any]]) -> tuple[_Layout, int]:
    """Where each array lies in the shared memory, and the total number of bytes."""
    places: _Layout = []
    end = 0
    for array in arrays:
        places.append((array.dtype.str, array.shape, end))
        end += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    return places, end


def _view(shared: mmap.mmap, place: tuple[str, tuple[int, ...], int]) -> NDArray[Any]:
    kind, shape, offset = place
    return np.ndarray(shape, kind, shared, offset)


def serve(holding: str, pipe: int, memory: int, parent: int, niceness: int, idle: int) -> None:
    """The child's loop: jobs from the file descriptor `pipe`, arrays from `memory`, until `parent` ends."""
    end_with_parent(parent)
    os.nice(niceness)
    if idle:  # yields its core immediately; a merely nice process finishes its time slice, and a frame would wait
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    import cv2
    import open3d as o3d

    cv2.setNumThreads(int(os.environ["OMP_NUM_THREADS"]))  # OpenCV's own threads ignore the variable
    o3d.utility.set_verbosity_level(o3d.utility.VerbosityLevel.Error)
    held = [_made(holding)] if holding else []
    with Connection(pipe) as connection, ThreadPoolExecutor(1) as thread:
        while True:
            try:
                job, layout = connection.recv()
            except EOFError:
                return
            connection.send(_outcome(job, held, memory, layout, thread))


def _made(holding: str) -> Any:
    module, _, name = holding.partition(":")
    return getattr(import_module(module), name)()


def _outcome(job: Job, held: Sequence[Any], memory: int, layout: _Layout, thread: ThreadPoolExecutor) -> Any:
    size = os.fstat(memory).st_size
    arrays = []
    if layout:
        with mmap.mmap(memory, size, access=mmap.ACCESS_READ) as shared:
            arrays = [_view(shared, place).copy() for place in layout]  # a mapping closes only without views
    done = thread.submit(job.run, *held, *arrays)  # what this process holds outlives every error of a job
    error = done.exception()
    if error is None:
        return done.result()
    if isinstance(error, MonoDepthError):
        return error
    traceback.print_exception(error)
    return MonoDepthError(
        f"unexpected {type(error).__name__}: {error}; this is a bug, the output has the traceback; the "
        f"{type(job).__name__} was left out, nothing else is lost"
    )


def _block_interrupts() -> None:
    """Keeps Ctrl-C, which the terminal sends to children too, from the worker, which inherits the mask."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

"""Snapshots of one frame, made in a worker process: the slow steps hold Python's lock for seconds.

The worker is a fresh interpreter that imports neither ROS nor torch. Points travel through anonymous shared memory
(memfd), which the system frees by itself whatever ends first. Linux only, as ROS 2 on this package's platforms is.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

import numpy as np

from .arrays import Points
from .atomic import remove_partial_files, unused_path, writable_folder
from .config import MeshConfig
from .errors import MonoDepthError
from .mesh import Mesh, clean_cloud, cloud_from_organised, decimate, make_mesh, mesh_grid
from .mesh_files import write_cloud, write_mesh
from .mesh_finish import finish_mesh
from .mesh_quality import mesh_quality
from .mesh_texture import texture_of

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_BOOT = ("import sys; sys.path[:] = sys.argv[5:]; from mono_depth_recon.snapshot import serve; "
         "serve(*map(int, sys.argv[1:5]))")


@dataclass(frozen=True)
class SnapshotResult:
    """What a snapshot left: the file, its size, the seconds it took, a coarse mesh for display (None for clouds).

    `quality` of a mesh is one line about its parts, holes and smoothness (`MeshQuality.text`).
    """

    path: Path
    vertices: int
    triangles: int
    seconds: float
    preview: Mesh | None = None
    quality: str = ""


@dataclass(frozen=True)
class MeshJob:
    """The mesh of a frame by `settings.method`, written to `path` (or `path`_2 ... where that exists)."""

    settings: MeshConfig
    path: Path

    def run(self, points: Points) -> SnapshotResult:
        """Makes, writes and decimates the mesh of `points` (H, W, 4). Raises DataError."""
        start = time.perf_counter()
        mesh = finish_mesh(make_mesh(points, self.settings), self.settings)
        path = unused_path(self.path)
        write_mesh(mesh, path, texture_of(mesh, points) if self.settings.texture else None)
        seconds = time.perf_counter() - start
        return SnapshotResult(path, len(mesh.vertices), len(mesh.triangles), seconds, self._preview(mesh, points),
                              mesh_quality(mesh).text())

    def _preview(self, mesh: Mesh, points: Points) -> Mesh | None:
        limit = self.settings.marker_triangles
        if limit == 0:
            return None
        if self.settings.method != "grid" or len(mesh.triangles) <= limit:
            return decimate(mesh, limit)
        # A coarser grid is a hundred times faster than decimating the fine one; its steps are `stride` times larger.
        stride = int(np.ceil(np.sqrt(2 * points.shape[0] * points.shape[1] / limit)))
        stride = min(stride, max(1, min(points.shape[:2]) // 2))  # two rows and columns are left
        return mesh_grid(points[::stride, ::stride], min(1.0, self.settings.edge_ratio * stride))


@dataclass(frozen=True)
class CloudJob:
    """The cleaned cloud of a frame, written to `path` (.ply; or `path`_2 ... where that exists)."""

    settings: MeshConfig
    path: Path

    def run(self, points: Points) -> SnapshotResult:
        """Cleans and writes the cloud of `points` (H, W, 4). Raises DataError."""
        start = time.perf_counter()
        cloud = clean_cloud(cloud_from_organised(points), self.settings)
        path = unused_path(self.path)
        write_cloud(cloud, path)
        return SnapshotResult(path, len(cloud), 0, time.perf_counter() - start)


def snapshot_folder(settings: MeshConfig) -> Path:
    """`mesh.directory`, or mono_depth_recon in the ROS home (`$ROS_HOME`, else ~/.ros); made if missing.

    Raises DataError where it cannot be written: before seconds are spent on a mesh.
    """
    home = os.environ.get("ROS_HOME") or "~/.ros"
    return writable_folder(Path(settings.directory or Path(home) / "mono_depth_recon").expanduser().absolute())


class SnapshotWorker:
    """Runs jobs one after another in a process of low priority; a context manager.

    The process starts with the first job (or `start`), ends with `close`, and with this process however that ends.
    """

    def __init__(self, threads: int = 1, niceness: int = 10) -> None:
        self._threads = threads
        self._niceness = niceness
        self._lock = threading.Lock()  # guards the two below
        self._process: _Process | None = None
        self._closed = False
        # One thread for the worker's whole life: the system ends the process when the thread that started it ends.
        self._thread = ThreadPoolExecutor(1, "snapshot", initializer=_block_interrupts)

    def start(self) -> Future[int]:
        """Starts the process ahead of the first job; the future holds its process id."""
        return self._thread.submit(lambda: self._running().pid)

    def submit(self, job: MeshJob | CloudJob, points: Points) -> Future[SnapshotResult]:
        """Queues a job on organised points (H, W, 4) float32, which are copied.

        The future raises the DataError of the job, or MonoDepthError where the process died or was closed;
        the job after that gets a new process. After `close` the call itself raises MonoDepthError.
        """
        taken = np.array(points, np.float32, order="C")
        with self._lock:
            self._refuse_when_closed()
            return self._thread.submit(self._run, job, taken)

    def close(self) -> None:
        """Ends the process at once, with the job it runs; queued jobs fail. Nothing is left behind."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
        self._thread.shutdown(wait=True)
        if self._process is not None:
            self._process.reap()
            self._process = None

    def __enter__(self) -> SnapshotWorker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _running(self) -> _Process:
        with self._lock:
            self._refuse_when_closed()
            if self._process is not None and not self._process.is_alive():
                self._process.reap()
                self._process = None
            if self._process is None:
                self._process = _Process(self._threads, self._niceness)
            return self._process

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise MonoDepthError("the snapshot worker is closed: the node is stopping")

    def _run(self, job: MeshJob | CloudJob, points: Points) -> SnapshotResult:
        process = self._running()
        try:
            reply = process.ask(job, points)
        except (EOFError, OSError) as error:
            remove_partial_files(job.path.parent, process.pid)
            raise MonoDepthError(self._obituary(process, job)) from error
        if isinstance(reply, MonoDepthError):
            raise reply
        return reply

    def _obituary(self, process: _Process, job: MeshJob | CloudJob) -> str:
        with self._lock:
            status = process.reap()
            self._process = None
            if self._closed:
                return f"{job.path.name} was not made: the node is stopping"
        cause = signal.Signals(-status).name if status < 0 else f"exit status {status}, see its output"
        return (f"{job.path.name} was not made: the snapshot worker ended ({cause}); if memory ran out, raise "
                "mesh.voxel_size or lower mesh.poisson_depth; the next call starts a new worker")


class _Process:
    """The parent's end: a child interpreter, a pipe of messages and shared memory for points."""

    def __init__(self, threads: int, niceness: int) -> None:
        self._pipe, child_pipe = Pipe()
        self._memory = os.memfd_create("mono_depth_recon_points")
        handles = (child_pipe.fileno(), self._memory)
        arguments = [str(number) for number in (*handles, os.getpid(), niceness)]
        self._child = subprocess.Popen([sys.executable, "-c", _BOOT, *arguments, *sys.path], pass_fds=handles,
                                       stdin=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
        child_pipe.close()

    @property
    def pid(self) -> int:
        return self._child.pid

    def is_alive(self) -> bool:
        return self._child.poll() is None

    def ask(self, job: MeshJob | CloudJob, points: Points) -> SnapshotResult | MonoDepthError:
        """Runs `job` over there; raises EOFError or OSError where the child dies."""
        os.ftruncate(self._memory, points.nbytes)
        with mmap.mmap(self._memory, points.nbytes) as shared:
            shared[:] = points.tobytes()
        self._pipe.send((job, points.shape))
        reply: SnapshotResult | MonoDepthError = self._pipe.recv()
        return reply

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


def serve(pipe: int, memory: int, parent: int, niceness: int) -> None:
    """The child's loop: jobs from the file descriptor `pipe`, points from `memory`, until `parent` goes."""
    _die_with(parent)
    os.nice(niceness)
    import open3d as o3d

    o3d.utility.set_verbosity_level(o3d.utility.VerbosityLevel.Error)
    with Connection(pipe) as connection:
        while True:
            try:
                job, shape = connection.recv()
            except EOFError:
                return
            connection.send(_outcome(job, memory, shape))


def _outcome(job: MeshJob | CloudJob, memory: int, shape: tuple[int, ...]) -> SnapshotResult | MonoDepthError:
    with mmap.mmap(memory, 4 * int(np.prod(shape)), access=mmap.ACCESS_READ) as shared:
        points = np.frombuffer(shared, np.float32).reshape(shape).copy()  # a mapping closes only without views
    try:
        return job.run(points)
    except MonoDepthError as error:
        return error


def _die_with(parent: int) -> None:
    """Has the system kill this process with its parent, also in the middle of a step that holds Python's lock."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went before the line above
        sys.exit(0)


def _block_interrupts() -> None:
    """Keeps Ctrl-C, which the terminal sends to children too, from the worker: its parent decides (inherited mask)."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

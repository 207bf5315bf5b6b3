"""Snapshots of one frame, made in a worker process because slow steps hold Python's global lock for seconds."""

from __future__ import annotations

import os
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Points
from ..atomic import unused_path, writable_folder
from ..cloud.clean_up import clean_cloud
from ..cloud.cloud import cloud_from_organised
from ..config import MeshConfig
from ..mesh.files import write_cloud, write_mesh
from ..mesh.finish import decimate, finish_mesh
from ..mesh.grid import mesh_grid
from ..mesh.mesh import Mesh
from ..mesh.quality import mesh_quality
from ..mesh.surface import make_mesh
from ..mesh.texture import texture_of
from ..paths import expanded
from .process import Job, JobWorker


@dataclass(frozen=True)
class SnapshotResult:
    """The result of a snapshot: the file, its size, the seconds it took, a coarse mesh for display (None for clouds).

    `quality` of a mesh is one line about its parts, holes and smoothness (`MeshQuality.text`).
    """

    path: Path
    vertices: int
    triangles: int
    seconds: float
    preview: Mesh | None = None
    quality: str = ""


@dataclass(frozen=True)
class FileJob:
    """A job that writes the file `path` (or `path`_2 ... if that exists) with the parameters `settings`."""

    settings: MeshConfig
    path: Path

    @property
    def folder(self) -> Path:
        """Where the file goes."""
        return self.path.parent

    def lost(self, cause: str) -> str:
        """The message if the process ended before the file was written."""
        if cause.endswith("stopping"):
            return f"{self.path.name} was not made: {cause}"
        return (
            f"{self.path.name} was not made: {cause}; if memory ran out, raise mesh.voxel_size or lower "
            "mesh.poisson_depth; the next call starts a new worker"
        )


class MeshJob(FileJob):
    """The mesh of a frame by `settings.method`."""

    def run(self, points: Points) -> SnapshotResult:
        """Makes, writes and decimates the mesh of `points` (H, W, 4). Raises DataError."""
        start = time.perf_counter()
        mesh = finish_mesh(make_mesh(points, self.settings), self.settings)
        path = unused_path(self.path)
        write_mesh(mesh, path, texture_of(mesh, points) if self.settings.texture else None)
        seconds = time.perf_counter() - start
        return SnapshotResult(
            path,
            len(mesh.vertices),
            len(mesh.triangles),
            seconds,
            self._preview(mesh, points),
            mesh_quality(mesh).text(),
        )

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


class CloudJob(FileJob):
    """The cleaned cloud of a frame (.ply)."""

    def run(self, points: Points) -> SnapshotResult:
        """Cleans and writes the cloud of `points` (H, W, 4). Raises DataError."""
        start = time.perf_counter()
        cloud = clean_cloud(cloud_from_organised(points), self.settings)
        path = unused_path(self.path)
        write_cloud(cloud, path)
        return SnapshotResult(path, len(cloud), 0, time.perf_counter() - start)


def snapshot_folder(settings: MeshConfig) -> Path:
    """`mesh.directory`, or mono_depth_recon in the ROS home (`$ROS_HOME`, else ~/.ros); made if missing.

    Raises ConfigError for an unknown home folder, DataError if it cannot be written: before a mesh is made.
    """
    home = os.environ.get("ROS_HOME") or "~/.ros"
    return writable_folder(expanded(settings.directory or Path(home) / "mono_depth_recon").absolute())


def file_stamp() -> str:
    """The current local time for the name of a file."""
    return time.strftime("%Y%m%d_%H%M%S")


class SnapshotWorker(JobWorker):
    """The worker that makes snapshots of single frames."""

    def __init__(self, threads: int = 1, niceness: int = 10) -> None:
        super().__init__("snapshot worker", threads, niceness)

    def submit(self, job: Job, *arrays: NDArray[Any]) -> Future[SnapshotResult]:
        """As `JobWorker.submit`, of a MeshJob or CloudJob on organised points (H, W, 4) float32, which are copied."""
        return super().submit(job, *(np.array(points, np.float32, order="C") for points in arrays))

"""The map of many frames in its own process: the jobs that a node submits, and their results.

Integration and extraction hold Python's global lock for a long time; in their own process they delay nothing else.
Every job carries the fusion parameters, so that a restarted process has them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth, Matrix, Rgb
from ..atomic import unused_path
from ..camera import PinholeCamera
from ..cloud.cloud import Cloud
from ..cloud.voxel_grid import voxel_grid
from ..config import FusionConfig, MeshConfig
from ..fusion.fusion import Fusion, FusionFrame
from ..fusion.odometry import Odometry
from ..mesh.components import drop_specks
from ..mesh.files import write_cloud, write_mesh
from ..mesh.finish import finish_mesh
from ..mesh.mesh import Mesh
from ..mesh.quality import mesh_quality
from .process import JobWorker
from .snapshot import SnapshotResult

_SPECK_TRIANGLES = 60
# Odometry's world is its first frame, an optical one: turned so that x is forward, y left and z up (REP 103).
_UPRIGHT = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], np.float64)


@dataclass(frozen=True)
class MapState:
    """The outcome of a frame (`status` and `reason` as in fusion.Outcome) and the current size of the map.

    `counts`: frames by status since the start or the last reset. `memory_mib` is that of the whole process.
    """

    status: str = ""
    reason: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    blocks: int = 0
    evicted: int = 0
    memory_mib: float = 0.0
    seconds: float = 0.0


class MapKeeper:
    """What the process holds: the map, and odometry for frames without a pose."""

    def __init__(self) -> None:
        self._fusion: Fusion | None = None
        self.odometry = Odometry()

    def fusion(self, settings: FusionConfig) -> Fusion:
        """The map, created at the first call, with the present `settings`. Raises ConfigError for a missing device."""
        if self._fusion is None:
            self._fusion = Fusion(settings)
        self._fusion.settings = settings
        return self._fusion

    def state(self, settings: FusionConfig, status: str = "", reason: str = "", seconds: float = 0.0) -> MapState:
        """The map as it is now."""
        fusion = self.fusion(settings)
        return MapState(
            status, reason, dict(fusion.counts), fusion.map.blocks, fusion.map.evicted, _resident_mib(), seconds
        )


@dataclass(frozen=True)
class MapJob:
    """A job on the map."""

    settings: FusionConfig

    @property
    def folder(self) -> Path | None:
        """None: it writes no file."""
        return None

    def lost(self, cause: str) -> str:
        """The message if the process ended."""
        lost = "the map is lost, a new one begins; load_map brings back what save_map wrote (fusion.map_file)"
        return cause if cause.endswith("stopping") else f"{cause}: {lost}"


@dataclass(frozen=True)
class StillJob(MapJob):
    """Tests whether the camera `source` has hardly moved since its last fused frame, so that no depth is needed."""

    stamp: float
    T_world_camera: Matrix
    source: str = ""

    def run(self, keeper: MapKeeper) -> MapState | None:
        """The state, counted as no motion; None if the frame is wanted."""
        fusion = keeper.fusion(self.settings)
        if not fusion.stands_still(self.stamp, self.T_world_camera, self.source):
            return None
        return keeper.state(self.settings)


@dataclass(frozen=True)
class FuseJob(MapJob):
    """A frame of the camera `source` for the map; without a pose, by odometry on its own depth."""

    stamp: float
    camera: PinholeCamera
    T_world_camera: Matrix | None
    source: str = ""

    def run(self, keeper: MapKeeper, rgb: Rgb, depth: Depth, sigma: Depth | None = None) -> MapState:
        """Fuses rgb (H, W, 3), depth (H, W) and sigma (H, W) if known, or returns the reason why not."""
        begin = time.perf_counter()
        fusion, pose = keeper.fusion(self.settings), self.T_world_camera
        if pose is None:
            tracked = keeper.odometry.track(rgb, depth, self.camera)
            pose = None if tracked is None else _UPRIGHT @ tracked
        outcome = fusion.add(FusionFrame(rgb, depth, self.camera, self.stamp, pose, sigma, self.source))
        lost = pose is None and "odometry lost track: the frame does not match the last one"
        return keeper.state(self.settings, outcome.status, lost or outcome.reason, time.perf_counter() - begin)


class ResetJob(MapJob):
    """Empties the map and restarts odometry."""

    def run(self, keeper: MapKeeper) -> MapState:
        """Drops map and odometry."""
        keeper.fusion(self.settings).reset()
        keeper.odometry = Odometry()
        return keeper.state(self.settings)


@dataclass(frozen=True)
class MapFileJob(MapJob):
    """A job on the map that reads or writes the file `path`."""

    path: Path

    @property
    def folder(self) -> Path:
        """Where the file goes."""
        return self.path.parent

    def lost(self, cause: str) -> str:
        """The message if the process ended before the file was complete."""
        return f"{self.path.name}: {super().lost(cause)}"


class SaveMapJob(MapFileJob):
    """Saves the map to a file, replacing what is there."""

    def run(self, keeper: MapKeeper) -> MapState:
        """Writes it (.npz). Raises DataError."""
        keeper.fusion(self.settings).save(self.path)
        return keeper.state(self.settings)


class LoadMapJob(MapFileJob):
    """Replaces the map by that of a file."""

    def run(self, keeper: MapKeeper) -> MapState:
        """Reads it. Raises DataError and then keeps the current map."""
        keeper.fusion(self.settings).load(self.path)
        keeper.odometry = Odometry()
        return keeper.state(self.settings)


@dataclass(frozen=True)
class MapMeshJob(MapFileJob):
    """Writes the mesh of the map to `path` (or `path`_2 ... if that exists), in the world."""

    mesh: MeshConfig

    def run(self, keeper: MapKeeper) -> SnapshotResult:
        """Extracts, finishes, writes and thins. Raises DataError."""
        begin = time.perf_counter()
        mesh = finish_mesh(drop_specks(keeper.fusion(self.settings).mesh(), _SPECK_TRIANGLES), self.mesh)
        path = unused_path(self.path)
        write_mesh(mesh, path)
        seconds, limit = time.perf_counter() - begin, self.mesh.marker_triangles
        return SnapshotResult(
            path,
            len(mesh.vertices),
            len(mesh.triangles),
            seconds,
            thinned_mesh(mesh, limit, self.settings.voxel_size) if limit else None,
            mesh_quality(mesh).text(),
        )


class MapCloudJob(MapFileJob):
    """Writes the points of the map's surface to `path` (or `path`_2 ... if that exists), in the world."""

    def run(self, keeper: MapKeeper) -> SnapshotResult:
        """Extracts and writes. Raises DataError."""
        begin = time.perf_counter()
        cloud = keeper.fusion(self.settings).cloud()
        path = unused_path(self.path)
        write_cloud(cloud, path)
        return SnapshotResult(path, len(cloud), 0, time.perf_counter() - begin)


@dataclass(frozen=True)
class ShownPointsJob(MapJob):
    """Points of the map for display, `limit` at most."""

    limit: int

    def run(self, keeper: MapKeeper) -> Cloud:
        """Extracts and thins. Raises DataError for an empty map."""
        cloud, size = keeper.fusion(self.settings).cloud(), self.settings.voxel_size
        while len(cloud) > self.limit:
            size *= max(
                1.2, np.sqrt(len(cloud) / self.limit)
            )  # on a surface, twice the size leaves a quarter of the points
            cloud = Cloud(*voxel_grid(cloud.points, cloud.colors, size))
        return cloud


@dataclass(frozen=True)
class ShownMeshJob(MapJob):
    """The mesh of the map for display, `limit` triangles at most."""

    limit: int

    def run(self, keeper: MapKeeper) -> Mesh:
        """Extracts and thins. Raises DataError for an empty map."""
        return thinned_mesh(keeper.fusion(self.settings).mesh(), self.limit, self.settings.voxel_size)


def thinned_mesh(mesh: Mesh, limit: int, size: float) -> Mesh:
    """`mesh` with at most `limit` triangles: vertices within one cube of a multiple of `size` metres are merged.

    Much faster than decimation, and good enough for display.
    """
    thin = mesh
    while len(thin.triangles) > limit:
        size *= max(1.2, np.sqrt(len(thin.triangles) / limit))
        thin = _clustered(mesh, size)
    return thin


def _clustered(mesh: Mesh, size: float) -> Mesh:
    cells, cluster = np.unique(np.floor(mesh.vertices / size).astype(np.int64), axis=0, return_inverse=True)
    cluster = cluster.reshape(-1)
    counts = np.bincount(cluster)

    def means(values: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.stack([np.bincount(cluster, column, len(cells)) for column in values.T], axis=1) / counts[:, None]

    a, b, c = cluster[mesh.triangles].T
    kept = cluster[mesh.triangles][(a != b) & (b != c) & (c != a)]
    triangles = np.unique(np.sort(kept, axis=1), axis=0, return_index=True)[1]
    return Mesh(
        means(mesh.vertices).astype(np.float32),
        kept[np.sort(triangles)].astype(np.int32),
        np.rint(means(mesh.colors.astype(np.float32))).astype(np.uint8),
    )


class MapWorker(JobWorker):
    """The process of the map, which runs only when a core is otherwise idle: live frames come first."""

    def __init__(self) -> None:
        super().__init__("map worker", idle=True, holding="mono_depth_recon.workers.map:MapKeeper")


def check_device(settings: FusionConfig) -> None:
    """Raises ConfigError where `fusion.device` is cuda and missing; Open3D is asked in a process that ends."""
    if settings.device == "cuda":
        with MapWorker() as worker:
            worker.submit(ResetJob(settings)).result()


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

"""The node's map of many frames: frame and pose in, the worker process asked, its answers counted and shown.

FrameLine.offer -> mailbox -> thread: pose at the stamp, has the camera moved?, depth if nobody needed it before, fuse.
The frame path does no more than leave a frame in the mailbox, where the newest few wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Header

from ...atomic import unused_path
from ...cloud.back_projection import pack_rgb
from ...config import Config
from ...datasets.bags.poses import seconds
from ...errors import DataError, MonoDepthError
from ...frames import Frame
from ...fusion.fusion import FUSED, NO_POSE, STILL
from ...workers.map import (
    FuseJob,
    LoadMapJob,
    MapCloudJob,
    MapMeshJob,
    MapState,
    MapWorker,
    ResetJob,
    SaveMapJob,
    ShownMeshJob,
    ShownPointsJob,
    StillJob,
)
from ...workers.process import Job
from ...workers.snapshot import SnapshotResult, file_stamp, snapshot_folder
from ..conversions import mesh_to_marker, points_to_msg
from ..frame_worker import FrameWorker
from ..publications import Publications
from ..throttled_log import ThrottledLog
from .poses import Poses

_SHOWN_POINTS = 200_000
_WAITING = 4  # frames, while the map is shown or a pose is late
_VISUAL_FRAME = "visual_odom"
_VISUAL = "RGB-D odometry on the predicted depth, which drifts"
_OWN_POSES = (
    f"fusion: poses come from {_VISUAL}, in the frame '{_VISUAL_FRAME}'; for better ones set "
    "fusion.world_frame (TF) or fusion.poses (a topic)"
)


@dataclass
class MapFigures:
    """What /diagnostics says of the map; frames by what became of them, since the start of the node.

    `state` is of the map itself: its counts begin again with a reset and with a new worker.
    """

    poses: str = ""
    world: str = ""
    offered: int = 0
    dropped: int = 0
    without_pose: int = 0
    refused_poses: int = 0
    failed: int = 0
    worker_restarts: int = 0
    last_reason: str = ""
    state: MapState = field(default_factory=MapState)


@dataclass(frozen=True)
class _Offer:
    header: Header
    make: Callable[[], Frame]


@dataclass
class _Shown:
    """When a topic of the map was sent last, and what of: fused frames and subscribers."""

    at: float = 0.0
    what: tuple[int, int] = (0, 0)


class Mapping:
    """Fuses the frames that it is offered while it is active and `fusion.enabled`; the map lives until `close`.

    `failed(error)` hears of a bug in its thread.
    """

    def __init__(
        self,
        node: LifecycleNode,
        publications: Publications,
        config: Callable[[], Config],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._node, self._publications, self._config, self._failed = node, publications, config, failed
        self._log = ThrottledLog(node)
        self._worker: MapWorker | None = None
        self._poses: Poses | None = None
        self._thread: FrameWorker[_Offer] | None = None
        self._ended: Future[None] = Future()
        self._active = False
        self._header = Header()
        self._points, self._mesh = _Shown(), _Shown()
        self.figures = MapFigures()

    @property
    def services(self) -> dict[str, Callable[[], str]]:
        """What can be asked of the map, by name of the service."""
        return {"reset_map": self.reset, "save_map": self.save, "load_map": self.load}

    @property
    def running(self) -> bool:
        """Whether frames are fused."""
        return self._thread is not None

    def activate(self, active: bool) -> None:
        """Frames may come, or end. Raises ConfigError where poses cannot come from where they should."""
        self._active = active
        self.apply(self._config())

    def apply(self, config: Config) -> None:
        """Follows `fusion.enabled`; to be called where callbacks run. Raises ConfigError as `activate`."""
        wanted = self._active and config.fusion.enabled
        if wanted and self._thread is None:
            self._begin(config)
        elif not wanted and self._thread is not None:
            self._end()

    def offer(self, header: Header, make: Callable[[], Frame]) -> None:
        """Leaves a frame for the map; `make()` gives it with its depth, computed only if the map wants the frame."""
        thread = self._thread
        if thread is not None:
            self.figures.offered += 1
            self.figures.dropped += thread.put(_Offer(header, make))

    def close(self) -> None:
        """Ends thread, process and map."""
        if self._worker is not None:
            self._worker.close()
        if self._thread is not None:
            self._end()
        self._worker = None

    def save_mesh(self, path: Path) -> tuple[SnapshotResult, Header]:
        """The mesh of the map as a file, and the header of its marker. Raises MonoDepthError."""
        config = self._config()
        return self._file(MapMeshJob(config.fusion, path, config.mesh)), self._map_header()

    def save_cloud(self, path: Path) -> SnapshotResult:
        """The points of the map as a file. Raises MonoDepthError."""
        return self._file(MapCloudJob(self._config().fusion, path))

    def reset(self) -> str:
        """Begins an empty map."""
        self._answered(ResetJob(self._config().fusion))
        return "the map is empty"

    def save(self) -> str:
        """Writes the map. Raises MonoDepthError."""
        config = self._config()
        named = config.fusion.map_file
        path = _map_path(named) if named else unused_path(snapshot_folder(config.mesh) / f"map_{file_stamp()}.npz")
        state = self._answered(SaveMapJob(config.fusion, path))
        return f"{path}: {state.blocks} blocks in frame '{self.figures.world}'"

    def load(self) -> str:
        """Reads `fusion.map_file` in place of the map. Raises MonoDepthError; then the map stays."""
        settings = self._config().fusion
        if not settings.map_file:
            raise DataError("fusion.map_file must name the map to load, it is empty")
        path = _map_path(settings.map_file)
        state = self._answered(LoadMapJob(settings, path))
        return f"{path}: {state.blocks} blocks loaded; its poses were in the frame of the run that saved it"

    def _begin(self, config: Config) -> None:
        settings = config.fusion
        if settings.world_frame or settings.poses:
            self._poses = Poses(self._node, settings, config.qos.subscribe, lambda text: self._log.warn(text, "pose"))
            self._node.get_logger().info(f"fusion: poses come from {self._poses.text}")
        else:
            self._log.once(_OWN_POSES)
        self.figures.poses = self._poses.text if self._poses is not None else _VISUAL
        if self._worker is None:
            self._worker = MapWorker()
            self._worker.start()
        self._ended = Future()
        self._thread = FrameWorker(self._take, self._refuse, lambda: 0.0, self._failed, _WAITING)

    def _end(self) -> None:
        thread, self._thread = self._thread, None
        self._ended.set_result(None)
        poses, self._poses = self._poses, None
        if poses is not None:
            poses.close()
        if thread is not None:
            thread.close()

    def _take(self, offer: _Offer) -> None:
        settings, poses, pose = self._config().fusion, self._poses, None
        stamp = seconds(offer.header.stamp)
        if poses is not None:
            try:
                pose = poses.pose(offer.header.frame_id, stamp)
            except DataError as error:
                self.figures.without_pose += 1
                self._left_out(NO_POSE, str(error))
                return
            finally:
                self.figures.refused_poses = poses.refused
        self.figures.world = poses.world if poses is not None else _VISUAL_FRAME
        self._header = offer.header
        state = None if pose is None else self._wait_for(StillJob(settings, stamp, pose))
        if state is None:
            frame = offer.make()
            if frame.depth is None:
                raise DataError(f"frame without metres: {frame.no_metres}")
            arrays = (frame.rgb, frame.depth) if frame.sigma is None else (frame.rgb, frame.depth, frame.sigma)
            state = self._wait_for(FuseJob(settings, stamp, frame.camera, pose), *arrays)
        self.figures.state = state
        if state.status not in ("", FUSED, STILL):
            self._left_out(state.status, state.reason)
        try:
            self._show()
        except DataError as error:  # no surface yet
            self._log.warn(f"the map is not shown: {error}", "show")

    def _refuse(self, error: MonoDepthError) -> None:
        if self._ended.done():
            return
        self.figures.failed += 1
        self._notice_death()
        self._left_out("failed", str(error))

    def _notice_death(self) -> None:
        if self._worker is not None and self._worker.deaths > self.figures.worker_restarts:
            self.figures.worker_restarts, self.figures.state = self._worker.deaths, MapState()
            self._points, self._mesh = _Shown(), _Shown()

    def _left_out(self, status: str, reason: str) -> None:
        self.figures.last_reason = f"{status}: {reason}"
        self._log.warn(f"frame left out of the map: {status}: {reason}", status)

    def _wait_for(self, job: Job, *arrays: NDArray[Any]) -> Any:
        """The worker's answer; raises MonoDepthError, at once when the thread is to end."""
        if self._worker is None:
            raise MonoDepthError("the node is stopping")
        answer = self._worker.submit(job, *arrays)
        wait([answer, self._ended], return_when=FIRST_COMPLETED)
        if not answer.done():
            raise MonoDepthError("the node is stopping")
        return answer.result()

    def _asked(self, job: Job) -> Any:
        if self._worker is None:
            raise DataError("there is no map: set fusion.enabled" + ("" if self._active else " and activate the node"))
        try:
            return self._worker.submit(job).result()
        finally:
            self._notice_death()

    def _answered(self, job: Job) -> MapState:
        state: MapState = self._asked(job)
        self.figures.state = state
        self._points, self._mesh = _Shown(), _Shown()
        return state

    def _file(self, job: MapMeshJob | MapCloudJob) -> SnapshotResult:
        try:
            result: SnapshotResult = self._asked(job)
        except DataError as error:
            empty = not self.figures.state.blocks and self.figures.last_reason
            raise DataError(f"{error}; the last frame was left out: {empty}" if empty else str(error)) from error
        return result

    def _map_header(self) -> Header:
        return Header(stamp=self._header.stamp, frame_id=self.figures.world)

    def _show(self) -> None:
        """Sends what is due of the map to who subscribes."""
        config, topics = self._config(), self._publications
        if not self.figures.state.blocks:
            return
        if self._is_due(self._points, config.fusion.points_rate, topics.map_points):
            cloud = self._wait_for(ShownPointsJob(config.fusion, _SHOWN_POINTS))
            rgb = pack_rgb(cloud.colors[None])[..., None]
            points = np.concatenate([cloud.points[None], rgb], axis=2)
            topics.map_points.publish(points_to_msg(points, self._map_header()))
        limit = config.mesh.marker_triangles
        if limit and self._is_due(self._mesh, config.fusion.mesh_rate, topics.mesh):
            mesh = self._wait_for(ShownMeshJob(config.fusion, limit))
            topics.mesh.publish(mesh_to_marker(mesh, self._map_header()))

    def _is_due(self, shown: _Shown, rate_hz: float, publisher: Any) -> bool:
        subscribers, now = publisher.get_subscription_count(), time.monotonic()
        what = (self.figures.state.counts.get(FUSED, 0), subscribers)
        if not (rate_hz and subscribers and what != shown.what and now - shown.at >= 1 / rate_hz):
            return False
        shown.at, shown.what = now, what
        return True


def _map_path(name: str) -> Path:
    return Path(name).expanduser().absolute()

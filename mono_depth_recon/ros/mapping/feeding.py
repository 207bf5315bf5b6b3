"""Feeds frames to the map: a thread looks up the pose, checks whether the camera has moved, and fuses.

The frame path only puts a frame into a queue, which holds the newest few.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray
from std_msgs.msg import Header

from ...arrays import Matrix
from ...config import Config
from ...errors import DataError, MonoDepthError
from ...frames import Frame
from ...fusion.fusion import FUSED, NO_POSE, STILL
from ...transforms import seconds
from ...workers.map import FuseJob, MapState, StillJob
from ...workers.process import Job
from ..frame_worker import FrameWorker
from ..throttled_log import ThrottledLog
from .display import MapDisplay
from .figures import MapFigures
from .map_process import MapProcess

_WAITING = 4  # frames that wait while the map is published or a pose is late
VISUAL_FRAME = "visual_odom"


class PoseSource(Protocol):
    """Poses of the camera: `ros.mapping.poses.Poses`."""

    @property
    def world(self) -> str:
        """The frame of the poses."""

    @property
    def refused(self) -> int:
        """Faulty messages so far."""

    def pose(self, header: Header) -> Matrix:
        """T_world_camera (4, 4) for an image's frame and stamp; DataError if there is none."""

    def close(self) -> None:
        """Ends every wait."""


@dataclass(frozen=True)
class _Offer:
    header: Header
    make: Callable[[], Frame]
    camera: str


class Feeding:
    """Fuses the offered frames until `close`, along `poses`, or by the map's own odometry if None.

    There is a thread for each of `cameras`, so that one whose poses are late does not hold up another. `failed(error)`
    receives an unexpected error of such a thread.
    """

    def __init__(
        self,
        process: MapProcess,
        display: MapDisplay,
        poses: PoseSource | None,
        figures: MapFigures,
        log: ThrottledLog,
        config: Callable[[], Config],
        failed: Callable[[BaseException], None],
        cameras: Sequence[str] = ("",),
    ) -> None:
        self._process, self._display, self._poses, self._figures = process, display, poses, figures
        self._log, self._config = log, config
        self._ended: Future[None] = Future()
        self._counting, self._showing = threading.Lock(), threading.Lock()  # of figures; of the display
        self._threads: dict[str, FrameWorker[_Offer]] = {
            camera: FrameWorker(self._take, self._refuse, lambda: 0.0, failed, _WAITING) for camera in cameras
        }

    def offer(self, header: Header, make: Callable[[], Frame], camera: str = "") -> None:
        """Offers a frame to the map; `make()` returns it with depth and is called only if the map takes the frame."""
        dropped = self._threads[camera].put(_Offer(header, make, camera))
        with self._counting:
            self._figures.offered += 1
            self._figures.dropped += dropped

    def close(self) -> None:
        """Ends the threads and the poses."""
        self._ended.set_result(None)
        if self._poses is not None:
            self._poses.close()
        for thread in self._threads.values():
            thread.close()

    def _take(self, offer: _Offer) -> None:
        try:
            pose = self._pose(offer.header)
        except DataError as error:
            with self._counting:
                self._figures.without_pose += 1
                self._leave_out(NO_POSE, str(error))
            return
        world = VISUAL_FRAME if self._poses is None else self._poses.world
        with self._counting:
            self._figures.header = Header(stamp=offer.header.stamp, frame_id=world)
        state = self._fuse(offer, pose)
        with self._counting:
            self._figures.state = state
            if state.status not in ("", FUSED, STILL):
                self._leave_out(state.status, state.reason)
        try:
            with self._showing:
                self._display.publish(self._config(), self._ask)
        except DataError as error:  # no surface yet
            self._log.warn(f"the map is not shown: {error}", "show")

    def _pose(self, header: Header) -> Matrix | None:
        if self._poses is None:
            return None
        try:
            return self._poses.pose(header)
        finally:
            self._figures.refused_poses = self._poses.refused

    def _fuse(self, offer: _Offer, pose: Matrix | None) -> MapState:
        settings, stamp = self._config().fusion, seconds(offer.header.stamp)
        if pose is not None:
            still: MapState | None = self._ask(StillJob(settings, stamp, pose, offer.camera))
            if still is not None:
                return still
        frame = offer.make()
        if frame.depth is None:
            raise DataError(f"frame without metres: {frame.no_metres}")
        arrays = (frame.rgb, frame.depth) if frame.sigma is None else (frame.rgb, frame.depth, frame.sigma)
        state: MapState = self._ask(FuseJob(settings, stamp, frame.camera, pose, offer.camera), *arrays)
        return state

    def _ask(self, job: Job, *arrays: NDArray[Any]) -> Any:
        return self._process.ask_until(self._ended, job, *arrays)

    def _refuse(self, error: MonoDepthError) -> None:
        if self._ended.done():
            return
        with self._counting:
            self._figures.failed += 1
            self._process.notice_death()
            self._leave_out("failed", str(error))

    def _leave_out(self, status: str, reason: str) -> None:
        self._figures.last_reason = f"{status}: {reason}"
        self._log.warn(f"frame left out of the map: {status}: {reason}", status)

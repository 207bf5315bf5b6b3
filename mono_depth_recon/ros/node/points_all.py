"""points_all: the clouds of all cameras as one, in the robot's base frame."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from std_msgs.msg import Header

from ...arrays import Matrix
from ...cloud.back_projection import back_project
from ...config import Config
from ...errors import DataError, MonoDepthError
from ...frames import Frame
from ...pipeline import thinned
from ...transforms import frame_name, seconds
from ..conversions import points_to_msg
from ..frame_worker import FrameWorker
from ..mapping.tf import TransformSource, TransformsWhileWanted, awaited
from ..tf_messages import TF_MISSING
from ..throttled_log import ThrottledLog

_PATIENCE_S = 0.5  # for a transform that is younger than the image
NO_TF = f"points_all is not published: {TF_MISSING}"


@dataclass(frozen=True)
class _Part:
    """The newest frame of a camera, with its configuration."""

    header: Header
    frame: Frame
    config: Config


class PointsAll:
    """Publishes points_all until `close`, in a thread of its own, at most `rate_hz` times a second.

    The last cloud that came is joined by the newest of every other camera whose stamp is at most `points_all.max_age`
    away. TF places each at its own stamp; the message has the latest of these stamps. A camera whose transform does not
    come is left out, and not waited for again until it is there. To be constructed, looked after (`look`, about every
    second) and closed in the thread that runs callbacks; `failed(error)` receives an unexpected error.
    """

    def __init__(
        self,
        node: LifecycleNode,
        publisher: LifecyclePublisher,
        config: Callable[[], Config],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._node, self._publisher, self._config = node, publisher, config
        self._log = ThrottledLog(node)
        self._changed, self._closing = threading.Condition(), False
        self._offering = threading.Lock()
        self._tf = TransformsWhileWanted(node, self._changed, self._log, NO_TF)
        self._parts: dict[str, _Part] = {}  # the last that came is the last
        self._late = set[str]()  # cameras whose transform did not come
        self._worker: FrameWorker[dict[str, _Part]] = FrameWorker(
            self._take, self._refuse, lambda: config().points_all.rate, failed
        )
        self.look()

    def look(self) -> None:
        """Begins or ends to listen to TF, as somebody subscribes or nobody."""
        self._tf.look(self._publisher.get_subscription_count() > 0)

    def input_of(self, camera: str) -> Callable[[Header, Frame, Config], None]:
        """A function that hands over a frame of a camera, which replaces its last one."""

        def offer(header: Header, frame: Frame, config: Config) -> None:
            if frame.depth is not None and self._tf.source is not None and self._publisher.get_subscription_count():
                with self._offering:
                    others = {name: part for name, part in self._parts.items() if name != camera}
                    self._parts = {**others, camera: _Part(header, frame, config)}
                    self._worker.put(self._parts)

        return offer

    def close(self) -> None:
        """Ends every wait, the thread and TF."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._worker.close()
        self.rest()

    def rest(self) -> None:
        """Ends TF and forgets all clouds, until the next `look`."""
        with self._offering:
            self._parts = {}
        self._tf.close()

    def _take(self, parts: dict[str, _Part]) -> None:
        config = self._config()
        stamps = {camera: seconds(part.header.stamp) for camera, part in parts.items()}
        last, base = list(stamps.values())[-1], frame_name(config.safe.base_frame)
        placed: dict[str, NDArray[np.float32]] = {}
        tf = self._tf.source
        for camera, part in parts.items():
            if abs(last - stamps[camera]) <= config.points_all.max_age and tf is not None:
                try:
                    T = self._pose(tf, base, part.header, 0.0 if camera in self._late else _PATIENCE_S)
                except DataError as error:
                    self._late.add(camera)
                    self._say(f"points_all is without {camera or 'the cloud'}: {error}", camera)
                else:
                    self._late.discard(camera)
                    placed[camera] = moved(points_of(part.frame, part.config), T)
        if placed:
            stamp = parts[max(placed, key=lambda camera: stamps[camera])].header.stamp
            msg = points_to_msg(np.concatenate(list(placed.values()))[None], Header(stamp=stamp, frame_id=base))
            msg.is_dense = True
            self._publisher.publish(msg)

    def _pose(self, tf: TransformSource, base: str, header: Header, patience_s: float) -> Matrix:
        """T_base_camera (4, 4). Raises DataError where TF does not know it."""
        camera = frame_name(header.frame_id)
        if base == camera:
            return np.eye(4)
        return awaited(lambda: tf.pose(base, camera, header.stamp), self._changed, patience_s, lambda: self._closing)

    def _say(self, text: str, camera: str) -> None:
        if not self._closing:
            self._log.rarely(f"{text}; let TF lead from safe.base_frame to the camera", camera)

    def _refuse(self, error: MonoDepthError) -> None:
        self._say(f"points_all: {error}", "error")


def points_of(frame: Frame, config: Config) -> NDArray[np.float32]:
    """(N, 4) float32: the known points of a frame with depth and their colours, as thin as the topic `points`."""
    assert frame.depth is not None, "checked by offer"
    points = back_project(frame.depth, frame.camera, frame.rgb, config.cloud.stride)
    if config.cloud.voxel_size:
        return thinned(points, config.cloud.voxel_size)[0]
    return points[np.isfinite(points[..., 2])]


def moved(points: NDArray[np.float32], T: Matrix) -> NDArray[np.float32]:
    """Points (N, 4) with colours in another frame, by its pose (4, 4)."""
    placed = points.copy()
    placed[:, :3] = points[:, :3] @ T[:3, :3].T.astype(np.float32) + T[:3, 3].astype(np.float32)
    return placed

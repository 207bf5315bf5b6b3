"""The floor below the camera: its direction and height by TF, or gravity by an IMU on the topic `imu`."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Imu
from std_msgs.msg import Header

from ...arrays import Matrix
from ...config import Config
from ...errors import DataError
from ...scale.ground_plane import Ground
from ..subscriptions import AdaptiveSubscription
from .mounts import Mounts

_GRAVITY, _MOVING = 9.81, 2.0  # m/s^2; a mean that differs by more is no rest
_MEAN_S, _OLDEST_S = 0.5, 1.0
_KEPT = 500


class GroundInput:
    """Gravity, and by TF the height, at each image; subscribed until `close`."""

    def __init__(self, node: Node, config: Config) -> None:
        self._base = config.scale.base_frame
        by_imu = config.scale.gravity == "imu"
        self._mounts = Mounts(
            node, "the IMU" if by_imu else "the floor (scale.base_frame)", "set scale.gravity to level"
        )
        self._accelerations: deque[tuple[float, Matrix]] = deque(maxlen=_KEPT)
        self._frame = ""
        self._subscription: AdaptiveSubscription | None = None
        if by_imu:
            self._subscription = AdaptiveSubscription(
                node, Imu, node.resolve_topic_name("imu"), self._add, config.qos.subscribe, 50
            )

    def pair(self, header: Header) -> Callable[[], Ground]:
        """To be called when an image arrives; the returned function gives the ground below its camera.

        It raises DataError where TF does not know the frames, or the IMU is silent or accelerates.
        """
        if self._subscription is None:
            self._mounts.expect(self._base, header.frame_id)
            return lambda: ground_of(self._mounts.pose(self._base, header.frame_id, header.stamp))
        topic, now = self._subscription.topic, time.monotonic()
        recent = [value for at, value in self._accelerations if now - at < _OLDEST_S]
        frame = self._frame
        self._mounts.expect(frame, header.frame_id)

        def ground() -> Ground:
            if not recent:
                raise DataError(f"no message on {topic} for {_OLDEST_S:g} s: scale.gravity=imu needs an IMU")
            R = self._mounts.pose(frame, header.frame_id, header.stamp)[:3, :3]
            return Ground(R @ down_at_rest(np.mean(recent, axis=0)))

        return ground

    def close(self) -> None:
        """Ends the subscriptions."""
        if self._subscription is not None:
            self._subscription.destroy()
        self._mounts.close()

    def _add(self, msg: Imu) -> None:
        a, now = msg.linear_acceleration, time.monotonic()
        self._frame = msg.header.frame_id
        while self._accelerations and now - self._accelerations[0][0] > _MEAN_S:
            self._accelerations.popleft()
        self._accelerations.append((now, np.array([a.x, a.y, a.z])))


def ground_of(T_camera_base: Matrix) -> Ground:
    """The ground of a camera, by the pose (4, 4) of a frame on the floor, z up, in the camera."""
    down = -T_camera_base[:3, 2]
    return Ground(down, float(down @ T_camera_base[:3, 3]))


def down_at_rest(acceleration: Matrix) -> Matrix:
    """The direction of gravity (3,) by what an IMU measures at rest, which points up (REP 145). Raises DataError."""
    length = float(np.linalg.norm(acceleration))
    if not abs(length - _GRAVITY) <= _MOVING:
        raise DataError(
            f"the IMU measures {length:.1f} m/s^2, of {_GRAVITY} at rest: it accelerates, or removes gravity (publish "
            "linear_acceleration with gravity, REP 145)"
        )
    return -acceleration / length

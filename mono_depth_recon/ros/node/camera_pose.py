"""Poses of the camera in `scale.odom_frame` by TF, the node's input for that kind of evidence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rclpy.node import Node
from std_msgs.msg import Header

from ...arrays import Matrix
from ...config import Config
from .mounts import Mounts


class CameraPoses:
    """The pose at the stamp of each image; TF is listened to until `close`."""

    def __init__(self, node: Node, config: Config) -> None:
        self._odom = config.scale.odom_frame
        self._mounts = Mounts(node, "the odometry (scale.odom_frame)", "choose another scale.source")

    def pair(self, header: Header) -> Callable[[], Matrix]:
        """To be called when an image arrives; the returned function gives the pose (4, 4), or raises DataError."""
        self._mounts.expect(self._odom, header.frame_id)

        def pose() -> Matrix:
            T_camera_odom = self._mounts.pose(self._odom, header.frame_id, header.stamp)
            return np.asarray(np.linalg.inv(T_camera_odom), np.float64)

        return pose

    def close(self) -> None:
        """Ends the subscriptions."""
        self._mounts.close()

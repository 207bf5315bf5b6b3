"""Topic `reference_points`: points of another sensor, the node's input for that kind of evidence.

A sensor_msgs/PointCloud2 with x, y, z: LiDAR, radar, landmarks of a SLAM system. TF leads from its frame to the
image's at the image's stamp; `scale.extrinsic` takes the place of TF.
"""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from ...arrays import Matrix
from ...config import Config
from ...scale.points import REFERENCE_POINTS, extrinsic_pose
from ..conversions import xyz_from_msg
from .mounts import Mounts
from .nearest import NearestMessages


class ReferencePoints:
    """Recent messages of `reference_points`, subscribed until `close`."""

    def __init__(self, node: Node, config: Config) -> None:
        self._messages: NearestMessages[PointCloud2] = NearestMessages(
            node, PointCloud2, REFERENCE_POINTS.name, "reference points", config
        )
        self._given = extrinsic_pose(config.scale.extrinsic)
        self._mounts = Mounts(node, "a cloud of reference points", "set scale.extrinsic")

    def pair(self, header: Header) -> Callable[[], Matrix]:
        """To be called when an image arrives; the returned function gives its points (N, 3) in the image's frame.

        It raises DataError as `NearestMessages.pair`, if the transform is not known, or if there is no x, y or z.
        """
        message = self._messages.pair(header)
        if self._given is None:
            self._mounts.expect(self._messages.seen, header.frame_id)

        def points() -> Matrix:
            msg = message()
            T = self._given
            if T is None:
                T = self._mounts.pose(msg.header.frame_id, header.frame_id, header.stamp)
            return xyz_from_msg(msg) @ T[:3, :3].T + T[:3, 3]

        return points

    def close(self) -> None:
        """Ends the subscriptions."""
        self._messages.close()
        self._mounts.close()

"""What the node publishes of a frame, and who wants it."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from ..config import Config
from ..frames import Frame
from ..pictures import colorize_depth
from ..pipeline import Wanted
from .conversions import CloudMessage, depth_to_msg, info_to_msg, rgb_to_msg


class Publications:
    """The node's output topics.

    depth/image_rect + depth/camera_info, rgb/image_rect + rgb/camera_info, depth/preview, points, mesh;
    stamp and frame_id are the colour image's.
    """

    def __init__(self, node: LifecycleNode, reliability: str) -> None:
        qos = _qos(5, reliability)
        self.depth = node.create_lifecycle_publisher(Image, "depth/image_rect", qos)
        self.depth_info = node.create_lifecycle_publisher(CameraInfo, "depth/camera_info", qos)
        self.preview = node.create_lifecycle_publisher(Image, "depth/preview", qos)
        self.rgb = node.create_lifecycle_publisher(Image, "rgb/image_rect", qos)
        self.rgb_info = node.create_lifecycle_publisher(CameraInfo, "rgb/camera_info", qos)
        self.points = node.create_lifecycle_publisher(PointCloud2, "points", qos)
        self.mesh = node.create_lifecycle_publisher(
            Marker, "mesh", _qos(1, "reliable", DurabilityPolicy.TRANSIENT_LOCAL)
        )
        self._all = (self.depth, self.depth_info, self.preview, self.rgb, self.rgb_info, self.points, self.mesh)
        self.cloud = CloudMessage()

    def wanted(self) -> Wanted | None:
        """What of the next frame somebody subscribes to; None for nothing at all."""
        points = _subscribed(self.points)
        depth = points or any(map(_subscribed, (self.depth, self.depth_info, self.preview)))
        rgb = _subscribed(self.rgb) or _subscribed(self.rgb_info)
        return Wanted(depth=depth, points=points) if depth or rgb else None

    def publish(self, frame: Frame, header: Header, config: Config) -> None:
        """Sends every subscribed part of `frame`, the depth first. `frame.points` must be `cloud.points(...)`."""
        if frame.depth is not None:
            if _subscribed(self.depth):
                self.depth.publish(depth_to_msg(frame.depth, header, config.depth.encoding, config.depth.invalid))
            if _subscribed(self.depth_info):
                self.depth_info.publish(info_to_msg(frame.camera, header))
        if frame.points is not None:
            self.points.publish(self.cloud.stamped(header))
        if _subscribed(self.rgb):
            self.rgb.publish(rgb_to_msg(frame.rgb, header))
        if _subscribed(self.rgb_info):
            self.rgb_info.publish(info_to_msg(frame.camera, header))
        if frame.depth is not None and _subscribed(self.preview):
            self.preview.publish(rgb_to_msg(colorize_depth(frame.depth), header))

    def destroy(self, node: LifecycleNode) -> None:
        """Ends all publishers."""
        for publisher in self._all:
            node.destroy_lifecycle_publisher(publisher)


def _subscribed(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count() > 0)


def _qos(depth: int, reliability: str, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE) -> QoSProfile:
    policy = ReliabilityPolicy.RELIABLE if reliability == "reliable" else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=policy, durability=durability)

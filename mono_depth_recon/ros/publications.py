"""What the node publishes of a frame, and which of it has subscribers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from ..arrays import Rgb
from ..config import Config
from ..errors import DataError
from ..frames import Frame
from ..pictures.panels import colorize_depth, colorize_disparity
from ..pipeline import Wanted
from .conversions import (
    CloudMessage,
    compressed_depth_to_msg,
    compressed_rgb_to_msg,
    depth_to_msg,
    info_to_msg,
    rgb_to_msg,
)
from .draco import NOT_INSTALLED, Draco
from .scale_message import scale_to_msg


class SharedPublications:
    """The topics that are not of one camera: map_points and the mesh of the map, in the frame of the poses; points_all.

    The only camera publishes its mesh on `mesh` too.
    """

    def __init__(self, node: LifecycleNode, reliability: str, points_all: bool) -> None:
        self.mesh = mesh_publisher(node)
        self.map_points = node.create_lifecycle_publisher(PointCloud2, "map_points", _latched())
        qos = _qos(5, reliability)
        self.points_all = node.create_lifecycle_publisher(PointCloud2, "points_all", qos) if points_all else None

    def destroy(self, node: LifecycleNode) -> None:
        """Ends all publishers."""
        for publisher in (self.mesh, self.map_points, self.points_all):
            if publisher is not None:
                node.destroy_lifecycle_publisher(publisher)


class Publications:
    """The output topics of a camera.

    depth/image_rect + depth/camera_info, rgb/image_rect + rgb/camera_info, both images compressed, depth/preview,
    depth/sigma, depth/confidence, points, points/draco where that is installed; for a relative model also disparity;
    scale. Stamp and frame_id are the colour image's. points_safe and scan (in the robot's base frame) are published by
    `Navigation`.
    `beside`: publishers of what others make of the depth.
    """

    def __init__(
        self, node: LifecycleNode, reliability: str, relative: bool, beside: Sequence[LifecyclePublisher | None] = ()
    ) -> None:
        qos = _qos(5, reliability)
        self.depth = node.create_lifecycle_publisher(Image, "depth/image_rect", qos)
        self.depth_info = node.create_lifecycle_publisher(CameraInfo, "depth/camera_info", qos)
        self.depth_compressed = node.create_lifecycle_publisher(
            CompressedImage, "depth/image_rect/compressedDepth", qos
        )
        self.preview = node.create_lifecycle_publisher(Image, "depth/preview", qos)
        self.sigma = node.create_lifecycle_publisher(Image, "depth/sigma", qos)
        self.confidence = node.create_lifecycle_publisher(Image, "depth/confidence", qos)
        self.disparity = node.create_lifecycle_publisher(Image, "disparity", qos) if relative else None
        self.rgb = node.create_lifecycle_publisher(Image, "rgb/image_rect", qos)
        self.rgb_info = node.create_lifecycle_publisher(CameraInfo, "rgb/camera_info", qos)
        self.rgb_compressed = node.create_lifecycle_publisher(CompressedImage, "rgb/image_rect/compressed", qos)
        self.points = node.create_lifecycle_publisher(PointCloud2, "points", qos)
        self._draco = _draco_of(node)
        kind = None if self._draco is None else self._draco.message
        self.points_draco = node.create_lifecycle_publisher(kind, "points/draco", qos) if kind else None
        self.points_safe = node.create_lifecycle_publisher(PointCloud2, "points_safe", qos)
        self.scan = node.create_lifecycle_publisher(LaserScan, "scan", qos)
        self.scale = node.create_lifecycle_publisher(DiagnosticArray, "scale", qos)
        depth = (self.depth, self.depth_info, self.depth_compressed)
        metric = (*depth, self.sigma, self.confidence, self.points, self.points_draco, self.points_safe, self.scan)
        self._colour = (self.rgb, self.rgb_info, self.rgb_compressed)
        self._metric = (*metric, *beside)
        self._all = (*metric, *self._colour, self.scale, self.preview, self.disparity)
        self.cloud = CloudMessage()

    def wanted(self, metres: bool) -> Wanted | None:
        """Which parts of the next frame (with or without `metres`) have subscribers; None if none has."""
        points = metres and (_subscribed(self.points) or _subscribed(self.points_draco))
        depth = any(map(_subscribed, (self.preview, self.disparity, self.scale, *(self._metric if metres else ()))))
        rgb = any(map(_subscribed, self._colour))
        return Wanted(depth=depth, points=points) if depth or rgb else None

    def wants_sigma(self) -> bool:
        """Whether depth/sigma has a subscriber."""
        return _subscribed(self.sigma)

    def wants_confidence(self) -> bool:
        """Whether depth/confidence has a subscriber."""
        return _subscribed(self.confidence)

    def wants_navigation(self) -> tuple[bool, bool]:
        """Whether points_safe has a subscriber, and whether scan has."""
        return _subscribed(self.points_safe), _subscribed(self.scan)

    def publish(self, frame: Frame, header: Header, config: Config) -> None:
        """Sends every subscribed part of `frame`, depth first; points in `cloud.points(...)` are not copied."""
        if frame.depth is not None:
            if _subscribed(self.depth):
                self.depth.publish(depth_to_msg(frame.depth, header, config.depth.encoding, config.depth.invalid))
            if _subscribed(self.depth_info):
                self.depth_info.publish(info_to_msg(frame.camera, header))
        if frame.disparity is not None and self.disparity is not None and _subscribed(self.disparity):
            self.disparity.publish(depth_to_msg(frame.disparity, header))
        if _subscribed(self.scale) and (frame.scale is not None or frame.no_metres or frame.judgement is not None):
            self.scale.publish(scale_to_msg(frame, header))
        if frame.sigma is not None and _subscribed(self.sigma):
            self.sigma.publish(depth_to_msg(frame.sigma, header))
        if frame.confidence is not None and _subscribed(self.confidence):
            self.confidence.publish(depth_to_msg(frame.confidence, header))
        if frame.points is not None and _subscribed(self.points):
            self.points.publish(self.cloud.stamped(header, frame.points))
        if _subscribed(self.rgb):
            self.rgb.publish(rgb_to_msg(frame.rgb, header))
        if _subscribed(self.rgb_info):
            self.rgb_info.publish(info_to_msg(frame.camera, header))
        if _subscribed(self.preview) and (preview := _preview(frame)) is not None:
            self.preview.publish(rgb_to_msg(preview, header))
        if _subscribed(self.rgb_compressed):
            self.rgb_compressed.publish(compressed_rgb_to_msg(frame.rgb, header, config.compression))
        if frame.depth is not None and _subscribed(self.depth_compressed):
            self.depth_compressed.publish(compressed_depth_to_msg(frame.depth, header, config))
        if frame.points is not None and _subscribed(self.points_draco):
            self._publish_draco(self.cloud.stamped(header, frame.points))

    def destroy(self, node: LifecycleNode) -> None:
        """Ends all publishers."""
        for publisher in self._all:
            if publisher is not None:
                node.destroy_lifecycle_publisher(publisher)

    def _publish_draco(self, cloud: PointCloud2) -> None:
        assert self._draco is not None and self.points_draco is not None, "who subscribes has a topic"
        if encoded := self._draco.encoded(cloud):
            self.points_draco.publish(encoded)


def mesh_publisher(node: LifecycleNode) -> LifecyclePublisher:
    """The topic `mesh` of saved meshes, kept for who subscribes later."""
    return node.create_lifecycle_publisher(Marker, "mesh", _latched())


def _draco_of(node: LifecycleNode) -> Draco | None:
    """The encoder of points/draco; None where there is none, which is logged, as a warning if a part of it is there."""
    try:
        return Draco()
    except DataError as error:
        if str(error) == NOT_INSTALLED:
            node.get_logger().debug(str(error))
        else:
            node.get_logger().warning(str(error))
        return None


def _preview(frame: Frame) -> Rgb | None:
    if frame.depth is not None:
        return colorize_depth(frame.depth)
    return None if frame.disparity is None else colorize_disparity(frame.disparity)


def _subscribed(publisher: Any) -> bool:
    return publisher is not None and bool(publisher.get_subscription_count() > 0)


def _latched() -> QoSProfile:
    return _qos(1, "reliable", DurabilityPolicy.TRANSIENT_LOCAL)


def _qos(depth: int, reliability: str, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE) -> QoSProfile:
    policy = ReliabilityPolicy.RELIABLE if reliability == "reliable" else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=policy, durability=durability)

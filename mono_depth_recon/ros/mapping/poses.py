"""Where the camera was at an image's stamp: from TF, from a topic of poses, or from both together.

A topic of poses is one more transform: with TF it leads on from the robot's base to the camera's optical frame.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node

from ...arrays import Matrix
from ...config import MappingConfig
from ...datasets.bags.poses import Transform, frame_name, transform_of_odometry, transforms_of
from ...errors import ConfigError, DataError
from ..subscriptions import AdaptiveSubscription
from ..tf_messages import tf_message_type, tf_qos
from .transform_tree import NotYet, TransformTree, without_child

NO_TF = (
    "TF needs tf2_msgs, which is not installed: sudo apt install ros-$ROS_DISTRO-tf2-ros, or name a topic of "
    "poses in fusion.poses"
)
_TYPES: dict[str, type[Any]] = {
    "nav_msgs/msg/Odometry": Odometry,
    "geometry_msgs/msg/PoseStamped": PoseStamped,
    "geometry_msgs/msg/PoseWithCovarianceStamped": PoseWithCovarianceStamped,
}
_CAMERA = "(camera)"  # the camera's frame in the tree where a topic tells its pose without a name for it
_PATIENCE_S = 1.0  # a small message beside images of its own process may be lost at first and come with the next
_LOOK_S = 0.5


class Poses:
    """Poses of the camera from TF (`fusion.world_frame`) or from the topic `fusion.poses`, until `close`.

    `complain(text)` hears of faulty messages. To be made and closed where callbacks run; `pose` is for another thread.
    Raises ConfigError where TF is needed and not installed.
    """

    def __init__(self, node: Node, settings: MappingConfig, reliability: str, complain: Callable[[str], None]) -> None:
        self._node, self._reliability, self._complain = node, reliability, complain
        self._topic = node.resolve_topic_name(settings.poses) if settings.poses else ""
        self._world, self._told = frame_name(settings.world_frame), ""  # told: the frame whose pose the topic tells
        self._tree, self._arrived, self._closing = TransformTree(), threading.Condition(), False
        self.refused = 0
        message = tf_message_type()
        if message is None and not self._topic:
            raise ConfigError(f"fusion.world_frame '{settings.world_frame}': {NO_TF}")
        self._tf = (
            []
            if message is None
            else [
                node.create_subscription(
                    message, topic, lambda msg, fixed=fixed: self._on_tf(msg, fixed), tf_qos(fixed)
                )
                for topic, fixed in (("/tf", False), ("/tf_static", True))
            ]
        )
        self._subscription: AdaptiveSubscription | None = None
        self._looking = node.create_timer(_LOOK_S, self._look) if self._topic else None
        self._other_type = ""
        if self._topic:
            self._look()

    @property
    def world(self) -> str:
        """The frame of the poses; empty until the topic has told it."""
        return self._world

    @property
    def text(self) -> str:
        """Where they come from, for the log."""
        return f"topic {self._topic}" if self._topic else f"TF, frame '{self._world}'"

    def close(self) -> None:
        """Ends subscriptions and every wait."""
        with self._arrived:
            self._closing = True
            self._arrived.notify_all()
        if self._looking is not None:
            self._node.destroy_timer(self._looking)
        if self._subscription is not None:
            self._subscription.destroy()
        for subscription in self._tf:
            self._node.destroy_subscription(subscription)

    def pose(self, camera: str, stamp: float) -> Matrix:
        """T_world_camera (4, 4) of the frame `camera` at `stamp` seconds, waited for a moment where it may yet come.

        Raises DataError saying why there is none.
        """
        camera, end = frame_name(camera), time.monotonic() + _PATIENCE_S
        with self._arrived:
            while True:
                try:
                    return self._pose(camera, stamp)
                except NotYet:
                    left = end - time.monotonic()
                    if left <= 0 or self._closing:
                        raise
                    self._arrived.wait(left)

    def _pose(self, camera: str, stamp: float) -> Matrix:
        if self._topic and not self._told:
            raise NotYet(self._silence())
        if self._told == _CAMERA:
            camera = _CAMERA
        self._tree.follow(self._world, camera)
        try:
            return self._tree.pose(self._world, camera, stamp)
        except NotYet:
            raise
        except DataError as error:
            lacking = f" ({NO_TF})" if not self._tf and camera not in self._tree.frames else ""
            raise DataError(f"{self.text}: {error}{lacking}") from error

    def _silence(self) -> str:
        if self._other_type:
            return f"{self._topic} must be of type {' or '.join(_TYPES)}, it is {self._other_type}"
        silent = self._node.count_publishers(self._topic) == 0
        return f"no pose on {self._topic} yet{': nobody publishes it' if silent else ''}"

    def _look(self) -> None:
        """Subscribes as soon as a publisher tells the topic's type."""
        offers = self._node.get_publishers_info_by_topic(self._topic)
        kinds = [_TYPES[offer.topic_type] for offer in offers if offer.topic_type in _TYPES]
        self._other_type = offers[0].topic_type if offers and not kinds else ""
        if kinds and self._subscription is None:
            self._subscription = AdaptiveSubscription(
                self._node, kinds[0], self._topic, self._on_pose, self._reliability, 50
            )

    def _on_pose(self, msg: Any) -> None:
        transform = transform_of_odometry(msg, _CAMERA)
        with self._arrived:
            self._told, self._world = transform.child, self._world or transform.parent
        self._take([transform])

    def _on_tf(self, msg: Any, fixed: bool) -> None:
        self._take(without_child(transforms_of(msg, fixed), self._told))

    def _take(self, transforms: Iterable[Transform]) -> None:
        with self._arrived:
            for transform in transforms:
                try:
                    self._tree.add(transform)
                except DataError as error:
                    self.refused += 1
                    self._complain(str(error))
            self._arrived.notify_all()

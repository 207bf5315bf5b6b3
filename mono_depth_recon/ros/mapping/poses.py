"""Poses of the camera at an image's stamp: from TF, from a topic of poses, or from both together.

With TF, a topic of poses need not be the camera's: TF leads from the robot's base to the camera's optical frame.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped, TransformStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from std_msgs.msg import Header

from ...arrays import Matrix
from ...config import MappingConfig
from ...errors import ConfigError, DataError
from ...transforms import NotYet, frame_name, seconds, transform_of_odometry
from ..subscriptions import AdaptiveSubscription
from ..tf_messages import TF_MISSING
from ..timers import steady_timer
from .tf import awaited, live_tree, transform_source

_NO_TF = f"{TF_MISSING}, or name a topic of poses in fusion.poses"
_NO_TF_FROM = TF_MISSING + ", or publish poses of '{source}' itself, in the frame '{target}'"
_TYPES: dict[str, type[Any]] = {
    "nav_msgs/msg/Odometry": Odometry,
    "geometry_msgs/msg/PoseStamped": PoseStamped,
    "geometry_msgs/msg/PoseWithCovarianceStamped": PoseWithCovarianceStamped,
    "geometry_msgs/msg/TransformStamped": TransformStamped,
}
_CAMERA = "(camera)"  # stands for the camera's frame if the topic gives its pose without naming it
_PATIENCE_S = 1.0  # a small message may be lost at first among the images of its process and arrive with the next one
_LOOK_S = 0.5


class Poses:
    """Poses of the camera from TF (`fusion.world_frame`) or from the topic `fusion.poses`, until `close`.

    `several` cameras ask for theirs. `warn(text)` receives faults of messages. To be constructed and closed in the
    thread that runs callbacks; `pose` is for other threads. Raises ConfigError if TF is needed and not installed.
    """

    def __init__(
        self,
        node: Node,
        settings: MappingConfig,
        reliability: str,
        warn: Callable[[str], None],
        several: bool = False,
    ) -> None:
        self._node, self._reliability, self._warn, self._several = node, reliability, warn, several
        self._topic = node.resolve_topic_name(settings.poses) if settings.poses else ""
        self._world = frame_name(settings.world_frame)
        self._parent, self._child = "", ""  # of the topic's poses, empty until the first
        self._poses, self._changed, self._closing = live_tree(), threading.Condition(), False
        self._refused = 0
        self._tf = transform_source(node, self._changed, warn)
        if self._tf is None and not self._topic:
            raise ConfigError(f"fusion.world_frame '{settings.world_frame}': {_NO_TF}")
        self._subscription: AdaptiveSubscription | None = None
        self._looking = steady_timer(node, _LOOK_S, self._look) if self._topic else None
        self._other_type = ""
        if self._topic:
            self._look()

    @property
    def world(self) -> str:
        """The frame of the poses; empty until the first message of the topic names it."""
        return self._world

    @property
    def text(self) -> str:
        """Their source, for the log."""
        return f"topic {self._topic}" if self._topic else f"TF, frame '{self._world}'"

    @property
    def refused(self) -> int:
        """Faulty messages so far."""
        return self._refused + (0 if self._tf is None else self._tf.refused)

    def close(self) -> None:
        """Ends subscriptions and every wait."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._looking is not None:
            self._node.destroy_timer(self._looking)
        if self._subscription is not None:
            self._subscription.destroy()
        if self._tf is not None:
            self._tf.close()

    def pose(self, header: Header) -> Matrix:
        """T_world_camera (4, 4) for the frame and stamp of an image's header; waits a moment if it may still arrive.

        Raises DataError with the reason if there is none.
        """
        camera = frame_name(header.frame_id)
        return awaited(lambda: self._pose(camera, header.stamp), self._changed, _PATIENCE_S, lambda: self._closing)

    def _pose(self, camera: str, stamp: Time) -> Matrix:
        if not self._topic:
            return self._by_tf(self._world, camera, stamp)
        if not self._child:
            raise NotYet(self._silence())
        if self._child == _CAMERA and self._several:
            raise DataError(
                f"{self._topic} gives one pose without saying of which frame, and there are several cameras: publish "
                "Odometry with child_frame_id, or set fusion.world_frame alone (TF)"
            )
        if self._child == _CAMERA and self._parent == camera:
            raise DataError(f"{self._topic} has poses of the camera in its own frame '{camera}'")
        mount = self._by_tf(self._child, camera, stamp) if self._child != _CAMERA else np.eye(4)
        T_world_parent = self._by_tf(self._world, self._parent, stamp)
        return T_world_parent @ self._poses.pose(self._parent, self._child, seconds(stamp)) @ mount

    def _by_tf(self, target: str, source: str, stamp: Time) -> Matrix:
        """The pose of `source` in `target`; the identity if they are the same frame, which TF need not know."""
        if target == source:
            return np.eye(4)
        what = f"{self.text}: " + (f"TF must lead from '{target}' to '{source}': " if self._topic else "")
        if self._tf is None:
            raise DataError(what + _NO_TF_FROM.format(source=source, target=target))
        try:
            return self._tf.pose(target, source, stamp)
        except NotYet:
            raise
        except DataError as error:
            raise DataError(f"{what}{error}") from error

    def _silence(self) -> str:
        if self._other_type:
            return f"{self._topic} must be of type {' or '.join(_TYPES)}, it is {self._other_type}"
        if self._refused:
            return f"no usable pose on {self._topic} yet: {self._refused} were refused"
        silent = self._node.count_publishers(self._topic) == 0
        return f"no pose on {self._topic} yet{': nobody publishes it' if silent else ''}"

    def _look(self) -> None:
        """Subscribes as soon as a publisher makes the topic's type known."""
        offers = self._node.get_publishers_info_by_topic(self._topic)
        kinds = [_TYPES[offer.topic_type] for offer in offers if offer.topic_type in _TYPES]
        self._other_type = offers[0].topic_type if offers and not kinds else ""
        if kinds and self._subscription is None:
            self._subscription = AdaptiveSubscription(
                self._node, kinds[0], self._topic, self._on_pose, self._reliability, 50
            )

    def _on_pose(self, msg: Any) -> None:
        transform = transform_of_odometry(msg, _CAMERA)
        with self._changed:
            try:
                self._poses.add(transform)
            except DataError as error:
                self._refused += 1
                self._warn(str(error))
            else:
                self._parent, self._child = transform.parent, transform.child
                self._world = self._world or transform.parent
            self._changed.notify_all()

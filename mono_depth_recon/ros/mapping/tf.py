"""TF as a source of poses: tf2_ros where it is installed; where only tf2_msgs is, its messages and our own tree."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import yaml
from builtin_interfaces.msg import Time
from rclpy import time as rclpy_time
from rclpy.node import Node

from ...arrays import Matrix
from ...errors import DataError
from ...poses import pose_matrix
from ...transforms import NoPose, NotYet, TransformTree, seconds, transforms_of, unknown_frame
from ..tf_messages import tf_message_type, tf_qos

_MAX_GAP_S = 0.5
_KEEP_S = 10.0  # as tf2 does
_RESTART_S = 1.0  # a transform older than the newest by less was overtaken on its way; by more, time went back


class TransformSource(Protocol):
    """Poses of frames in one another at the stamps of images, until `close`; `refused` counts faulty transforms."""

    refused: int

    def pose(self, target: str, source: str, stamp: Time) -> Matrix:
        """Pose (4, 4) of the frame `source` in `target`; raises as `TransformTree.pose`."""

    def close(self) -> None:
        """Ends the subscriptions."""


def transform_source(
    node: Node, changed: threading.Condition, complain: Callable[[str], None]
) -> TransformSource | None:
    """TF as `node` hears it, None where neither tf2_ros nor tf2_msgs is installed.

    `changed` guards what our own tree holds and is notified of its news; `complain(text)` gets its faulty transforms.
    """
    try:
        import tf2_ros
    except ImportError:
        message = tf_message_type()
        return None if message is None else TfMessages(node, message, changed, complain)
    return Tf2(node, tf2_ros)


def live_tree() -> TransformTree:
    """A tree for transforms that arrive while they are asked for: it interpolates over 0.5 s and keeps 10 s."""
    return TransformTree(_MAX_GAP_S, keep_s=_KEEP_S, restart_s=_RESTART_S)


class Tf2:
    """TF by tf2_ros, which interpolates between any two transforms of the last 10 s that enclose the stamp.

    tf2 reports faulty transforms itself, in the log; they are not counted here.
    """

    def __init__(self, node: Node, tf2_ros: Any) -> None:
        self.refused = 0
        self._tf2 = tf2_ros
        self._buffer = tf2_ros.Buffer()  # without the node: with it there is a service /tf2_frames that nothing ends
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self._last = -1.0

    def pose(self, target: str, source: str, stamp: Time) -> Matrix:
        """See TransformSource. Where the stamp goes back, what tf2 holds is of the future, and is forgotten."""
        at = seconds(stamp)
        if at < self._last - _RESTART_S:
            self._buffer.clear()
        self._last = at
        try:
            found = self._buffer.lookup_transform(target, source, rclpy_time.Time.from_msg(stamp)).transform
        except self._tf2.ExtrapolationException as error:
            newest = self._buffer.get_latest_common_time(target, source).nanoseconds / 10**9
            if newest < at:
                raise NotYet(
                    f"the last pose of '{source}' in '{target}' is {at - newest:.2f} s older than the image"
                ) from error
            raise NoPose(f"the poses of '{source}' in '{target}' begin after the image's stamp") from error
        except self._tf2.LookupException as error:
            known = self._frames()
            missing = next((name for name in (target, source) if name not in known), target)
            raise DataError(unknown_frame(missing, known)) from error
        except self._tf2.TransformException as error:
            raise DataError(f"no transforms lead from '{target}' to '{source}': {error}") from error
        t, q = found.translation, found.rotation
        return pose_matrix((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))

    def close(self) -> None:
        """Ends the subscriptions."""
        self._listener.unregister()

    def _frames(self) -> set[str]:
        """The names of all known frames: tf2 lists each with its parent."""
        listed = yaml.safe_load(self._buffer.all_frames_as_yaml()) or {}
        return {*listed, *(about["parent"] for about in listed.values())}


class TfMessages:
    """TF from its messages, in our own tree."""

    def __init__(
        self, node: Node, message: type[Any], changed: threading.Condition, complain: Callable[[str], None]
    ) -> None:
        self.refused = 0
        self._node, self._changed, self._complain = node, changed, complain
        self._tree, self._frames = live_tree(), set[str]()
        self._subscriptions = [
            node.create_subscription(message, topic, lambda msg, fixed=fixed: self._take(msg, fixed), tf_qos(fixed))
            for topic, fixed in (("/tf", False), ("/tf_static", True))
        ]

    def pose(self, target: str, source: str, stamp: Time) -> Matrix:
        """See TransformSource; to be called with `changed` held. Of moving frames it keeps what such calls need."""
        self._frames |= {target, source}
        self._tree.follow(*sorted(self._frames))
        return self._tree.pose(target, source, seconds(stamp))

    def close(self) -> None:
        """Ends the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _take(self, msg: Any, fixed: bool) -> None:
        with self._changed:
            for transform in transforms_of(msg, fixed):
                try:
                    self._tree.add(transform)
                except DataError as error:
                    self.refused += 1
                    self._complain(str(error))
            self._changed.notify_all()

"""TF as messages, if tf2_msgs is installed: every ROS 2 has it, the wheels do not."""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header

from ..arrays import Matrix
from .conversions import odometry_to_msg

TF_MISSING = "TF needs tf2_msgs, which is not installed: sudo apt install ros-$ROS_DISTRO-tf2-ros"
_LISTENED = 100
# A reliable publisher of Fast DDS sends heartbeats along with its samples only near the end of its history: with 100, a
# lost transform waits seconds for the periodic heartbeat.
_PUBLISHED = 5


def tf_message_type() -> type[Any] | None:
    """tf2_msgs/TFMessage, or None if it is not installed."""
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        return None
    message: type[Any] = TFMessage
    return message


def tf_qos(fixed: bool) -> QoSProfile:
    """The QoS of tf2_ros' listener: fixed transforms are sent once and kept for late subscribers."""
    durability = DurabilityPolicy.TRANSIENT_LOCAL if fixed else DurabilityPolicy.VOLATILE
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=_LISTENED, durability=durability, reliability=ReliabilityPolicy.RELIABLE
    )


def transform_to_msg(T_parent_child: Matrix, header: Header, child_frame_id: str) -> TransformStamped:
    """Pose (4, 4) of the frame `child_frame_id` in that of `header` -> TransformStamped."""
    pose = odometry_to_msg(T_parent_child, header, child_frame_id).pose.pose
    msg = TransformStamped(header=header, child_frame_id=child_frame_id)
    translation = msg.transform.translation
    translation.x, translation.y, translation.z = pose.position.x, pose.position.y, pose.position.z
    msg.transform.rotation = pose.orientation
    return msg


class TfPublisher:
    """Publishes /tf; does nothing if tf2_msgs is not installed (`topic` is then empty)."""

    def __init__(self, node: Node) -> None:
        self._message = tf_message_type()
        self.publisher: Publisher[Any] | None = None
        if self._message is not None:
            qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=_PUBLISHED, reliability=ReliabilityPolicy.RELIABLE)
            self.publisher = node.create_publisher(self._message, "/tf", qos)

    @property
    def topic(self) -> str:
        """The resolved name, empty if nothing is published."""
        return "" if self.publisher is None else str(self.publisher.topic_name)

    def send(self, T_parent_child: Matrix, header: Header, child_frame_id: str) -> None:
        """Sends one transform."""
        if self.publisher is not None and self._message is not None:
            self.publisher.publish(self._message(transforms=[transform_to_msg(T_parent_child, header, child_frame_id)]))

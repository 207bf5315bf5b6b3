"""Where other sensors are, seen from the camera: TF, listened to once a message comes in another frame."""

from __future__ import annotations

import threading

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.node import Node

from ...arrays import Matrix
from ...errors import DataError
from ...transforms import frame_name
from ..mapping.tf import TransformSource, awaited, transform_source

_PATIENCE_S = 0.1  # for the transform of a moving frame, which may arrive after the image


class Mounts:
    """Poses of other frames in the image's. Made, used and closed where callbacks run; `pose` is for any thread.

    `noun` is what comes in the other frame, `otherwise` how to do without TF, for messages.
    """

    def __init__(self, node: Node, noun: str, otherwise: str) -> None:
        self._node, self._noun, self._otherwise = node, noun, otherwise
        self._changed = threading.Condition()
        self._transforms: TransformSource | None = None

    def expect(self, own: str, frame: str) -> None:
        """Listens to TF where `own` is another frame than `frame`, the image's."""
        if self._transforms is None and differ(own, frame):
            self._transforms = transform_source(self._node, self._changed, self._complain)

    def pose(self, own: str, frame: str, stamp: Time) -> Matrix:
        """Pose (4, 4) of the frame `own` in `frame`, the image's. Raises DataError where it is not known."""
        if not differ(own, frame):
            return np.eye(4)
        own, frame = frame_name(own), frame_name(frame)
        transforms = self._transforms
        if transforms is None:
            raise DataError(
                f"{self._noun} is in the frame '{own}', the image in '{frame}', and TF is not there yet: "
                f"it needs tf2_ros or tf2_msgs; or {self._otherwise}"
            )
        return awaited(lambda: transforms.pose(frame, own, stamp), self._changed, _PATIENCE_S, lambda: False)

    def close(self) -> None:
        """Ends the subscriptions."""
        if self._transforms is not None:
            self._transforms.close()

    def _complain(self, text: str) -> None:
        self._node.get_logger().warning(text)


def differ(own: str, frame: str) -> bool:
    """Whether both frames have a name, and it is not the same."""
    names = frame_name(own), frame_name(frame)
    return all(names) and names[0] != names[1]

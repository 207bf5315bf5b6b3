"""Reference depth that is not registered to the image: its camera and the transform to the colour camera."""

from __future__ import annotations

import threading

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from ...arrays import Depth, Matrix
from ...config import Config
from ...errors import CalibrationError, DataError
from ...messages import camera_of_info, depth_of, is_rectified
from ...registration import DepthView
from ...scale.reference import REFERENCE_DEPTH
from ...transforms import frame_name
from ..mapping.tf import TransformSource, transform_source
from ..subscriptions import AdaptiveSubscription

TOPIC = "reference_camera_info"
_FAR_M = 200.0  # a median that no depth camera has, and far below that of near depth in millimetres


class Registration:
    """Listens to `reference_camera_info`, and to TF once depth comes in another frame than the image's.

    `seen` is the frame_id of the newest depth. Made, used and closed where callbacks run; `view` is for any thread.
    """

    def __init__(self, node: Node, config: Config) -> None:
        self._node, self._changed = node, threading.Condition()
        self._info: CameraInfo | None = None
        self._transforms: TransformSource | None = None
        self.seen = ""
        self._rectified = is_rectified(node.resolve_topic_name(REFERENCE_DEPTH.name))
        self._subscription = AdaptiveSubscription(
            node, CameraInfo, node.resolve_topic_name(TOPIC), self._add, config.qos.subscribe
        )

    def expect(self, frame: str) -> None:
        """Listens to TF where the newest depth is in another frame than `frame`, the image's."""
        if self._transforms is None and _differ(self.seen, frame):
            self._transforms = transform_source(self._node, self._changed, self._complain)

    def view(self, msg: Image, frame: str) -> Depth | DepthView:
        """The depth of a message for an image in `frame`: as it is where it is registered, else with its camera.

        Raises DataError, with what to do, where it is in another frame and its camera or the transform is not known.
        """
        depth, info = depth_of(msg), self._info
        if msg.encoding == "32FC1" and (median := _median(depth)) > _FAR_M:
            raise DataError(
                f"reference depth in 32FC1 must be metres, got a median of {median:g}, as of millimetres: let its "
                "publisher divide by 1000, or send 16UC1"
            )
        frame, own = frame_name(frame), frame_name(msg.header.frame_id)
        apart = _differ(own, frame)
        if info is None:
            if apart:
                raise DataError(
                    f"reference depth is in the frame '{own}', the image in '{frame}', and nothing "
                    f"comes on {self._subscription.topic}: remap it to the depth's camera_info, or register the depth"
                )
            return depth
        try:
            camera = camera_of_info(info, self._rectified)
        except CalibrationError as error:
            raise DataError(f"{self._subscription.topic}: {error}") from error
        return DepthView(depth, camera, self._transform(msg, frame) if apart else np.eye(4))

    def close(self) -> None:
        """Ends the subscriptions."""
        self._subscription.destroy()
        if self._transforms is not None:
            self._transforms.close()

    def _add(self, msg: CameraInfo) -> None:
        self._info = msg

    def _complain(self, text: str) -> None:
        self._node.get_logger().warning(text)

    def _transform(self, msg: Image, frame: str) -> Matrix:
        names = frame_name(frame), frame_name(msg.header.frame_id)
        if self._transforms is None:
            raise DataError(
                f"reference depth is in the frame '{names[1]}', the image in '{names[0]}', and TF is not there yet: "
                "it needs tf2_ros or tf2_msgs; or register the depth"
            )
        with self._changed:
            return self._transforms.pose(*names, msg.header.stamp)


def _median(depth: Depth) -> float:
    known = depth[np.isfinite(depth)]
    return float(np.median(known)) if known.size else 0.0


def _differ(depth_frame: str, frame: str) -> bool:
    names = frame_name(depth_frame), frame_name(frame)
    return all(names) and names[0] != names[1]

"""Reference depth that is not registered to the image: its camera and the transform to the colour camera."""

from __future__ import annotations

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from ...arrays import Depth
from ...config import Config
from ...errors import CalibrationError, DataError
from ...messages import camera_of_info, depth_of, is_rectified
from ...registration import DepthView
from ...scale.reference import REFERENCE_DEPTH
from ...transforms import frame_name
from ..subscriptions import AdaptiveSubscription
from .mounts import Mounts, differ

TOPIC = "reference_camera_info"
_FAR_M = 200.0  # a median that no depth camera has, and far below that of near depth in millimetres


class Registration:
    """Listens to `reference_camera_info`, and to TF once depth comes in another frame than the image's.

    Made, used and closed where callbacks run; `view` is for any thread.
    """

    def __init__(self, node: Node, config: Config) -> None:
        self._info: CameraInfo | None = None
        self._mounts = Mounts(node, "reference depth", "register the depth")
        self._rectified = is_rectified(node.resolve_topic_name(REFERENCE_DEPTH.name))
        self._subscription = AdaptiveSubscription(
            node, CameraInfo, node.resolve_topic_name(TOPIC), self._add, config.qos.subscribe
        )

    def expect(self, seen: str, frame: str) -> None:
        """Listens to TF where the newest depth, in `seen`, is in another frame than `frame`, the image's."""
        self._mounts.expect(seen, frame)

    def view(self, msg: Image, frame: str) -> Depth | DepthView:
        """The depth of a message for an image in `frame`: as it is where it is registered, else with its camera.

        Raises DataError, with what to do, where it is in another frame and its camera or the transform is not known.
        """
        depth, info, own = depth_of(msg), self._info, msg.header.frame_id
        if msg.encoding == "32FC1" and (median := _median(depth)) > _FAR_M:
            raise DataError(
                f"reference depth in 32FC1 must be metres, got a median of {median:g}, as of millimetres: let its "
                "publisher divide by 1000, or send 16UC1"
            )
        if info is None:
            if differ(own, frame):
                raise DataError(
                    f"reference depth is in the frame '{frame_name(own)}', the image in '{frame_name(frame)}', and "
                    f"nothing comes on {self._subscription.topic}: remap it to the depth's camera_info, or register "
                    "the depth"
                )
            return depth
        try:
            camera = camera_of_info(info, self._rectified)
        except CalibrationError as error:
            raise DataError(f"{self._subscription.topic}: {error}") from error
        return DepthView(depth, camera, self._mounts.pose(own, frame, msg.header.stamp))

    def close(self) -> None:
        """Ends the subscriptions."""
        self._subscription.destroy()
        self._mounts.close()

    def _add(self, msg: CameraInfo) -> None:
        self._info = msg


def _median(depth: Depth) -> float:
    known = depth[np.isfinite(depth)]
    return float(np.median(known)) if known.size else 0.0

"""Topic `reference_depth`: measured depth of the colour image, the node's input for that kind of evidence.

Registered to the colour image and stamped with the same clock: the depth camera's, a projected laser scan, the points
of a visual SLAM; sparse or dense, at any resolution. Depth in another frame, or of another K by its camera_info on
`reference_camera_info`, is registered here, by TF.
"""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ...arrays import Depth
from ...config import Config
from ...registration import DepthView
from ...scale.reference import REFERENCE_DEPTH
from .nearest import NearestMessages
from .registration import Registration


class ReferenceDepths:
    """Recent messages of `reference_depth`, subscribed until `close`."""

    def __init__(self, node: Node, config: Config) -> None:
        self._messages: NearestMessages[Image] = NearestMessages(
            node, Image, REFERENCE_DEPTH.name, "reference depth", config
        )
        self._registration = Registration(node, config)

    def pair(self, header: Header) -> Callable[[], Depth | DepthView]:
        """To be called when an image arrives; the returned function gives its depth (h, w) in metres, NaN unknown.

        It raises DataError as `NearestMessages.pair`, or if the message is no depth image.
        """
        message = self._messages.pair(header)
        self._registration.expect(self._messages.seen, header.frame_id)
        return lambda: self._registration.view(message(), header.frame_id)

    def close(self) -> None:
        """Ends the subscription."""
        self._messages.close()
        self._registration.close()

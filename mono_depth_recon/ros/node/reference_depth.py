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
from ...errors import DataError
from ...registration import DepthView
from ...scale.reference import REFERENCE_DEPTH
from ..conversions import nanoseconds
from ..pairing import StampedMessages
from ..subscriptions import AdaptiveSubscription
from .registration import Registration

MATCH_S = 0.02  # stamps no farther apart belong together
MAX_AGE_S = 0.5  # otherwise the nearest one is used, if no farther away
_PATIENCE_S = 0.1


class ReferenceDepths:
    """Recent messages of `reference_depth`, subscribed until `close`."""

    def __init__(self, node: Node, config: Config) -> None:
        self._node = node
        self._messages: StampedMessages[Image] = StampedMessages(
            MATCH_S, lambda recent, at: min(recent, key=lambda kept: abs(kept[0] - at)), lambda: _PATIENCE_S
        )
        self._subscription = AdaptiveSubscription(
            node, Image, node.resolve_topic_name(REFERENCE_DEPTH.name), self._add, config.qos.subscribe, 5
        )
        self._registration = Registration(node, config)

    def pair(self, header: Header) -> Callable[[], Depth | DepthView]:
        """To be called when an image arrives; the returned function gives its depth (h, w) in metres, NaN unknown.

        It uses the message within MATCH_S of the image, else the nearest one that arrived before the image, at most
        MAX_AGE_S away. It raises DataError if no message is near enough or the message is no depth image.
        """
        pair, stamp = self._messages.pair(header.stamp), nanoseconds(header.stamp)

        self._registration.expect(header.frame_id)

        def depth() -> Depth | DepthView:
            found = pair()
            if found is None:
                raise DataError(self._none())
            apart = abs(found[0] - stamp) / 1e9
            if apart > MAX_AGE_S:
                raise DataError(
                    f"reference depth must be stamped within {MAX_AGE_S:g} s of the image, the nearest on "
                    f"{self._subscription.topic} is {apart:.3g} s away: publish it with the stamps of the camera"
                )
            return self._registration.view(found[1], header.frame_id)

        return depth

    def close(self) -> None:
        """Ends the subscription."""
        self._subscription.destroy()
        self._registration.close()

    def _add(self, msg: Image) -> None:
        self._registration.seen = msg.header.frame_id
        self._messages.add(msg.header.stamp, msg)

    def _none(self) -> str:
        topic = self._subscription.topic
        silent = not self._node.count_publishers(topic)
        return f"no reference depth on {topic} yet{': nobody publishes it' if silent else ''}"

"""Messages of another sensor beside the image: the nearest in time belongs to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from rclpy.node import Node
from std_msgs.msg import Header

from ...config import Config
from ...errors import DataError
from ..conversions import nanoseconds
from ..pairing import StampedMessages
from ..subscriptions import AdaptiveSubscription

MATCH_S = 0.02  # stamps no farther apart belong together
MAX_AGE_S = 0.5  # otherwise the nearest one is used, if no farther away
_PATIENCE_S = 0.1

M = TypeVar("M")


class NearestMessages(Generic[M]):
    """Recent messages of the topic that the node calls `name`, subscribed until `close`; `noun` is for messages.

    `seen` is the frame_id of the newest.
    """

    def __init__(self, node: Node, msg_type: type[Any], name: str, noun: str, config: Config) -> None:
        self._node, self._noun, self.seen = node, noun, ""
        self._messages: StampedMessages[M] = StampedMessages(
            MATCH_S, lambda recent, at: min(recent, key=lambda kept: abs(kept[0] - at)), lambda: _PATIENCE_S
        )
        self._subscription = AdaptiveSubscription(
            node, msg_type, node.resolve_topic_name(name), self._add, config.qos.subscribe, 5
        )

    def pair(self, header: Header) -> Callable[[], M]:
        """To be called when an image arrives; the returned function gives its message.

        That is the one within MATCH_S of the image, else the nearest one that arrived before the image, at most
        MAX_AGE_S away. It raises DataError if no message is near enough.
        """
        pair, stamp = self._messages.pair(header.stamp), nanoseconds(header.stamp)

        def message() -> M:
            found = pair()
            if found is None:
                raise DataError(self._none())
            apart = abs(found[0] - stamp) / 1e9
            if apart > MAX_AGE_S:
                raise DataError(
                    f"{self._noun} must be stamped within {MAX_AGE_S:g} s of the image, the nearest on "
                    f"{self._subscription.topic} is {apart:.3g} s away: publish with the stamps of the camera, "
                    "and see whether messages are lost or it stopped"
                )
            return found[1]

        return message

    def close(self) -> None:
        """Ends the subscription."""
        self._subscription.destroy()

    def _add(self, msg: Any) -> None:
        self.seen = msg.header.frame_id
        self._messages.add(msg.header.stamp, msg)

    def _none(self) -> str:
        topic = self._subscription.topic
        silent = not self._node.count_publishers(topic)
        return f"no {self._noun} on {topic} yet{': nobody publishes it' if silent else ''}"

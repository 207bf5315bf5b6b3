"""The depth beside the colour image that a relative model's scale is fitted on: topic `reference_depth`.

Registered to the colour image and stamped with the same clock: the depth camera's, a projected laser scan, the points
of a visual SLAM; sparse or dense, at any resolution.
"""

from __future__ import annotations

import threading
from collections import deque

from builtin_interfaces.msg import Time
from rclpy.node import Node
from sensor_msgs.msg import Image

from ...arrays import Depth
from ...errors import DataError
from ...messages import depth_of
from ..subscriptions import AdaptiveSubscription

MATCH_S = 0.02  # stamps no farther apart belong together
MAX_AGE_S = 0.5  # otherwise the nearest one counts that is no farther away
_PATIENCE_S = 0.1
_KEPT = 8


class ReferenceDepths:
    """Recent messages of `reference_depth`; subscribed only while `listen(True)`."""

    def __init__(self, node: Node, reliability: str) -> None:
        self._node, self._reliability = node, reliability
        self._topic = node.resolve_topic_name("reference_depth")
        self._subscription: AdaptiveSubscription | None = None
        self._arrived = threading.Condition()
        self._recent: deque[tuple[float, Image]] = deque(maxlen=_KEPT)
        self._matched = False

    def listen(self, wanted: bool) -> None:
        """Subscribes, or unsubscribes and forgets; to be called where timers and callbacks run."""
        if wanted and self._subscription is None:
            self._subscription = AdaptiveSubscription(self._node, Image, self._topic, self._add, self._reliability, 5)
        elif not wanted and self._subscription is not None:
            self._subscription.destroy()
            self._subscription = None
            with self._arrived:
                self._recent.clear()

    def depth(self, stamp: Time) -> Depth:
        """Depth (h, w) in metres, NaN unknown, of the message nearest to `stamp`, at most MAX_AGE_S away.

        Where the last image had a match (within MATCH_S), that of this one is waited for a moment: it may arrive
        after its image. Raises DataError where nothing is near enough, or the message is no depth image.
        """
        at = _seconds(stamp)
        with self._arrived:
            patience = _PATIENCE_S if self._matched else 0.0
            self._matched = self._arrived.wait_for(lambda: self._apart(at) <= MATCH_S, patience)
            if self._apart(at) > MAX_AGE_S:
                raise DataError(self._missing(at))
            msg = min(self._recent, key=lambda kept: abs(kept[0] - at))[1]
        return depth_of(msg)

    def _add(self, msg: Image) -> None:
        with self._arrived:
            self._recent.append((_seconds(msg.header.stamp), msg))
            self._arrived.notify_all()

    def _apart(self, at: float) -> float:
        return min((abs(kept - at) for kept, _ in self._recent), default=float("inf"))

    def _missing(self, at: float) -> str:
        if self._recent:
            return (
                f"reference depth must be stamped within {MAX_AGE_S:g} s of the image, the nearest on {self._topic} is "
                f"{self._apart(at):.3g} s away: publish it with the stamps of the camera"
            )
        silent = not self._node.count_publishers(self._topic)
        return f"no reference depth on {self._topic} yet{': nobody publishes it' if silent else ''}"


def _seconds(stamp: Time) -> float:
    """To a microsecond, today."""
    return float(stamp.sec + 1e-9 * stamp.nanosec)

"""The node's inputs other than image and camera_info: one per kind of evidence, subscribed only while needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from rclpy.node import Node
from std_msgs.msg import Header

from ...config import Config
from ...scale.evidence import Evidence, Kind
from ...scale.ground_plane import GROUND
from ...scale.odometry import CAMERA_POSE
from ...scale.points import REFERENCE_POINTS
from ...scale.reference import REFERENCE_DEPTH
from .camera_pose import CameraPoses
from .ground import GroundInput
from .reference_depth import ReferenceDepths
from .reference_points import ReferencePoints


class EvidenceInput(Protocol):
    """Subscribes on construction and turns messages into values of its kind of evidence."""

    def pair(self, header: Header) -> Callable[[], Any]:
        """To be called when an image with `header` arrives: selects what belongs to it.

        The returned function is called at most once, from any thread, when the value is needed. It may wait a moment
        for a late message, and raises DataError if there is none.
        """

    def close(self) -> None:
        """Ends the subscriptions."""


# By `Kind.name`. Constructed and closed in the thread that runs callbacks.
INPUTS: dict[str, Callable[[Node, Config], EvidenceInput]] = {
    REFERENCE_DEPTH.name: ReferenceDepths,
    REFERENCE_POINTS.name: ReferencePoints,
    GROUND.name: GroundInput,
    CAMERA_POSE.name: CameraPoses,
}


class EvidenceInputs:
    """The inputs of the kinds currently needed."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._inputs: dict[Kind[Any], EvidenceInput] = {}

    def listen(self, kinds: Iterable[Kind[Any]], config: Config) -> None:
        """Subscribes to what `kinds` need and ends the rest; call it from the thread that runs callbacks."""
        wanted = set(kinds)
        for kind in self._inputs.keys() - wanted:
            self._inputs.pop(kind).close()
        for kind in wanted - self._inputs.keys():
            self._inputs[kind] = INPUTS[kind.name](self._node, config)

    def pair(self, header: Header) -> Evidence:
        """The evidence for the image with `header`, which has just arrived."""
        return Evidence({kind: each.pair(header) for kind, each in self._inputs.items()})

    def close(self) -> None:
        """Ends all subscriptions."""
        while self._inputs:
            self._inputs.popitem()[1].close()

"""The node's inputs beside image and camera_info: one per kind of evidence, subscribed only while somebody needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from rclpy.node import Node
from std_msgs.msg import Header

from ...config import Config
from ...scale.evidence import Evidence, Kind
from ...scale.reference import REFERENCE_DEPTH
from .reference_depth import ReferenceDepths


class EvidenceInput(Protocol):
    """Subscribes when it is made, and turns messages into values of its kind of evidence."""

    def pair(self, header: Header) -> Callable[[], Any]:
        """To be called when an image with `header` arrives: remembers what belongs to it.

        The function that it returns is called at most once, from any thread, when the value is needed. It may wait a
        moment for what is late, and raises DataError where there is nothing.
        """

    def close(self) -> None:
        """Ends the subscriptions."""


# By `Kind.name`. Made, and closed, where callbacks run.
INPUTS: dict[str, Callable[[Node, Config], EvidenceInput]] = {
    REFERENCE_DEPTH.name: ReferenceDepths,
}


class EvidenceInputs:
    """The inputs of the kinds that are needed now."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._inputs: dict[Kind[Any], EvidenceInput] = {}

    def listen(self, kinds: Iterable[Kind[Any]], config: Config) -> None:
        """Subscribes to what `kinds` need and ends the rest; to be called where timers and callbacks run."""
        wanted = set(kinds)
        for kind in self._inputs.keys() - wanted:
            self._inputs.pop(kind).close()
        for kind in wanted - self._inputs.keys():
            self._inputs[kind] = INPUTS[kind.name](self._node, config)

    def pair(self, header: Header) -> Evidence:
        """The evidence of the image with `header`, which has just arrived."""
        return Evidence({kind: each.pair(header) for kind, each in self._inputs.items()})

    def close(self) -> None:
        """Ends all subscriptions."""
        while self._inputs:
            self._inputs.popitem()[1].close()

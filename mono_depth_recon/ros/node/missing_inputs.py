"""What a running node lacks, as warnings: time, images or camera_info, with the topics that could be meant."""

from __future__ import annotations

import difflib
from contextlib import suppress
from time import monotonic

from rclpy.clock import ROSClock
from rclpy.node import Node

from ..sub_node import local_name
from ..subscriptions import MISSING_AFTER_S, AdaptiveSubscription
from ..throttled_log import ThrottledLog

_GHOST_S = 30.0  # a process that was killed stays in the graph for up to 20 s
_SHOWN = 5  # topics


class Lasting:
    """How long each of several things has been missing."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}  # when each was first found missing

    def lasts(self, what: str, missing: bool, after_s: float = MISSING_AFTER_S) -> bool:
        """Whether `what` is missing now and has been for so long; call it about every second."""
        now = monotonic()
        since = self._since.setdefault(what, now) if missing else self._since.pop(what, now)
        return missing and now - since >= after_s


class NodeProblems:
    """Warns after 5 s without /clock, and of another node of the same name; `check` is called about every second."""

    def __init__(self, node: Node, log: ThrottledLog) -> None:
        self._node, self._log, self._lasting = node, log, Lasting()

    def check(self) -> None:
        """Warns of what there is now, rarely."""
        if self._lasting.lasts("time", self._without_time()):
            self._log.rarely("use_sim_time is set and no /clock comes: start the simulation, or unset it", "time")
        if self._lasting.lasts("name", self._has_namesake(), _GHOST_S):
            self._log.rarely(
                f"another node is called {self._node.get_fully_qualified_name()} too: services and parameters reach "
                "either; give one of them another name (-r __node:=NAME)",
                "name",
            )

    def _without_time(self) -> bool:
        clock = self._node.get_clock()
        return isinstance(clock, ROSClock) and clock.ros_time_is_active and clock.now().nanoseconds == 0

    def _has_namesake(self) -> bool:
        return self._node.get_node_names_and_namespaces().count((self._node.get_name(), self._node.get_namespace())) > 1


class MissingInputs:
    """Warns after 5 s without images or camera_info, and then rarely; `check` is called about every second."""

    def __init__(
        self, node: Node, images: AdaptiveSubscription, infos: AdaptiveSubscription, log: ThrottledLog
    ) -> None:
        self._node, self._images, self._infos, self._log = node, images, infos, log
        self._lasting = Lasting()

    def check(self, image_came: bool, info_came: bool) -> None:
        """Warns of what is missing; with `image_came` and without `info_came` images wait for a camera_info."""
        if self._lasting.lasts("image", not image_came):
            text = missing_topic(self._node, self._images, local_name(self._node, "image"))
            self._log.rarely(f"no image: {text}", "image")
        if self._lasting.lasts("camera_info", image_came and not info_came):
            text = missing_topic(self._node, self._infos, local_name(self._node, "camera_info"))
            guess = "; without a calibration set camera.hfov"
            self._log.rarely(f"images come, but no camera_info: {text}{guess}", "camera_info")


def missing_topic(node: Node, subscription: AdaptiveSubscription, name: str) -> str:
    """Why `subscription`, of the topic that the node calls `name`, receives nothing, and what to do."""
    topic, kind = subscription.topic, subscription.type_name
    others = [offer.topic_type for offer in node.get_publishers_info_by_topic(topic) if offer.topic_type != kind]
    if others:
        return f"{topic} is of type {others[0]}, expected {kind}: remap {name}, or set image_transport"
    if subscription.publishers:
        return f"{topic} is published, but nothing has come: check the camera, and the network between the machines"
    compressed = f"{topic}/compressed"
    if node.count_publishers(compressed):
        return f"nobody publishes {topic}: set image_transport to compressed for {compressed}"
    raw = topic.removesuffix("/compressed")
    if raw != topic and node.count_publishers(raw):
        return f"nobody publishes {topic}: set image_transport to raw for {raw}"
    known = topics_of(node, kind)
    if not known:
        return f"nobody publishes {topic}, nor any other topic of type {kind}: start the camera, or remap {name}"
    near = difflib.get_close_matches(topic, known, _SHOWN, cutoff=0.0)
    return f"nobody publishes {topic}: remap {name} to a topic of type {kind} ({', '.join(near)})"


def topics_of(node: Node, kind: str) -> list[str]:
    """Topics of a message type that another node publishes, by their own names: remappings of `node` do not count."""
    own = (node.get_name(), node.get_namespace())
    found: set[str] = set()
    for other in node.get_node_names_and_namespaces():
        if other != own:
            with suppress(RuntimeError):  # it has ended; the class of rclpy has no public name
                found |= {topic for topic, kinds in node.get_publisher_names_and_types_by_node(*other) if kind in kinds}
    return sorted(found)

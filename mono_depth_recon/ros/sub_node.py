"""A part of a node whose topics and services are below a name, as rclcpp's sub-nodes."""

from __future__ import annotations

from typing import Any, cast

from rclpy.lifecycle import LifecycleNode


def sub_node(node: LifecycleNode, name: str) -> LifecycleNode:
    """`node` with its relative names of topics and services below `name`; itself without a name.

    It logs as `node.name`. Rules of remapping have the whole name: -r front/image:=/cam_1/image.
    """
    return cast(LifecycleNode, _SubNode(node, name)) if name else node


def local_name(node: object, name: str) -> str:
    """`name` as a rule of remapping for `node`, which may be a sub-node, has it: 'front/image' of 'image'."""
    return node.below(name) if isinstance(node, _SubNode) else name


class _SubNode:
    """What it does not define is the node's. It counts as the same node, so that both share what there is per node."""

    def __init__(self, node: LifecycleNode, name: str) -> None:
        self._node, self._name = node, name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._node, attribute)

    def __eq__(self, other: object) -> bool:
        return self._node is (other._node if isinstance(other, _SubNode) else other)

    def __hash__(self) -> int:
        return hash(self._node)

    def below(self, name: str) -> str:
        """A relative name below that of this part; others stay as they are."""
        return name if name.startswith(("/", "~")) else f"{self._name}/{name}"

    def get_logger(self) -> Any:
        return self._node.get_logger().get_child(self._name)

    def resolve_topic_name(self, topic: str, **options: Any) -> str:
        return str(self._node.resolve_topic_name(self.below(topic), **options))

    def count_publishers(self, topic: str) -> int:
        return int(self._node.count_publishers(self.below(topic)))

    def get_publishers_info_by_topic(self, topic: str, **options: Any) -> Any:
        return self._node.get_publishers_info_by_topic(self.below(topic), **options)

    def get_subscriptions_info_by_topic(self, topic: str, **options: Any) -> Any:
        return self._node.get_subscriptions_info_by_topic(self.below(topic), **options)

    def create_lifecycle_publisher(self, kind: Any, topic: str, *rest: Any, **options: Any) -> Any:
        return self._node.create_lifecycle_publisher(kind, self.below(topic), *rest, **options)

    def create_publisher(self, kind: Any, topic: str, *rest: Any, **options: Any) -> Any:
        return self._node.create_publisher(kind, self.below(topic), *rest, **options)

    def create_subscription(self, kind: Any, topic: str, *rest: Any, **options: Any) -> Any:
        return self._node.create_subscription(kind, self.below(topic), *rest, **options)

    def create_service(self, kind: Any, name: str, *rest: Any, **options: Any) -> Any:
        return self._node.create_service(kind, self.below(name), *rest, **options)

"""Clouds too large for best-effort subscribers of other processes, by Fast DDS with its default transports."""

from __future__ import annotations

import os

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from rclpy.utilities import get_rmw_implementation_identifier

from ..publications import Publications
from ..throttled_log import ThrottledLog

LARGE_BYTES = 500_000  # about the middleware's segment of shared memory


def warn_of_large_clouds(node: Node, publications: Publications, log: ThrottledLog) -> None:
    """Warns once per subscriber that takes clouds above LARGE_BYTES best effort, and loses most of them."""
    size = publications.cloud.size_bytes
    if size <= LARGE_BYTES or not _default_transports():
        return
    topic = publications.points.topic_name
    for reader in node.get_subscriptions_info_by_topic(topic):
        if reader.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT:
            log.once(
                f"{reader.node_namespace.rstrip('/')}/{reader.node_name} subscribes {topic} best effort "
                "and loses most clouds of this size: let it subscribe reliable, set cloud.stride or "
                "cloud.voxel_size, or change the transport (docs/node.md, Quality of service)"
            )


def _default_transports() -> bool:
    return "fastrtps" in get_rmw_implementation_identifier() and "FASTDDS_BUILTIN_TRANSPORTS" not in os.environ

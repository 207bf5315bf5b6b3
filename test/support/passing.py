"""Subscribers that come and go: `python passing.py PERIOD_S` adds one in each period, and after ten all leave."""

from __future__ import annotations

import random
import sys
import time
from itertools import count

import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, PointCloud2

KINDS = [(PointCloud2, "points"), (Image, "depth/image_rect"), (Image, "depth/preview")]
MOST = 10


def main() -> None:
    """Goes on until it is killed; says how many there are."""
    period_s = float(sys.argv[1])
    rclpy.init()
    node = rclpy.create_node("passing")
    there = []
    for _ in count():
        if len(there) == MOST:
            for subscription in there:
                node.destroy_subscription(subscription)
            there.clear()
        kind, topic = random.choice(KINDS)
        there.append(node.create_subscription(kind, topic, lambda _: None, QoSProfile(depth=1)))
        print(len(there), "subscribers", flush=True)
        end = time.monotonic() + period_s
        while (left_s := end - time.monotonic()) > 0:
            rclpy.spin_once(node, timeout_sec=left_s)


if __name__ == "__main__":
    main()

"""A camera that takes no care of its receivers: `python flood.py WIDTH HEIGHT RATE_HZ` repeats one image."""

from __future__ import annotations

import sys
import time
from array import array

import numpy as np
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.ros.conversions import info_to_msg


def main() -> None:
    """Publishes until it is killed; stamps are the system's time."""
    width, height, rate_hz = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    rclpy.init()
    node = rclpy.create_node("flood")
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)  # one of 25 MB is never whole otherwise
    images, infos = node.create_publisher(Image, "image", qos), node.create_publisher(CameraInfo, "camera_info", qos)
    camera, noise = PinholeCamera.from_hfov(width, height, 70), np.random.default_rng(0)
    pixels = np.repeat(noise.integers(0, 255, (height // 60, width // 60, 3), np.uint8), 60, axis=0).repeat(60, axis=1)
    height, width = pixels.shape[:2]
    msg = Image(height=height, width=width, encoding="rgb8", step=3 * width, data=array("B", pixels.tobytes()))
    due = time.monotonic()
    while True:
        msg.header = Header(stamp=node.get_clock().now().to_msg(), frame_id="camera_optical_frame")
        infos.publish(info_to_msg(camera, msg.header))
        images.publish(msg)
        due += 1 / rate_hz
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()

"""Of which frame a snapshot is: one that subscribers have, where they want depth; else of the newest image."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from processes import Processes
from ros_client import RosClient, ros_client
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import Marker

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.ros.conversions import nanoseconds

CAMERA = PinholeCamera.from_hfov(160, 120, 60)
RGB = cv2.resize(np.random.default_rng(7).integers(0, 256, (6, 8, 3), np.uint8), CAMERA.size)
# One frame is processed, and the next one only after longer than any test takes: a node that does not keep up.
SLOW = ("-p", "max_rate:=0.0005", "-p", "model.runtime:=openvino", "-p", "mesh.method:=grid")


def dropped(client: RosClient) -> int:
    """How many images were replaced by newer ones before they were processed."""
    reports = client.received["/diagnostics"]
    status = reports[-1].status[0] if reports else None
    return int(next((pair.value for pair in status.values if pair.key == "frames_dropped"), 0)) if status else 0


def test_a_mesh_is_of_a_frame_that_came_out(processes: Processes, ros_domain: int, tmp_path: Path) -> None:
    flags = ("--ros-args", *SLOW, "-p", f"mesh.directory:={tmp_path}")
    node = processes.python("-m", "mono_depth_recon.ros.node.recon_node", *flags)
    with ros_client() as client:
        client.listen(PointCloud2, "points")
        client.listen(Marker, "mesh", latched=True)
        client.listen(DiagnosticArray, "/diagnostics")
        node.wait_for("ready")
        client.wait_for("/diagnostics")  # listened to last: what was before is known to the node
        camera = client.camera()
        camera.stream(RGB, CAMERA, lambda: bool(client.received["points"]) and dropped(client) > 2, "dropped images")
        assert client.trigger("save_mesh").success
        mesh = nanoseconds(client.wait_for("mesh").header.stamp)
        assert mesh in {nanoseconds(msg.header.stamp) for msg in client.received["points"]}
    assert node.stop() == 0


def test_without_subscribers_it_is_of_the_newest_image(processes: Processes, ros_domain: int, tmp_path: Path) -> None:
    flags = ("--ros-args", *SLOW, "-p", f"mesh.directory:={tmp_path}")
    node = processes.python("-m", "mono_depth_recon.ros.node.recon_node", *flags)
    with ros_client() as client:
        client.listen(Marker, "mesh", latched=True)
        client.listen(DiagnosticArray, "/diagnostics")
        node.wait_for("ready")
        camera = client.camera()
        camera.stream(RGB, CAMERA, lambda: dropped(client) > 2, "dropped images")
        before = camera.header()
        newest = camera.publish(RGB, CAMERA)
        saved: list[int] = []

        def save() -> None:
            assert client.trigger("save_mesh").success
            saved.extend(nanoseconds(msg.header.stamp) for msg in client.received["mesh"])

        client.repeat(save, lambda: nanoseconds(newest.stamp) in saved, "a mesh of the newest image")
        assert max(saved) > nanoseconds(before.stamp)
    assert node.stop() == 0

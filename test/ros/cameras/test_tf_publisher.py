"""/tf of the package's cameras, received as tf2_ros receives it: reliable, KEEP_LAST 100, volatile."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rclpy
from made_recordings import CAMERA, Scene, write_folder
from nav_msgs.msg import Odometry
from processes import Processes
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from ros_client import RosClient, ros_client
from sensor_msgs.msg import Image
from tf_standin import tf_message, with_tf

from mono_depth_recon.ros.cameras.player import CameraTopics

ROOMS = ("-m", "mono_depth_recon.ros.cameras.rooms_camera", "--length", "8", "--width", "80", "--height", "60")
REPLAY = ("-m", "mono_depth_recon.ros.cameras.replay", "--loop", "--camera", CAMERA)
# Fast DDS sends heartbeats along with samples only when the history of the publisher is nearly full: a deep one leaves
# a lost sample to the periodic heartbeat, which comes every three seconds.
DEEPEST_HISTORY = 10
LISTENER = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)
Stamp = tuple[int, int]


def stamp_of(msg: Any) -> Stamp:
    return msg.header.stamp.sec, msg.header.stamp.nanosec


class Listener:
    """What tf2_ros' listener and its buffer hold: the transforms of one frame by their stamps."""

    def __init__(self, client: RosClient, message: type[Any]) -> None:
        self.transforms: dict[Stamp, Any] = {}
        client.node.create_subscription(message, "/tf", self._take, LISTENER)

    def _take(self, msg: Any) -> None:
        for transform in msg.transforms:
            self.transforms[stamp_of(transform)] = transform

    def enclosed(self, images: list[Stamp]) -> bool:
        """Whether a transform of its own stamp has come for every image since the first transform."""
        first = min(self.transforms, default=None)
        wanted = [stamp for stamp in images if first is not None and stamp >= first]
        return len(wanted) > 20 and self.transforms.keys() >= set(wanted)


@pytest.mark.parametrize("camera", ["rooms_camera", "replay"])
def test_every_image_has_its_transform(
    processes: Processes, ros_domain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, camera: str
) -> None:
    """Without gaps, so that interpolation at any later stamp has both neighbours; and equal to the odometry."""
    with ros_client(camera) as client:
        listener = Listener(client, tf_message(monkeypatch))
        client.listen(Odometry, "odometry")
        client.listen(Image, "image")
        command = (
            [*ROOMS, "--rate", "15"] if camera == "rooms_camera" else [*REPLAY, write_folder(tmp_path / "tum", Scene())]
        )
        process = processes.python(*command, env=with_tf())
        images = client.received["image"]
        client.wait_until(
            lambda: listener.enclosed([stamp_of(msg) for msg in images[-21:]]), "a transform for every image"
        )

        def posed() -> int:
            return len({stamp_of(msg) for msg in client.received["odometry"]} & listener.transforms.keys())

        client.wait_until(lambda: posed() > 20, "their poses")
        assert process.stop(signal.SIGINT) == 0
        poses = {stamp_of(msg): msg for msg in client.received["odometry"]}
    for stamp in poses.keys() & listener.transforms.keys():
        check_equal(listener.transforms[stamp], poses[stamp])


def check_equal(transform: Any, odometry: Odometry) -> None:
    assert transform.header.frame_id == odometry.header.frame_id == "world"
    assert transform.child_frame_id == odometry.child_frame_id == "camera_optical_frame"
    pose, moved = odometry.pose.pose, transform.transform
    assert (moved.translation.x, moved.translation.y, moved.translation.z) == (
        pose.position.x,
        pose.position.y,
        pose.position.z,
    )
    assert moved.rotation == pose.orientation


def offered(make: Callable[[Node], Any]) -> dict[str, QoSProfile]:
    """The QoS of what `make` publishes, by topic."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("offering", context=context)
    before = set(node.publishers)
    try:
        make(node)
        return {each.topic_name: each.qos_profile for each in node.publishers if each not in before}
    finally:
        node.destroy_node()
        context.try_shutdown()


def comes_without_delay(qos: QoSProfile) -> bool:
    """Whether a listener gets every sample soon: reliable, with a history that is soon full."""
    keeps_last = qos.history == HistoryPolicy.KEEP_LAST and 1 <= qos.depth <= DEEPEST_HISTORY
    return keeps_last and qos.reliability == ReliabilityPolicy.RELIABLE


def test_no_camera_offers_a_deep_history(ros_domain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    message = tf_message(monkeypatch)
    found = offered(lambda node: CameraTopics(node, "camera_optical_frame", "32FC1", clock=True))
    assert {"/tf", "/odometry", "/image", "/camera_info", "/clock"} <= found.keys()
    assert [topic for topic, qos in found.items() if not comes_without_delay(qos)] == []
    assert found["/tf"].durability == DurabilityPolicy.VOLATILE
    deep = offered(lambda node: node.create_publisher(message, "/tf", LISTENER))
    assert not comes_without_delay(deep["/tf"]), "the listener's own depth, which tf2_ros' examples publish with"

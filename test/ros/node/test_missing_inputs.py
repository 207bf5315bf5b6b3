"""What the node says and does where time, cameras or matching QoS are missing; real processes over DDS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from processes import ROOT, Process, Processes
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_client import RosClient, ros_client
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.ros.conversions import info_to_msg, rgb_to_msg
from mono_depth_recon.ros.node import missing_inputs
from mono_depth_recon.ros.node.missing_inputs import missing_topic
from mono_depth_recon.ros.subscriptions import AdaptiveSubscription

CAMERA = PinholeCamera.from_hfov(160, 120, 60)
RGB = np.full((120, 160, 3), 100, np.uint8)


@pytest.fixture
def client(ros_domain: int) -> Iterator[RosClient]:
    with ros_client() as made:
        yield made


def start(processes: Processes, *words: str, gate: Path | None = None) -> Process:
    """recon_node with a model of analytic depth."""
    arguments = ["--ros-args", *words] if words else []
    node = processes.python(ROOT / "test" / "support" / "toy_node.py", *arguments, env={"TOY_GATE": str(gate)})
    node.wait_for("ready")
    return node


def test_without_clock_the_node_adapts_reports_and_says_so(client: RosClient, processes: Processes) -> None:
    """Timers do not stand still with simulated time: a best-effort camera is received, diagnostics come."""
    node = start(processes, "-p", "use_sim_time:=true")
    client.listen(Image, "depth/image_rect")
    client.listen(DiagnosticArray, "/diagnostics")
    driver = client.camera(reliable=False)
    driver.stream(RGB, CAMERA, lambda: len(client.received["depth/image_rect"]) >= 3, "depth")
    client.wait_for("/diagnostics", 2)
    node.wait_for("use_sim_time is set and no /clock comes")
    assert node.output.count("no /clock comes") == 1


def test_with_system_time_no_clock_is_missed(client: RosClient, processes: Processes) -> None:
    node = start(processes)
    node.wait_for("no image: nobody publishes /image")
    assert "/clock" not in node.output


@pytest.mark.parametrize("others", [0, 1])
def test_a_latched_camera_info_is_received(client: RosClient, processes: Processes, others: int) -> None:
    """Published once, before the node starts, as calibrations often are; also beside a publisher that keeps nothing."""
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    infos = client.node.create_publisher(CameraInfo, "camera_info", latched)
    driver = client.camera(info_topic="unused")
    assert all(client.node.create_publisher(CameraInfo, "camera_info", 1) for _ in range(others))
    infos.publish(info_to_msg(CAMERA, driver.header()))
    start(processes)
    client.listen(Image, "depth/image_rect")
    client.repeat(
        lambda: driver.send(rgb_to_msg(RGB, driver.header())),
        lambda: len(client.received["depth/image_rect"]) >= 3,
        "depth by a latched camera_info",
    )


@pytest.mark.parametrize("setting", ["auto", "reliable"])
def test_incompatible_qos_is_reported_only_where_it_stays(
    client: RosClient, processes: Processes, setting: str
) -> None:
    node = start(processes, "-p", f"qos.subscribe:={setting}")
    client.listen(Image, "depth/image_rect")
    driver = client.camera(reliable=False)
    if setting == "auto":
        driver.stream(RGB, CAMERA, lambda: bool(client.received["depth/image_rect"]), "depth")
    else:
        node.wait_for("a publisher of /image is best effort, which qos.subscribe=reliable does not receive")
    assert "No messages will be received" not in node.output
    assert ("qos.subscribe" in node.output) == (setting == "reliable")


def test_a_best_effort_subscriber_of_large_clouds_is_named_once(client: RosClient, processes: Processes) -> None:
    node = start(processes, "-p", "cloud.stride:=4")
    client.listen(PointCloud2, "points", reliable=False)
    client.listen(PointCloud2, "points")  # in this test's process: one that certainly receives
    client.listen(DiagnosticArray, "/diagnostics")
    large, driver = PinholeCamera.from_hfov(640, 480, 60), client.camera()
    rgb = np.full((480, 640, 3), 100, np.uint8)
    warning = "/test_client subscribes /points best effort and loses most clouds of this size"
    driver.stream(rgb, large, lambda: bool(client.received["points"]), "small clouds")
    client.forget()
    client.wait_for("/diagnostics", 2)
    assert warning not in node.output, "307 kB each"
    assert client.set_parameter("cloud.stride", 1).successful
    driver.stream(rgb, large, lambda: warning in node.output, "the warning")
    client.forget()
    driver.stream(rgb, large, lambda: len(client.received["/diagnostics"]) >= 3, "more diagnostics")
    assert node.output.count(warning) == 1


@pytest.mark.parametrize(
    ("kind", "topic", "said"),
    [
        (None, "", "nobody publishes /cam/image, nor any other topic of type sensor_msgs/msg/Image: start the camera"),
        (Image, "/image", "remap image to a topic of type sensor_msgs/msg/Image (/image)"),  # which the node remaps
        (CameraInfo, "/cam/image", "/cam/image is of type sensor_msgs/msg/CameraInfo, expected sensor_msgs/msg/Image"),
        (Image, "/cam/image", "/cam/image is published, but nothing has come"),
    ],
)
def test_no_camera_is_said_with_the_topics_that_could_be_meant(
    client: RosClient, processes: Processes, kind: type | None, topic: str, said: str
) -> None:
    publisher = kind and client.node.create_publisher(kind, topic, 5)
    node = start(processes, "-r", "image:=/cam/image")
    assert "no image: " in node.wait_for(said)
    assert node.output.count("no image: ") == 1, "and then rarely"
    assert publisher is None or client.node.destroy_publisher(publisher)


@pytest.mark.parametrize(
    ("expected", "topic", "kind", "published", "said"),
    [
        (
            *(Image, "/cam/image", CompressedImage, "/cam/image/compressed"),
            "set image_transport to compressed for /cam/image/compressed",
        ),
        (
            *(CompressedImage, "/front/image/compressed", Image, "/front/image"),
            "nobody publishes /front/image/compressed: set image_transport to raw for /front/image",
        ),
    ],
)
def test_the_topic_that_could_be_meant_is_named(
    client: RosClient, expected: type, topic: str, kind: type, published: str, said: str
) -> None:
    client.node.create_publisher(kind, published, 1)
    subscription = AdaptiveSubscription(client.node, expected, topic, print, "auto")
    assert missing_topic(client.node, subscription, "image").endswith(said)


def test_another_node_of_the_same_name_is_said_once_it_is_no_ghost(
    client: RosClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, said = [0.0], list[str]()
    monkeypatch.setattr(missing_inputs, "monotonic", lambda: now[0])
    log: Any = SimpleNamespace(rarely=lambda text, _: said.append(text))
    problems = missing_inputs.NodeProblems(client.node, log)
    twin = rclpy.create_node(client.node.get_name(), context=client.node.context)
    client.wait_until(problems._has_namesake, "the other node")
    for now[0], expected in ((0.0, 0), (20.0, 0), (31.0, 1)):
        problems.check()
        assert len(said) == expected
    assert said[0].startswith("another node is called /test_client too")
    twin.destroy_node()


def test_a_slow_model_is_not_called_idle(client: RosClient, processes: Processes, tmp_path: Path) -> None:
    """The model is busy with one image: diagnostics say so, whether images come meanwhile or not."""
    start(processes, gate=tmp_path / "gate")
    client.listen(Image, "depth/image_rect")
    client.listen(DiagnosticArray, "/diagnostics")
    driver = client.camera()
    driver.stream(RGB, CAMERA, lambda: bool(client.received["depth/image_rect"]), "depth")
    slow = RGB.copy()
    slow[0, 0, 0] = 255
    driver.publish(slow, CAMERA)

    def said(text: str) -> bool:
        return any(m.status[0].message.startswith(text) for m in client.received["/diagnostics"])

    client.wait_until(lambda: said("computing a frame for"), "the busy model")
    client.forget()
    driver.stream(RGB, CAMERA, lambda: len(client.received["/diagnostics"]) >= 3, "diagnostics")
    reports = [m.status[0] for m in client.received["/diagnostics"]]
    assert all(r.message.startswith("computing a frame for") and r.level == DiagnosticStatus.OK for r in reports)
    (tmp_path / "gate").touch()
    driver.stream(RGB, CAMERA, lambda: said("nobody") or " Hz, " in reports_text(client), "frames again")
    assert not said("nobody")


def reports_text(client: RosClient) -> str:
    """The messages of the node's own status."""
    return "\n".join(m.status[0].message for m in client.received["/diagnostics"])


@pytest.mark.parametrize(
    ("section", "namespace", "matched"),
    [
        ("recon_node", "front", False),
        ("camera_node", "", False),
        ("/front/recon_node", "front", True),
        ("/*/recon_node", "front", True),
        ("/**", "front", True),
        ("recon_node", "", True),
    ],
)
def test_a_params_file_that_sets_nothing_is_said(
    ros_domain: int, processes: Processes, tmp_path: Path, section: str, namespace: str, matched: bool
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(f"{section}:\n  ros__parameters:\n    mesh.method: grid\n", encoding="utf-8")
    node = start(processes, "--params-file", str(file), *(["-r", f"__ns:=/{namespace}"] if namespace else []))
    full = f"/{namespace}/recon_node" if namespace else "/recon_node"
    warning = f"params file {file} sets nothing for {full}: its sections are for /{section.strip('/')}"
    assert (warning in node.output) != matched

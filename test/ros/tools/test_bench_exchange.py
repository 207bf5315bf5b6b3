"""The figures of the exchange between two processes, and the relay that computes nothing, in one process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from processes import DEADLINE_S
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image, PointCloud2

from mono_depth_recon.errors import DataError
from mono_depth_recon.ros.conversions import points_from_msg
from mono_depth_recon.ros.tools import bench, bench_exchange, exchange


def test_the_model_is_taken_off_before_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = {"bare_ms": 10.0, "node_ms": 34.0, "model_ms": 20.0}
    monkeypatch.setattr(bench_exchange, "_measured", lambda stage, frames: measured)
    *_, ratio = bench_exchange.exchange(3)
    assert ratio.value == pytest.approx(1.4)
    assert (ratio.limit, ratio.verdict) == (1.5, "ok")
    measured["node_ms"] = 36.0
    *_, ratio = bench_exchange.exchange(3)
    assert ratio.verdict == "over"


def test_only_the_parts_that_are_asked_for_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def part(name: str) -> Iterator[bench.Row]:
        ran.append(name)
        yield bench.Row(name, 1.0)

    for name in ("messages", "exchange", "live", "mapping"):
        monkeypatch.setattr(bench, name, lambda *_, name=name: part(name))
    monkeypatch.setattr(bench, "raise_on_signals", lambda: None)
    assert bench.main(["--only", "exchange", "messages", "--output", str(tmp_path)]) == 0
    assert ran == ["messages", "exchange"]


@pytest.fixture
def nodes(ros_domain: int) -> Iterator[tuple[Node, Node]]:
    """The probe, and a node that answers in place of both sides."""
    rclpy.init()
    executor = MultiThreadedExecutor(2)
    made = Node("exchange"), Node("answers")
    for node in made:
        executor.add_node(node)
    spinning = threading.Thread(target=executor.spin)
    spinning.start()
    yield made
    executor.shutdown()
    spinning.join(DEADLINE_S)
    for node in made:
        node.destroy_node()
    rclpy.try_shutdown()


def test_both_ways_are_timed_and_the_model_is_read(nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch) -> None:
    probe, answers = nodes
    monkeypatch.setattr(exchange, "_WARM_UP", 1)
    diagnostics = answers.create_publisher(DiagnosticArray, "/diagnostics", 5)
    seen: list[Image] = []
    for side in exchange.SIDES:
        points = answers.create_publisher(PointCloud2, f"/{side}/points", 5)

        def answer(msg: Image, points: object = points) -> None:
            seen.append(msg)
            points.publish(PointCloud2(header=msg.header))  # type: ignore[attr-defined]

        answers.create_subscription(Image, f"/{side}/image", answer, 5)

    def say() -> None:
        other = DiagnosticStatus(name="camera", values=[KeyValue(key="rate_hz", value="15.0")])
        own = DiagnosticStatus(name="node", values=[KeyValue(key="step_model_ms", value="12.50")])
        diagnostics.publish(DiagnosticArray(status=[other, own]))

    answers.create_timer(0.1, say)
    result = exchange.Exchange(probe).measure(2)
    assert result["model_ms"] == 12.5
    assert result["bare_ms"] > 0
    assert result["node_ms"] > 0
    assert {(msg.width, msg.height, msg.encoding) for msg in seen} == {(640, 480, "rgb8")}
    assert len(seen) >= 2 * (2 + 1)


def test_without_answers_the_silent_side_is_named(nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_CONNECT_S", 0.2)
    monkeypatch.setattr(exchange, "_AGAIN_S", 0.1)
    with pytest.raises(DataError, match=r"no cloud came back on /bare/points within 0.2 s: is it running\?"):
        exchange.Exchange(nodes[0]).measure(1)


def test_the_relay_answers_with_a_cloud_of_the_images_size(nodes: tuple[Node, Node]) -> None:
    node, observer = nodes
    got: list[PointCloud2] = []
    came = threading.Event()

    def keep(msg: PointCloud2) -> None:
        got.append(msg)
        came.set()

    observer.create_subscription(PointCloud2, "points", keep, 5)
    images = observer.create_publisher(Image, "image", 5)
    exchange.relay(node)
    image = Image()
    image.header.frame_id = "somewhere"
    for _ in range(int(DEADLINE_S / 0.2)):
        images.publish(image)
        if came.wait(0.2):
            break
    points = points_from_msg(got[0])
    assert got[0].header.frame_id == "somewhere"
    assert points.shape == (480, 640, 4)
    assert np.isfinite(points[..., :3]).all()

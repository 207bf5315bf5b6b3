"""recorder: what it counts, times and writes, beside a node that the test controls."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from processes import DEADLINE_S, Process, Processes
from rclpy.qos import QoSProfile
from ros_client import RosClient, ros_client
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.back_projection import back_project
from mono_depth_recon.cloud.clean_up import clean_cloud
from mono_depth_recon.cloud.cloud import cloud_from_organised
from mono_depth_recon.config import MeshConfig
from mono_depth_recon.mesh.files import write_cloud
from mono_depth_recon.ros.conversions import depth_to_msg, points_to_msg, rgb_to_msg
from mono_depth_recon.ros.node.replies import repeat_lost_replies
from mono_depth_recon.ros.tools.frame_log import FrameLog
from mono_depth_recon.ros.tools.recorder import Recorder

CAMERA = PinholeCamera.from_hfov(64, 48, 60.0)
LATENCY_S, PERIOD_S = 0.08, 0.1


def test_a_log_pairs_inputs_and_outputs_by_stamp() -> None:
    log = FrameLog()
    for i in range(10):  # frames at 0, 1, ... 9 s; every second one comes out 0.1 s later, 0.3 s after its stamp
        log.add_input(stamp=i, arrival=float(i))
        if i % 2 == 0:
            log.add_output(stamp=i, arrival=i + 0.1, age=0.3)
    measured = log.measure(0.0, 10.0)
    assert (measured.frames_in, measured.frames_out, measured.share) == (10, 5, 0.5)
    assert (measured.rate_in_hz, measured.rate_out_hz) == (1.0, 0.5)
    assert measured.latency_p50_ms == pytest.approx(100) and measured.age_p95_ms == pytest.approx(300)
    assert measured.longest_gap_s == pytest.approx(2.0)
    assert measured.text == "1.0 frames/s in, 0.5 out, 100 ms from image to cloud"


def test_a_log_counts_frames_by_when_they_came_in() -> None:
    """The last one comes out after the end, and counts; what came in before the begin does not."""
    log = FrameLog()
    for i in range(4):
        log.add_input(stamp=i, arrival=float(i))
        log.add_output(stamp=i, arrival=i + 0.9, age=0.9)
    measured = log.measure(1.0, 3.5)
    assert (measured.frames_in, measured.frames_out) == (3, 3)
    assert measured.rate_out_hz == pytest.approx(2 / 2.5)


def test_a_log_takes_stamps_that_come_again_as_new_frames() -> None:
    log = FrameLog()
    for arrival in (0.0, 5.0):
        log.add_input(stamp=7, arrival=arrival)
        log.add_output(stamp=7, arrival=arrival + 0.2, age=0.2)
    measured = log.measure(0.0, 10.0)
    assert measured.frames_out == 2 and measured.latency_p95_ms == pytest.approx(200)


def test_a_log_knows_no_latency_without_outputs_and_no_age_by_another_clock() -> None:
    log = FrameLog()
    log.add_input(stamp=1, arrival=1.0)
    assert log.measure(0.0, 2.0).latency_p50_ms is None
    assert log.measure(0.0, 2.0).longest_gap_s == 2.0
    log.add_output(stamp=1, arrival=1.5, age=3e8)
    measured = log.measure(0.0, 2.0)
    assert measured.latency_p50_ms == pytest.approx(500) and measured.age_p50_ms is None
    assert log.measure(5.0, 6.0).share == 0.0


class Feed(threading.Condition):
    """Stands for the wait of a recorder: images come in, one after the other, until the condition holds."""

    def __init__(self, images: Sequence[Any]) -> None:
        super().__init__()
        self.recorder: Any = None
        self.images = list(images)

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        while self.images and not predicate():
            self.recorder._on_message("image", rgb_to_msg(self.images.pop(0), Header()))
        return predicate()


def test_an_image_as_sharp_as_the_sharpest_is_waited_for() -> None:
    sharp, blurred = FakeNode.rgb(1), FakeNode.rgb(2)
    node: Any = SimpleNamespace(create_subscription=lambda *_: None, resolve_topic_name=lambda name: f"/{name}")
    for images, found, left in (
        ([blurred, blurred, sharp, blurred], True, 1),
        ([blurred, blurred], False, 0),
        ([], False, 0),
    ):
        recorder = Recorder(node)
        recorder._on_message("image", rgb_to_msg(sharp, Header()))
        recorder._changed = feed = Feed(images)
        feed.recorder = recorder
        assert recorder.wait_for_sharp_image(1.0) is found and len(feed.images) == left


class FakeNode:
    """A camera at 10 Hz and a node that answers three of four images after `latency_s`, with its services.

    save_mesh takes the newest image that comes out; for `unlucky` calls one that never does.
    The marker comes `marker_delay_s` after the reply; None: never.
    """

    def __init__(self, client: RosClient, folder: Path) -> None:
        self._node, self._folder = client.node, folder
        qos = QoSProfile(depth=5)
        self._publishers = {
            topic: self._node.create_publisher(kind, topic, qos)
            for topic, kind in (("image", Image), ("depth/image_rect", Image), ("points", PointCloud2),
                                ("rgb/image_rect", Image), ("depth/preview", Image), ("mesh", Marker))
        }  # fmt: skip
        self.latency_s, self.mesh_s, self.unlucky = LATENCY_S, 0.0, 0
        self.marker_delay_s: float | None = 0.0
        self.mesh_reply: Trigger.Response | None = None
        self.calls: list[str] = []
        self._end = threading.Event()
        self._answers: list[threading.Timer] = []
        self._newest, self._lost = Header(), Header()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begins to answer: services and images."""
        self._services = [self._node.create_service(Trigger, "save_mesh", self._save_mesh),
                          self._node.create_service(Trigger, "save_cloud", self._save_cloud)]  # fmt: skip
        for service in self._services:
            repeat_lost_replies(service, self._node.get_logger())
        self._thread.start()

    def close(self) -> None:
        self._end.set()
        self._thread.join(DEADLINE_S)
        for answer in self._answers:
            answer.join(DEADLINE_S)

    def _run(self) -> None:
        number = 0
        while not self._end.wait(PERIOD_S):
            number += 1
            header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id=f"{number}")
            self._publishers["image"].publish(rgb_to_msg(self.rgb(number), header))
            if number % 4:
                self._newest = header
                self._later(self.latency_s, self._answer, number, header)
            else:
                self._lost = header

    def _later(self, seconds: float, do: Callable[..., None], *arguments: Any) -> None:
        self._answers.append(threading.Timer(seconds, do, arguments))
        self._answers[-1].start()

    def _answer(self, number: int, header: Header) -> None:
        rgb, depth = self.rgb(number), self.depth(number)
        self._publishers["depth/image_rect"].publish(depth_to_msg(depth, header))
        self._publishers["points"].publish(points_to_msg(back_project(depth, CAMERA, rgb), header))
        self._publishers["rgb/image_rect"].publish(rgb_to_msg(rgb, header))
        self._publishers["depth/preview"].publish(rgb_to_msg(255 - rgb, header))

    @staticmethod
    def rgb(number: int) -> Any:
        rgb = np.random.default_rng(number % 10).integers(0, 256, (48, 64, 3), np.uint8)
        return rgb if number % 10 == 1 else cv2.blur(rgb, (9, 9))  # a loop of ten, one is sharp

    @staticmethod
    def depth(number: int) -> Any:
        depth = np.full((48, 64), 1 + number / 1000, np.float32)
        depth[:2], depth[2:4] = np.nan, np.inf
        return depth

    def _save_mesh(self, _: Trigger.Request, reply: Trigger.Response) -> Trigger.Response:
        self.calls.append("save_mesh")
        if self.mesh_reply is not None:
            return self.mesh_reply
        header = self._newest if self.calls.count("save_mesh") > self.unlucky else self._lost
        if self.marker_delay_s is not None:
            self._later(self.mesh_s + self.marker_delay_s, self._publishers["mesh"].publish, Marker(header=header))
        self._end.wait(self.mesh_s)
        (self._folder / "mesh: a.ply").write_text(header.frame_id)
        reply.success, reply.message = True, f"{self._folder}/mesh: a.ply: 12 vertices, 4 triangles, poisson, 0.10 s"
        return reply

    def _save_cloud(self, _: Trigger.Request, reply: Trigger.Response) -> Trigger.Response:
        self.calls.append("save_cloud")
        reply.success, reply.message = True, "/on/another/machine/cloud.ply: 12 points, 0.10 s"
        return reply


@pytest.fixture
def fake(ros_domain: int, tmp_path: Path) -> Iterator[FakeNode]:
    with ros_client() as client:
        node = FakeNode(client, tmp_path)
        try:
            yield node
        finally:
            node.close()


MODULE = "mono_depth_recon.ros.tools.recorder"
IMPATIENT = (
    "-c",
    f"import sys; from {MODULE.rpartition('.')[0]} import recorder as it; it._MARKER_S = 0.5; sys.exit(it.main())",
)


def start(
    processes: Processes, fake: FakeNode | None, output: Path, *arguments: str, run: Sequence[str] = ("-m", MODULE)
) -> Process:
    if fake is not None:
        fake.start()
    return processes.python(*run, "--output", output, "--timeout", str(DEADLINE_S), *arguments)


def test_it_measures_and_leaves_one_frame_with_its_mesh(processes: Processes, fake: FakeNode, tmp_path: Path) -> None:
    output = tmp_path / "recording"
    process = start(processes, fake, output, "--duration", "3", "--warm-up", "0.2")
    assert process.wait() == 0, process.output
    results = json.loads((output / "recording.json").read_text())
    steady = results["steady"]
    assert 0 < steady["share"] <= 1 and steady["frames_in"] > 0
    assert steady["age_p50_ms"] + 5 >= 1e3 * LATENCY_S and steady["latency_p95_ms"] >= steady["latency_p50_ms"] > 0
    assert results["mesh"]["meanwhile"]["seconds"] == pytest.approx(results["mesh"]["seconds"])
    assert set(results["cloud"]) == {"seconds", "reply", "meanwhile"}
    assert fake.calls == [*["save_mesh"] * results["mesh"]["attempts"], "save_cloud"]
    check_mesh(output, check_files(output), at_least=1)
    assert not list(output.glob(".*")), "partial files"


@pytest.mark.parametrize(
    ("latency_s", "mesh_s", "marker_delay_s", "unlucky"),
    [(LATENCY_S, 0.0, 1.0, 0), (0.7, 1.5, 0.6, 0), (0.5, 0.2, 0.0, 2)],
    ids=["the reply outruns the marker", "all is slow", "two meshes of dropped frames"],
)
def test_cloud_and_mesh_are_of_one_frame(
    processes: Processes, fake: FakeNode, tmp_path: Path,
    latency_s: float, mesh_s: float, marker_delay_s: float, unlucky: int,
) -> None:  # fmt: skip
    fake.latency_s, fake.mesh_s, fake.marker_delay_s, fake.unlucky = latency_s, mesh_s, marker_delay_s, unlucky
    output = tmp_path / "recording"
    process = start(processes, fake, output, "--duration", "0.5", "--warm-up", "0", "--sharp", "0")
    assert process.wait() == 0, process.output
    attempts = check_mesh(output, check_files(output), at_least=1 + unlucky)
    assert process.output.count("the mesh is of a frame that did not come out") == attempts - 1
    assert fake.calls == ["save_mesh"] * attempts + ["save_cloud"]


def check_mesh(output: Path, number: int, at_least: int) -> int:
    """The mesh is of the frame `number`, by its stamp; returns the attempts, more where a frame is lost."""
    results = json.loads((output / "recording.json").read_text())
    assert results["frame"]["stamp"] == results["mesh"]["stamp"]
    assert results["mesh"]["attempts"] >= at_least and results["mesh"]["left_out"] == ""
    assert results["mesh"]["file"] == "mesh.ply" and (output / "mesh.ply").read_text() == f"{number}"
    return int(results["mesh"]["attempts"])


@pytest.mark.parametrize(("unlucky", "reason"), [(99, "did not come out, 5 times"), (0, "no marker came on /mesh")])
def test_a_mesh_of_another_frame_is_left_out_and_said(
    processes: Processes, fake: FakeNode, tmp_path: Path, unlucky: int, reason: str
) -> None:
    fake.unlucky, fake.marker_delay_s = unlucky, 0.0 if unlucky else None
    run = ("-m", MODULE) if unlucky else IMPATIENT
    output = tmp_path / "recording"
    output.mkdir()
    (output / "mesh.ply").write_text("of an earlier run")
    process = start(processes, fake, output, "--duration", "0.5", "--warm-up", "0", "--sharp", "0", run=run)
    assert process.wait() == 0, process.output
    check_files(output)
    mesh = json.loads((output / "recording.json").read_text())["mesh"]
    assert mesh["file"] == "" and not (output / "mesh.ply").exists()
    assert reason in mesh["left_out"] and f"mesh left out: {mesh['left_out']}" in process.output
    assert (mesh["stamp"] is None) == (not unlucky)


def check_files(output: Path) -> int:
    """All of one frame, whose number follows from its depth."""
    depth = cv2.imread(str(output / "depth.png"), cv2.IMREAD_UNCHANGED)
    assert depth.dtype == np.uint16 and not depth[:4].any()
    number = int(depth[10, 10]) - 1000
    rgb = FakeNode.rgb(number)
    assert np.array_equal(cv2.imread(str(output / "rgb.png"))[..., ::-1], rgb)
    assert np.array_equal(cv2.imread(str(output / "depth_plasma.png"))[..., ::-1], 255 - rgb)
    cloud = cloud_from_organised(back_project(FakeNode.depth(number), CAMERA, rgb))
    for name, expected in (("cloud", cloud), ("cloud_cleaned", clean_cloud(cloud, MeshConfig()))):
        write_cloud(expected, output / "expected.ply")
        assert (output / f"{name}.ply").read_bytes() == (output / "expected.ply").read_bytes()
    return number


def test_a_mesh_that_fails_is_one_line_and_status_1(processes: Processes, fake: FakeNode, tmp_path: Path) -> None:
    fake.mesh_reply = Trigger.Response(success=False, message="no space left")
    process = start(processes, fake, tmp_path / "recording", "--duration", "0.5", "--warm-up", "0")
    assert process.wait() == 1
    assert process.output.splitlines()[-1] == "recorder: /save_mesh failed: no space left"
    assert not (tmp_path / "recording/recording.json").exists()


def test_without_snapshots_no_service_is_called(processes: Processes, fake: FakeNode, tmp_path: Path) -> None:
    fake.mesh_reply = Trigger.Response(success=False, message="nobody should call")
    output = tmp_path / "recording"
    process = start(processes, fake, output, "--duration", "0.5", "--sharp", "0", "--no-snapshots")
    assert process.wait() == 0, process.output
    assert set(json.loads((output / "recording.json").read_text())) == {"steady", "frame"}
    assert (output / "cloud.ply").exists()
    assert not (output / "mesh.ply").exists() and not (output / "cloud_cleaned.ply").exists()


def test_silence_names_the_topics(processes: Processes, ros_domain: int, tmp_path: Path) -> None:
    process = start(processes, None, tmp_path / "recording", "--timeout", "1", "--ros-args", "-r", "__ns:=/left")
    assert process.wait() == 1
    line = process.output.splitlines()[-1]
    assert line.startswith("recorder: expected a frame within 1 s, nothing came on /left/image, /left/points")


def test_a_folder_that_cannot_be_made_is_said_at_once(processes: Processes, ros_domain: int, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    process = start(processes, None, tmp_path / "file/recording")
    assert process.wait() == 1
    assert process.output.startswith("recorder: cannot make the folder")


def test_it_can_be_stopped_while_it_waits(processes: Processes, ros_domain: int, tmp_path: Path) -> None:
    process = start(processes, None, tmp_path / "recording")
    process.wait_for("waiting for frames")
    assert process.stop() == 0
    assert "expected a frame within" not in process.output and "Traceback" not in process.output

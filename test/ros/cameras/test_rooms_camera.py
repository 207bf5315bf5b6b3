"""rooms_camera: what it publishes against RoomSequence, and how it goes along the loop while it renders."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nav_msgs.msg import Odometry
from processes import DEADLINE_S, Processes
from ros_client import RosClient, ros_client
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.datasets.rooms.room import RoomSequence
from mono_depth_recon.errors import DataError, MonoDepthError
from mono_depth_recon.frames import Sample
from mono_depth_recon.messages import camera_of_info
from mono_depth_recon.ros.cameras.room_renderer import GrowingLoop, RoomRenderer, render

NODE = ("-m", "mono_depth_recon.ros.cameras.rooms_camera")
SEED, LENGTH, WIDTH, HEIGHT, HFOV = 3, 6, 80, 60, 70.0
SMALL = ("--seed", str(SEED), "--length", str(LENGTH), "--width", str(WIDTH), "--height", str(HEIGHT),
         "--hfov", str(HFOV))  # fmt: skip
COMPANIONS = ("camera_info", "reference/image", "odometry")


@pytest.fixture
def client(ros_domain: int) -> Iterator[RosClient]:
    with ros_client("rooms_camera") as made:
        for kind, topic in ((CameraInfo, "camera_info"), (Image, "reference/image"), (Odometry, "odometry"),
                            (Image, "image")):  # fmt: skip
            made.listen(kind, topic)
        yield made


@pytest.fixture(scope="module")
def sequence() -> RoomSequence:
    return RoomSequence(SEED, PinholeCamera.from_hfov(WIDTH, HEIGHT, HFOV), LENGTH, 10.0)


def test_it_publishes_the_frames_of_the_room(processes: Processes, client: RosClient, sequence: RoomSequence) -> None:
    process = processes.python(*NODE, *SMALL, "--rate", "10")
    process.wait_for("ready: 6 frames rendered")
    client.forget()
    frames = {sample.rgb.tobytes(): i for i, sample in enumerate(sequence)}

    def complete() -> list[tuple[int, int]]:
        """The images whose companions of equal stamp have come."""
        others = (set(stamps(client, topic)) for topic in COMPANIONS)
        return sorted(set(stamps(client, "image")).intersection(*others))

    client.wait_until(lambda: len(complete()) >= 2 * LENGTH, "two rounds")
    assert process.stop(signal.SIGINT) == 0
    assert "Traceback" not in process.output and not process.left_behind()
    check_companions(client, sequence, {at: frames[msg.data.tobytes()] for at, msg in stamped(client, "image")})


def stamped(client: RosClient, topic: str) -> list[tuple[tuple[int, int], Any]]:
    """What has come so far, with its stamps."""
    return [((msg.header.stamp.sec, msg.header.stamp.nanosec), msg) for msg in list(client.received[topic])]


def stamps(client: RosClient, topic: str) -> list[tuple[int, int]]:
    return [at for at, _ in stamped(client, topic)]


def check_companions(client: RosClient, sequence: RoomSequence, shown: dict[tuple[int, int], int]) -> None:
    """Exact depth and pose of equal stamp belong to the image."""
    for stamp, msg in stamped(client, "reference/image"):
        if stamp in shown:
            assert msg.encoding == "32FC1" and msg.header.frame_id == "camera_optical_frame"
            depth = np.frombuffer(msg.data, np.float32).reshape(HEIGHT, WIDTH)
            assert np.array_equal(depth, sequence[shown[stamp]].depth, equal_nan=True)
    for stamp, msg in stamped(client, "odometry"):
        if stamp in shown:
            pose, T = msg.pose.pose, sequence.pose(shown[stamp])
            assert np.allclose([pose.position.x, pose.position.y, pose.position.z], T[:3, 3], atol=1e-9)
            q = pose.orientation
            assert np.allclose(Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix(), T[:3, :3], atol=1e-9)
    camera = camera_of_info(client.received["camera_info"][0], rectified=False)
    assert camera.size == (WIDTH, HEIGHT) and np.allclose(camera.K, sequence.camera.K) and camera.is_rectified


def test_images_come_before_the_loop_is_rendered(processes: Processes, client: RosClient) -> None:
    process = processes.python(*NODE, *SMALL[:2], "--length", "2000", "--width", "320", "--height", "240")
    client.wait_for("image", 5)
    assert "ready" not in process.output
    assert process.stop(signal.SIGTERM) == 0
    assert "Traceback" not in process.output


def test_it_can_be_stopped_before_the_first_frame(processes: Processes, ros_domain: int) -> None:
    process = processes.python(*NODE)
    with ros_client() as client:
        client.wait_until(lambda: bool(client.node.count_publishers("image")), "a publisher")
    assert process.stop(signal.SIGINT) == 0
    assert "ready: " not in process.output, "it does not render the loop first"
    assert "Traceback" not in process.output and not process.left_behind()


def test_a_wrong_setting_is_one_line_and_status_1(processes: Processes, ros_domain: int) -> None:
    process = processes.python(*NODE, "--ros-args", "-p", "hfov:=200.0")
    assert process.wait() == 1
    assert process.output.strip() == "rooms_camera: hfov must be 1 to 170 deg, got 200.0"


class Gate:
    """A source of numbered frames, each of which comes when it is let through."""

    def __init__(self) -> None:
        self._open = threading.Semaphore(0)
        self._done = threading.Semaphore(0)
        self._numbers = itertools.count()

    def receive(self) -> Sample:
        assert self._open.acquire(timeout=DEADLINE_S)
        return Sample(np.full((1, 1, 3), next(self._numbers), np.uint8), PinholeCamera.from_hfov(1, 1, 60.0))

    def close(self) -> None:
        for _ in range(10):
            self._open.release()

    def progress(self, done: int) -> None:
        self._done.release()

    def let_through(self, count: int, loop: GrowingLoop, upto: int) -> None:
        for _ in range(count):
            self._open.release()
        for _ in range(count):
            assert self._done.acquire(timeout=DEADLINE_S)
        loop.frame(upto)  # its future is set just after its progress


def test_the_walk_turns_at_the_last_finished_frame_then_goes_round() -> None:
    gate = Gate()
    with GrowingLoop(gate, 5, gate.progress) as loop:
        walk = loop.walk()
        assert [next(walk) for _ in range(3)] == [0, 0, 0]  # nothing else is there yet
        gate.let_through(3, loop, 2)
        assert [next(walk) for _ in range(6)] == [1, 2, 1, 0, 1, 2]
        gate.let_through(2, loop, 4)
        following = [next(walk) for _ in range(12)]
        assert following == [3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
        assert loop.frame(3).rgb[0, 0, 0] == 3


def test_a_path_that_was_going_back_goes_forward_when_all_is_there() -> None:
    gate = Gate()
    with GrowingLoop(gate, 4, gate.progress) as loop:
        walk = loop.walk()
        gate.let_through(3, loop, 2)
        assert [next(walk) for _ in range(4)] == [0, 1, 2, 1]
        gate.let_through(1, loop, 3)
        assert [next(walk) for _ in range(6)] == [2, 3, 0, 1, 2, 3]


def test_the_renderer_sends_the_frames_and_ends_when_it_is_closed(sequence: RoomSequence) -> None:
    renderer = RoomRenderer(SEED, WIDTH, HEIGHT, HFOV, 1000, 15.0)
    try:
        sample = renderer.receive()
    finally:
        renderer.close()
    truth = sequence[0]  # the loop begins at one place, whatever its length
    assert np.array_equal(sample.rgb, truth.rgb) and np.array_equal(sample.T_world_camera, truth.T_world_camera)
    with pytest.raises(MonoDepthError, match="renderer ended"):
        for _ in range(500):  # what was under way when it was closed
            renderer.receive()


def test_a_turned_camera_is_at_the_same_place_and_looks_to_the_left(sequence: RoomSequence) -> None:
    renderer = RoomRenderer(SEED, WIDTH, HEIGHT, HFOV, 1, 15.0, 90.0)
    sample, truth = renderer.receive(), sequence.pose(0)
    T = sample.T_world_camera
    assert T is not None and np.array_equal(T[:3, 3], truth[:3, 3])
    forward, left = T[:3, 2], np.cross([0, 0, 1], truth[:3, 2])
    assert np.allclose(forward[:2], left[:2], atol=1e-12) and np.isclose(forward[2], truth[2, 2])
    assert np.allclose(T[2, :3], truth[2, :3]), "the horizon stays where it is"
    rendered = sequence.room.render(sequence.camera, T)
    assert np.array_equal(sample.rgb, rendered[0]) and not np.array_equal(sample.rgb, sequence[0].rgb)


def test_the_renderer_is_reaped_with_its_last_frame(processes: Processes, ros_domain: int) -> None:
    """A child that ended and is not waited for stays as a zombie."""
    with ros_client() as client:
        process = processes.python(*NODE, "--length", "30", "--width", "160", "--height", "120")
        client.wait_until(lambda: bool(children(process.pid)), "a renderer")
        process.wait_for("ready: 30 frames rendered")
        client.wait_until(lambda: not children(process.pid), "the end of the renderer")
        client.listen(Image, "image")
        client.wait_for("image", 4)
    assert process.stop(signal.SIGINT) == 0


def children(pid: int) -> list[str]:
    """The children of a process, zombies too."""
    found: list[str] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
            found += (task / "children").read_text().split()
    return found


def test_a_renderer_that_dies_is_reaped() -> None:
    renderer = RoomRenderer(SEED, WIDTH, HEIGHT, HFOV, 1000, 15.0)
    renderer.receive()
    os.kill(renderer._process.pid, signal.SIGKILL)
    with pytest.raises(MonoDepthError, match="renderer ended"):
        for _ in range(1000):
            renderer.receive()
    assert renderer._process.returncode == -signal.SIGKILL


def test_what_goes_wrong_while_rendering_reaches_whoever_wants_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*arguments: object) -> None:
        raise DataError("no free camera path")

    monkeypatch.setattr("mono_depth_recon.datasets.rooms.room.RoomSequence", no_room)
    receiving, sending = Pipe(duplex=False)
    render(sending, SEED, PinholeCamera.from_hfov(WIDTH, HEIGHT, HFOV), 3, 15.0)
    assert str(receiving.recv()) == "no free camera path"

"""replay of bags and archives: the same topics as from the TUM folder that they were made from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_recordings import CAMERA, FORMATS, ROS1, Scene, tum_plan, write_folder, write_ros1
from made_training_sets import colour, write_nyu_csv
from nav_msgs.msg import Odometry
from processes import Processes
from ros_client import RosClient, ros_client
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from tf_standin import tf_message, with_tf

from mono_depth_recon.errors import DataError
from mono_depth_recon.ros.cameras.replay import ReplaySettings, open_playlist, open_recording

REPLAY = ("-m", "mono_depth_recon.ros.cameras.replay")
AGAIN = ("--loop", "--wait-subscribers", "1", "--stamps", "original")  # a frame that a busy machine skips comes again
SCENE = Scene()


@pytest.fixture
def client(ros_domain: int) -> Iterator[RosClient]:
    with ros_client("replay") as made:
        for kind, topic in (
            (Clock, "/clock"),
            (CameraInfo, "camera_info"),
            (Image, "reference/image"),
            (Odometry, "odometry"),
            (Image, "image"),
            (Image, "front/colour"),
        ):
            made.listen(kind, topic)
        yield made


def nanoseconds(stamp: Any) -> int:
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


@pytest.mark.parametrize("form", ["tgz", "ros1_bz2", "sqlite3", "mcap_storage"])
def test_every_kind_of_recording_is_played_as_it_is(
    processes: Processes, client: RosClient, tmp_path: Path, form: str
) -> None:
    process = processes.python(*REPLAY, FORMATS[form](tmp_path, SCENE), "--camera", CAMERA, *AGAIN)
    topics = ("image", "camera_info", "reference/image", "odometry")
    clock = client.received["/clock"]
    client.wait_until(
        lambda: (
            all(by_stamp(client, t).keys() == set(SCENE.stamps_ns) for t in topics)
            and set(SCENE.stamps_ns) <= {nanoseconds(msg.clock) for msg in clock}
        ),
        "every frame, and the clock at its time",  # the clock comes often: a busy machine misses some of it
    )
    assert process.stop() == 0
    frame = "camera_optical_frame" if form == "tgz" else "openni_rgb_optical_frame"  # no leading slash in ROS 2
    for i in range(SCENE.frames):
        image, info, reference, odometry = (by_stamp(client, topic)[SCENE.stamps_ns[i]] for topic in topics)
        assert image.data.tobytes() == SCENE.rgb[i].tobytes()
        assert image.header.frame_id == frame == odometry.child_frame_id and odometry.header.frame_id == "world"
        assert image.header == info.header == reference.header
        assert [info.k[0], info.k[4], info.k[2], info.k[5]] == [50, 51, 31.5, 23.5]
        metres = np.frombuffer(reference.data, np.float32).reshape(48, 64)
        assert np.array_equal(metres, SCENE.metres(i), equal_nan=True)
        position = odometry.pose.pose.position
        assert [position.x, position.y, position.z] == SCENE.positions[i].tolist()


def by_stamp(client: RosClient, topic: str) -> dict[int, Any]:
    return {nanoseconds(msg.header.stamp): msg for msg in client.received[topic]}


def test_remaps_and_what_could_not_be_read(processes: Processes, client: RosClient, tmp_path: Path) -> None:
    path = FORMATS["ros1"](tmp_path, SCENE)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    process = processes.python(*REPLAY, path, *AGAIN, "--ros-args", "-r", "image:=front/colour")
    client.wait_for("front/colour", 2)
    assert process.stop() == 0
    assert not client.received["image"]
    assert "the part before it is used" in process.output


def test_poses_are_on_tf_too_in_the_frames_that_are_asked_for(
    processes: Processes, client: RosClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.listen(tf_message(monkeypatch), "/tf")
    flags = ("--world-frame", "/map", "--frame-id", "/lens")  # no leading slash in ROS 2
    process = processes.python(*REPLAY, FORMATS["ros1"](tmp_path, SCENE), *AGAIN, *flags, env=with_tf())

    def transforms() -> dict[int, Any]:
        return {nanoseconds(msg.transforms[0].header.stamp): msg.transforms[0] for msg in client.received["/tf"]}

    def everything() -> bool:
        return transforms().keys() == by_stamp(client, "odometry").keys() == set(SCENE.stamps_ns)

    client.wait_until(everything, "every pose")
    assert process.stop() == 0 and "poses, if any, in frame 'map' on /odometry (/tf)" in process.output
    for i in range(SCENE.frames):
        odometry, transform = by_stamp(client, "odometry")[SCENE.stamps_ns[i]], transforms()[SCENE.stamps_ns[i]]
        assert (transform.header.frame_id, transform.child_frame_id) == ("map", "lens")
        assert transform.header == odometry.header and odometry.child_frame_id == "lens"
        at = transform.transform.translation
        assert [at.x, at.y, at.z] == SCENE.positions[i].tolist()
        assert transform.transform.rotation == odometry.pose.pose.orientation


def test_a_bag_without_depth_is_a_camera_too(processes: Processes, client: RosClient, tmp_path: Path) -> None:
    plan = [row for row in tum_plan(SCENE, ROS1) if "depth" not in row[1]]
    process = processes.python(*REPLAY, write_ros1(tmp_path / "a.bag", plan), *AGAIN)
    client.wait_for("image", SCENE.frames)
    assert process.stop() == 0
    assert not client.received["reference/image"]


@pytest.mark.parametrize("make", [FORMATS["folder"], FORMATS["ros1"]], ids=["folder", "ros1"])
def test_start_and_duration_choose_by_recorded_time(tmp_path: Path, make: Callable[[Path, Scene], Path]) -> None:
    path = make(tmp_path, SCENE)
    stamps = [ns / 10**9 for ns in SCENE.stamps_ns]
    chosen = open_playlist(ReplaySettings(path=str(path), camera=CAMERA, start=0.05, duration=0.07))
    assert chosen.stamps == stamps[2:4]
    assert np.array_equal(chosen.load(0).rgb, SCENE.rgb[2])
    chosen = open_playlist(ReplaySettings(path=str(path), camera=CAMERA, first=1, last=4, start=0.05))
    assert chosen.stamps == stamps[3:5]


def test_topics_poses_and_depth_factor_reach_the_reader(tmp_path: Path) -> None:
    path = FORMATS["ros1"](tmp_path, SCENE)
    still = open_recording(ReplaySettings(path=str(path), poses="none"))
    assert still[0].T_world_camera is None
    folder = write_folder(tmp_path / "desk", SCENE)
    halved = open_recording(ReplaySettings(path=str(folder), camera=CAMERA, depth_factor=2500.0))[0].depth
    assert halved is not None and np.allclose(halved, 2 * SCENE.metres(0), equal_nan=True)
    with pytest.raises(DataError, match="has no topic of poses /odom; it has /tf"):
        open_recording(ReplaySettings(path=str(path), pose_topic="/odom"))
    with pytest.raises(DataError, match=r"above max_chunk_bytes \(1000\)"):
        open_recording(ReplaySettings(path=str(path), max_chunk_bytes=1000))
    named = ReplaySettings(path=str(path), colour_topic="/camera/depth/image")
    with pytest.raises(DataError, match="colour image must have one of the encodings"):
        open_recording(named)


def test_a_data_set_without_stamps_is_played_at_a_usual_rate(tmp_path: Path) -> None:
    path = write_nyu_csv(tmp_path, ["study_0003"], frames=1, tests=4)
    played = open_playlist(ReplaySettings(path=str(path)))
    assert played.stamps == pytest.approx([0, 1 / 15, 2 / 15, 3 / 15])
    assert [frame.at for frame in played.schedule(loop=False, max_gap=0.0)] == pytest.approx(played.stamps)
    sample = played.load(2)
    assert sample.stamp == played.stamps[2] and np.array_equal(sample.rgb, colour(2))
    chosen = open_playlist(ReplaySettings(path=str(path), first=1, last=2, loop=True))
    assert len(chosen.stamps) == 2 and chosen.load(0) is chosen.load(0)


def test_a_recording_whose_name_is_not_utf_8_is_played(processes: Processes, client: RosClient, tmp_path: Path) -> None:
    """Its name goes through rclpy's arguments, parameters and log, which take UTF-8 alone."""
    path = write_folder(tmp_path / "plain", SCENE).rename(tmp_path / os.fsdecode(b"caf\xe9"))
    process = processes.python(*REPLAY, path, "--camera", CAMERA, *AGAIN, "--ros-args", "-r", "odometry:=moved")
    client.wait_until(lambda: by_stamp(client, "image").keys() == set(SCENE.stamps_ns), "every frame")
    assert process.stop() == 0
    assert f"ready: {SCENE.frames} frames of {tmp_path}/caf\\xe9, speed 1" in process.output
    assert "Traceback" not in process.output and not client.received["odometry"]


def test_a_bag_whose_name_is_not_utf_8_is_opened(tmp_path: Path) -> None:
    for form in ("ros1", "sqlite3", "mcap"):
        path = FORMATS[form](tmp_path, SCENE)
        renamed = path.rename(path.with_name(os.fsdecode(b"caf\xe9") + form + path.suffix))
        with closing(open_recording(ReplaySettings(path=str(renamed), camera=CAMERA))) as opened:
            assert np.array_equal(opened[1].rgb, SCENE.rgb[1])

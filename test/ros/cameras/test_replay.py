"""replay: what it publishes against the files it plays, its schedule, and its ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from processes import Processes
from ros_client import RosClient, ros_client
from rosgraph_msgs.msg import Clock
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.datasets.opening import understood
from mono_depth_recon.errors import CalibrationError, ConfigError, MonoDepthError
from mono_depth_recon.frames import Sample
from mono_depth_recon.ros.cameras.player import Cue, Player, time_from_seconds
from mono_depth_recon.ros.cameras.replay import Playlist, ReplaySettings, open_playlist
from mono_depth_recon.ros.conversions import odometry_to_msg

FRAMES, WIDTH, HEIGHT, GAP_S = 8, 64, 48, 0.1
FIRST_STAMP = 1305031102.175304
CAMERA = "50 51 31.5 23.5 0.1 -0.05 0.001 0.002 0.01"
REPLAY = ("-m", "mono_depth_recon.ros.cameras.replay")


class Folder:
    """A small TUM folder of random pictures, with what is in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        rng = np.random.default_rng(3)
        self.stamps = [FIRST_STAMP + GAP_S * i for i in range(FRAMES)]
        self.rgb = rng.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), np.uint8)
        self.depth = rng.integers(0, 20000, (FRAMES, HEIGHT, WIDTH)).astype(np.uint16)
        self.depth[:, :4] = 0
        self.positions = rng.normal(size=(FRAMES, 3))
        self.rotations = Rotation.random(FRAMES, random_state=4)
        self._write()

    def _write(self) -> None:
        for name in ("rgb", "depth"):
            (self.path / name).mkdir(parents=True)
        lists: dict[str, list[str]] = {"rgb": [], "depth": [], "groundtruth": ["# stamp tx ty tz qx qy qz qw"]}
        for i, stamp in enumerate(self.stamps):
            cv2.imwrite(str(self.path / f"rgb/{i}.png"), self.rgb[i, ..., ::-1])
            cv2.imwrite(str(self.path / f"depth/{i}.png"), self.depth[i])
            lists["rgb"].append(f"{stamp:.6f} rgb/{i}.png")
            lists["depth"].append(f"{stamp + 0.004:.6f} depth/{i}.png")
            pose = [*self.positions[i], *self.rotations[i].as_quat()]
            lists["groundtruth"].append(" ".join([f"{stamp:.6f}", *(f"{v:.9f}" for v in pose)]))
        for name, lines in lists.items():
            (self.path / f"{name}.txt").write_text("\n".join(lines) + "\n")

    def index_of(self, msg: Image) -> int:
        """Which frame an image message shows."""
        return next(i for i in range(FRAMES) if msg.data.tobytes() == self.rgb[i].tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("tum") / "sequence")


@pytest.fixture
def client(ros_domain: int) -> Iterator[RosClient]:
    with ros_client("replay") as made:
        for kind, topic in (
            (Clock, "/clock"),
            (CameraInfo, "camera_info"),
            (Image, "reference/image"),
            (CameraInfo, "reference/camera_info"),
            (Odometry, "odometry"),
            (Image, "image"),
        ):
            made.listen(kind, topic)  # image last: replay waits for it, and discovery keeps the order
        yield made


def start(processes: Processes, folder: Folder, *arguments: str) -> Any:
    return processes.python(*REPLAY, folder.path, "--camera", CAMERA, "--wait-subscribers", "1", *arguments)


def seconds(stamp: Any) -> float:
    return float(stamp.sec + 1e-9 * stamp.nanosec)


def test_original_stamps_bring_every_frame_as_it_is_in_the_folder(
    processes: Processes, client: RosClient, folder: Folder
) -> None:
    process = start(processes, folder, "--stamps", "original")
    for topic in ("image", "camera_info", "reference/image", "reference/camera_info", "odometry"):
        client.wait_for(topic, FRAMES)
    assert process.wait() == 0
    assert f"played {FRAMES} frames, skipped 0" in process.output
    for i in range(FRAMES):
        image, info, reference, reference_info, odometry = (
            client.received[topic][i]
            for topic in ("image", "camera_info", "reference/image", "reference/camera_info", "odometry")
        )
        assert folder.index_of(image) == i
        assert image.encoding == "rgb8" and image.header.frame_id == "camera_optical_frame"
        assert round(seconds(image.header.stamp) * 1e6) == round(folder.stamps[i] * 1e6)
        assert image.header.stamp.nanosec % 1000 == 0  # the file's own six digits
        assert info.header == image.header == reference.header == reference_info.header
        check_camera_info(info)
        check_camera_info(reference_info)
        check_reference(reference, folder.depth[i])
        assert (odometry.header.frame_id, odometry.child_frame_id) == ("world", "camera_optical_frame")
        assert odometry.header.stamp == image.header.stamp
        check_pose(odometry, folder.positions[i], folder.rotations[i])


def check_camera_info(info: CameraInfo) -> None:
    numbers = [float(word) for word in CAMERA.split()]
    assert (info.width, info.height, info.distortion_model) == (WIDTH, HEIGHT, "plumb_bob")
    assert [info.k[0], info.k[4], info.k[2], info.k[5]] == numbers[:4]
    assert list(info.d) == numbers[4:]
    assert list(info.p) == [50, 0, 31.5, 0, 0, 51, 23.5, 0, 0, 0, 1, 0]


def check_reference(reference: Image, stored: NDArray[np.uint16]) -> None:
    assert reference.encoding == "32FC1"
    metres = np.frombuffer(reference.data, np.float32).reshape(HEIGHT, WIDTH)
    assert np.array_equal(np.isnan(metres), stored == 0)
    assert np.allclose(metres[stored > 0], stored[stored > 0] / 5000, rtol=1e-6)


def check_pose(odometry: Odometry, position: NDArray[np.float64], rotation: Rotation) -> None:
    pose = odometry.pose.pose
    assert np.allclose([pose.position.x, pose.position.y, pose.position.z], position, atol=1e-8)
    q = pose.orientation
    assert (Rotation.from_quat([q.x, q.y, q.z, q.w]) * rotation.inv()).magnitude() < 1e-7


def test_the_clock_follows_the_recording_also_between_frames(
    processes: Processes, client: RosClient, folder: Folder
) -> None:
    process = start(processes, folder, "--stamps", "original")
    client.wait_for("image", FRAMES)
    assert process.wait() == 0
    clock = np.array([seconds(msg.clock) for msg in client.received["/clock"]])
    assert np.all(np.diff(clock) >= 0)
    assert np.isin(np.round(np.array(folder.stamps) * 1e6), np.round(clock * 1e6)).all()
    between = clock[(clock > folder.stamps[0]) & (clock < folder.stamps[-1])]
    # where a busy machine is late for a frame, nothing lies between it and the one before: the median tells
    assert np.median(np.diff(between)) < 0.5 * GAP_S and len(between) > 2 * FRAMES
    assert clock.min() >= folder.stamps[0] - 1e-6 and clock.max() <= folder.stamps[-1] + 1e-6


def test_stamps_of_now_grow_with_the_time_and_leave_the_clock_alone(
    processes: Processes, client: RosClient, folder: Folder
) -> None:
    begin = time.time()
    process = start(processes, folder)
    client.wait_for("image", FRAMES)
    assert process.wait() == 0
    stamps = np.array([seconds(msg.header.stamp) for msg in client.received["image"]])
    assert np.all(np.diff(stamps) > 0) and begin < stamps[0] and stamps[-1] < time.time()
    assert stamps[-1] - stamps[0] >= 0.99 * GAP_S * (FRAMES - 1)
    assert not client.received["/clock"]


def test_rate_is_the_speed(processes: Processes, client: RosClient, folder: Folder) -> None:
    """Slower: that a frame comes too early cannot be an accident of a busy machine."""
    process = start(processes, folder, "--rate", "0.5")
    client.wait_for("image", FRAMES)
    assert process.wait() == 0
    stamps = np.array([seconds(msg.header.stamp) for msg in client.received["image"]])
    assert stamps[-1] - stamps[0] >= 0.99 * 2 * GAP_S * (FRAMES - 1)


def test_a_loop_plays_what_start_first_and_last_choose_until_it_is_stopped(
    processes: Processes, client: RosClient, folder: Folder
) -> None:
    parameters = ["--ros-args", "-p", "loop:=true", "-p", "first:=1", "-p", "last:=5", "-p", "start:=0.15"]
    process = start(processes, folder, "--rate", "4", *parameters)
    client.wait_for("image", 10)
    assert [folder.index_of(msg) for msg in client.received["image"][:10]] == [3, 4, 5, 3, 4, 5, 3, 4, 5, 3]
    assert process.stop(signal.SIGINT) == 0
    assert not process.left_behind()
    assert "Traceback" not in process.output


def test_sigterm_ends_it_cleanly_and_16uc1_is_millimetres(
    processes: Processes, client: RosClient, folder: Folder
) -> None:
    process = start(processes, folder, "--loop", "--reference-encoding", "16UC1")
    reference = client.wait_for("reference/image")
    i = folder.index_of(client.wait_for("image"))
    millimetres = np.frombuffer(reference.data, np.uint16).reshape(HEIGHT, WIDTH)
    assert reference.encoding == "16UC1"
    assert np.abs(millimetres - folder.depth[i] / 5.0).max() <= 0.5 + 1e-3
    assert process.stop(signal.SIGTERM) == 0
    assert "Traceback" not in process.output


def test_a_broken_frame_is_skipped_with_a_warning(processes: Processes, client: RosClient, tmp_path: Path) -> None:
    broken = Folder(tmp_path / "sequence")
    file = broken.path / "rgb/2.png"
    file.write_bytes(file.read_bytes()[:100])
    process = start(processes, broken)
    client.wait_for("image", FRAMES - 1)
    assert process.wait() == 0
    assert [broken.index_of(msg) for msg in client.received["image"]] == [0, 1, 3, 4, 5, 6, 7]
    assert "frame skipped" in process.output and "2.png" in process.output
    assert f"played {FRAMES - 1} frames, skipped 1" in process.output


def test_a_folder_of_broken_frames_is_an_error(processes: Processes, ros_domain: int, tmp_path: Path) -> None:
    broken = Folder(tmp_path / "sequence")
    for file in (broken.path / "rgb").iterdir():
        if file.name != "0.png":  # the camera takes its size from the first
            file.write_bytes(b"no picture")
    process = processes.python(*REPLAY, broken.path, "--camera", CAMERA, "--first", "1")
    assert process.wait() == 1
    assert f"none of its {FRAMES - 1} frames can be read" in process.output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["nowhere"],
            f"replay: nowhere does not exist: expected {understood()}",
        ),
        (["--ros-args", "-p", "rat:=2.0"], "replay: unknown parameter 'rat'; did you mean 'rate'?"),
        (["--ros-args", "-p", "rate:=fast"], "replay: rate must be of type float, got 'fast'"),
    ],
)
def test_a_wrong_setting_is_one_line_and_status_1(
    processes: Processes, ros_domain: int, arguments: list[str], complaint: str
) -> None:
    process = processes.python(*REPLAY, *arguments)
    assert process.wait() == 1
    assert process.output.strip() == complaint


def test_help_names_every_setting(processes: Processes) -> None:
    process = processes.python(*REPLAY, "--help")
    assert process.wait() == 0
    for flag in ("--rate", "--loop", "--start", "--stamps", "--first", "--last", "--max-gap", "--camera"):
        assert flag in process.output


@pytest.mark.parametrize(
    ("changes", "kind", "complaint"),
    [
        ({"path": ""}, ConfigError, "path must name"),
        ({"start": 5.0}, ConfigError, "start must be at most 0.700 s"),
        ({"first": 99}, ConfigError, "first to last"),
        ({"start": 0.01, "duration": 0.05}, ConfigError, "duration reach a frame, got 0.01 and 0.05"),
        ({"camera": "50 50"}, ConfigError, "camera must be 'fx fy cx cy"),
        ({"camera": "a b c d"}, ConfigError, "camera must be 'fx fy cx cy"),
        ({"camera": ""}, CalibrationError, "names none of freiburg1"),
        ({"camera": "-50 50 32 24"}, CalibrationError, "must be positive"),
    ],
)
def test_what_cannot_be_played_says_why(
    folder: Folder, changes: dict[str, Any], kind: type[MonoDepthError], complaint: str
) -> None:
    with pytest.raises(kind, match=complaint):
        open_playlist(ReplaySettings(**{"path": str(folder.path), "camera": CAMERA, **changes}))


def test_a_loop_that_fits_into_memory_is_read_once(folder: Folder) -> None:
    recording = open_playlist(ReplaySettings(path=str(folder.path), camera=CAMERA, loop=True))
    assert recording.load(2) is recording.load(2)
    assert np.array_equal(recording.load(2).rgb, folder.rgb[2])


def test_cues_keep_the_recorded_gaps_and_shorten_long_ones() -> None:
    recording = Playlist([10.0, 10.5, 11.0, 15.0], lambda i: blank(i))
    assert [cue.at for cue in recording.cues(loop=False, max_gap=0.0)] == [0.0, 0.5, 1.0, 5.0]
    assert [cue.at for cue in recording.cues(loop=False, max_gap=1.0)] == [0.0, 0.5, 1.0, 2.0]
    endless = recording.cues(loop=True, max_gap=1.0)
    rounds = [next(endless) for _ in range(9)]
    assert [cue.at for cue in rounds] == [0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 3.5, 4.5, 5.0]  # the typical gap parts rounds
    assert [cue.stamp for cue in rounds[4:8]] == [10.0, 10.5, 11.0, 15.0]


def blank(i: int) -> Sample:
    camera = PinholeCamera.from_hfov(4, 3, 60.0)
    return Sample(np.zeros((3, 4, 3), np.uint8), camera, stamp=float(i), name=str(i))


class Stage:
    """Stands where CameraTopics stands and notes what is published when."""

    has_clock = False

    def __init__(self) -> None:
        self.names: list[int] = []
        self.times: list[float] = []

    def publish_clock(self, stamp: float) -> None:
        pass

    def publish(self, sample: Sample, stamp: Any) -> None:
        self.names.append(int(sample.name))
        self.times.append(time.monotonic())


def play(load: Callable[[int], Sample], count: int, gap: float) -> tuple[Player, Stage]:
    log = SimpleNamespace(warning=lambda text, throttle_duration_sec: None)
    stage = Stage()
    player = Player(SimpleNamespace(get_logger=lambda: log), stage, original_stamps=True)  # type: ignore[arg-type]
    player.play(Cue(gap * i, float(i), lambda i=i: load(i)) for i in range(count))  # type: ignore[misc]
    return player, stage


def test_one_slow_frame_delays_no_other() -> None:
    """It loads for three gaps, behind frames that are loaded ahead."""

    def load(i: int) -> Sample:
        time.sleep(0.3 if i == 5 else 0.0)
        return blank(i)

    player, stage = play(load, 12, 0.1)
    assert stage.names == list(range(12)) and player.skipped == 0


def test_a_reader_that_is_too_slow_skips_and_keeps_the_schedule() -> None:
    """Two readers at 0.1 s a frame give 20 frames a second where 50 are due; without skipping it would take 5 s."""

    def load(i: int) -> Sample:
        time.sleep(0.1)
        return blank(i)

    begin = time.monotonic()
    player, stage = play(load, 100, 0.02)
    assert time.monotonic() - begin < 4.0
    assert player.skipped > 20 and player.published > 10
    assert player.published + player.skipped == 100
    assert stage.names == sorted(stage.names)


def test_times_do_not_drift() -> None:
    """Publishing takes half of each gap and still the last frame is on time, no frame early."""
    stage = Stage()
    publish = stage.publish

    def slow(sample: Sample, stamp: Any) -> None:
        publish(sample, stamp)
        time.sleep(0.02)

    stage.publish = slow  # type: ignore[method-assign]
    player = Player(SimpleNamespace(), stage, rate=0.5, original_stamps=True)  # type: ignore[arg-type]
    player.play(Cue(0.02 * i, float(i), lambda i=i: blank(i)) for i in range(20))  # type: ignore[misc]
    offsets = np.array(stage.times) - stage.times[0] - 0.04 * np.arange(20)
    assert stage.names == list(range(20))
    assert offsets.min() > -0.02 and np.median(offsets) < 0.02


def test_the_schedule_goes_on_when_subscribers_have_the_first_frame() -> None:
    """They take two and a half gaps to acknowledge it; nothing is skipped for that, and the gaps are kept."""
    stage = Stage()
    asked: list[float] = []

    def flush(seconds: float) -> None:
        asked.append(seconds)
        time.sleep(0.5)

    stage.flush = flush  # type: ignore[attr-defined]
    player = Player(SimpleNamespace(), stage, original_stamps=True, first_s=3.0)  # type: ignore[arg-type]
    player.play(Cue(0.2 * i, float(i), lambda i=i: blank(i)) for i in range(4))  # type: ignore[misc]
    assert asked == [3.0] and stage.names == [0, 1, 2, 3] and player.skipped == 0
    assert np.all(np.diff(stage.times) > [0.65, 0.1, 0.1])


def test_stamps_keep_the_microseconds() -> None:
    stamp = time_from_seconds(1305031102.175304)
    assert (stamp.sec, stamp.nanosec) == (1305031102, 175304000)
    assert time_from_seconds(5.9999999).sec == 6


def test_odometry_holds_the_rotation_of_the_pose() -> None:
    """Against scipy, with half turns about every axis, where one component is largest."""
    rotations = [*Rotation.random(50, random_state=1), *(Rotation.from_rotvec(np.pi * axis) for axis in np.eye(3))]
    for rotation in [*rotations, Rotation.identity()]:
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = rotation.as_matrix(), (1.0, -2.0, 3.0)
        check_pose(odometry_to_msg(T, Image().header, "camera"), T[:3, 3], rotation)

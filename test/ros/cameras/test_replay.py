"""replay: what it publishes against the files it plays, its schedule, and its ends."""

from __future__ import annotations

import re
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
from processes import Process, Processes
from ros_client import RosClient, ros_client
from rosgraph_msgs.msg import Clock
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.datasets.opening import understood
from mono_depth_recon.errors import CalibrationError, ConfigError, DataError, MonoDepthError
from mono_depth_recon.frames import Sample
from mono_depth_recon.ros.cameras import player
from mono_depth_recon.ros.cameras.player import Player, ScheduledFrame, time_from_seconds
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
    """In a loop: a busy machine may skip a frame, and the next round brings it."""
    process = start(processes, folder, "--stamps", "original", "--loop")
    client.wait_until(lambda: len(whole_frames(client)) == FRAMES, "every frame on all topics")
    assert process.stop(signal.SIGINT) == 0
    for i, parts in enumerate(whole_frames(client)):
        image, info, reference, reference_info, odometry = parts
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


def whole_frames(client: RosClient) -> list[list[Any]]:
    """The messages of each stamp that has come on all topics, in the order of the stamps."""
    topics = ("image", "camera_info", "reference/image", "reference/camera_info", "odometry")
    by_stamp = [{seconds(msg.header.stamp): msg for msg in client.received[topic]} for topic in topics]
    stamps = set(by_stamp[0]).intersection(*by_stamp[1:])
    return [[messages[stamp] for messages in by_stamp] for stamp in sorted(stamps)]


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


def played(process: Process, client: RosClient, folder: Folder) -> tuple[list[int], NDArray[np.float64]]:
    """Numbers and stamps of the images of a recording that is played to its end; a busy machine skips some."""
    assert process.wait() == 0
    said = re.search(r"played (\d+) frames, skipped (\d+)", process.output)
    assert said is not None and int(said[1]) + int(said[2]) == FRAMES
    client.wait_for("image", int(said[1]))
    images = client.received["image"]
    return [folder.index_of(msg) for msg in images], np.array([seconds(msg.header.stamp) for msg in images])


def test_the_clock_follows_the_recording(processes: Processes, client: RosClient, folder: Folder) -> None:
    numbers, stamps = played(start(processes, folder, "--stamps", "original"), client, folder)
    client.wait_until(
        lambda: seconds(client.received["/clock"][-1].clock) >= stamps[-1] - 1e-6, "the last of the clock"
    )
    clock = np.array([seconds(msg.clock) for msg in client.received["/clock"]])
    assert np.all(np.diff(clock) >= 0) and numbers[0] == 0
    share = np.isin(np.round(stamps * 1e6), np.round(clock * 1e6)).mean()
    assert share >= 0.5, "it stands at the images' stamps; a busy machine misses some of its messages"
    assert clock.min() >= folder.stamps[0] - 1e-6 and clock.max() <= folder.stamps[-1] + 1e-6


@pytest.mark.parametrize(("rate", "gap"), [("1", GAP_S), ("0.5", 2 * GAP_S)])
def test_stamps_of_now_grow_with_the_time_and_leave_the_clock_alone(
    processes: Processes, client: RosClient, folder: Folder, rate: str, gap: float
) -> None:
    """No frame comes too early: that cannot be an accident of a busy machine."""
    begin = time.time()
    numbers, stamps = played(start(processes, folder, "--rate", rate), client, folder)
    assert np.all(np.diff(stamps) > 0) and begin < stamps[0] and stamps[-1] < time.time()
    assert np.all(stamps - stamps[0] >= 0.99 * gap * np.array(numbers))
    assert not client.received["/clock"]


def test_a_loop_plays_what_start_first_and_last_choose_until_it_is_stopped(
    processes: Processes, client: RosClient, folder: Folder
) -> None:
    parameters = ["--ros-args", "-p", "loop:=true", "-p", "first:=1", "-p", "last:=5", "-p", "start:=0.15"]
    process = start(processes, folder, "--rate", "4", *parameters)
    client.wait_for("image", 10)
    assert process.stop(signal.SIGINT) == 0
    shown = [folder.index_of(msg) for msg in client.received["image"]]
    assert shown[0] == 3 and set(shown) <= {3, 4, 5}  # their order is tested with the schedule
    assert not process.left_behind()
    assert "Traceback" not in process.output


def test_sigterm_ends_it_cleanly_and_16uc1_is_millimetres(
    processes: Processes, client: RosClient, folder: Folder
) -> None:
    process = start(processes, folder, "--loop", "--reference-encoding", "16UC1")

    def both() -> list[tuple[Image, Image]]:
        """Images with the reference of their stamp."""
        references = {seconds(msg.header.stamp): msg for msg in client.received["reference/image"]}
        images = [(msg, references.get(seconds(msg.header.stamp))) for msg in client.received["image"]]
        return [(image, reference) for image, reference in images if reference is not None]

    client.wait_until(lambda: bool(both()), "an image and its reference")
    image, reference = both()[0]
    i = folder.index_of(image)
    millimetres = np.frombuffer(reference.data, np.uint16).reshape(HEIGHT, WIDTH)
    assert reference.encoding == "16UC1"
    assert np.abs(millimetres - folder.depth[i] / 5.0).max() <= 0.5 + 1e-3
    assert process.stop(signal.SIGTERM) == 0
    assert "Traceback" not in process.output


def test_a_broken_frame_is_skipped_with_a_warning(processes: Processes, client: RosClient, tmp_path: Path) -> None:
    broken = Folder(tmp_path / "sequence")
    file = broken.path / "rgb/2.png"
    file.write_bytes(file.read_bytes()[:100])
    process = start(processes, broken, "--loop")

    def shown() -> set[int]:
        return {broken.index_of(msg) for msg in client.received["image"]}

    client.wait_until(lambda: len(shown()) == FRAMES - 1, "all other frames")
    process.wait_for("frame skipped")
    assert process.stop(signal.SIGINT) == 0
    assert shown() == set(range(FRAMES)) - {2} and "2.png" in process.output


def test_a_folder_of_broken_frames_is_an_error(processes: Processes, ros_domain: int, tmp_path: Path) -> None:
    broken = Folder(tmp_path / "sequence")
    for file in (broken.path / "rgb").iterdir():
        if file.name != "0.png":  # the camera takes its size from the first
            file.write_bytes(b"no picture")
    process = processes.python(*REPLAY, broken.path, "--camera", CAMERA, "--first", "1")
    assert process.wait() == 1
    assert f"none of its {FRAMES - 1} frames can be read" in process.output


@pytest.mark.parametrize(
    ("arguments", "message"),
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
    processes: Processes, ros_domain: int, arguments: list[str], message: str
) -> None:
    process = processes.python(*REPLAY, *arguments)
    assert process.wait() == 1
    assert process.output.strip() == message


def test_help_names_every_setting(processes: Processes) -> None:
    process = processes.python(*REPLAY, "--help")
    assert process.wait() == 0
    for flag in ("--rate", "--loop", "--start", "--stamps", "--first", "--last", "--max-gap", "--camera"):
        assert flag in process.output


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
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
    folder: Folder, changes: dict[str, Any], kind: type[MonoDepthError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        open_playlist(ReplaySettings(**{"path": str(folder.path), "camera": CAMERA, **changes}))


def test_a_loop_that_fits_into_memory_is_read_once(folder: Folder) -> None:
    recording = open_playlist(ReplaySettings(path=str(folder.path), camera=CAMERA, loop=True))
    assert recording.load(2) is recording.load(2)
    assert np.array_equal(recording.load(2).rgb, folder.rgb[2])


def test_schedules_keep_the_recorded_gaps_and_shorten_long_ones() -> None:
    recording = Playlist([10.0, 10.5, 11.0, 15.0], lambda i: blank(i))
    assert [frame.at for frame in recording.schedule(loop=False, max_gap=0.0)] == [0.0, 0.5, 1.0, 5.0]
    assert [frame.at for frame in recording.schedule(loop=False, max_gap=1.0)] == [0.0, 0.5, 1.0, 2.0]
    endless = recording.schedule(loop=True, max_gap=1.0)
    rounds = [next(endless) for _ in range(9)]
    starts = [frame.at for frame in rounds]
    assert starts == [0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 3.5, 4.5, 5.0], "the typical gap separates rounds"
    assert [frame.stamp for frame in rounds[4:8]] == [10.0, 10.5, 11.0, 15.0]


def blank(i: int) -> Sample:
    camera = PinholeCamera.from_hfov(4, 3, 60.0)
    return Sample(np.zeros((3, 4, 3), np.uint8), camera, stamp=float(i), name=str(i))


class Readers:
    """The player's clock and its threads that load, simulated: the test sets how long something takes.

    Stands for the module `time` and, called, for ThreadPoolExecutor; `load` returns a sample and its seconds.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._free: list[float] = []
        self._queue: list[Loading] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self, workers: int, thread_name_prefix: str) -> Readers:
        self._free = [0.0] * workers
        return self

    def submit(self, load: Callable[[], tuple[Sample | DataError, float]]) -> Loading:
        self._queue.append(Loading(self, load))
        return self._queue[-1]

    def shutdown(self, wait: bool, cancel_futures: bool) -> None:
        self._queue.clear()

    def withdraw(self, loading: Loading) -> bool:
        """Takes back what no thread has begun until now."""
        self._begin()
        if loading not in self._queue:
            return False
        self._queue.remove(loading)
        return True

    def finish(self, loading: Loading) -> None:
        """Lets the time pass until it is loaded."""
        self._begin()
        while loading in self._queue:
            self.now = max(self.now, min(self._free))
            self._begin()
        self.now = max(self.now, loading.end)

    def _begin(self) -> None:
        while self._queue and (start := max(min(self._free), self._queue[0].submitted)) <= self.now:
            loading = self._queue.pop(0)
            loading.answer, duration = loading.load()
            loading.end = self._free[self._free.index(min(self._free))] = start + duration


class Loading:
    """Stands for the Future of a frame."""

    def __init__(self, readers: Readers, load: Callable[[], tuple[Sample | DataError, float]]) -> None:
        self._readers, self.load = readers, load
        self.submitted, self.end = readers.now, 0.0
        self.answer: Sample | DataError | None = None

    def cancel(self) -> bool:
        return self._readers.withdraw(self)

    def exception(self) -> DataError | None:
        self._readers.finish(self)
        return self.answer if isinstance(self.answer, DataError) else None

    def result(self) -> Sample:
        assert isinstance(self.answer, Sample)
        return self.answer


class Stage:
    """Stands where CameraTopics stands and notes what is published when; publishing takes `busy_s`."""

    def __init__(self, readers: Readers, has_clock: bool, busy_s: float) -> None:
        self._readers, self.has_clock, self._busy_s = readers, has_clock, busy_s
        self.names: list[int] = []
        self.times: list[float] = []
        self.clock: list[float] = []
        self.flushed: list[float] = []

    def publish_clock(self, stamp: float) -> None:
        self.clock.append(stamp)

    def publish(self, sample: Sample, stamp: Any) -> None:
        self.names.append(int(sample.name))
        self.times.append(self._readers.now)
        self._readers.sleep(self._busy_s)

    def flush(self, seconds: float) -> None:
        self.flushed.append(seconds)
        self._readers.sleep(0.5)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Player, Stage]]:
    """Plays frames `gap` apart, each of which takes `loading(number)` seconds, on a simulated machine."""

    def run(
        count: int,
        gap: float,
        loading: Callable[[int], float] = lambda i: 0.0,
        broken: int = -1,
        clock: bool = False,
        busy_s: float = 0.0,
        **settings: float,
    ) -> tuple[Player, Stage]:
        readers = Readers()
        monkeypatch.setattr(player, "time", readers)
        monkeypatch.setattr(player, "ThreadPoolExecutor", readers)

        def load(i: int) -> tuple[Sample | DataError, float]:
            return (DataError(f"{i} is broken") if i == broken else blank(i)), loading(i)

        node: Any = SimpleNamespace(
            get_logger=lambda: SimpleNamespace(warning=lambda text, throttle_duration_sec: None)
        )
        stage: Any = Stage(readers, clock, busy_s)
        made = Player(node, stage, original_stamps=True, **settings)
        frames: Any = (ScheduledFrame(gap * i, float(i), lambda i=i: load(i)) for i in range(count))  # type: ignore[misc]
        made.play(frames)
        return made, stage

    return run


Play = Callable[..., tuple[Player, Stage]]


def test_one_slow_frame_delays_no_other(play: Play) -> None:
    """It loads for three gaps, behind frames that are loaded ahead."""
    made, stage = play(12, 0.1, lambda i: 0.3 if i == 5 else 0.0)
    assert stage.names == list(range(12)) and made.skipped == 0
    assert stage.times == pytest.approx(0.1 * np.arange(12))


def test_a_reader_that_is_too_slow_skips_and_keeps_the_schedule(play: Play) -> None:
    """Two readers at 0.1 s a frame give 20 frames a second where 50 are due; without skipping it would take 5 s."""
    made, stage = play(100, 0.02, lambda i: 0.1)
    assert made.skipped > 50 and made.published > 30
    assert made.published + made.skipped == 100
    assert stage.names == sorted(stage.names)
    late = np.array(stage.times) - stage.times[0] - 0.02 * np.array(stage.names)
    assert late.min() > -1e-9 and late.max() < 0.4


def test_a_broken_frame_is_skipped_and_delays_nothing(play: Play) -> None:
    made, stage = play(5, 0.1, broken=2)
    assert (stage.names, made.published, made.skipped) == ([0, 1, 3, 4], 4, 1)
    assert stage.times == pytest.approx([0.0, 0.1, 0.3, 0.4])


def test_times_do_not_drift(play: Play) -> None:
    """Publishing takes half of each gap and still every frame is on time."""
    _, stage = play(20, 0.02, rate=0.5, busy_s=0.02)
    assert stage.names == list(range(20))
    assert stage.times == pytest.approx(0.04 * np.arange(20))


def test_the_clock_goes_on_between_frames(play: Play) -> None:
    """In steps of 10 ms of the machine's time, which are 5 ms of the recording's at half speed."""
    _, stage = play(3, 0.1, rate=0.5, clock=True)
    stamps = np.array(stage.clock)
    assert np.all(np.diff(stamps) >= 0) and set(np.arange(3.0)) <= set(stamps)
    before_the_last = stamps[(stamps > 2 - 0.099) & (stamps < 2)]
    assert np.diff(before_the_last) == pytest.approx(0.005, abs=1e-9) and len(before_the_last) >= 18


def test_the_schedule_goes_on_when_subscribers_have_the_first_frame(play: Play) -> None:
    """They take two and a half gaps to acknowledge it; nothing is skipped for that, and the gaps are kept."""
    made, stage = play(4, 0.2, first_s=3.0)
    assert stage.flushed == [3.0] and stage.names == [0, 1, 2, 3] and made.skipped == 0
    assert np.diff(stage.times) == pytest.approx([0.7, 0.2, 0.2])


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

"""The duties of the map in the node, one by one, with a process that answers at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from processes import DEADLINE_S
from std_msgs.msg import Header
from turned import pose_at

from mono_depth_recon.arrays import Matrix
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.cloud import Cloud
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.errors import ConfigError, DataError, MonoDepthError
from mono_depth_recon.frames import Frame
from mono_depth_recon.fusion.fusion import FUSED, MISFIT
from mono_depth_recon.mesh.mesh import Mesh
from mono_depth_recon.ros.mapping.display import MapDisplay
from mono_depth_recon.ros.mapping.feeding import Feeding
from mono_depth_recon.ros.mapping.figures import MapFigures
from mono_depth_recon.ros.mapping.map_files import MapFiles
from mono_depth_recon.ros.mapping.map_process import MapProcess
from mono_depth_recon.workers.map import (
    FuseJob,
    LoadMapJob,
    MapMeshJob,
    MapState,
    ResetJob,
    SaveMapJob,
    ShownMeshJob,
    ShownPointsJob,
    StillJob,
)

CAMERA = PinholeCamera.from_hfov(8, 6, 60.0)
FAST = with_values(Config(), {"fusion.points_rate": 30.0, "fusion.mesh_rate": 10.0})
CLOUD = Cloud(np.ones((5, 3), np.float32), np.zeros((5, 3), np.uint8))
MESH = Mesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32), np.zeros((3, 3), np.uint8))


class Topic:
    """A publisher that keeps what it gets."""

    def __init__(self, subscribers: int = 1) -> None:
        self.subscribers, self.sent = subscribers, list[Any]()

    def get_subscription_count(self) -> int:
        return self.subscribers

    def publish(self, msg: Any) -> None:
        self.sent.append(msg)


class Process:
    """Answers by the kind of the job; a MonoDepthError among the answers is raised."""

    def __init__(self, answers: dict[type, Any]) -> None:
        self.answers, self.asked = answers, list[Any]()
        self.died = 0

    def ask(self, job: Any) -> Any:
        answer = self.answers[type(job)]
        self.asked.append(job)
        if isinstance(answer, MonoDepthError):
            raise answer
        return answer

    def check(self) -> None:
        """There is a map."""

    def ask_until(self, ended: Future[None], job: Any, *arrays: Any) -> Any:
        return self.ask(job)

    def notice_death(self) -> None:
        self.died += 1

    def kinds(self) -> list[type]:
        return [type(job) for job in self.asked]


class Complaints:
    def __init__(self) -> None:
        self.texts = list[str]()

    def warn(self, text: str, kind: str = "") -> None:
        self.texts.append(text)


class Known:
    """Poses at every stamp but those of `missing`."""

    world, refused = "map", 3

    def __init__(self, *missing: int) -> None:
        self.missing, self.closed = missing, False

    def pose(self, header: Header) -> Matrix:
        if header.stamp.sec in self.missing:
            raise DataError("no pose then")
        return pose_at(float(header.stamp.sec))

    def close(self) -> None:
        self.closed = True


class Fed:
    """A Feeding whose parts are all at hand."""

    def __init__(self, answers: dict[type, Any], poses: Known | None, cameras: Sequence[str] = ("",)) -> None:
        self.figures, self.complaints = MapFigures(), Complaints()
        self.process, self.failures = Process(answers), list[BaseException]()
        self.topics = SimpleNamespace(map_points=Topic(), mesh=Topic(0))
        display = MapDisplay(self.topics, self.figures)  # type: ignore[arg-type]
        self.feeding = Feeding(
            self.process, display, poses, self.figures, self.complaints, lambda: FAST, self.failures.append, cameras
        )  # type: ignore[arg-type]

    def offer(self, second: int, make: Callable[[], Frame], camera: str = "") -> None:
        self.feeding.offer(Header(stamp=Time(sec=second), frame_id=f"{camera}lens"), make, camera)

    def finish(self, until: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not (until() or self.failures):
            assert time.monotonic() < end, "the frames were not taken"
            time.sleep(0.01)
        self.feeding.close()
        assert not self.failures


def frame(metres: bool = True) -> Frame:
    depth = np.ones((6, 8), np.float32) if metres else None
    return Frame(np.zeros((6, 8, 3), np.uint8), CAMERA, depth, no_metres="no scale yet")


def fused(count: int) -> MapState:
    return MapState(FUSED, "", {FUSED: count}, blocks=7)


def test_a_frame_is_fused_and_shown_when_the_camera_has_moved() -> None:
    fed = Fed({StillJob: None, FuseJob: fused(1), ShownPointsJob: CLOUD}, poses := Known())
    fed.offer(5, frame)
    fed.finish(lambda: bool(fed.topics.map_points.sent))
    assert fed.process.kinds() == [StillJob, FuseJob, ShownPointsJob]
    np.testing.assert_array_equal(fed.process.asked[1].T_world_camera, pose_at(5.0))
    assert (fed.figures.world, fed.figures.header.stamp.sec, fed.figures.fused) == ("map", 5, 1)
    assert (fed.figures.offered, fed.figures.dropped, fed.figures.refused_poses) == (1, 0, 3)
    assert poses.closed and fed.topics.map_points.sent[0].header.frame_id == "map"


def test_for_a_camera_that_stands_still_no_depth_is_computed() -> None:
    fed = Fed({StillJob: MapState()}, Known())
    fed.offer(5, lambda: pytest.fail("nobody needs this depth"))
    fed.finish(lambda: bool(fed.process.asked))
    assert fed.process.kinds() == [StillJob] and not fed.complaints.texts


def test_without_poses_every_frame_goes_to_the_odometry_of_the_map() -> None:
    fed = Fed({FuseJob: fused(1), ShownPointsJob: CLOUD}, None)
    fed.offer(5, frame)
    fed.finish(lambda: bool(fed.topics.map_points.sent))
    assert fed.process.asked[0].T_world_camera is None and fed.figures.world == "visual_odom"


def test_a_camera_whose_pose_is_late_holds_up_no_other() -> None:
    came = threading.Event()

    class Late(Known):
        def pose(self, header: Header) -> Matrix:
            if header.frame_id == "frontlens":
                assert came.wait(DEADLINE_S)
            return super().pose(header)

    fed = Fed({StillJob: None, FuseJob: fused(1), ShownPointsJob: CLOUD}, Late(), ("front", "left"))
    fed.offer(5, frame, "front")
    fed.offer(6, frame, "left")
    fed.offer(7, frame, "left")
    end = time.monotonic() + DEADLINE_S
    while sum(kind is FuseJob for kind in fed.process.kinds()) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert {job.source for job in fed.process.asked if isinstance(job, FuseJob)} == {"left"}
    came.set()
    fed.finish(lambda: any(isinstance(job, FuseJob) and job.source == "front" for job in fed.process.asked))
    assert fed.figures.offered == 3


def test_what_is_left_out_is_counted_and_said() -> None:
    fed = Fed({StillJob: None, FuseJob: MapState(MISFIT, "it is elsewhere", {}, blocks=0)}, Known(4))
    fed.offer(4, frame)
    fed.offer(5, lambda: frame(metres=False))
    fed.offer(6, frame)
    fed.finish(lambda: len(fed.complaints.texts) == 3)
    assert fed.complaints.texts == [
        "frame left out of the map: no pose: no pose then",
        "frame left out of the map: failed: frame without metres: no scale yet",
        f"frame left out of the map: {MISFIT}: it is elsewhere",
    ]
    assert (fed.figures.without_pose, fed.figures.failed, fed.process.died) == (1, 1, 1)
    assert fed.figures.last_reason == f"{MISFIT}: it is elsewhere"


def test_a_map_without_a_surface_is_said_and_not_shown() -> None:
    fed = Fed({StillJob: None, FuseJob: fused(1), ShownPointsJob: DataError("no surface")}, Known())
    fed.offer(5, frame)
    fed.finish(lambda: bool(fed.complaints.texts))
    assert fed.complaints.texts == ["the map is not shown: no surface"] and not fed.topics.map_points.sent


def shown(display: MapDisplay, config: Config = FAST) -> list[type]:
    process = Process({ShownPointsJob: CLOUD, ShownMeshJob: MESH})
    display.publish(config, process.ask)
    return process.kinds()


def test_topics_are_published_when_something_is_new_and_somebody_subscribes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("mono_depth_recon.ros.mapping.display.time.monotonic", lambda: clock[0])
    figures, topics = MapFigures(), SimpleNamespace(map_points=Topic(), mesh=Topic())
    display = MapDisplay(topics, figures)  # type: ignore[arg-type]
    assert shown(display) == [], "an empty map"
    figures.state = fused(1)
    assert shown(display) == [ShownPointsJob, ShownMeshJob]
    clock[0] += 1
    assert shown(display) == [], "nothing new"
    figures.state = fused(2)
    clock[0] -= 0.95
    assert shown(display) == [ShownPointsJob], "the mesh is due after 0.1 s"
    figures.begin_map(fused(2))
    assert shown(display) == [ShownPointsJob, ShownMeshJob], "another map at once"
    topics.map_points.subscribers += 1
    clock[0] += 1
    assert shown(display) == [ShownPointsJob], "for the new subscriber"
    figures.state, topics.map_points.subscribers, topics.mesh.subscribers = fused(3), 0, 0
    assert shown(display) == []
    assert len(topics.map_points.sent) == 4 and len(topics.mesh.sent[0].points) == 3


def files(config: Config, answers: dict[type, Any]) -> tuple[MapFiles, Process, MapFigures]:
    process, figures = Process(answers), MapFigures(header=Header(frame_id="map"))
    return MapFiles(process, figures, lambda: config), process, figures  # type: ignore[arg-type]


def test_a_map_is_saved_and_loaded_by_name(tmp_path: Path) -> None:
    config = with_values(Config(), {"fusion.map_file": str(tmp_path / "hall.npz")})
    made, process, figures = files(config, {SaveMapJob: fused(3), LoadMapJob: fused(0), ResetJob: MapState()})
    assert made.save() == f"{tmp_path}/hall.npz: 7 blocks in frame 'map'" and figures.fused == 3
    assert made.load().startswith(f"{tmp_path}/hall.npz: 7 blocks loaded")
    assert made.reset() == "the map is empty" and figures.state == MapState() and figures.map_number == 2
    assert process.asked[0].path == process.asked[1].path == tmp_path / "hall.npz"


def test_a_map_of_somebody_else_is_not_replaced_without_a_word(tmp_path: Path) -> None:
    path = tmp_path / "hall.npz"
    config = with_values(Config(), {"fusion.map_file": str(path)})
    made = files(config, {SaveMapJob: fused(3), LoadMapJob: fused(0)})[0]
    path.write_bytes(b"of another node")
    assert made.save().endswith("in frame 'map'; it replaced a map that this node had neither loaded nor saved")
    assert made.save().endswith("in frame 'map'")
    (tmp_path / "other").write_bytes(b"of another node again")
    (tmp_path / "other").replace(path)
    assert "it replaced" in made.save()
    (tmp_path / "other").write_bytes(b"that this node adds to")
    (tmp_path / "other").replace(path)
    made.load()
    assert made.save().endswith("in frame 'map'")


def test_a_map_to_load_must_be_named() -> None:
    with pytest.raises(DataError, match="fusion.map_file must name the map to load, it is empty"):
        files(Config(), {})[0].load()


def test_a_map_file_whose_name_is_too_long_is_the_reply(tmp_path: Path) -> None:
    made = files(with_values(Config(), {"fusion.map_file": str(tmp_path / ("x" * 476 + ".npz"))}), {})[0]
    for answer in (made.save, made.load):
        with pytest.raises(ConfigError, match="^the name is too long: 'xxx.* has 480 bytes"):
            answer()


def test_an_empty_map_says_why_no_frame_is_in_it(tmp_path: Path) -> None:
    made, _, figures = files(Config(), {MapMeshJob: DataError("it is empty")})
    with pytest.raises(DataError, match="^it is empty$"):
        made.save_mesh(tmp_path / "mesh.ply")
    figures.last_reason = "no pose: nobody publishes it"
    with pytest.raises(DataError, match="it is empty; the last frame was left out: no pose: nobody publishes it"):
        made.save_mesh(tmp_path / "mesh.ply")


def test_before_it_starts_there_is_no_map() -> None:
    active = [False]
    process = MapProcess(MapFigures(), lambda: active[0])
    with pytest.raises(DataError, match="there is no map: set fusion.enabled and activate the node"):
        process.ask(ResetJob(Config().fusion))
    active[0] = True
    with pytest.raises(DataError, match="there is no map: set fusion.enabled$"):
        process.ask(ResetJob(Config().fusion))
    with pytest.raises(MonoDepthError, match="the node is stopping"):
        process.ask_until(Future(), ResetJob(Config().fusion))

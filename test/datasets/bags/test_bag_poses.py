"""Which poses a bag gives: what leads to the camera's frame, what was chosen among several, and what is no pose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_recordings import OPTICAL, ROS1, ROS2, Messages, Plan, Scene, tum_plan, write_ros1, write_ros2

from mono_depth_recon.datasets.dataset import Dataset
from mono_depth_recon.datasets.opening import OpenOptions, open_dataset
from mono_depth_recon.errors import ConfigError, DataError

SCENE = Scene()
POINT, TURN = "geometry_msgs/msg/Point", "geometry_msgs/msg/Quaternion"


class PoseMessages(Messages):
    """Every type of message that holds a pose."""

    def pose(self, position: Any, turn: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0)) -> Any:
        made = self.types["geometry_msgs/msg/Pose"]
        return made(self.types[POINT](*map(float, position)), self.types[TURN](*turn))

    def stamped(self, kind: str, stamp: int, position: Any, frame: str = "map", child: str = OPTICAL) -> Any:
        header = self.header(stamp, frame)
        if kind.endswith("PoseStamped"):
            return self.types[kind](header, self.pose(position))
        if kind.endswith("TransformStamped"):
            vector = self.types["geometry_msgs/msg/Vector3"](*map(float, position))
            transform = self.types["geometry_msgs/msg/Transform"](vector, self.types[TURN](0.0, 0.0, 0.0, 1.0))
            return self.types[kind](header, child, transform)
        covariance = self.types["geometry_msgs/msg/PoseWithCovariance"](self.pose(position), np.zeros(36))
        return self.types[kind](header, covariance)


def topic_of_poses(topic: str, kind: str, shift: float = 0.0, types: Any = ROS2, late_ns: int = 0) -> Plan:
    make = PoseMessages(types)
    return [
        (stamp + late_ns, topic, kind, make.stamped(kind, stamp + late_ns, position + shift))
        for stamp, position in zip(SCENE.stamps_ns, SCENE.positions, strict=True)
    ]


def odometry(topic: str = "/odom", child: str = OPTICAL, shift: float = 0.0) -> Plan:
    make = Messages(ROS2)
    return [
        (stamp, topic, "nav_msgs/msg/Odometry", make.odometry(stamp, position + shift, "odom", child))
        for stamp, position in zip(SCENE.stamps_ns, SCENE.positions, strict=True)
    ]


def position(dataset: Dataset, i: int = 3) -> list[float] | None:
    pose = dataset[i].T_world_camera
    return None if pose is None else pose[:3, 3].tolist()


FRAME = OPTICAL.lstrip("/")
BARE = tum_plan(SCENE, ROS2, "none")
POSE_STAMPED = "geometry_msgs/msg/PoseStamped"


@pytest.mark.parametrize("types", [ROS1, ROS2], ids=["ros1", "ros2"])
@pytest.mark.parametrize(
    "kind",
    [POSE_STAMPED, "geometry_msgs/msg/PoseWithCovarianceStamped", "geometry_msgs/msg/TransformStamped"],
)
def test_every_type_of_pose_that_the_node_reads_is_read(tmp_path: Path, types: Any, kind: str) -> None:
    plan = [*tum_plan(SCENE, types, "none"), *topic_of_poses("/where", kind, types=types)]
    dataset = open_dataset(write_ros1(tmp_path / "a.bag", plan) if types is ROS1 else write_ros2(tmp_path / "a", plan))
    assert position(dataset) == SCENE.positions[3].tolist() and dataset.world_frame == "map"  # type: ignore[attr-defined]
    assert [note for note in dataset.notes if "poses are from /where" not in note] == []
    assert bool(dataset.notes) == ("Pose" in kind)


def test_goals_are_not_poses_of_the_camera(tmp_path: Path) -> None:
    goals = topic_of_poses("/goal_pose", POSE_STAMPED, shift=50)
    dataset = open_dataset(write_ros2(tmp_path / "a", [*BARE, *goals, *odometry()]))
    assert position(dataset) == SCENE.positions[3].tolist()
    assert "poses are from /odom; not /goal_pose" in dataset.notes[0]
    alone = write_ros2(tmp_path / "b", [*BARE, *goals])
    assert position(open_dataset(alone)) is None
    assert position(open_dataset(alone, OpenOptions(pose_topic="/goal_pose"))) == (SCENE.positions[3] + 50).tolist()


def test_transforms_come_first_then_odometry_that_leads_to_the_camera(tmp_path: Path) -> None:
    elsewhere = odometry("/a_wheel", child="wheel", shift=9)
    pose = topic_of_poses("/pose", POSE_STAMPED, shift=7)
    by_tf = open_dataset(write_ros2(tmp_path / "a", [*tum_plan(SCENE, ROS2), *elsewhere, *odometry(shift=5), *pose]))
    assert position(by_tf) == SCENE.positions[3].tolist()
    assert "poses are from /tf; not /a_wheel, /odom, /pose (pose_topic names another)" in by_tf.notes[0]
    by_odometry = open_dataset(write_ros2(tmp_path / "b", [*BARE, *elsewhere, *odometry(shift=5), *pose]))
    assert position(by_odometry) == (SCENE.positions[3] + 5).tolist()
    assert "poses are from /odom; not /a_wheel, /pose" in by_odometry.notes[0]


def test_a_topic_that_is_named_counts_before_transforms_about_the_same_frame(tmp_path: Path) -> None:
    path = write_ros2(tmp_path / "a", [*tum_plan(SCENE, ROS2), *odometry(shift=5), *odometry("/wheel", "wheel")])
    named = open_dataset(path, OpenOptions(pose_topic="/odom"))
    assert position(named) == (SCENE.positions[3] + 5).tolist() and named.notes == []
    assert position(open_dataset(path, OpenOptions(pose_topic="/tf"))) == SCENE.positions[3].tolist()
    with pytest.raises(DataError, match=r"has no topic of poses /pose; it has /tf, /odom, /wheel$"):
        open_dataset(path, OpenOptions(pose_topic="/pose"))
    with pytest.raises(DataError, match="/wheel does not lead to the camera's frame 'openni_rgb_optical_frame'"):
        bare = write_ros2(tmp_path / "b", [*BARE, *odometry("/wheel", "wheel")])
        open_dataset(bare, OpenOptions(pose_topic="/wheel"))
    with pytest.raises(ConfigError, match="poses .'none'. and pose_topic exclude each other"):
        open_dataset(path, OpenOptions(pose_topic="/odom", poses="none"))


def test_a_mount_below_the_named_odometry_counts(tmp_path: Path) -> None:
    make = Messages(ROS2)
    mount = make.transforms(SCENE.stamps_ns[0], {("base_link", OPTICAL): np.array([0.0, 0.25, 0.0])})
    static = (SCENE.stamps_ns[0], "/tf_static", "tf2_msgs/msg/TFMessage", mount)
    path = write_ros2(tmp_path / "a", [static, *BARE, *odometry(child="base_link")])
    for options in (OpenOptions(), OpenOptions(pose_topic="/odom")):
        assert position(open_dataset(path, options)) == (SCENE.positions[3] + [0, 0.25, 0]).tolist()


def test_poses_of_another_time_name_both_spans_and_give_way_to_those_in_range(tmp_path: Path) -> None:
    late = topic_of_poses("/pose", POSE_STAMPED, late_ns=10**12)
    dataset = open_dataset(write_ros2(tmp_path / "a", [*BARE, *late]))
    first, last = (SCENE.stamps_ns[i] / 10**9 for i in (0, -1))
    assert position(dataset) is None
    spans = f"the poses are from {first + 1000:.3f} to {last + 1000:.3f} s, the frames from {first:.3f} to {last:.3f} s"
    assert dataset.notes[1:] == [f"{tmp_path / 'a'}, /pose: no frame has a pose: {spans}"]
    both = open_dataset(write_ros2(tmp_path / "b", [*BARE, *late, *topic_of_poses("/slam", POSE_STAMPED)]))
    assert position(both) == SCENE.positions[3].tolist() and "poses are from /slam; not /pose" in both.notes[0]


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0, 0.0), (float("nan"),) * 4, (0.0, 0.0, 0.0, 2.0)])
def test_what_is_no_rotation_never_becomes_a_pose(tmp_path: Path, turn: tuple[float, ...]) -> None:
    plan = [*BARE, *odometry()]
    broken = plan[len(BARE) + 3][3]
    broken.pose.pose = PoseMessages(ROS2).pose(SCENE.positions[3], turn)
    dataset = open_dataset(write_ros2(tmp_path / "a", plan))
    poses = [sample.T_world_camera for sample in dataset]
    assert all(pose is None or np.isfinite(pose).all() for pose in poses)
    assert [pose is not None for i, pose in enumerate(poses) if i != 3] == [True] * 5
    assert poses[3] is not None  # 66 ms lie between its neighbours: interpolated
    expected = SCENE.positions[2] + (SCENE.positions[4] - SCENE.positions[2]) / 2
    assert np.allclose(poses[3][:3, 3], expected, atol=1e-4)
    assert "1 poses are left out: the pose of 'openni_rgb_optical_frame' in 'odom' must be fin" in dataset.notes[0]
    for _, _, _, msg in plan[len(BARE) :]:
        msg.pose.pose = PoseMessages(ROS2).pose((0, 0, 0), turn)
    path = write_ros2(tmp_path / "b", plan)
    dataset = open_dataset(path)
    assert position(dataset) is None
    reason = (
        "6 poses are left out: the pose of 'openni_rgb_optical_frame' in 'odom' must be finite numbers and a unit q"
    )
    assert dataset.notes[0].startswith(f"{path}, /odom: {reason}")
    with pytest.raises(DataError, match=f"/odom gives no pose of the camera's frame '{FRAME}': {reason}"):
        open_dataset(path, OpenOptions(pose_topic="/odom"))


def test_a_frame_in_itself_is_left_out_and_counted(tmp_path: Path) -> None:
    make = Messages(ROS2)
    itself = make.transforms(SCENE.stamps_ns[0], {(OPTICAL, OPTICAL): np.array([0.0, 9.0, 0.0])})
    plan = [(SCENE.stamps_ns[0], "/tf_static", "tf2_msgs/msg/TFMessage", itself), *tum_plan(SCENE, ROS2)]
    dataset = open_dataset(write_ros2(tmp_path / "a", plan))
    assert position(dataset) == SCENE.positions[3].tolist()
    assert dataset.notes == [
        f"{tmp_path / 'a'}, /tf: 1 poses are left out: the pose of '{FRAME}' in '{FRAME}' relates a frame to itself"
    ]


def test_transforms_in_a_loop_give_no_poses(tmp_path: Path) -> None:
    make = Messages(ROS2)
    plan = [*BARE, *odometry(child=OPTICAL)]
    for stamp, shift in zip(SCENE.stamps_ns, SCENE.positions, strict=True):
        plan.append((stamp, "/tf", "tf2_msgs/msg/TFMessage", make.transforms(stamp, {(OPTICAL, "odom"): shift})))
    dataset = open_dataset(write_ros2(tmp_path / "a", plan))
    assert position(dataset) is None
    assert f"{FRAME} below odom below {FRAME} is a loop" in dataset.notes[0]


@pytest.mark.parametrize(
    "topic",
    ["/destination", "/plan", "/planner/pose", "/mavros/setpoint_position/local", "/target_pose", "/desired_pose"]
    + ["/pose_reference", "/command/pose", "/cmd_pose"],
)
def test_wanted_poses_are_not_taken(tmp_path: Path, topic: str) -> None:
    assert position(open_dataset(write_ros2(tmp_path / "a", [*BARE, *topic_of_poses(topic, POSE_STAMPED)]))) is None


def test_a_name_that_only_begins_like_a_wanted_pose_is_taken_and_noted(tmp_path: Path) -> None:
    path = write_ros2(tmp_path / "a", [*BARE, *topic_of_poses("/planar_slam", POSE_STAMPED)])
    dataset = open_dataset(path)
    assert position(dataset) == SCENE.positions[3].tolist()
    assert dataset.notes == [
        f"{path}: poses are from /planar_slam (pose_topic names another, poses 'none' leaves them out)"
    ]
    assert open_dataset(path, OpenOptions(pose_topic="/planar_slam")).notes == []


def test_transforms_count_by_their_stamps_in_whatever_order_they_were_recorded(tmp_path: Path) -> None:
    plan = tum_plan(SCENE, ROS2)
    moving = [row for row in plan if row[1] == "/tf"]
    turned = [(row[0], *other[1:]) for row, other in zip(moving, reversed(moving), strict=True)]
    in_order, backwards = (
        open_dataset(write_ros2(tmp_path / name, [*(row for row in plan if row[1] != "/tf"), *rows]))
        for name, rows in (("a", moving), ("b", turned))
    )
    assert [position(backwards, i) for i in range(6)] == [position(in_order, i) for i in range(6)]
    assert position(backwards) == SCENE.positions[3].tolist() and backwards.notes == []


@pytest.mark.parametrize("kind", ["odometry", "transforms"])
def test_recorders_without_stamps_give_poses_by_the_time_of_receipt(tmp_path: Path, kind: str) -> None:
    plan = [*tum_plan(SCENE, ROS2, "none"), *odometry()] if kind == "odometry" else tum_plan(SCENE, ROS2)
    for _, topic, _, msg in plan:
        for header in [each.header for each in msg.transforms] if topic.startswith("/tf") else [msg.header]:
            header.stamp.sec = header.stamp.nanosec = 0
    dataset = open_dataset(write_ros2(tmp_path / "a", plan))
    found = [position(dataset, i) for i in range(6)]  # images and poses were received some ns apart
    assert np.allclose(np.array(found), SCENE.positions, atol=1e-4)


def test_stamps_before_1970_are_one_time_for_images_and_poses(tmp_path: Path) -> None:
    early = Scene(first_ns=-(10**10))
    plan = [(received + 10**12, *rest) for received, *rest in tum_plan(early, ROS2)]
    dataset = open_dataset(write_ros2(tmp_path / "a", plan))  # type: ignore[arg-type]
    assert dataset[3].stamp == early.stamps_ns[3] / 10**9 < 0
    assert position(dataset) == early.positions[3].tolist()


def test_odometry_that_names_no_child_is_said_to_be_the_cameras(tmp_path: Path) -> None:
    path = write_ros2(tmp_path / "a", [*BARE, *odometry(child="")])
    dataset = open_dataset(path)
    assert position(dataset) == SCENE.positions[3].tolist()
    assert dataset.notes == [
        f"{path}, /odom: its child_frame_id is empty: its poses are taken for those of the camera's frame '{FRAME}'"
    ]

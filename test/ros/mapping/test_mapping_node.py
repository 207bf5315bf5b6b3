"""The map of the node, from outside: poses and images over DDS, against the same frames fused here."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from lifecycle_msgs.msg import Transition
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from processes import DEADLINE_S, LOCALHOST, Process, Processes, map_worker, reserved_domain
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_client import RosClient, ros_client
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import LaserScan, PointCloud2
from std_msgs.msg import Header
from tf_standin import TF2_ROS_INSTALLED, TF_INSTALLED, tf_message, with_tf
from visualization_msgs.msg import Marker

from mono_depth_recon.arrays import Matrix
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.obstacles import planar_scan, safe_points, surroundings
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.fusion.fusion import FUSED, Fusion, FusionFrame
from mono_depth_recon.mesh.components import drop_specks
from mono_depth_recon.pipeline import DepthReconstructor, Wanted
from mono_depth_recon.ros.conversions import info_to_msg, odometry_to_msg, points_from_msg, rgb_to_msg
from mono_depth_recon.ros.tf_messages import transform_to_msg

CAMERA = PinholeCamera.from_hfov(160, 120, 60)
LENS = "camera_optical_frame"
FUSING = {"fusion.parallax": False, "fusion.align": 0.0, "fusion.max_scale_change": 10.0, "fusion.voxel_size": 0.04,
          "fusion.max_blocks": 4000, "fusion.device": "cpu", "model.runtime": "openvino"}  # fmt: skip
SHOWING = ("fusion.enabled:=true", "fusion.points_rate:=30.0", "fusion.mesh_rate:=10.0", "mesh.marker_triangles:=500")


@pytest.fixture(scope="module")
def rgb() -> NDArray[np.uint8]:
    noise = np.random.default_rng(7).integers(0, 256, (12, 16, 3), np.uint8)
    return cv2.resize(noise, CAMERA.size, interpolation=cv2.INTER_CUBIC)


def at(x: float, degrees: float = 0.0) -> Matrix:
    """A camera that looks along the world's x, moved along its y and turned about its z."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    T = np.eye(4)
    T[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    T[:3, 3] = 1.0, x, 0.5
    return T


def stamped(seconds: float) -> Time:
    return Time(sec=int(seconds), nanosec=round(seconds % 1 * 1e9))


def deliver(publisher: Any, msg: Any) -> None:
    """Publishes a message and waits until it has been received.

    The publisher keeps one message: a full history sends a heartbeat with every message; otherwise its acknowledgement
    takes up to 3 s.
    """
    publisher.publish(msg)
    assert publisher.wait_for_all_acked(Duration(seconds=DEADLINE_S))


class Robot:
    """A camera with odometry, and the node's diagnostics of its map."""

    def __init__(self, client: RosClient, rgb: NDArray[np.uint8]) -> None:
        self.client, self._camera, self._rgb = client, client.camera(), rgb
        self._odometry = client.node.create_publisher(Odometry, "odometry", 1)
        for kind, topic in ((PointCloud2, "map_points"), (DiagnosticArray, "/diagnostics")):
            client.listen(kind, topic)
        client.listen(Marker, "mesh", latched=True)

    def wait_subscribed(self, *topics: str) -> None:
        """Waits until the node subscribes, and is known as a publisher: earlier messages are lost."""
        wanted, node = (*topics, "image", "camera_info"), self.client.node
        self.client.wait_until(
            lambda: all(map(node.count_subscribers, wanted)) and node.count_publishers("map_points") > 0,
            f"a subscription of each of {wanted}, and a publisher of map_points",
        )

    def move(self, seconds: float, T: Matrix, frame: str = "odom") -> None:
        """A pose of the camera, which has arrived: one that DDS sends again may come later than images wait for it."""
        deliver(self._odometry, odometry_to_msg(T, Header(stamp=stamped(seconds), frame_id=frame), LENS))

    def see(self, seconds: float) -> None:
        """An image."""
        header = Header(stamp=stamped(seconds), frame_id=LENS)
        self._camera.send_info(info_to_msg(CAMERA, header))
        self._camera.send(rgb_to_msg(self._rgb, header))

    def shown(self, seconds: float) -> PointCloud2:
        """Waits for the map with the frame of that stamp."""

        def found() -> list[PointCloud2]:
            return [m for m in self.client.received["map_points"] if m.header.stamp == stamped(seconds)]

        why = f"the map at {seconds} s"
        self.client.wait_until(lambda: bool(found()), lambda: f"{why} (last left out: {self.value('last_left_out')})")
        return found()[0]

    def drive(self, begin: float, xs: tuple[float, ...]) -> None:
        """Sees from each place, a second apart; the poses come before and after the image."""
        for number, x in enumerate(xs):
            self.move(begin + number - 0.1, at(x - 0.02))
            self.move(begin + number + 0.1, at(x + 0.02))
            self.see(begin + number)
            self.shown(begin + number)

    def value(self, key: str) -> str:
        """A value of the newest diagnostics of the map."""
        arrays = self.client.received["/diagnostics"]
        status = next((s for array in reversed(arrays) for s in array.status if s.name.endswith(": map")), None)
        return "" if status is None else next(pair.value for pair in status.values if pair.key == key)

    def wait_value(self, key: str, value: str) -> None:
        """Waits until the diagnostics have this value."""
        self.client.wait_until(lambda: self.value(key) == value, f"{key} = {value}, last was '{self.value(key)}'")

    def next_number(self, key: str) -> int:
        """The number in the next diagnostics."""
        self.client.received["/diagnostics"].clear()
        self.client.wait_until(lambda: bool(self.value(key)), key)
        return int(self.value(key))

    def wait_left_out(self, text: str) -> None:
        """Waits until the last frame that was left out was so for this reason."""
        self.client.wait_until(lambda: text in self.value("last_left_out"), f"'{text}'")


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory, rgb: NDArray[np.uint8]) -> Iterator[tuple[Robot, Process, Path]]:
    """A node that fuses along odometry, for all tests that need no other parameters."""
    folder = tmp_path_factory.mktemp("robot")
    processes = Processes(folder)
    with reserved_domain() as domain, pytest.MonkeyPatch.context() as patch:
        for name, value in ({"ROS_DOMAIN_ID": str(domain)} | LOCALHOST).items():
            patch.setenv(name, value)
        with ros_client() as client:
            made = Robot(client, rgb)
            node = start(processes, "fusion.poses:=odometry", f"mesh.directory:={folder}", *SHOWING)
            made.wait_subscribed("odometry")
            yield made, node, folder
        processes.kill_all()


@pytest.fixture
def fresh(robot: tuple[Robot, Process, Path]) -> tuple[Robot, Process, Path]:
    """The same with an empty map and nothing received."""
    assert robot[0].client.trigger("reset_map").success
    robot[0].client.forget()
    return robot


def start(processes: Processes, *parameters: str, env: dict[str, str] | None = None, ready: bool = True) -> Process:
    given = [*parameters, *(f"{name}:={str(value).lower()}" for name, value in FUSING.items())]
    words = [word for parameter in given for word in ("-p", parameter)]
    node = processes.python("-m", "mono_depth_recon.ros.node.recon_node", "--ros-args", *words, env=env)
    if ready:
        node.wait_for("ready")
    return node


def fused_here(rgb: NDArray[np.uint8], poses: list[Matrix]) -> Fusion:
    config = with_values(Config(), FUSING)
    frame = DepthReconstructor.from_config(config).process(rgb, CAMERA, Wanted(points=False))
    fusion = Fusion(config.fusion)
    assert frame.depth is not None
    for number, T in enumerate(poses):
        assert fusion.add(FusionFrame(rgb, frame.depth, CAMERA, float(number), T)).status == FUSED
    return fusion


def same_surface(a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
    """All but a few points (what lies at the border of a block) within a millimetre of the other's."""
    for one, other in ((a, b), (b, a)):
        assert np.quantile(cKDTree(one).query(other)[0], 0.99) < 1e-3


def vertices_of(reply: str) -> NDArray[np.float32]:
    import open3d as o3d

    return np.asarray(o3d.io.read_triangle_mesh(reply.partition(": ")[0]).vertices, np.float32)


def test_the_mesh_is_that_of_the_frames_along_the_odometry(
    fresh: tuple[Robot, Process, Path], rgb: NDArray[np.uint8]
) -> None:
    robot, _, folder = fresh
    robot.drive(1000.0, (0.0, 0.1, 0.2))
    here = fused_here(rgb, [at(0.0), at(0.1), at(0.2)])
    reply = robot.client.trigger("save_mesh")
    assert reply.success and reply.message.startswith(str(folder / "mesh_"))
    assert re.search(r": \d+ vertices, \d+ triangles, \d+ parts?, open .* roughness .* deg, fused, ", reply.message)
    same_surface(vertices_of(reply.message), drop_specks(here.mesh(), 60).vertices)
    points = robot.shown(1002.0)
    assert points.header.frame_id == "odom"
    same_surface(points_from_msg(points)[0, :, :3], here.cloud().points)
    robot.client.wait_until(
        lambda: any(m.header.frame_id == "odom" and 0 < len(m.points) <= 1500 for m in robot.client.received["mesh"]),
        "the marker of the map",
    )
    cloud = robot.client.trigger("save_cloud")
    assert cloud.success and f": {len(here.cloud())} points" in cloud.message
    for key, value in {
        "frames_integrated": "3",
        "poses": "topic /odometry",
        "world_frame": "odom",
        "worker_restarts": "0",
        "frames_without_pose": "0",
    }.items():
        robot.wait_value(key, value)


def test_one_frame_is_there_on_request(fresh: tuple[Robot, Process, Path]) -> None:
    robot, _, _ = fresh
    robot.drive(1500.0, (0.0,))
    assert robot.client.set_parameter("mesh.source", "frame").successful
    assert robot.client.set_parameter("mesh.method", "grid").successful
    reply = robot.client.trigger("save_mesh")
    assert robot.client.set_parameter("mesh.source", "auto").successful
    assert reply.success and ", grid, " in reply.message
    x, y, z = vertices_of(reply.message).T.astype(float)
    columns, rows = CAMERA.fx * x / z + CAMERA.cx, CAMERA.fy * y / z + CAMERA.cy
    assert z.min() > 0, "in the camera's own frame"
    assert columns.min() > -0.5 and columns.max() < 159.5 and rows.min() > -0.5 and rows.max() < 119.5


def test_poses_that_are_broken_stop_jump_or_go_back_leave_the_map_whole(fresh: tuple[Robot, Process, Path]) -> None:
    robot, node, _ = fresh
    robot.drive(2000.0, (0.0, 0.1))
    refused, without = robot.next_number("poses_refused"), robot.next_number("frames_without_pose")
    broken = at(0.15)
    broken[0, 3] = np.nan
    robot.move(2002.0, broken)
    robot.see(2002.0)
    robot.wait_value("poses_refused", str(refused + 1))
    robot.wait_value("frames_without_pose", str(without + 1))
    node.wait_for("must be finite numbers and a unit quaternion")
    assert "older than the image" in robot.value("last_left_out")
    robot.move(2002.9, at(9.0))
    robot.move(2003.1, at(9.0))
    robot.see(2003.0)
    robot.wait_value("frames_rejected_by_pose_jump", "1")
    assert "over fusion.max_speed" in robot.value("last_left_out")
    robot.drive(50.0, (0.05, 0.2))
    robot.wait_value("frames_integrated", "4")
    assert node.running and "Traceback" not in node.output


def test_an_empty_map_is_an_error_in_the_reply(fresh: tuple[Robot, Process, Path]) -> None:
    robot, node, folder = fresh
    before = set(folder.iterdir())
    for service in ("save_mesh", "save_cloud", "save_map"):
        reply = robot.client.trigger(service)
        assert not reply.success and "it is empty" in reply.message
    assert set(folder.iterdir()) == before and node.running
    reply = robot.client.trigger("load_map")
    assert not reply.success and "fusion.map_file must name" in reply.message


def test_a_map_is_saved_and_loaded_again(fresh: tuple[Robot, Process, Path]) -> None:
    robot, _, folder = fresh
    robot.drive(3000.0, (0.0, 0.1))
    first = vertices_of(robot.client.trigger("save_mesh").message)
    assert robot.client.set_parameter("fusion.map_file", str(folder / "kept.npz")).successful
    saved = robot.client.trigger("save_map")
    assert saved.success and saved.message.startswith(f"{folder}/kept.npz: ")
    assert robot.client.trigger("reset_map").success and not robot.client.trigger("save_mesh").success
    loaded = robot.client.trigger("load_map")
    assert loaded.success and " blocks loaded" in loaded.message
    same_surface(vertices_of(robot.client.trigger("save_mesh").message), first)
    assert robot.client.set_parameter("fusion.map_file", str(folder / "none.npz")).successful
    missing = robot.client.trigger("load_map")
    assert not missing.success and "none.npz cannot be read" in missing.message
    assert robot.client.trigger("save_mesh").success, "the map is still there"
    assert robot.client.set_parameter("fusion.map_file", "").successful


def test_a_folder_that_refuses_is_an_error_in_the_reply(fresh: tuple[Robot, Process, Path]) -> None:
    robot, node, folder = fresh
    robot.drive(4000.0, (0.0,))
    assert robot.client.set_parameter("mesh.directory", str(folder / "file" / "below")).successful
    (folder / "file").write_text("no folder, though it could have become one when the parameter was set")
    for service in ("save_mesh", "save_cloud", "save_map"):
        reply = robot.client.trigger(service)
        assert not reply.success and "cannot make the folder" in reply.message
    assert robot.client.set_parameter("mesh.directory", str(folder)).successful
    assert robot.client.trigger("save_mesh").success and node.running


def test_a_camera_that_stands_still_is_not_fused_again(fresh: tuple[Robot, Process, Path]) -> None:
    robot, _, _ = fresh
    robot.drive(5000.0, (0.0,))
    for number in range(1, 4):
        robot.move(5000.0 + number, at(0.001 * number))
        robot.see(5000.0 + number)
        robot.wait_value("frames_standing_still", str(number))
    robot.wait_value("frames_integrated", "1")


def test_fusion_pauses_and_goes_on(fresh: tuple[Robot, Process, Path]) -> None:
    robot, _, _ = fresh
    robot.drive(6000.0, (0.0,))
    assert robot.client.set_parameter("fusion.enabled", False).successful
    assert robot.client.set_parameter("mesh.source", "fused").successful
    assert robot.client.trigger("save_mesh").success, "the map stays"
    assert robot.client.set_parameter("mesh.source", "auto").successful
    assert robot.client.set_parameter("fusion.enabled", True).successful
    robot.wait_subscribed("odometry")
    robot.drive(6005.0, (0.1,))
    robot.wait_value("frames_integrated", "2")
    refused = robot.client.set_parameter("fusion.voxel_size", 0.1)
    assert not refused.successful and "restart" in refused.reason


def test_the_map_outlives_deactivation(fresh: tuple[Robot, Process, Path]) -> None:
    robot, _, _ = fresh
    robot.drive(6500.0, (0.0,))
    assert robot.client.change_state(Transition.TRANSITION_DEACTIVATE)
    assert robot.client.trigger("save_mesh").success
    robot.client.wait_until(lambda: not robot.client.node.count_subscribers("image"), "no subscription")
    assert robot.client.change_state(Transition.TRANSITION_ACTIVATE)
    robot.wait_subscribed("odometry")
    robot.drive(6505.0, (0.1,))
    robot.wait_value("frames_integrated", "2")


def test_a_worker_that_dies_is_replaced_and_said(fresh: tuple[Robot, Process, Path]) -> None:
    robot, node, _ = fresh
    robot.drive(7000.0, (0.0,))
    robot.client.wait_for("mesh")  # the last that is asked of the worker for a frame
    os.kill(map_worker(node.pid), signal.SIGKILL)
    robot.move(7001.0, at(0.1))
    robot.see(7001.0)
    node.wait_for("the map worker ended (SIGKILL): the map is lost, a new one begins")
    robot.wait_value("worker_restarts", "1")
    robot.drive(7002.0, (0.2,))
    robot.wait_value("frames_integrated", "1")
    assert node.running


class TfRobot(Robot):
    """A robot whose TF leads from map over odom and base to the camera."""

    def __init__(self, client: RosClient, rgb: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(client, rgb)
        self._message = tf_message(monkeypatch)
        self._moving = client.node.create_publisher(self._message, "/tf", 1)
        static = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._fixed = client.node.create_publisher(self._message, "/tf_static", static)

    def transform(self, seconds: float, parent: str, child: str, T: Matrix, fixed: bool = False) -> None:
        """Sends a transform."""
        msg = self._message(transforms=[transform_to_msg(T, Header(stamp=stamped(seconds), frame_id=parent), child)])
        deliver(self._fixed if fixed else self._moving, msg)

    def move(self, seconds: float, T: Matrix, frame: str = "odom") -> None:
        """The camera's pose in odom, as that of the base."""
        self.transform(seconds, frame, "base", T @ np.linalg.inv(MOUNT))

    def see_until(self, seconds: float, left_out_for: Callable[[str], bool]) -> None:
        """Sees the same image until it is left out for the wanted reason: a transform may come after an image."""
        while not left_out_for(self.value("last_left_out")):
            self.see(seconds)
            self.client.received["/diagnostics"].clear()
            self.client.wait_for("/diagnostics")


WITHOUT_TF2_ROS = pytest.mark.skipif(TF2_ROS_INSTALLED, reason="tf2_ros is installed: the node takes it")
MOUNT = at(0.3, 20.0)  # of the camera on the base
ODOM = at(2.0, -70.0)  # of odom in the map


@pytest.mark.parametrize("tf2_ros", [True, pytest.param(False, marks=WITHOUT_TF2_ROS)], ids=["tf2_ros", "messages"])
def test_poses_come_from_tf(
    ros_domain: int,
    processes: Processes,
    rgb: NDArray[np.uint8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tf2_ros: bool,
) -> None:
    with ros_client() as client:
        robot = TfRobot(client, rgb, monkeypatch)
        given = ("fusion.world_frame:=map", f"mesh.directory:={tmp_path}", "safe.base_frame:=base", "safe.ground:=keep")
        start(processes, *given, *SHOWING, env=with_tf(tf2_ros))
        robot.wait_subscribed("/tf", "/tf_static")
        robot.wait_value("poses", "TF, frame 'map'")
        robot.see(999.0)
        robot.wait_value("frames_without_pose", "1")
        assert "no transform names the frame 'map': none has come yet" in robot.value("last_left_out")
        robot.transform(0.0, "base", LENS, MOUNT, fixed=True)
        robot.move(999.0, at(0.0))
        robot.see_until(998.5, lambda reason: f"frame 'map', only base, {LENS}, odom" in reason)
        robot.transform(0.0, "map", "odom", ODOM, fixed=True)
        robot.see_until(998.5, lambda reason: "only base" not in reason)
        robot.drive(1000.0, (0.0, 0.1))
        here = fused_here(rgb, [ODOM @ at(0.0), ODOM @ at(0.1)])
        assert robot.shown(1001.0).header.frame_id == "map"
        same_surface(vertices_of(client.trigger("save_mesh").message), drop_specks(here.mesh(), 60).vertices)
        obstacles_are_those_of_here(robot, rgb)


def obstacles_are_those_of_here(robot: TfRobot, rgb: NDArray[np.uint8]) -> None:
    """points_safe in the camera's frame and scan in the base frame, for the same image."""
    received = robot.client.received
    for kind, topic in ((PointCloud2, "points_safe"), (LaserScan, "scan")):
        robot.client.listen(kind, topic)
    robot.client.repeat(
        lambda: robot.see(1001.0), lambda: bool(received["points_safe"] and received["scan"]), "a cloud and a scan"
    )
    config = with_values(Config(), FUSING | {"safe.ground": "keep"})
    depth = DepthReconstructor.from_config(config).process(rgb, CAMERA, Wanted(points=False)).depth
    assert depth is not None
    seen = surroundings(depth, CAMERA, MOUNT, config.safe)
    points, scan = safe_points(seen, config.safe.voxel_size), planar_scan(seen, config.filter.min_range, config.safe)
    cloud, flat = received["points_safe"][0], received["scan"][0]
    assert (cloud.header.frame_id, flat.header.frame_id) == (LENS, "base")
    assert cloud.header.stamp == flat.header.stamp == stamped(1001.0) and len(points) > 100
    found = np.frombuffer(cloud.data, np.float32).reshape(-1, 3)
    assert np.quantile(cKDTree(points).query(found)[0], 0.99) < 1e-3
    same = np.isclose(flat.ranges, scan.ranges, atol=1e-3, equal_nan=True)
    assert len(same) == len(scan.ranges) and same.mean() > 0.97 and np.isfinite(flat.ranges).any()


def test_odometry_of_the_base_goes_on_by_tf(
    ros_domain: int, processes: Processes, rgb: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The topic has the base's pose, TF the mount of the camera and also another pose of the base."""
    with ros_client() as client:
        robot = TfRobot(client, rgb, monkeypatch)
        publisher = client.node.create_publisher(Odometry, "wheels", 1)
        start(processes, "fusion.poses:=wheels", *SHOWING, env=with_tf())
        robot.wait_subscribed("/tf", "/tf_static", "wheels")

        def move_base(seconds: float, T: Matrix) -> None:
            header = Header(stamp=stamped(seconds), frame_id="odom")
            deliver(publisher, odometry_to_msg(T @ np.linalg.inv(MOUNT), header, "base"))

        move_base(999.0, at(0.0))
        robot.see(999.0)
        robot.wait_value("world_frame", "")
        robot.wait_left_out(f"TF must lead from 'base' to '{LENS}': no transform names the frame 'base'")
        robot.transform(0.0, "base", LENS, MOUNT, fixed=True)
        robot.move(1000.0, at(5.0))
        move_base(1000.0, at(0.1))
        while not client.received["map_points"]:  # the transform may come after the image, which is then left out
            robot.see(1000.0)
            client.received["/diagnostics"].clear()
            client.wait_for("/diagnostics")
        points = points_from_msg(robot.shown(1000.0))[0, :, :3]
        same_surface(points, fused_here(rgb, [at(0.1)]).cloud().points)


@pytest.mark.skipif(TF_INSTALLED, reason="tf2_msgs is installed")
def test_tf_that_is_not_installed_is_one_line(ros_domain: int, processes: Processes) -> None:
    node = start(processes, "fusion.enabled:=true", "fusion.world_frame:=map", ready=False)
    assert node.wait() == 1
    last = node.output.strip().splitlines()[-1]
    assert last.startswith("recon_node: fusion.world_frame 'map': TF needs tf2_msgs, which is not installed")
    assert "Traceback" not in node.output
    node = start(processes, "fusion.world_frame:=map", "points_all.enabled:=true")
    assert "points_all is not published: TF needs tf2_msgs, which is not installed" in node.output
    with ros_client() as client:
        refused = client.set_parameter("fusion.enabled", True)
        assert not refused.successful and "TF needs tf2_msgs" in refused.reason
        assert client.set_parameter("mesh.source", "fused").successful
        assert client.trigger("save_mesh").message == "there is no map: set fusion.enabled"
    assert node.running


@pytest.mark.skipif(TF_INSTALLED, reason="tf2_msgs is installed")
def test_a_topic_that_was_given_is_not_asked_for(ros_domain: int, processes: Processes, rgb: NDArray[np.uint8]) -> None:
    """Poses of the base need TF, which is not installed; the advice is not to name the topic that was named."""
    with ros_client() as client:
        robot = Robot(client, rgb)
        wheels = client.node.create_publisher(Odometry, "wheels", 10)
        start(processes, "fusion.enabled:=true", "fusion.poses:=wheels")
        robot.wait_subscribed("wheels")

        def move_and_see() -> None:
            header = Header(stamp=stamped(1.0), frame_id="odom")
            wheels.publish(odometry_to_msg(at(0.0), header, "base"))
            robot.see(1.0)

        advice = f"or publish poses of '{LENS}' itself, in the frame 'base'"
        client.repeat(move_and_see, lambda: advice in robot.value("last_left_out"), "the advice", rate_hz=1)
        assert "name a topic" not in robot.value("last_left_out")


def test_a_topic_of_another_type_is_said(ros_domain: int, processes: Processes, rgb: NDArray[np.uint8]) -> None:
    with ros_client() as client:
        robot = Robot(client, rgb)
        start(processes, "fusion.enabled:=true", "fusion.poses:=camera_info")
        robot.wait_subscribed()
        robot.see(1.0)
        robot.wait_left_out("must be of type nav_msgs/msg/Odometry")


def test_transforms_are_poses_unless_of_a_frame_in_itself(
    ros_domain: int, processes: Processes, rgb: NDArray[np.uint8]
) -> None:
    with ros_client() as client:
        robot = Robot(client, rgb)
        publisher = client.node.create_publisher(TransformStamped, "vicon", 1)
        start(processes, "fusion.poses:=vicon", *SHOWING)
        robot.wait_subscribed("vicon")
        deliver(publisher, transform_to_msg(at(3.0), Header(stamp=stamped(1000.0), frame_id=LENS), LENS))
        robot.see(1000.0)
        robot.wait_left_out("no usable pose on /vicon yet: 1 were refused")
        deliver(publisher, transform_to_msg(at(0.1), Header(stamp=stamped(1001.0), frame_id="odom"), LENS))
        robot.see(1001.0)
        points = points_from_msg(robot.shown(1001.0))[0, :, :3]
        same_surface(points, fused_here(rgb, [at(0.1)]).cloud().points)
        deliver(publisher, transform_to_msg(at(3.0), Header(stamp=stamped(1002.0), frame_id=LENS), ""))
        robot.see(1002.0)
        robot.wait_left_out(f"/vicon has poses of the camera in its own frame '{LENS}'")


def test_without_poses_it_follows_its_own_depth_and_says_so(
    ros_domain: int, processes: Processes, rgb: NDArray[np.uint8]
) -> None:
    with ros_client() as client:
        robot = Robot(client, rgb)
        node = start(processes, *SHOWING)
        assert "poses come from RGB-D odometry on the predicted depth, which drifts" in node.output
        robot.wait_subscribed()
        robot.see(1.0)
        assert robot.shown(1.0).header.frame_id == "visual_odom"
        robot.see(1.1)
        robot.wait_value("frames_standing_still", "1")
        assert robot.value("poses") == "RGB-D odometry on the predicted depth, which drifts"


def test_our_own_camera_needs_two_parameters(ros_domain: int, processes: Processes, tmp_path: Path) -> None:
    """rooms_camera publishes its pose on /tf: the map lies in the room."""
    flags = ["--seed", "3", "--length", "12", "--width", "160", "--height", "120", "--hfov", "70", "--rate", "5"]
    with ros_client() as client:
        client.listen(PointCloud2, "map_points")
        client.listen(Odometry, "odometry")
        start(processes, "fusion.enabled:=true", "fusion.world_frame:=world", env=with_tf())
        camera = processes.python("-m", "mono_depth_recon.ros.cameras.rooms_camera", *flags, env=with_tf())
        camera.wait_for("poses, if any, in frame 'world' on /odometry (/tf)")
        client.wait_for("map_points", 1)
    points = points_from_msg(client.received["map_points"][-1])[0, :, :3]
    eyes = [T_of(msg) for msg in client.received["odometry"]]
    inside = [np.linalg.inv(T) @ np.c_[points, np.ones(len(points))].T for T in eyes]
    assert len(points) > 100 and min(np.linalg.norm(each[:3], axis=0).max() for each in inside) < 7.5
    assert max((each[2] > 0.1).mean() for each in inside) > 0.99, "before the camera that saw it"


def T_of(msg: Odometry) -> Matrix:
    """The pose of the message."""
    p, q, T = msg.pose.pose.position, msg.pose.pose.orientation, np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix(), (p.x, p.y, p.z)
    return T

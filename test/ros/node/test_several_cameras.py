"""One node with several cameras, of which one never comes: a real process over DDS, against frames computed here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from made_models import lens, pinhole, write_mask
from numpy.typing import NDArray
from processes import LOCALHOST, Process, Processes, reserved_domain
from rcl_interfaces.msg import ParameterType
from ros_client import RosClient, TestCamera, ros_client
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from tf_standin import tf_message, with_tf

from mono_depth_recon.arrays import Matrix
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.errors import DataError
from mono_depth_recon.messages import depth_of
from mono_depth_recon.pipeline import DepthReconstructor
from mono_depth_recon.ros.conversions import depth_to_msg, info_to_msg, points_from_msg, rgb_to_msg
from mono_depth_recon.ros.mapping.poses import Poses
from mono_depth_recon.ros.node.points_all import moved, points_of
from mono_depth_recon.ros.node.recon_node import ReconNode
from mono_depth_recon.ros.tf_messages import tf_qos, transform_to_msg

PINNED = {"model.runtime": "openvino"}
MAP = {"fusion.world_frame": "map", "fusion.parallax": False, "fusion.align": 0.0, "fusion.voxel_size": 0.05,
       "fusion.device": "cpu", "fusion.max_scale_change": 10.0, "fusion.points_rate": 30.0,
       "fusion.min_weight": 0.01}  # fmt: skip
SAME_FRAMES = (("front", "camera"), ("back", "rear"), ("left", "camera"), ("never", ""), ("nor_this", ""))
FRONT = np.array([[0, 0, 1, 0.3], [-1, 0, 0, 0], [0, -1, 0, 0.5], [0, 0, 0, 1]], np.float64)
LEFT = np.array([[1, 0, 0, 0], [0, 0, 1, 0.2], [0, -1, 0, 0.4], [0, 0, 0, 1]], np.float64)


@dataclass
class Seen:
    """A camera of the test: what it sends, where it is, and what the node has for it."""

    name: str
    camera: PinholeCamera
    T_base_camera: Matrix
    rgb: NDArray[np.uint8]
    driver: TestCamera
    values: dict[str, object]

    def publish(self) -> Header:
        header = self.driver.header()
        header.frame_id = f"{self.name}_lens"
        self.driver.send_info(info_to_msg(self.camera, header))
        self.driver.send(rgb_to_msg(self.rgb, header))
        return header

    def frame(self, **values: object) -> Any:
        config = with_values(Config(), PINNED | self.values | {k.replace("__", "."): v for k, v in values.items()})
        return DepthReconstructor.from_config(config).process(self.rgb, self.camera), config


@dataclass
class Rig:
    """Two cameras, the node that sees them and a third that never comes, and the client."""

    client: RosClient
    node: Process
    front: Seen
    left: Seen
    folder: Path

    def see(self, *topics: str) -> None:
        """Both cameras send until each of `topics` has a message more."""
        had = {topic: len(self.client.received[topic]) for topic in topics}
        self.client.repeat(
            lambda: (self.front.publish(), self.left.publish()),
            lambda: all(len(self.client.received[topic]) > count for topic, count in had.items()),
            f"messages on {topics}",
        )

    def depth(self, camera: Seen) -> NDArray[np.float32]:
        """The depth of the camera's next image."""
        topic = f"{camera.name}/depth/image_rect"
        stamp = camera.publish().stamp
        self.client.wait_until(
            lambda: any(msg.header.stamp == stamp for msg in self.client.received[topic]), f"that frame on {topic}"
        )
        return depth_of(next(msg for msg in self.client.received[topic] if msg.header.stamp == stamp))

    def status(self, name: str) -> DiagnosticStatus:
        """The newest status of that name."""
        found = [s for array in self.client.received["/diagnostics"] for s in array.status if s.name == name]
        return found[-1] if found else DiagnosticStatus()

    def value(self, name: str, key: str) -> str:
        return next((pair.value for pair in self.status(name).values if pair.key == key), "")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("rig")
    processes = Processes(folder)
    mask = write_mask(folder / "mask.png", lens())
    with reserved_domain() as domain, pytest.MonkeyPatch.context() as patch:
        for name, value in ({"ROS_DOMAIN_ID": str(domain)} | LOCALHOST).items():
            patch.setenv(name, value)
        with ros_client() as client:
            values = {**PINNED, **MAP, "cameras": "front,left,never", "points_all.enabled": True,
                      "points_all.max_age": 60.0, "left.camera.mask": mask, "mesh.directory": folder,
                      "mesh.method": "grid"}  # fmt: skip
            given = {name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()}
            words = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
            node = processes.python(
                "-m", "mono_depth_recon.ros.node.recon_node", "--ros-args", *words, "-r", "left/image:=/cam_2/image",
                env=with_tf(),
            )  # fmt: skip
            node.wait_for("ready: depth/image_rect, points and mesh of front, left, never")
            message = tf_message(patch)
            fixed = client.node.create_publisher(message, "/tf_static", tf_qos(True))
            for parent, child, T in (
                ("map", "base_link", np.eye(4)), ("base_link", "front_lens", FRONT), ("base_link", "left_lens", LEFT),
            ):  # fmt: skip
                fixed.publish(message(transforms=[transform_to_msg(T, Header(frame_id=parent), child)]))
            client.listen(DiagnosticArray, "/diagnostics")
            for name in ("front", "left"):
                client.listen(Image, f"{name}/depth/image_rect")
            rng = np.random.default_rng(3)
            pictures = [
                cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (320, 240), interpolation=cv2.INTER_CUBIC)
                for _ in range(2)
            ]
            front = Seen("front", pinhole(), FRONT, pictures[0], client.camera("front/image", "front/camera_info"), {})
            left = Seen(
                "left", lens(), LEFT, pictures[1], client.camera("/cam_2/image", "left/camera_info"),
                {"camera.mask": mask},
            )  # fmt: skip
            made = Rig(client, node, front, left, folder)
            made.see("front/depth/image_rect", "left/depth/image_rect")
            yield made
            assert "Traceback" not in node.output
        processes.kill_all()


def test_cameras_in_one_frame_are_said_once() -> None:
    said = list[str]()
    node: Any = SimpleNamespace(_log=SimpleNamespace(once=said.append))
    cameras: Any = [SimpleNamespace(name=name, frame_id=frame) for name, frame in SAME_FRAMES]
    ReconNode._warn_of_equal_frames(node, cameras)
    assert len(said) == 1 and said[0].startswith(
        "the images of front and left have one frame_id, 'camera': TF, the map"
    )


def test_a_pose_that_names_no_camera_is_of_one_camera_only() -> None:
    """PoseStamped is the pose of the camera, which of several nobody can know."""
    poses: Any = SimpleNamespace(_topic="/pose", _child="(camera)", _parent="map", _world="map", _several=True)
    with pytest.raises(DataError, match="/pose gives one pose without saying of which frame, and there are several"):
        Poses._pose(poses, "front_lens", Time())


def same(got: NDArray[np.float32], camera: Seen, **values: object) -> None:
    expected = camera.frame(**values)[0].depth
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_the_depth_of_each_is_that_of_its_own_image_calibration_and_mask(rig: Rig) -> None:
    for camera in (rig.front, rig.left):
        same(rig.depth(camera), camera)
    body = np.isnan(rig.left.frame()[0].depth)
    assert body[200:, :60].all() and not np.isnan(rig.front.frame()[0].depth)[200:, :60].all()


def test_a_camera_that_never_comes_is_said_and_holds_up_none(rig: Rig) -> None:
    rig.client.wait_until(
        lambda: "nobody publishes /never/image" in rig.status("/recon_node: never").message, "the missing camera"
    )
    assert rig.status("/recon_node: never").level == DiagnosticStatus.WARN
    rig.node.wait_for("no image: nobody publishes /never/image")
    assert "remap never/image to a topic" in rig.node.output and "[recon_node.never]" in rig.node.output
    rig.client.forget()

    def fine() -> bool:
        statuses = [rig.status(f"/recon_node: {name}") for name in ("front", "left")]
        return all(s.name and s.level == DiagnosticStatus.OK and " Hz, " in s.message for s in statuses)

    rig.client.repeat(lambda: (rig.front.publish(), rig.left.publish()), fine, "both others are well")
    assert not rig.status("/recon_node").name, "there is one status per camera"


def test_points_all_has_the_clouds_of_all_in_the_base_frame(rig: Rig) -> None:
    rig.client.listen(PointCloud2, "points_all")
    clouds = [moved(points_of(*camera.frame()), camera.T_base_camera) for camera in (rig.front, rig.left)]

    def whole() -> bool:
        return any(msg.width == sum(map(len, clouds)) for msg in rig.client.received["points_all"])

    rig.client.repeat(lambda: (rig.front.publish(), rig.left.publish()), whole, "a cloud with both cameras")
    msg = next(msg for msg in rig.client.received["points_all"] if msg.width == sum(map(len, clouds)))
    assert msg.header.frame_id == "base_link" and msg.height == 1 and msg.is_dense
    got = points_from_msg(msg)[0]
    if not np.allclose(got[:100, :3], clouds[0][:100, :3], atol=1e-3):  # the one that came last is last
        clouds.reverse()
    expected = np.concatenate(clouds)
    np.testing.assert_allclose(got[:, :3], expected[:, :3], atol=1e-3)
    assert np.array_equal(got[:, 3:].view(np.uint32), expected[:, 3:].view(np.uint32)), "colours"
    stamps = [m.header.stamp for m in rig.client.received["front/depth/image_rect"]]
    stamps += [m.header.stamp for m in rig.client.received["left/depth/image_rect"]]
    assert msg.header.stamp in stamps, "the stamp of an image"


def test_parameters_of_one_camera_and_of_all_change_while_it_runs(rig: Rig) -> None:
    client = rig.client
    assert client.set_parameter("left.filter.border", 20).successful
    same(rig.depth(rig.left), rig.left, filter__border=20)
    same(rig.depth(rig.front), rig.front)
    assert (
        client.describe_parameter("left.filter.border").description
        == "width of the image border without depth; of camera left [px]"
    )
    assert client.set_parameter("filter.border", 10).successful
    same(rig.depth(rig.left), rig.left, filter__border=20)
    same(rig.depth(rig.front), rig.front, filter__border=10)
    assert client.set_parameter("left.filter.border", None).successful, "as ros2 param delete does"
    same(rig.depth(rig.left), rig.left, filter__border=10)
    assert client.set_parameter("left.filter.border", 5).successful, "and back again"
    assert client.describe_parameter("left.filter.border").type == ParameterType.PARAMETER_INTEGER
    same(rig.depth(rig.left), rig.left, filter__border=5)
    for name, value, said in (
        ("left.fusion.enabled", True, "cannot be set for one camera, only fusion.enabled for all"),
        ("left.filter.boarder", 1, "unknown parameter 'filter.boarder'; did you mean 'filter.border'"),
        ("right.filter.border", 1, "unknown parameter 'right.filter.border': cameras does not name 'right'"),
        ("left.camera.mask", "", "left.camera.mask cannot change while the node is configured"),
        ("cameras", "front", "cameras cannot change while the node is configured"),
    ):
        refused = client.set_parameter(name, value)
        assert not refused.successful and said in refused.reason, refused.reason
    assert client.set_parameter("filter.border", 0).successful
    assert client.set_parameter("left.filter.border", None).successful


def test_each_camera_has_its_own_scale_source_and_reference(rig: Rig) -> None:
    client = rig.client

    def listened(*names: str) -> bool:
        topics = [f"{name}/reference_depth" for name in ("front", "left", "never")]
        return [client.node.count_subscribers(topic) for topic in topics] == [
            int(topic.partition("/")[0] in names) for topic in topics
        ]

    assert client.set_parameter("scale.correct_metric", "factor").successful and listened()
    assert client.set_parameter("left.scale.source", "reference").successful
    client.wait_until(lambda: listened("left"), "a subscription of left/reference_depth alone")
    driver = client.node.create_publisher(Image, "left/reference_depth", 5)
    client.wait_until(lambda: driver.get_subscription_count() == 1, "the node's subscription")
    metres = np.full((rig.left.camera.height, rig.left.camera.width), 1.0, np.float32)
    metres[:, ::2] = 3.0
    client.listen(DiagnosticArray, "left/scale")

    def see() -> None:
        driver.publish(depth_to_msg(metres, rig.left.publish()))

    client.repeat(see, lambda: rig.value("/recon_node: left", "scale") != "", "a scale of left")
    assert rig.value("/recon_node: left", "scale_source") == "reference"
    assert rig.value("/recon_node: front", "scale_source") == ""
    assert client.set_parameter("scale.source", "reference").successful
    client.wait_until(lambda: listened("front", "left", "never"), "subscriptions of all")
    assert client.set_parameter("left.scale.source", None).successful
    assert client.set_parameter("scale.source", "none").successful
    assert client.set_parameter("scale.correct_metric", "off").successful
    client.wait_until(listened, "no subscription")


def test_one_map_takes_the_frames_of_all(rig: Rig) -> None:
    """Each camera has its own keyframes: both stand still, so that each gives one."""
    client = rig.client
    refused = client.trigger("save_mesh")
    assert not refused.success and "call the service of its camera (front/save_mesh, left/save_mesh" in refused.message
    client.listen(PointCloud2, "map_points", latched=True)
    assert client.set_parameter("fusion.enabled", True).successful
    client.repeat(
        lambda: (rig.front.publish(), rig.left.publish()),
        lambda: (
            int(rig.value("/recon_node: map", "frames_standing_still") or 0) >= 3
            and int(rig.value("/recon_node: map", "frames_integrated")) >= 2
        ),
        "a map of cameras that stand still",
    )
    assert rig.value("/recon_node: map", "frames_integrated") == "2", rig.status("/recon_node: map")
    assert rig.value("/recon_node: map", "world_frame") == "map"
    middles = [np.median(moved(points_of(*c.frame()), c.T_base_camera)[:, :3], axis=0) for c in (rig.front, rig.left)]

    def both() -> bool:
        points = [points_from_msg(msg).reshape(-1, 4)[:, :3] for msg in client.received["map_points"][-1:]]
        return all(np.abs(cloud - middle).max(axis=1).min() < 0.1 for cloud in points for middle in middles) and bool(
            points
        )

    client.wait_until(both, "points of the map where each camera sees some")
    reply = client.trigger("save_mesh")
    assert reply.success and ", fused, " in reply.message, reply.message
    reply = client.trigger("left/save_mesh")
    assert reply.success and ", grid, " in reply.message, reply.message
    assert client.set_parameter("fusion.enabled", False).successful


def test_all_begin_and_end_with_the_node(rig: Rig) -> None:
    client = rig.client
    assert client.change_state(Transition.TRANSITION_DEACTIVATE)
    client.wait_until(lambda: not client.node.count_subscribers("front/image"), "no subscription")
    assert "not active" in client.trigger("front/save_mesh").message
    assert client.change_state(Transition.TRANSITION_CLEANUP)
    client.wait_until(lambda: not client.node.count_publishers("left/depth/image_rect"), "no publisher")
    assert client.set_parameter("never.filter.border", 5).successful
    refused = client.set_parameter("cameras", "front,left")
    assert refused.reason.startswith("cameras must name 'never' while that camera has parameters of its own, never.f")
    assert client.set_parameter("never.filter.border", None).successful
    assert client.set_parameter("cameras", "front,left").successful
    assert client.change_state(Transition.TRANSITION_CONFIGURE)
    assert client.change_state(Transition.TRANSITION_ACTIVATE)
    rig.see("front/depth/image_rect", "left/depth/image_rect")
    for camera in (rig.front, rig.left):
        same(rig.depth(camera), camera)
    reports = client.received["/diagnostics"]
    client.wait_until(
        lambda: all(status.name != "/recon_node: never" for status in reports[-1].status),
        "diagnostics without the camera that is gone",
    )
    assert client.change_state(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert rig.node.stop() == 0

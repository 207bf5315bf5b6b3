"""What belongs to an image is decided when it arrives, and every image is inferred once; seen from outside, over DDS.

The node runs models of analytic depth (support/toy_node.py), which log the images that they are shown.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from made_models import floor
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from processes import DEADLINE_S, ROOT, Process, Processes
from rclpy.duration import Duration
from ros_client import RosClient, ros_client
from sensor_msgs.msg import Image
from std_msgs.msg import Float64, Header

from mono_depth_recon.arrays import Depth
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.messages import depth_of
from mono_depth_recon.ros.conversions import depth_to_msg, info_to_msg, odometry_to_msg, rgb_to_msg
from mono_depth_recon.scale.table import SCALE_SOURCES

CAMERA = PinholeCamera.from_hfov(160, 120, 60)
OTHER = PinholeCamera.from_hfov(160, 120, 90)
GATE = 255  # the model is busy with this image until the file `gate` exists


@pytest.fixture
def client(ros_domain: int) -> Iterator[RosClient]:
    with ros_client() as made:
        yield made


def start(processes: Processes, gate: Path | None = None, **parameters: object) -> Process:
    words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    node = processes.python(
        ROOT / "test" / "support" / "toy_node.py", "--ros-args", *words, env={"TOY_GATE": str(gate)}
    )
    node.wait_for("ready")
    return node


def status(client: RosClient, ending: str = "recon_node") -> DiagnosticStatus:
    """The newest status of that name; an empty one before it has come."""
    found = [s for message in client.received["/diagnostics"] for s in message.status if s.name.endswith(ending)]
    return found[-1] if found else DiagnosticStatus()


def value(client: RosClient, key: str, ending: str = "recon_node") -> str:
    return next((pair.value for pair in status(client, ending).values if pair.key == key), "")


def image(number: int) -> NDArray[np.uint8]:
    """A random image whose first value identifies it in the model's log."""
    rgb = np.random.default_rng(number).integers(0, 256, (120, 160, 3), np.uint8)
    rgb[0, 0, 0] = number
    return rgb


def predicted(node: Process) -> list[tuple[int, int]]:
    """Number and focal length (px) of the images that the model was shown, without the one of the start."""
    found = [(int(n), int(f)) for n, f in re.findall(r"predicted (\d+) f (\d+)", node.output)]
    return [each for each in found if each[0] != 127]


class Rig:
    """A camera and a depth camera; each message is received before the next is sent, if wanted by its callback too."""

    def __init__(self, client: RosClient) -> None:
        # A full history sends a heartbeat with every message; otherwise its acknowledgement takes up to 3 s.
        self._client, self.driver = client, client.camera(depth=1)
        self._references = client.node.create_publisher(Image, "reference_depth", 1)
        self._count = 0

    def header(self, seconds: float = 0.0) -> Header:
        """That of the next image but `seconds` later."""
        stamp = 10.0 * self._count + seconds
        made = Header(frame_id="camera_optical_frame")
        made.stamp.sec, made.stamp.nanosec = int(stamp), round(stamp % 1 * 1e9)
        return made

    def info(self, camera: PinholeCamera, seconds: float = 0.0) -> None:
        self.driver.send_info(info_to_msg(camera, self.header(seconds)))
        self._received(self.driver._infos)

    def reference(self, depth: Depth, seconds: float = 0.0) -> None:
        self._references.publish(depth_to_msg(depth, self.header(seconds)))
        self._received(self._references)

    def image(self, number: int) -> None:
        self.driver.send(rgb_to_msg(image(number), self.header()))
        self._received(self.driver._images)

    def image_taken(self, number: int) -> None:
        """Sends an image and waits until the node counts it: callbacks run in any order. Needs /diagnostics."""
        before = self.next_count()
        self.image(number)
        self._client.wait_until(lambda: self.next_count() > before, f"image {number} in the node")

    def next_count(self) -> int:
        """The images that the node has received, in its next report."""
        self._client.received["/diagnostics"].clear()
        self._client.wait_until(lambda: bool(value(self._client, "frames_received")), "a report")
        return int(value(self._client, "frames_received"))

    def next(self) -> None:
        """The following messages are for another image, 10 s later."""
        self._count += 1

    def until(self, condition: Callable[[], bool], number: int, what: str, reference: bool = True) -> None:
        """Sends frames, all alike, until a condition holds."""
        end = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > end:
                pytest.fail(f"{what} did not happen within {DEADLINE_S} s")
            self.next()
            if reference:
                self.reference(floor(CAMERA))
            self.info(CAMERA)
            self.image(number)
            time.sleep(0.1)

    def _received(self, publisher: object) -> None:
        assert publisher.wait_for_all_acked(Duration(seconds=DEADLINE_S))  # type: ignore[attr-defined]


def test_a_snapshot_of_an_image_takes_what_came_with_it(
    client: RosClient, processes: Processes, tmp_path: Path
) -> None:
    """Later camera_info and nearer reference depth are for later images, while nobody needed this one before."""
    node = start(
        processes,
        **{
            "model.name": "relative",
            "scale.source": "reference",
            "scale.smoothing": 0.0,
            "filter.edge_threshold": 0.0,
            "mesh.directory": tmp_path,
            "mesh.voxel_size": 0.0,
            "mesh.outlier_neighbors": 0,
        },
    )
    rig = Rig(client)
    rig.until(lambda: client.trigger("save_cloud").success, 1, "a snapshot with a reference")
    rig.next()
    rig.reference(floor(CAMERA), -0.1)
    rig.info(CAMERA, -0.1)
    client.listen(DiagnosticArray, "/diagnostics")
    rig.image_taken(2)
    rig.info(OTHER, 0.1)
    rig.reference(floor(CAMERA) * np.float32(3), 0.05)
    reply = client.trigger("save_cloud")
    assert reply.success, reply.message
    assert [f for number, f in predicted(node) if number == 2] == [round(CAMERA.fx)]
    z = vertices(Path(reply.message.split(": ")[0]))[:, 2]
    depth = floor(CAMERA)
    assert np.median(z) == pytest.approx(np.median(depth[depth <= 10]), rel=0.02), "three times that with the later one"
    assert client.trigger("save_cloud").success
    assert len([number for number, _ in predicted(node) if number == 2]) == 1, "it is computed already"


def vertices(path: Path) -> NDArray[np.float64]:
    import open3d as o3d

    return np.asarray(o3d.io.read_point_cloud(str(path)).points)


def test_map_and_evaluation_of_an_image_that_waited_take_what_came_with_it(
    client: RosClient, processes: Processes, tmp_path: Path
) -> None:
    """The model is busy with one image: camera_info and reference change while the next one waits."""
    gate = tmp_path / "gate"
    node = start(
        processes,
        gate,
        **{
            "model.name": "metric",
            "fusion.enabled": "true",
            "evaluation.enabled": "true",
            "evaluation.rate": 0.0,
        },
    )
    client.listen(DiagnosticArray, "/diagnostics")
    rig = Rig(client)

    def seen(*keys: str) -> int:
        return sum(int(value(client, key, ": evaluation") or 0) for key in keys)

    rig.until(lambda: seen("frames_compared") >= 1, 1, "a comparison")
    rig.next()
    rig.reference(floor(CAMERA))
    rig.info(CAMERA)
    rig.image(GATE)
    client.wait_until(lambda: any(number == GATE for number, _ in predicted(node)), "a busy model")
    rig.next()
    rig.reference(floor(CAMERA), -0.1)
    rig.info(CAMERA, -0.1)
    rig.image_taken(2)
    rig.info(OTHER, 0.1)
    rig.reference(floor(CAMERA) * np.float32(3), 0.05)
    gate.touch()
    client.wait_until(lambda: any(number == 2 for number, _ in predicted(node)), "the image")
    client.wait_until(
        lambda: seen("frames_compared", "frames_not_compared") >= len(predicted(node)), "its comparison", DEADLINE_S
    )
    assert [f for number, f in predicted(node) if number == 2] == [round(CAMERA.fx)], "once, by its own camera_info"
    assert value(client, "abs_rel", ": evaluation") == "0.0000", "against its own reference"


def test_a_frame_that_the_map_takes_late_has_its_own_camera_info_and_reference(
    client: RosClient, processes: Processes, tmp_path: Path
) -> None:
    """While the map's thread is busy, more camera_info and references come than are kept for pairing."""
    gate = tmp_path / "gate"
    node = start(
        processes,
        gate,
        **{
            "model.name": "relative",
            "scale.source": "reference",
            "scale.smoothing": 0.0,
            "filter.edge_threshold": 0.0,
            "fusion.enabled": "true",
            "fusion.poses": "odometry",
            "fusion.parallax": "false",
            "fusion.align": 0.0,
            "fusion.max_scale_change": 10.0,
            "fusion.max_speed": 1000.0,
            "fusion.voxel_size": 0.05,
            "mesh.directory": tmp_path,
        },
    )
    rig, poses = Rig(client), client.node.create_publisher(Odometry, "odometry", 2)
    client.wait_until(lambda: client.node.count_subscribers("odometry") > 0, "a subscription of the poses")

    def pose(x: float) -> None:
        """The camera stands at x when the next image is taken."""
        T = np.eye(4)
        T[0, 3] = x
        for seconds in (-0.1, 0.1):
            header = Header(stamp=rig.header(seconds).stamp, frame_id="odom")
            poses.publish(odometry_to_msg(T, header, "camera_optical_frame"))
        rig._received(poses)

    def send(number: int, x: float, image: Callable[[int], None]) -> None:
        rig.next()
        pose(x)
        rig.reference(floor(CAMERA))
        rig.info(CAMERA)
        image(number)

    while not any(number == GATE for number, _ in predicted(node)):  # a pose may be lost at first
        send(GATE, 50.0, rig.image)
        time.sleep(0.5)
    client.listen(DiagnosticArray, "/diagnostics")
    send(2, 0.0, rig.image_taken)
    for count in range(1, 13):
        rig.driver.send_info(info_to_msg(OTHER, rig.header(0.01 * count)))
        rig._references.publish(depth_to_msg(floor(CAMERA) * np.float32(3), rig.header(0.02 + 0.001 * count)))
        if count % 4 == 0:  # publishers keep five
            rig._received(rig.driver._infos)
            rig._received(rig._references)
    gate.touch()
    client.wait_until(lambda: any(number == 2 for number, _ in predicted(node)), "the image")
    assert [f for number, f in predicted(node) if number == 2] == [round(CAMERA.fx)]

    def near() -> NDArray[np.float64]:
        """Vertices of the map that were seen from x = 0."""
        reply = client.trigger("save_cloud")
        found = vertices(Path(reply.message.split(": ")[0])) if reply.success else np.empty((0, 3))
        return found[found[:, 0] < 25]

    client.repeat(lambda: None, lambda: len(near()) > 100, "the frame in the map", rate_hz=2)
    assert np.median(near()[:, 1]) == pytest.approx(1.2, abs=0.1), "the floor; 3.6 m with the later reference"


def test_map_evaluation_and_snapshots_infer_an_image_once(
    client: RosClient, processes: Processes, tmp_path: Path
) -> None:
    node = start(
        processes,
        **{
            "model.name": "metric",
            "fusion.enabled": "true",
            "evaluation.enabled": "true",
            "evaluation.rate": 0.0,
            "mesh.source": "frame",
            "mesh.directory": tmp_path,
        },
    )
    client.listen(DiagnosticArray, "/diagnostics")
    rig = Rig(client)
    rig.until(lambda: value(client, "frames_compared", ": evaluation") not in ("", "0"), 1, "a comparison")
    for number in range(2, 5):
        before = int(value(client, "frames_compared", ": evaluation"))
        rig.next()
        rig.reference(floor(CAMERA))
        rig.info(CAMERA)
        rig.image(number)
        client.wait_until(
            lambda count=before: int(value(client, "frames_compared", ": evaluation")) > count, "its comparison"
        )
        assert client.trigger("save_cloud").success

    def taken() -> int:
        """Frames that the map has taken, whatever became of them."""
        keys = ("integrated", "standing_still", "rejected_by_misfit", "rejected_by_pose_jump", "without_depth")
        return sum(int(value(client, f"frames_{key}", ": map") or 0) for key in keys)

    client.wait_until(lambda: taken() >= 3, "the map has taken the frames")
    numbers = [number for number, _ in predicted(node) if number > 1]
    assert numbers == list(range(2, 5))


def test_another_scale_source_is_one_file_and_one_row(client: RosClient, processes: Processes) -> None:
    """`toy` (support/toy_scale.py): parameter, subscription, metres, diagnostics; steps are in their order."""
    node = start(processes, **{"model.name": "relative", "filter.edge_threshold": 0.0})
    assert "or scale.source=toy with a number on the topic toy_scale" in node.output
    assert " | ".join((*SCALE_SOURCES, "toy")) in client.describe_parameter("scale.source").additional_constraints
    client.listen(DiagnosticArray, "/diagnostics")
    client.listen(Image, "depth/image_rect")
    numbers = client.node.create_publisher(Float64, "toy_scale", 5)
    assert client.node.count_subscribers("toy_scale") == 0
    assert client.set_parameter("scale.source", "toy").successful
    client.set_parameter("scale.smoothing", 0.0)
    rig = Rig(client)
    rig.until(lambda: "frame without metres: no number yet" in node.output, 1, "a reason", reference=False)

    def scaled() -> bool:
        numbers.publish(Float64(data=0.5))
        return bool(client.received["depth/image_rect"])

    rig.until(scaled, 1, "depth", reference=False)
    depth = depth_of(client.received["depth/image_rect"][-1])
    expected = floor(CAMERA) * 2
    known = np.isfinite(depth)
    assert known.mean() > 0.2
    np.testing.assert_allclose(depth[known], expected[known], rtol=1e-4)
    rig.until(lambda: value(client, "scale_inliers") == "1.00", 1, "diagnostics", reference=False)
    assert (value(client, "scale_source"), value(client, "scale")) == ("toy", "0.5")
    steps = [pair.key[5:-3] for pair in status(client).values if pair.key.startswith("step_")]
    assert steps == ["convert", "rectify", "model", "scale", "filter", "guard", "cloud", "publish"]
    assert client.node.count_subscribers("reference_depth") == 0
    assert client.set_parameter("scale.source", "none").successful
    client.wait_until(lambda: client.node.count_subscribers("toy_scale") == 0, "the subscription ends")
    assert "Traceback" not in node.output

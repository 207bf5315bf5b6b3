"""The node's life: transitions, snapshot services, signals; always as a real process."""

from __future__ import annotations

import ctypes
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from numpy.typing import NDArray
from processes import DEADLINE_S, ROOT, Process, Processes
from rclpy.qos import QoSProfile
from ros_client import RosClient, TestCamera, ros_client
from sensor_msgs.msg import Image, PointCloud2
from visualization_msgs.msg import Marker

from mono_depth_recon.camera import PinholeCamera

CAMERA = PinholeCamera.from_hfov(640, 480, 60)


@pytest.fixture(scope="module")
def rgb() -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:480, :640]
    return np.stack([rows // 2, columns // 3, (rows + columns) // 5], axis=2).astype(np.uint8)


@pytest.fixture
def client(ros_domain: int) -> Iterator[RosClient]:
    with ros_client() as made:
        yield made


def start(processes: Processes, *parameters: str, wait_for: str = "ready") -> Process:
    """recon_node with `name:=value` parameters."""
    words = [word for parameter in parameters for word in ("-p", parameter)]
    node = processes.python("-m", "mono_depth_recon.ros.node.recon_node", *(["--ros-args", *words] if words else []))
    if wait_for:
        node.wait_for(wait_for)
    return node


def feed(client: RosClient, rgb: NDArray[np.uint8]) -> TestCamera:
    """Streams until a cloud has come."""
    client.listen(PointCloud2, "points")
    driver = client.camera()
    driver.stream(rgb, CAMERA, lambda: bool(client.received["points"]), "a cloud")
    return driver


def test_managed_by_hand(client: RosClient, processes: Processes, rgb: NDArray[np.uint8]) -> None:
    """configure, activate, deactivate, activate again, cleanup, and once more from the start."""
    node = start(processes, "autostart:=false", wait_for="")
    assert client.state() == "unconfigured"
    client.listen(Image, "depth/image_rect")
    driver = client.camera()
    for _ in range(2):
        assert client.change_state(Transition.TRANSITION_CONFIGURE) and client.state() == "inactive"
        assert "not active" in client.trigger("save_mesh").message
        for _ in range(2):
            assert client.change_state(Transition.TRANSITION_ACTIVATE) and client.state() == "active"
            client.forget()
            driver.stream(rgb, CAMERA, lambda: len(client.received["depth/image_rect"]) >= 2, "depth")
            active = psutil.Process(node.pid).memory_info().rss
            assert client.change_state(Transition.TRANSITION_DEACTIVATE) and client.state() == "inactive"
            assert psutil.Process(node.pid).memory_info().rss < active, "deactivate gives memory back"
        sent = []
        for _ in range(10):
            sent.append(driver.publish(rgb, CAMERA).stamp)
            time.sleep(0.05)
        came = [msg.header.stamp for msg in client.received["depth/image_rect"]]  # earlier frames may come late
        assert not [stamp for stamp in came if stamp in sent], "an inactive node computes nothing"
        assert client.change_state(Transition.TRANSITION_CLEANUP) and client.state() == "unconfigured"
    assert client.change_state(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert node.stop() == 0 and "Traceback" not in node.output


def test_a_failed_configure_can_be_repeated(client: RosClient, processes: Processes) -> None:
    import open3d as o3d

    node = start(
        processes, "autostart:=false", "model.checkpoint:=/nowhere.json", "mesh.directory:=~norobot/x", wait_for=""
    )
    assert not client.change_state(Transition.TRANSITION_CONFIGURE) and client.state() == "unconfigured"
    node.wait_for("the home folder of the user 'norobot', which does not exist")
    assert client.set_parameter("mesh.directory", "").successful
    if not o3d.core.cuda.is_available():
        assert client.set_parameter("fusion.device", "cuda").successful
        assert not client.change_state(Transition.TRANSITION_CONFIGURE)
        node.wait_for("fusion.device=cuda needs a CUDA device")
        assert client.set_parameter("fusion.device", "auto").successful
    assert client.set_parameter("fusion.poses", "my odometry").successful
    assert not client.change_state(Transition.TRANSITION_CONFIGURE)
    node.wait_for("fusion.poses must be a topic, got 'my odometry'")
    assert client.set_parameter("fusion.poses", "").successful
    assert not client.change_state(Transition.TRANSITION_CONFIGURE) and client.state() == "unconfigured"
    node.wait_for("/nowhere.json cannot be read")
    assert "loading unetpp_lite from /nowhere.json" in node.output
    assert client.set_parameter("model.checkpoint", "").successful
    assert client.change_state(Transition.TRANSITION_CONFIGURE)
    refused = client.set_parameter("model.checkpoint", "/other.json")
    assert not refused.successful and "cleanup" in refused.reason
    refused = client.set_parameter("fusion.map_file", "map.npy")
    assert not refused.successful and refused.reason == "fusion.map_file must end in .npz, got 'map.npy'"
    assert "Traceback" not in node.output


def test_an_unknown_model_is_refused_before_the_node_is_configured(client: RosClient, processes: Processes) -> None:
    start(processes, "autostart:=false", wait_for="")
    for name, said in (
        ("nosuchmodel", "unknown model 'nosuchmodel'"),
        ("unetpp_mobil", "did you mean 'unetpp_mobile'?"),
        ("ensemble:unetpp_mobile+nosuch", "unknown model 'nosuch'"),
        ("ensemble:unetpp_mobile", "two or more models"),
    ):
        refused = client.set_parameter("model.name", name)
        assert not refused.successful and said in refused.reason, refused.reason
    assert client.set_parameter("model.name", "depth_anything_v2_small").successful


def test_save_mesh_of_every_method_and_the_cleaned_cloud(
    client: RosClient, processes: Processes, rgb: NDArray[np.uint8], tmp_path: Path
) -> None:
    import open3d as o3d

    start(processes, f"mesh.directory:={tmp_path}/made", "mesh.voxel_size:=0.05")
    client.listen(Marker, "mesh", latched=True)
    feed(client, rgb)
    made: set[Path] = set()
    for count, method in enumerate(("poisson", "grid", "ball_pivoting"), 1):
        assert client.set_parameter("mesh.method", method).successful
        reply = client.trigger("save_mesh")
        assert reply.success, reply.message
        path = Path(reply.message.split(": ")[0])
        assert path not in made and made | {path} == set((tmp_path / "made").iterdir())
        made.add(path)
        mesh = o3d.io.read_triangle_mesh(str(path))
        assert f"{len(mesh.vertices)} vertices, {len(mesh.triangles)} triangles, " in reply.message
        shape = r"\d+ parts?, (open \(.* % of edges\)|watertight), roughness .* deg"
        assert re.search(rf"{shape}, {method}, ", reply.message)
        assert len(mesh.triangles) > 100 and mesh.has_vertex_colors()
        marker = client.wait_for("mesh", count)
        assert marker.header.frame_id == "camera_optical_frame" and 0 < len(marker.points) <= 3 * 10000
        assert len(marker.colors) == len(marker.points)
    reply = client.trigger("save_cloud")
    assert reply.success, reply.message
    cloud = o3d.io.read_point_cloud(reply.message.split(": ")[0])
    assert 0 < len(cloud.points) < 640 * 480 / 4 and f"{len(cloud.points)} points" in reply.message


def test_a_snapshot_needs_no_subscriber_and_lies_in_the_ros_home(
    client: RosClient, processes: Processes, rgb: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service call counts as a subscriber: the newest image is computed for it, if there is one."""
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "ros_home"))
    start(processes, "mesh.method:=grid")
    for service in ("save_mesh", "save_cloud"):
        reply = client.trigger(service)
        assert not reply.success and "no frame yet: nobody publishes /image" in reply.message
    driver, replies = client.camera(), [reply]

    def save() -> None:
        driver.publish(rgb, CAMERA)
        replies.append(client.trigger("save_mesh"))

    client.repeat(save, lambda: replies[-1].success, "a mesh")
    assert replies[-1].message.startswith(f"{tmp_path}/ros_home/mono_depth_recon/mesh_")


def test_unwritable_directory_is_a_reply_and_the_node_lives(
    client: RosClient, processes: Processes, rgb: NDArray[np.uint8], tmp_path: Path
) -> None:
    start(processes, f"mesh.directory:={tmp_path}/file/below", "mesh.method:=grid")
    (tmp_path / "file").touch()
    driver = feed(client, rgb)
    reply = client.trigger("save_mesh")
    assert not reply.success and f"{tmp_path}/file/below" in reply.message and "\n" not in reply.message
    refused = client.set_parameter("mesh.directory", f"{tmp_path}/file")
    assert not refused.successful and refused.reason.startswith(
        f"mesh.directory: cannot make the folder {tmp_path}/file: "
    )
    assert client.set_parameter("mesh.directory", f"{tmp_path}/good").successful
    client.forget()
    driver.stream(rgb, CAMERA, lambda: bool(client.received["points"]), "frames after the failure")
    assert client.trigger("save_mesh").success


def test_without_fusion_every_service_of_the_map_says_so(
    client: RosClient, processes: Processes, tmp_path: Path
) -> None:
    start(processes, f"mesh.directory:={tmp_path}/made")
    for service in ("load_map", "save_map", "reset_map"):
        reply = client.trigger(service)
        assert (reply.success, reply.message) == (False, "there is no map: set fusion.enabled")
    assert not (tmp_path / "made").exists()


def test_a_bug_in_a_service_is_a_reply_and_ends_the_node_with_its_traceback(
    client: RosClient, processes: Processes
) -> None:
    node = processes.python(ROOT / "test" / "support" / "toy_node.py", env={"TOY_BUG": "three of none"})
    node.wait_for("ready")
    reply = client.trigger("save_mesh")
    assert not reply.success and reply.message.startswith("unexpected ZeroDivisionError: three of none; the node ends")
    assert node.wait() == 1
    assert "Traceback" in node.output and "in bug" in node.output and not node.left_behind()


def test_a_runtime_that_fails_is_loaded_again_and_said(
    client: RosClient, processes: Processes, rgb: NDArray[np.uint8], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    node = processes.python(ROOT / "test" / "support" / "toy_node.py", env={"TOY_BROKEN": str(broken)})
    node.wait_for("ready")
    client.listen(DiagnosticArray, "/diagnostics")
    driver = feed(client, rgb)
    broken.touch()

    def said(level: bytes) -> list[str]:
        statuses = [array.status[0] for array in client.received["/diagnostics"]]
        return [status.message for status in statuses if status.level == level]

    driver.stream(rgb, CAMERA, lambda: len(said(DiagnosticStatus.ERROR)) >= 2, "an error state")
    assert "device lost; next try in" in said(DiagnosticStatus.ERROR)[-1]
    broken.unlink()
    client.forget()
    driver.stream(rgb, CAMERA, lambda: len(client.received["points"]) >= 3, "clouds again")
    driver.stream(rgb, CAMERA, lambda: bool(said(DiagnosticStatus.OK)), "a good state again")
    assert node.running and "is loaded again, as its runtime failed (1 times since the start)" in node.output


def test_frames_flow_while_a_mesh_is_made(
    client: RosClient, processes: Processes, rgb: NDArray[np.uint8], tmp_path: Path
) -> None:
    """The worker process makes the mesh; frames that arrive meanwhile come out, and 40 calls at once share two runs."""
    start(processes, f"mesh.directory:={tmp_path}", "mesh.voxel_size:=0.01")
    driver = feed(client, rgb)
    from std_srvs.srv import Trigger

    caller = client.node.create_client(Trigger, "save_mesh", qos_profile=QoSProfile(depth=100))
    assert caller.wait_for_service(DEADLINE_S)
    client.forget()
    futures = [caller.call_async(Trigger.Request()) for _ in range(40)]
    driver.stream(rgb, CAMERA, lambda: all(future.done() for future in futures), "40 replies")
    assert all(future.result().success for future in futures)
    assert len({future.result().message for future in futures}) == len(list(tmp_path.glob("*.ply"))) <= 3
    assert len(client.received["points"]) >= 5


def test_signal_while_idle(ros_domain: int, processes: Processes) -> None:
    node = start(processes)
    assert node.stop(signal.SIGINT) == 0
    assert not node.left_behind() and "Traceback" not in node.output


def test_a_signal_that_another_thread_gets(ros_domain: int, processes: Processes) -> None:
    """The kernel chooses the thread: Python's handlers run in the main thread, which that does not wake."""
    node = start(processes)
    other = max(int(entry.name) for entry in Path(f"/proc/{node.pid}/task").iterdir())
    assert other != node.pid and ctypes.CDLL(None).tgkill(node.pid, other, signal.SIGTERM) == 0
    assert node.wait() == 0
    assert not node.left_behind() and "Traceback" not in node.output


@pytest.mark.parametrize(("sent", "delay"), [(signal.SIGINT, 0.0), (signal.SIGTERM, 0.1), (signal.SIGINT, 0.3)])
def test_signal_while_the_model_loads(
    ros_domain: int, processes: Processes, sent: signal.Signals, delay: float
) -> None:
    """At different places of the loading; on a slow machine at others."""
    node = start(processes, wait_for="loading unetpp_lite")
    time.sleep(delay)
    assert node.stop(sent) == 0
    assert not node.left_behind() and "Traceback" not in node.output


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_a_mesh_is_made(
    client: RosClient, processes: Processes, rgb: NDArray[np.uint8], tmp_path: Path, sent: signal.Signals
) -> None:
    from std_srvs.srv import Trigger

    node = start(processes, f"mesh.directory:={tmp_path}/made", "mesh.poisson_depth:=10", "mesh.voxel_size:=0.002")
    feed(client, rgb)
    caller = client.node.create_client(Trigger, "save_mesh")
    assert caller.wait_for_service(DEADLINE_S)
    caller.call_async(Trigger.Request())
    client.wait_until(lambda: bool(psutil.Process(node.pid).children()), "the worker process")
    assert node.stop(sent) == 0
    assert not node.left_behind() and not list((tmp_path / "made").iterdir())
    assert "Traceback" not in node.output

"""The launch file, evaluated into node command lines, which are then really started from an installation."""

from __future__ import annotations

import ast
import itertools
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from geometry_msgs.msg import TransformStamped
from launch_standin import Launched, evaluate
from nav_msgs.msg import Odometry
from processes import ROOT, Installation, Process, Processes
from ros_client import RosClient, ros_client
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from tf_standin import tf_message, with_tf


@pytest.fixture
def installed(pip_installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """The installation, as if sourced."""
    for name, value in pip_installation.env.items():
        monkeypatch.setenv(name, value)
    return pip_installation


def launched(installed: Installation, **given: str | Path) -> Launched:
    """What `ros2 launch mono_depth_recon recon.launch.py name:=value ...` would start."""
    return evaluate(installed.share / "launch" / "recon.launch.py", {name: str(value) for name, value in given.items()})


def remappings(command: list[str]) -> dict[str, str]:
    """The -r rules of a command line."""
    return dict(rule.split(":=") for flag, rule in itertools.pairwise(command) if flag == "-r")


def parameters(command: list[str]) -> dict[str, object]:
    """What -p and --params-file set beyond the package's own file, whichever way it is written down."""
    found: dict[str, object] = {}
    for flag, word in itertools.pairwise(command):
        if flag == "-p":
            name, _, value = word.partition(":=")
            found[name] = yaml.safe_load(value)
        elif flag == "--params-file" and not word.endswith("recon.yaml"):
            found |= yaml.safe_load(Path(word).read_text())["/**"]["ros__parameters"]
    return found


def test_every_argument_is_declared_with_what_it_does(installed: Installation) -> None:
    result = launched(installed)
    assert all(result.arguments.values())
    table = (ROOT / "docs" / "node.md").read_text().partition("| argument |")[2].partition("\n\n")[0]
    named = re.findall(r"`(\w+)`", "\n".join(row.split(" | ")[0] for row in table.splitlines()[2:]))
    assert sorted(named) == sorted(result.arguments), "each has its row in the docs"


def test_by_default_the_node_alone_starts_with_the_package_s_parameters(installed: Installation) -> None:
    result = launched(installed)
    assert list(result.nodes) == ["recon_node"]
    command = result.nodes["recon_node"]
    assert command[0] == str(installed.executables / "recon_node")
    assert command[command.index("--params-file") + 1] == str(installed.share / "config" / "recon.yaml")
    assert parameters(command) == {}, "what nobody gives stays with the file"
    assert remappings(command).get("__ns", "/") == "/"


def test_topics_model_and_namespace_reach_the_node(installed: Installation) -> None:
    command = launched(
        installed,
        image="/cam/image_raw",
        camera_info="/cam/camera_info",
        namespace="front",
        model="some_model",
        use_sim_time="true",
        hfov="60",
    ).nodes["recon_node"]
    rules = remappings(command)
    assert (rules["image"], rules["camera_info"], rules["__ns"]) == ("/cam/image_raw", "/cam/camera_info", "/front")
    assert rules["image/compressed"] == "/cam/image_raw/compressed"
    assert parameters(command) == {"model.name": "some_model", "use_sim_time": True, "camera.hfov": 60.0}
    with pytest.raises(RuntimeError, match="hfov must be a number, got 'wide'"):
        launched(installed, hfov="wide")


def test_a_map_needs_one_argument(installed: Installation) -> None:
    command = launched(installed, world_frame="map").nodes["recon_node"]
    assert parameters(command) == {"fusion.enabled": True, "fusion.world_frame": "map"}
    command = launched(installed, poses="/wheels").nodes["recon_node"]
    assert parameters(command) == {"fusion.enabled": True, "fusion.poses": "/wheels"}


def test_a_relative_model_needs_but_its_name_and_the_source_of_its_scale(installed: Installation) -> None:
    """Our own cameras publish the reference depth where the node then listens; others are named."""
    command = launched(installed, source="rooms", model="some_relative_model", scale_source="reference").nodes[
        "recon_node"
    ]
    assert parameters(command) == {"model.name": "some_relative_model", "scale.source": "reference"}
    assert remappings(command)["reference_depth"] == "reference/image"
    published = string_literals(ROOT / "mono_depth_recon" / "ros" / "cameras" / "player.py")
    assert "reference/image" in published
    command = launched(installed, reference_depth="/depth_camera/depth").nodes["recon_node"]
    assert remappings(command)["reference_depth"] == "/depth_camera/depth"
    assert "reference_camera_info" not in remappings(command)
    command = launched(installed, reference_camera_info="/depth_camera/camera_info").nodes["recon_node"]
    assert remappings(command)["reference_camera_info"] == "/depth_camera/camera_info"


def test_a_camera_of_ours_publishes_where_the_node_listens(installed: Installation, tmp_path: Path) -> None:
    for source, executable in (("rooms", "rooms_camera"), (str(tmp_path), "replay")):
        nodes = launched(installed, source=source, image="/cam/image", namespace="front").nodes
        assert set(nodes) == {"recon_node", executable}
        rules = remappings(nodes[executable])
        assert (rules["image"], rules["__ns"]) == ("/cam/image", "/front")
        assert nodes[executable][0] == str(installed.executables / executable)


def test_a_folder_is_replayed_as_a_camera_or_with_its_own_clock(installed: Installation, tmp_path: Path) -> None:
    as_camera = launched(installed, source=tmp_path).nodes["replay"]
    assert parameters(as_camera) == {"path": str(tmp_path), "loop": True}
    bag = tmp_path / "desk.bag"
    bag.touch()
    assert parameters(launched(installed, source=bag).nodes["replay"])["path"] == str(bag)
    with_topic = launched(installed, source=bag, pose_topic="/odom").nodes["replay"]
    assert parameters(with_topic) == {"path": str(bag), "loop": True, "pose_topic": "/odom"}
    as_recorded = launched(installed, source=tmp_path, use_sim_time="true").nodes["replay"]
    assert parameters(as_recorded) == {"path": str(tmp_path), "stamps": "original"}


def test_two_cameras_of_ours_get_frames_of_their_own(installed: Installation, tmp_path: Path) -> None:
    for source, executable in (("rooms", "rooms_camera"), (str(tmp_path), "replay")):
        named = launched(installed, source=source, namespace="left", frame_id="left_camera").nodes
        assert parameters(named[executable])["frame_id"] == "left_camera"
        assert "frame_id" not in parameters(named["recon_node"])
        assert "frame_id" not in parameters(launched(installed, source=source).nodes[executable])


def test_the_topics_of_several_cameras_are_below_their_names_or_where_the_pattern_says(installed: Installation) -> None:
    command = launched(installed, cameras="front,left").nodes["recon_node"]
    assert parameters(command) == {"cameras": "front,left"}
    rules = {name: to for name, to in remappings(command).items() if not name.startswith("__")}
    assert rules == {f"{name}/reference_depth": f"{name}/reference/image" for name in ("front", "left")}
    command = launched(
        installed,
        cameras="front,left",
        image="/cam_{camera}/image_raw",
        camera_info="{camera}/info",
        reference_points="/lidar/points",
        world_frame="map",
    ).nodes["recon_node"]
    rules = remappings(command)
    for name in ("front", "left"):
        assert rules[f"{name}/image"] == f"/cam_{name}/image_raw"
        assert rules[f"{name}/image/compressed"] == f"/cam_{name}/image_raw/compressed"
        assert rules[f"{name}/camera_info"] == f"{name}/info"
        assert rules[f"{name}/reference_points"] == "/lidar/points", "one sensor may serve all"
    assert parameters(command)["fusion.world_frame"] == "map"


def test_each_of_several_cameras_in_the_room_publishes_where_the_node_listens(installed: Installation) -> None:
    nodes = launched(installed, cameras="front,left,back", source="rooms", image="/{camera}/raw", namespace="bot").nodes
    assert set(nodes) == {"recon_node", "rooms_camera_front", "rooms_camera_left", "rooms_camera_back"}
    for name, turn in (("front", None), ("left", 90.0), ("back", -180.0)):
        rules, own = remappings(nodes[f"rooms_camera_{name}"]), parameters(nodes[f"rooms_camera_{name}"])
        assert rules["image"] == f"/{name}/raw" == remappings(nodes["recon_node"])[f"{name}/image"]
        assert rules["camera_info"] == f"{name}/camera_info" and rules["__ns"] == "/bot"
        assert remappings(nodes["recon_node"])[f"{name}/reference_depth"] == rules["reference/image"]
        assert own == {"frame_id": f"{name}_optical_frame"} | ({"turn": turn} if turn else {})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"source": "rooms", "use_sim_time": "true"},
            "use_sim_time:=true needs a /clock, and source:=rooms follows the machine's: leave use_sim_time out",
        ),
        (
            {"frame_id": "lens"},
            "frame_id is for source:=rooms or a recording: the images of a camera have their own",
        ),
        (
            {"cameras": "front,left", "image": "/cam/image"},
            "image must differ between cameras: write {camera} for the name (/{camera}/image), got '/cam/image'",
        ),
        (
            {"cameras": "front,left", "source": "rooms", "frame_id": "lens"},
            "frame_id must differ between cameras: write {camera} for the name (/{camera}/image), got 'lens'",
        ),
        (
            {"image": "/{camera}/image"},
            "image:=/{camera}/image is for several cameras: set cameras too (cameras:=front,left)",
        ),
        (
            {"cameras": "front,left", "source": "/a/bag"},
            "a recording has one camera: leave cameras out with source:=/a/bag",
        ),
        ({"cameras": "front,front"}, "cameras must name each camera once, got 'front' 2 times"),
    ],
)
def test_arguments_that_do_not_go_together_stop_the_launch_in_one_line(
    installed: Installation, given: dict[str, str], said: str
) -> None:
    with pytest.raises(RuntimeError) as caught:
        launched(installed, **given)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "source",
            "no_folder",
            "source must be topics, rooms or the path of a recording (TUM RGB-D folder or .tgz, ROS "
            "bag), got 'no_folder'",
        ),
        (
            "params_file",
            "/no/such.yaml",
            "params_file must be a YAML file of parameters, there is none at /no/such.yaml",
        ),
        ("rviz", "maybe", "rviz must be true or false, got 'maybe'"),
        ("use_sim_time", "7", "use_sim_time must be true or false, got '7'"),
    ],
)
def test_a_wrong_argument_stops_the_launch_in_one_line(
    installed: Installation, name: str, value: str, said: str
) -> None:
    with pytest.raises(RuntimeError) as caught:
        launched(installed, **{name: value})
    assert str(caught.value) == said


def test_rviz_that_is_not_installed_is_said_and_aborts_nothing(installed: Installation) -> None:
    result = launched(installed, rviz="true")
    assert list(result.nodes) == ["recon_node"]
    assert result.messages == ["rviz:=true, but rviz2 is not installed: sudo apt install ros-$ROS_DISTRO-rviz2"]


@pytest.fixture
def rviz(installed: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that stands for rviz2: it prints its arguments and stays until it is stopped."""
    for path in ("share/ament_index/resource_index/packages/rviz2", "lib/rviz2/rviz2"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch(mode=0o755)
    program = tmp_path / "lib/rviz2/rviz2"
    program.write_text('#!/bin/sh\necho "RViz shows $*"\nexec sleep 1000\n')
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{installed.prefix}:{tmp_path}")
    return program


@pytest.mark.parametrize(
    ("given", "frame"),
    [
        ({"world_frame": "map"}, "map"),
        ({"fixed_frame": "base_link"}, "base_link"),
        ({"world_frame": "map", "fixed_frame": "odom"}, "odom"),
    ],
)
def test_rviz_shows_the_package_s_view_in_the_frame_that_is_given(
    installed: Installation, rviz: Path, given: dict[str, str], frame: str
) -> None:
    command = launched(installed, rviz="true", namespace="front", **given).nodes["rviz2"]
    assert command[:5] == [str(rviz), "-d", str(installed.share / "config" / "recon.rviz"), "-f", frame]
    assert remappings(command)["__ns"] == "/front", "the view's topics are relative"


@pytest.mark.parametrize("source", ["topics", "rooms"])
def test_rviz_opens_in_the_frame_of_the_images(
    installed: Installation, processes: Processes, ros_domain: int, rviz: Path, source: str
) -> None:
    """Of your own camera, and of ours: the frame is that of the first image that the node publishes."""
    command = launched(installed, rviz="true", namespace="front", source=source).nodes["rviz2"]
    process = processes.start(command)
    process.wait_for("RViz opens with the first frame on /front/rgb/camera_info")
    assert "RViz shows" not in process.output
    with ros_client() as client:
        infos = client.node.create_publisher(CameraInfo, "/front/rgb/camera_info", 5)
        info = CameraInfo(header=Header(frame_id="my_lens"))
        client.repeat(lambda: infos.publish(info), lambda: "RViz shows" in process.output, "RViz to open")
    shown = process.output.split("RViz shows ")[1].split()
    assert shown[:4] == ["-d", str(installed.share / "config" / "recon.rviz"), "-f", "my_lens"]
    assert remappings(shown)["__ns"] == "/front" and "--view" not in shown
    assert process.stop(signal.SIGINT) == -signal.SIGINT, "RViz gets the signals that end it"


def test_rviz_that_waits_for_a_frame_can_be_stopped(
    installed: Installation, processes: Processes, ros_domain: int, rviz: Path
) -> None:
    process = processes.start(launched(installed, rviz="true").nodes["rviz2"])
    process.wait_for("RViz opens with the first frame")
    assert process.stop(signal.SIGTERM) == 0
    assert "Traceback" not in process.output and "RViz shows" not in process.output


def test_the_rviz_view_shows_what_the_node_publishes() -> None:
    view = yaml.safe_load((ROOT / "config" / "recon.rviz").read_text())["Visualization Manager"]
    shown = {
        each["Class"].rpartition("/")[2] + " " + each["Topic"]["Value"]: each["Topic"]
        for each in view["Displays"]
        if "Topic" in each
    }
    latched = {"PointCloud2 map_points", "Marker mesh"}
    on_demand = {"PointCloud2 points_safe", "LaserScan scan"}
    always = {"Image rgb/image_rect", "Image depth/preview", "PointCloud2 points"}
    assert shown.keys() == always | on_demand | latched
    assert {each["Name"] for each in view["Displays"] if not each["Enabled"]} == {"Obstacles", "Scan"}
    assert {topic["Reliability Policy"] for topic in shown.values()} == {"Reliable"}
    assert {shown[name]["Durability Policy"] for name in latched} == {"Transient Local"}
    published = string_literals(ROOT / "mono_depth_recon" / "ros" / "publications.py")
    assert {name.partition(" ")[2] for name in shown} <= published
    cameras = [ROOT / "mono_depth_recon" / "ros" / "cameras" / name for name in ("replay.py", "rooms_camera.py")]
    frame = view["Global Options"]["Fixed Frame"]
    assert all(frame in string_literals(path) for path in cameras), "the view's frame is our cameras' optical frame"


def string_literals(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


# The command lines, started


@contextmanager
def listening(*topics: tuple[type, str]) -> Iterator[RosClient]:
    with ros_client() as client:
        for kind, topic in topics:
            client.listen(kind, topic)
        yield client


def assert_stop(started: list[Process], sent: signal.Signals) -> None:
    """All end with 0 on the signal and leave nothing behind."""
    for process in started:
        assert process.stop(sent) == 0, process.output
        assert process.left_behind() == []


def test_the_launched_rooms_and_node_give_depth_and_cloud(
    installed: Installation, processes: Processes, ros_domain: int
) -> None:
    """source:=rooms with a namespace: what comes out lies under it, and all ends on the signal that launch sends."""
    nodes = launched(installed, source="rooms", namespace="front").nodes
    started = [processes.start(command) for command in nodes.values()]
    topics = ("/front/depth/image_rect", "/front/depth/camera_info", "/front/points")
    with listening(*zip((Image, CameraInfo, PointCloud2), topics, strict=True)) as client:
        depth, info, cloud = (client.wait_for(topic, 2) for topic in topics)
    assert (depth.encoding, depth.header.frame_id) == ("32FC1", "camera_optical_frame")
    assert (info.width, info.height) == (depth.width, depth.height) == (cloud.width, cloud.height)
    assert_stop(started, signal.SIGINT)


def test_the_launched_replay_feeds_the_node_over_remapped_topics(
    installed: Installation, processes: Processes, ros_domain: int, data_folder: Path
) -> None:
    """source:=<path> on real frames, the image on a topic of another name."""
    folder = next(path.parent for path in sorted(data_folder.glob("**/rgb.txt")))
    nodes = launched(installed, source=folder, image="/cam/image", camera_info="/cam/camera_info").nodes
    started = [processes.start(command) for command in nodes.values()]
    with listening((Image, "/cam/image"), (Image, "/depth/image_rect")) as client:
        image = client.wait_for("/cam/image")
        depth = client.wait_for("/depth/image_rect", 2)
    assert (depth.width, depth.height) == (image.width, image.height)
    assert_stop(started, signal.SIGTERM)


def test_a_launched_node_refuses_an_unknown_model_in_one_line(
    installed: Installation, processes: Processes, ros_domain: int
) -> None:
    """The launch then ends too (on_exit), instead of a camera that plays for nobody."""
    process = processes.start(launched(installed, model="unetpp_mobil").nodes["recon_node"])
    assert process.wait() == 1
    assert "unetpp_mobil" in process.output and "Traceback" not in process.output


def test_two_launched_cameras_do_not_collide_on_tf(
    installed: Installation, processes: Processes, ros_domain: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two rooms: each frame on /tf has the poses of its own camera and no others."""
    message, names = tf_message(monkeypatch), ("left", "right")
    with listening((message, "/tf"), *((Odometry, f"/{name}/odometry") for name in names)) as client:
        started = []
        for seed, name in enumerate(names):
            nodes = launched(installed, source="rooms", namespace=name, frame_id=f"{name}_camera").nodes
            small = {"seed": seed, "length": 4, "width": 64, "height": 48}
            words = [word for key, value in small.items() for word in ("-p", f"{key}:={value}")]
            started.append(processes.start([*nodes["rooms_camera"], *words], env=with_tf()))
        client.wait_until(lambda: all(len(paired(client, name)) > 5 for name in names), "poses of both cameras")
        for name in names:
            for transform, odometry in paired(client, name):
                t, p = transform.transform.translation, odometry.pose.pose.position
                assert (t.x, t.y, t.z) == (p.x, p.y, p.z)
    assert_stop(started, signal.SIGINT)


def paired(client: RosClient, name: str) -> list[tuple[TransformStamped, Odometry]]:
    """The transforms of a camera's frame with its odometry of equal stamp."""
    transforms = [each for msg in client.received["/tf"] for each in msg.transforms]
    own = {str(each.header.stamp): each for each in transforms if each.child_frame_id == f"{name}_camera"}
    odometry = {str(msg.header.stamp): msg for msg in client.received[f"/{name}/odometry"]}
    return [(own[stamp], odometry[stamp]) for stamp in own.keys() & odometry.keys()]

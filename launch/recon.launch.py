"""Starts recon_node and, on request, a camera and RViz.

ros2 launch mono_depth_recon recon.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info
ros2 launch mono_depth_recon recon.launch.py source:=rooms rviz:=true
ros2 launch mono_depth_recon recon.launch.py source:=rooms model:=depth_anything_v2_small scale_source:=reference
ros2 launch mono_depth_recon recon.launch.py source:=$HOME/rgbd_dataset_freiburg1_desk
ros2 launch mono_depth_recon recon.launch.py source:=rooms world_frame:=world rviz:=true
ros2 launch mono_depth_recon recon.launch.py cameras:=front,left image:=/{camera}/image
ros2 launch mono_depth_recon recon.launch.py cameras:=front,left source:=rooms world_frame:=world rviz:=true
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, Shutdown
from launch_ros.actions import Node

from mono_depth_recon.config.per_camera import names_in
from mono_depth_recon.errors import ConfigError
from mono_depth_recon.paths import expanded
from mono_depth_recon.printing import alternatives
from mono_depth_recon.scale.table import sources_by_kind, sources_with_metres

EVIDENCE = {kind: names for kind, names in sources_by_kind().items() if kind.topic}
PACKAGE = "mono_depth_recon"
CAMERA = "{camera}"  # stands for the name of each camera
EACH = ("image", "camera_info", "reference_depth", "reference_camera_info")  # topics that cameras cannot share
SHOWN = ("rgb/image_rect", "rgb/camera_info", "depth/preview", "points", "points_safe", "scan")  # in RViz, of a camera
TURN_DEG = 90.0  # from one camera of source:=rooms to the next
CONFIG = Path(__file__).parent.parent / "config"  # beside launch/ in the share folder and in the source tree
ARGUMENTS = {  # name: (default, description)
    "model": ("", "model to run (mono-depth-recon models lists them); empty: as in params_file"),
    "scale_source": (
        "",
        f"how a relative model gets metres: {alternatives(sources_with_metres())}; empty: as in params_file",
    ),
    "cameras": (
        "",
        "names of several cameras (front,left): {camera} in a topic or frame stands for each name; empty: one camera",
    ),
    "image": ("image", "image topic; its compressed form is <image>/compressed"),
    "camera_info": ("camera_info", "camera_info topic"),
    "hfov": (
        "",
        "horizontal field of view in degrees, from which a camera without a calibration is guessed; empty: as in "
        "params_file",
    ),
    **{
        kind.name: (
            kind.topic,
            f"{kind.noun} topic for scale_source:={alternatives(names)}"
            + ("; default: that of rooms_camera and replay" if kind.topic != kind.name else ""),
        )
        for kind, names in EVIDENCE.items()
    },
    "reference_camera_info": (
        "reference_camera_info",
        "camera_info topic of reference_depth, where that is not registered to the image",
    ),
    "world_frame": ("", "fuse the frames into one map in this frame of TF; empty: as in params_file"),
    "poses": ("", "fuse the frames along this topic of poses (odometry); empty: as in params_file"),
    "namespace": ("", "namespace of all nodes"),
    "frame_id": (
        "",
        "frame of the images of source:=rooms or a recording: two such cameras need two; empty: their own default",
    ),
    "params_file": (str(CONFIG / "recon.yaml"), "parameters of recon_node (YAML)"),
    "use_sim_time": ("false", "true: time comes from /clock, which a replayed folder then provides"),
    "rviz": ("false", "true: show image, depth, cloud and mesh in RViz"),
    "fixed_frame": ("", "fixed frame of RViz; empty: world_frame, else the frame of the first image"),
    "source": (
        "topics",
        "topics: your camera; rooms: the synthetic camera; a path: replays that recording (TUM RGB-D "
        "folder or .tgz, ROS bag)",
    ),
    "pose_topic": ("", "topic of poses in the replayed bag; empty: transforms, then odometry, then other poses"),
}


def generate_launch_description() -> LaunchDescription:
    """The arguments, then the nodes that they select."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_actions)])


def _actions(context: LaunchContext) -> list:
    values = {name: context.launch_configurations[name] for name in ARGUMENTS}
    use_sim_time, cameras = _flag(values, "use_sim_time"), _cameras(values)
    common = {"package": PACKAGE, "namespace": values["namespace"], "output": "screen"}
    params_file = expanded(values["params_file"])
    if not params_file.is_file():  # launch itself would warn and run on the defaults
        raise RuntimeError(f"params_file must be a YAML file of parameters, there is none at {params_file}")
    actions = [
        _recon_node(values, cameras, params_file, use_sim_time, common),
        *_source(values, cameras, use_sim_time, common),
    ]
    if _flag(values, "rviz"):
        actions.append(_rviz(values, cameras, use_sim_time))
    return actions


def _cameras(values: dict) -> tuple:
    """The names of the cameras, ('',) for one without a name."""
    try:
        names = names_in(values["cameras"])
    except ConfigError as error:
        raise RuntimeError(str(error)) from error
    given = {name: value for name, value in values.items() if value != ARGUMENTS[name][0]}
    for name, value in given.items():
        if names and name in (*EACH, "frame_id") and CAMERA not in value:
            raise RuntimeError(
                f"{name} must differ between cameras: write {CAMERA} for the name (/{CAMERA}/image), got '{value}'"
            )
        if not names and CAMERA in value:
            raise RuntimeError(f"{name}:={value} is for several cameras: set cameras too (cameras:=front,left)")
    if names and values["source"] not in ("topics", "rooms"):
        raise RuntimeError(f"a recording has one camera: leave cameras out with source:={values['source']}")
    return names or ("",)


def _topic(values: dict, name: str, camera: str) -> tuple:
    """A topic of the node with where it leads: defaults lead below the camera's name."""
    value = values[name]
    if not camera:
        return name, value
    below = f"{camera}/{value}" if value == ARGUMENTS[name][0] else value.replace(CAMERA, camera)
    return f"{camera}/{name}", below


def _remappings(values: dict, names: list, camera: str) -> list:
    """Rules for the topics `names`; a rule for image does not reach the topic below it."""
    rules = [_topic(values, name, camera) for name in names]
    rules += [(f"{old}/compressed", f"{new}/compressed") for old, new in rules if old.split("/")[-1] == "image"]
    return [(old, new) for old, new in rules if old != new]


def _recon_node(values: dict, cameras: tuple, params_file: Path, use_sim_time: bool, common: dict) -> Node:
    parameters: list = [str(params_file)]  # only arguments that are given override the file
    if use_sim_time:
        parameters.append({"use_sim_time": True})
    for name, parameter in (
        ("cameras", "cameras"),
        ("model", "model.name"),
        ("scale_source", "scale.source"),
        ("world_frame", "fusion.world_frame"),
        ("poses", "fusion.poses"),
    ):
        if values[name]:
            parameters.append({parameter: values[name]})
    if values["hfov"]:
        parameters.append({"camera.hfov": _number(values, "hfov")})
    if values["world_frame"] or values["poses"]:
        parameters.append({"fusion.enabled": True})
    topics = ["image", "camera_info", *(kind.name for kind in EVIDENCE), "reference_camera_info"]
    # Without the node the rest is useless; the node's last line gives the reason.
    return Node(
        **common,
        remappings=[rule for camera in cameras for rule in _remappings(values, topics, camera)],
        executable="recon_node",
        name="recon_node",
        parameters=parameters,
        on_exit=[Shutdown(reason="recon_node ended")],
    )


def _source(values: dict, cameras: tuple, use_sim_time: bool, common: dict) -> list[Node]:
    source, frame_id = values["source"], values["frame_id"]
    if source == "topics":
        if frame_id:
            raise RuntimeError("frame_id is for source:=rooms or a recording: the images of a camera have their own")
        return []
    own = {**common, "remappings": _remappings(values, ["image", "camera_info"], "")}
    if source == "rooms":
        if use_sim_time:
            raise RuntimeError(
                "use_sim_time:=true needs a /clock, and source:=rooms follows the machine's: leave use_sim_time out"
            )
        return [_room(values, camera, number, common) for number, camera in enumerate(cameras)]
    frame = {"frame_id": frame_id} if frame_id else {}
    recording = expanded(source)
    if not recording.exists():
        raise RuntimeError(
            "source must be topics, rooms or the path of a recording (TUM RGB-D folder or .tgz, ROS "
            f"bag), got '{source}'"
        )
    # Once and with the recorded clock, or in a loop as a live camera.
    playing: dict = {"stamps": "original"} if use_sim_time else {"loop": True}
    playing |= {"path": str(recording.resolve()), **frame}
    if values["pose_topic"]:
        playing["pose_topic"] = values["pose_topic"]
    return [Node(**own, executable="replay", name="replay", parameters=[playing])]


def _room(values: dict, camera: str, number: int, common: dict) -> Node:
    """A camera in the room: of several each is turned on, and its topics are where the node expects them."""
    frame_id, turn = values["frame_id"].replace(CAMERA, camera), number * TURN_DEG
    settings = {"frame_id": frame_id or f"{camera}_optical_frame"} if frame_id or camera else {}
    settings |= {"turn": (turn + 180) % 360 - 180} if turn else {}
    targets = dict(_topic(values, name, camera) for name in ("image", "camera_info"))
    rules = [(name, targets[f"{camera}/{name}" if camera else name]) for name in ("image", "camera_info")]
    if camera:
        others = ("reference/image", "reference/camera_info", "odometry")
        rules += [(name, f"{camera}/{name}") for name in others]
    return Node(
        **common,
        remappings=[(old, new) for old, new in rules if old != new],
        executable="rooms_camera",
        name=f"rooms_camera_{camera}" if camera else "rooms_camera",
        parameters=[settings] if settings else [],
    )


def _rviz(values: dict, cameras: tuple, use_sim_time: bool) -> Node | LogInfo:
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:  # starting it anyway would abort the launch and leave the nodes behind
        return LogInfo(msg="rviz:=true, but rviz2 is not installed: sudo apt install ros-$ROS_DISTRO-rviz2")
    fixed_frame, view = values["fixed_frame"] or values["world_frame"], str(CONFIG / "recon.rviz")
    program = (
        {"package": "rviz2", "executable": "rviz2", "arguments": ["-d", view, "-f", fixed_frame]}
        if fixed_frame
        else {"package": PACKAGE, "executable": "open_rviz", "arguments": ["--view", view]}  # in the images' frame
    )
    return Node(
        **program,
        remappings=[(topic, f"{cameras[0]}/{topic}") for topic in SHOWN if cameras[0]],  # the first one
        name="rviz2",
        namespace=values["namespace"],
        output="screen",
        parameters=[{"use_sim_time": use_sim_time}],
    )


def _number(values: dict, name: str) -> float:
    try:
        return float(values[name])
    except ValueError:
        raise RuntimeError(f"{name} must be a number, got '{values[name]}'") from None


def _flag(values: dict, name: str) -> bool:
    value = values[name].lower()
    if value not in ("true", "false", "1", "0"):
        raise RuntimeError(f"{name} must be true or false, got '{values[name]}'")
    return value in ("true", "1")

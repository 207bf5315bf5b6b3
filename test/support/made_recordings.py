"""One small artificial recording in every supported format; bags are written by the library rosbags."""

from __future__ import annotations

import struct
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

WIDTH, HEIGHT = 64, 48
INTRINSICS = (50.0, 51.0, 31.5, 23.5)
CAMERA = "50 51 31.5 23.5"
ROS1 = get_typestore(Stores.ROS1_NOETIC)
ROS1.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms\n", "tf/msg/tfMessage"))  # TUM's
ROS2 = get_typestore(Stores.ROS2_HUMBLE)
OPTICAL = "/openni_rgb_optical_frame"


@dataclass
class Scene:
    """Colour and depth of a short recording: depth in units of 1/5000 m, 0 missing, a little later than colour."""

    frames: int = 6
    width: int = WIDTH
    height: int = HEIGHT
    period_ns: int = 33_333_000
    late_ns: int = 4_000_000
    first_ns: int = 1305031102_175304000
    stamps_ns: list[int] = field(init=False)
    rgb: NDArray[np.uint8] = field(init=False)
    depth: NDArray[np.uint16] = field(init=False)
    positions: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(5)
        self.stamps_ns = [self.first_ns + i * self.period_ns // 1000 * 1000 for i in range(self.frames)]
        self.rgb = rng.integers(0, 256, (self.frames, self.height, self.width, 3), np.uint8)
        self.depth = rng.integers(2000, 20000, (self.frames, self.height, self.width)).astype(np.uint16)
        self.depth[:, :4] = 0
        self.positions = np.rint(rng.normal(size=(self.frames, 3)) * 1024) / 1024  # sums of a few of these are exact

    def metres(self, i: int) -> NDArray[np.float32]:
        """Depth of frame i as in TUM's 32FC1 bags: NaN where missing."""
        stored = self.depth[i].astype(np.float32)
        return np.where(stored == 0, np.float32(np.nan), stored / np.float32(5000))


def seconds(ns: int) -> str:
    return f"{ns // 10**9}.{ns % 10**9 // 1000:06d}"


def write_folder(path: Path, scene: Scene) -> Path:
    """A TUM folder, with groundtruth.txt."""
    for name in ("rgb", "depth"):
        (path / name).mkdir(parents=True)
    lists: dict[str, list[str]] = {"rgb": ["# colour"], "depth": [], "groundtruth": []}
    for i, stamp in enumerate(scene.stamps_ns):
        cv2.imwrite(str(path / f"rgb/{seconds(stamp)}.png"), scene.rgb[i, ..., ::-1])
        cv2.imwrite(str(path / f"depth/{seconds(stamp + scene.late_ns)}.png"), scene.depth[i])
        lists["rgb"].append(f"{seconds(stamp)} rgb/{seconds(stamp)}.png")
        lists["depth"].append(f"{seconds(stamp + scene.late_ns)} depth/{seconds(stamp + scene.late_ns)}.png")
        lists["groundtruth"].append(" ".join([seconds(stamp), *map(str, scene.positions[i]), "0 0 0 1"]))
    for name, lines in lists.items():
        (path / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return path


def write_archive(path: Path, scene: Scene, folder: Path) -> Path:
    """A .tgz of the TUM folder, which is written to `folder` first; the lists come before the images."""
    if not folder.exists():
        write_folder(folder, scene)
    with tarfile.open(path, "w:gz") as archive:
        for name in ("rgb.txt", "depth.txt", "groundtruth.txt"):
            archive.add(folder / name, f"{folder.name}/{name}")
        for i, stamp in enumerate(scene.stamps_ns):
            for kind, late in (("rgb", 0), ("depth", scene.late_ns)):
                name = f"{kind}/{seconds(stamp + late)}.png"
                archive.add(folder / name, f"{folder.name}/{name}")
            assert i < scene.frames
    return path


class Messages:
    """Makes messages of ROS 1 or ROS 2."""

    def __init__(self, types: Any) -> None:
        self.types = types.types
        self.ros1 = types is ROS1
        self.tf = "tf/msg/tfMessage" if self.ros1 else "tf2_msgs/msg/TFMessage"

    def header(self, stamp: int, frame: str) -> Any:
        time = self.types["builtin_interfaces/msg/Time"](stamp // 10**9, stamp % 10**9)
        sequence = (7,) if self.ros1 else ()
        return self.types["std_msgs/msg/Header"](*sequence, time, frame)

    def image(self, stamp: int, pixels: NDArray[Any], encoding: str, frame: str = OPTICAL, padding: int = 0) -> Any:
        rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1).view(np.uint8)
        padded = np.pad(rows, ((0, 0), (0, padding)))
        return self.types["sensor_msgs/msg/Image"](
            self.header(stamp, frame),
            pixels.shape[0],
            pixels.shape[1],
            encoding,
            int(pixels.dtype.str[0] == ">"),
            padded.shape[1],
            padded.ravel(),
        )

    def compressed(self, stamp: int, data: bytes, form: str) -> Any:
        return self.types["sensor_msgs/msg/CompressedImage"](
            self.header(stamp, OPTICAL), form, np.frombuffer(data, np.uint8)
        )

    def info(self, stamp: int, size: tuple[int, int], K: tuple[float, ...] = INTRINSICS) -> Any:
        fx, fy, cx, cy = K
        matrix = np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1])
        P = np.array([fx, 0, cx, 0, 0, fy, cy, 0, 0, 0, 1, 0])
        roi = self.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
        return self.types["sensor_msgs/msg/CameraInfo"](
            self.header(stamp, OPTICAL),
            size[1],
            size[0],
            "plumb_bob",
            np.zeros(5),
            matrix,
            np.eye(3).ravel(),
            P,
            0,
            0,
            roi,
        )

    def transforms(self, stamp: int, links: dict[tuple[str, str], NDArray[np.float64]]) -> Any:
        made = []
        for (parent, child), position in links.items():
            vector = self.types["geometry_msgs/msg/Vector3"](*position.tolist())
            turn = self.types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)
            transform = self.types["geometry_msgs/msg/Transform"](vector, turn)
            made.append(self.types["geometry_msgs/msg/TransformStamped"](self.header(stamp, parent), child, transform))
        return self.types[self.tf](made)

    def odometry(self, stamp: int, position: NDArray[np.float64], parent: str, child: str) -> Any:
        point = self.types["geometry_msgs/msg/Point"](*position.tolist())
        turn = self.types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)
        pose = self.types["geometry_msgs/msg/Pose"](point, turn)
        zero = self.types["geometry_msgs/msg/Vector3"](0.0, 0.0, 0.0)
        with_covariance = self.types["geometry_msgs/msg/PoseWithCovariance"](pose, np.zeros(36))
        twist = self.types["geometry_msgs/msg/TwistWithCovariance"](
            self.types["geometry_msgs/msg/Twist"](zero, zero), np.zeros(36)
        )
        return self.types["nav_msgs/msg/Odometry"](self.header(stamp, parent), child, with_covariance, twist)


Row = tuple[int, str, str, Any]  # time of receipt, topic, type, message
Plan = list[Row]


def tum_plan(scene: Scene, types: Any, poses: str = "tf") -> Plan:
    """The messages of a TUM bag, in the order of receipt: images, camera_info, transforms (`poses` tf) or odometry."""
    make, plan = Messages(types), []
    for i, stamp in enumerate(scene.stamps_ns):
        size, late = (scene.width, scene.height), stamp + scene.late_ns
        plan += [
            (stamp + 9, "/camera/rgb/camera_info", "sensor_msgs/msg/CameraInfo", make.info(stamp, size)),
            (stamp + 10, "/camera/rgb/image_color", "sensor_msgs/msg/Image", make.image(stamp, scene.rgb[i], "rgb8")),
            (late + 9, "/camera/depth/camera_info", "sensor_msgs/msg/CameraInfo", make.info(late, size)),
            (
                late + 10,
                "/camera/depth/image",
                "sensor_msgs/msg/Image",
                make.image(late, scene.metres(i), "32FC1"),
            ),
        ]
        if poses == "tf":
            mount = {
                ("/kinect", "/openni_camera"): np.array([0.0, 0.5, 0.0]),
                ("/openni_camera", OPTICAL): np.array([0.0, -0.5, 0.0]),
            }
            moving = {("/world", "/kinect"): scene.positions[i]}
            plan.append((stamp + 11, "/tf", make.tf, make.transforms(stamp, {**moving, **mount})))
        if poses == "odometry":
            plan.append(
                (
                    stamp + 11,
                    "/odom",
                    "nav_msgs/msg/Odometry",
                    make.odometry(stamp, scene.positions[i], "/world", OPTICAL),
                )
            )
    return plan


def write_ros1(path: Path, plan: Iterable[Row], compression: str = "", chunk_bytes: int = 20_000) -> Path:
    """A ROS 1 bag; compression '', bz2 or lz4."""
    with_compression = {"bz2": Writer1.CompressionFormat.BZ2, "lz4": Writer1.CompressionFormat.LZ4}
    writer = Writer1(path)
    if compression:
        writer.set_compression(with_compression[compression])
    writer.chunk_threshold = chunk_bytes
    with writer:
        connections: dict[str, Any] = {}
        for received, topic, kind, msg in plan:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=ROS1)
            writer.write(connections[topic], received, ROS1.serialize_ros1(msg, kind))
    return path


def write_ros2(path: Path, plan: Iterable[Row], storage: str = "sqlite3", compression: str = "") -> Path:
    """A ROS 2 bag's folder; storage sqlite3 or mcap; compression of zstd '', file, message or storage (mcap chunks)."""
    plugins = {"sqlite3": StoragePlugin.SQLITE3, "mcap": StoragePlugin.MCAP}
    writer = Writer2(path, version=8, storage_plugin=plugins[storage])
    if compression:
        writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}
        for received, topic, kind, msg in plan:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=ROS2)
            writer.write(connections[topic], received, ROS2.serialize_cdr(msg, kind))
    return path


def compressed_depth(metres: NDArray[np.float32], quantisation: tuple[float, float] | None = None) -> bytes:
    """The bytes of compressedDepth (compressed_depth_image_transport): millimetres, or inverse depth a / z + b."""
    known = np.isfinite(metres)
    values = np.zeros(metres.shape)
    a, b = quantisation or (0.0, 0.0)
    values[known] = a / metres[known] + b if quantisation else metres[known] * 1000
    return struct.pack("<iff", 0, a, b) + cv2.imencode(".png", np.rint(values).astype(np.uint16))[1].tobytes()


def encoded_plan(scene: Scene, types: Any, colour: str, depth: str) -> Plan:
    make, plan = Messages(types), []
    for i, stamp in enumerate(scene.stamps_ns):
        plan.append((stamp, "/cam/camera_info", "sensor_msgs/msg/CameraInfo", make.info(stamp, (64, 48))))
        rgb, image, packed = scene.rgb[i], "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
        if colour in ("png", "jpeg"):
            data = cv2.imencode(f".{colour}", rgb[..., ::-1])[1].tobytes()
            plan.append((stamp, "/cam/image_raw/compressed", packed, make.compressed(stamp, data, f"bgr8; {colour}")))
        else:
            plan.append((stamp, "/cam/image_raw", image, make.image(stamp, pixels_as(colour, rgb), colour, padding=0)))
        metres = scene.metres(i)
        millimetres = np.nan_to_num(np.rint(metres * 1000)).astype(np.uint16)
        topic = "/cam/depth/image_raw"
        if depth.startswith("compressedDepth"):
            floats = depth.endswith("32FC1")
            data = compressed_depth(metres, (100.0 * 101, -1.0) if floats else None)
            form = "32FC1; compressedDepth png" if floats else "16UC1; compressedDepth"
            plan.append((stamp, topic + "/compressedDepth", packed, make.compressed(stamp, data, form)))
        else:
            pixels = {"padded": metres, "big_endian": metres.astype(">f4")}.get(depth, millimetres)
            encoding, padding = "32FC1" if pixels.itemsize == 4 else depth, 24 * (depth == "padded")
            plan.append((stamp, topic, image, make.image(stamp, pixels, encoding, padding=padding)))
    return plan


def pixels_as(encoding: str, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if encoding == "bayer_rggb8":
        mosaic = rgb[..., 1].copy()
        mosaic[::2, ::2], mosaic[1::2, 1::2] = rgb[::2, ::2, 0], rgb[1::2, 1::2, 2]
        return mosaic
    return {"bgr8": rgb[..., ::-1], "mono8": rgb[..., 0], "rgba8": np.concatenate([rgb, rgb[..., :1]], axis=2)}[
        encoding
    ]


FORMATS: dict[str, Callable[[Path, Scene], Path]] = {
    "folder": lambda path, scene: write_folder(path / "desk", scene),
    "tgz": lambda path, scene: write_archive(path / "desk.tgz", scene, path / "desk"),
    "ros1": lambda path, scene: write_ros1(path / "desk.bag", tum_plan(scene, ROS1)),
    "ros1_bz2": lambda path, scene: write_ros1(path / "desk.bag", tum_plan(scene, ROS1), "bz2"),
    "ros1_lz4": lambda path, scene: write_ros1(path / "desk.bag", tum_plan(scene, ROS1), "lz4"),
    "sqlite3": lambda path, scene: write_ros2(path / "desk", tum_plan(scene, ROS2)),
    "sqlite3_file": lambda path, scene: write_ros2(path / "desk", tum_plan(scene, ROS2), "sqlite3", "file"),
    "sqlite3_message": lambda path, scene: write_ros2(path / "desk", tum_plan(scene, ROS2), "sqlite3", "message"),
    "mcap": lambda path, scene: write_ros2(path / "desk", tum_plan(scene, ROS2), "mcap"),
    "mcap_file": lambda path, scene: write_ros2(path / "desk", tum_plan(scene, ROS2), "mcap", "file"),
    "mcap_message": lambda path, scene: write_ros2(path / "desk", tum_plan(scene, ROS2), "mcap", "message"),
    "mcap_storage": lambda path, scene: write_ros2(path / "desk", tum_plan(scene, ROS2), "mcap", "storage"),
}

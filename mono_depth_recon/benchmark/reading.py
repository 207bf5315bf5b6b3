"""Speed and memory of reading recordings: generated bags, each read in a fresh process."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..camera import PinholeCamera
from ..datasets.opening import OpenOptions, open_dataset
from ..errors import DataError, MonoDepthError
from .machine import fresh_process, peak_bytes
from .rows import Row
from .scene import room

RATE_HZ = 30.0
MOST_OF_REAL_TIME = 0.2  # five times real time
MOST_BYTES = 600e6
_FRAME_BYTES = 640 * 480 * 7  # rgb8 and 32FC1
_CHUNK_BYTES = 768 << 10  # rosbag's own
_FORMATS = ("ros1", "ros1-lz4", "ros2-sqlite3", "ros2-mcap")


def measure_reading(megabytes: float) -> Iterator[Row]:
    """Rows for a bag of each format with `megabytes` (1e6) of 640x480 images at 30 Hz, its pairs read in order.

    Opening, which scans the bag once, is a row of its own. A format that fails becomes a row with the reason.
    """
    for form in _FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                yield from measure_bag(form, write_bag(Path(folder), form, round(megabytes * 1e6 / _FRAME_BYTES)))
            except (MonoDepthError, ImportError) as error:
                yield Row(f"reading {form}", None, note=" ".join(str(error).split()))


def measure_bag(form: str, path: Path) -> Iterator[Row]:
    """Rows for one recording. Raises DataError if it cannot be read."""
    code = "import sys; from mono_depth_recon.benchmark.reading import read_all; print(read_all(sys.argv[1]))"
    measured = json.loads(fresh_process(code, str(path), timeout_s=1800))
    note = f"{measured['frames']} frames of 640x480, {measured['megabytes']:.0f} MB"
    opening = measured["opening_s"] / measured["recorded_s"]
    yield Row(f"reading {form}: opening / recorded time", opening, "x", note=note)
    yield Row(
        f"reading {form}: reading / recorded time",
        measured["reading_s"] / measured["recorded_s"],
        "x",
        MOST_OF_REAL_TIME,
        f"{measured['frames'] / measured['reading_s']:.0f} frames/s",
    )
    yield Row(f"reading {form}: peak memory", measured["peak_bytes"] / 1e6, "MB", MOST_BYTES / 1e6)


def read_all(path: str) -> str:
    """Reads every pair once; returns time and memory as JSON. Raises DataError if a pair is missing."""
    begin = time.perf_counter()
    recording = open_dataset(path, OpenOptions(poses="none"))
    opened = time.perf_counter()
    frames = 0
    for sample in recording.samples(range(len(recording))):
        if isinstance(sample, MonoDepthError):
            raise sample
        frames += 1
    done, stamps = time.perf_counter(), recording.stamps or [0.0]
    recording.close()
    files = [file for file in (Path(path), *Path(path).rglob("*")) if file.is_file()]
    return json.dumps(
        {
            "opening_s": opened - begin,
            "reading_s": done - opened,
            "frames": frames,
            "recorded_s": (stamps[-1] - stamps[0]) * frames / (frames - 1),
            "peak_bytes": peak_bytes(),
            "megabytes": sum(file.stat().st_size for file in files) / 1e6,
        }
    )


def write_bag(folder: Path, form: str, frames: int) -> Path:
    """A bag of the analytic room seen by a rotating camera, with camera_info. DataError for fewer than 2 frames."""
    if frames < 2:
        raise DataError(f"a bag needs at least 2 frames, that is {2 * _FRAME_BYTES / 1e6:.1f} MB")
    from rosbags.typesys import Stores, get_typestore

    ros1 = form.startswith("ros1")
    types = get_typestore(Stores.ROS1_NOETIC if ros1 else Stores.ROS2_HUMBLE)
    path = folder / ("made.bag" if ros1 else "made")
    with _writer(path, form) as writer:
        kinds = ("Image", "Image", "CameraInfo")
        topics = ("/camera/rgb/image_color", "/camera/depth/image", "/camera/rgb/camera_info")
        links = [
            writer.add_connection(topic, f"sensor_msgs/msg/{kind}", typestore=types)
            for topic, kind in zip(topics, kinds, strict=True)
        ]
        serialise = types.serialize_ros1 if ros1 else types.serialize_cdr
        for i, messages in enumerate(_messages(types.types, ros1, frames)):
            for link, msg in zip(links, messages, strict=True):
                writer.write(link, _stamp_ns(i), serialise(msg, link.msgtype))
    return path


def _writer(path: Path, form: str) -> Any:
    from rosbags.rosbag1 import Writer as Writer1
    from rosbags.rosbag2 import StoragePlugin
    from rosbags.rosbag2 import Writer as Writer2

    if form.startswith("ros2"):
        return Writer2(path, version=8, storage_plugin=StoragePlugin[form.removeprefix("ros2-").upper()])
    writer = Writer1(path)
    writer.chunk_threshold = _CHUNK_BYTES
    if form == "ros1-lz4":
        writer.set_compression(Writer1.CompressionFormat.LZ4)
    return writer


def _stamp_ns(i: int) -> int:
    return 1_300_000_000 * 10**9 + round(i * 1e9 / RATE_HZ)


def _messages(types: Mapping[str, Callable[..., Any]], ros1: bool, frames: int) -> Iterator[tuple[Any, Any, Any]]:
    """Colour, depth and camera_info of every frame: the room with noise, shifted by a few columns each time."""
    camera, rng = PinholeCamera.from_hfov(640, 480, 60), np.random.default_rng(0)
    depth, rgb = room(camera)
    rgb = np.clip(rgb + rng.normal(0, 4, rgb.shape), 0, 255).astype(np.uint8)  # as hard to compress as a camera's
    depth = depth + rng.normal(0, 0.01, depth.shape).astype(np.float32)
    P = np.hstack([camera.K, np.zeros((3, 1))])
    roi = types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    for i in range(frames):
        time_ns = _stamp_ns(i)
        stamp = types["builtin_interfaces/msg/Time"](time_ns // 10**9, time_ns % 10**9)
        header = types["std_msgs/msg/Header"](*((i,) if ros1 else ()), stamp, "camera")
        images = [
            types["sensor_msgs/msg/Image"](header, 480, 640, encoding, 0, step, _bytes(np.roll(pixels, 3 * i, 1)))
            for pixels, encoding, step in ((rgb, "rgb8", 640 * 3), (depth, "32FC1", 640 * 4))
        ]
        info = types["sensor_msgs/msg/CameraInfo"](
            header, 480, 640, "plumb_bob", np.zeros(5), camera.K.ravel(), np.eye(3).ravel(), P.ravel(), 0, 0, roi
        )
        yield images[0], images[1], info


def _bytes(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.ascontiguousarray(pixels).view(np.uint8).ravel()

"""Folders and topics as recorders leave them: files besides metadata.yaml, RealSense Viewer, other encodings, units."""

from __future__ import annotations

import shutil
import sqlite3
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_recordings import CAMERA, FORMATS, INTRINSICS, ROS1, ROS2, Messages, Scene, tum_plan, write_ros1, write_ros2

from mono_depth_recon.datasets.opening import OpenOptions, open_dataset
from mono_depth_recon.errors import CalibrationError, DataError


def test_files_that_the_metadata_does_not_name_are_not_read(tmp_path: Path) -> None:
    scene = Scene()
    (tmp_path / "packed").mkdir()
    path = FORMATS["sqlite3_file"](tmp_path / "packed", scene)
    whole = next(FORMATS["sqlite3"](tmp_path, scene).glob("*.db3"))
    shutil.copy(whole, path / whole.name)  # the same messages, decompressed
    dataset = open_dataset(path, OpenOptions(camera=CAMERA))
    assert len(dataset) == scene.frames
    assert dataset.notes == [f"{path}: 1 files are not read, metadata.yaml does not name them: desk.db3"]
    (path / "metadata.yaml").unlink()
    again = open_dataset(path, OpenOptions(camera=CAMERA))
    assert len(again) == scene.frames and "the same files are there decompressed: desk.db3.zstd" in again.notes[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [("", ""), ("\n\n", ""), ("a: [", "is not the metadata"), ("3", "is not the m"), ("[" * 3000, "nested too deeply")],
)
def test_metadata_that_was_never_written_is_as_good_as_none(tmp_path: Path, text: str, says: str) -> None:
    path = FORMATS["sqlite3"](tmp_path, Scene())
    (path / "metadata.yaml").write_text(text)
    dataset = open_dataset(path, OpenOptions(camera=CAMERA))
    assert len(dataset) == 6
    assert [note for note in dataset.notes if says in note] == dataset.notes and bool(dataset.notes) == bool(says)


def test_renamed_and_missing_files_are_named(tmp_path: Path) -> None:
    path = FORMATS["mcap"](tmp_path, Scene())
    file = next(path.glob("*.mcap"))
    file.rename(file.with_name("moved_0.mcap"))
    dataset = open_dataset(path, OpenOptions(camera=CAMERA))
    assert len(dataset) == 6 and "1 of 1 files that metadata.yaml names are missing" in dataset.notes[0]


def test_metadata_with_a_byte_order_mark_orders_the_files(tmp_path: Path) -> None:
    path = FORMATS["mcap"](tmp_path, Scene())
    text = (path / "metadata.yaml").read_bytes()
    (path / "metadata.yaml").write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    (path / "other.mcap").write_bytes(b"")
    dataset = open_dataset(path, OpenOptions(camera=CAMERA))
    assert len(dataset) == 6 and "1 files are not read" in dataset.notes[0]


def test_a_bag_of_the_realsense_viewer_has_its_camera_beside_each_stream(tmp_path: Path) -> None:
    scene, make = Scene(), Messages(ROS1)
    device = "/device_0/sensor_{}/{}/{}"
    plan = []
    for i, stamp in enumerate(scene.stamps_ns):
        millimetres = np.nan_to_num(np.rint(scene.metres(i) * 1000)).astype(np.uint16)
        for topic, kind, msg in (
            (device.format(1, "Color_0", "image/data"), "Image", make.image(stamp, scene.rgb[i], "rgb8", "0")),
            (device.format(0, "Depth_0", "image/data"), "Image", make.image(stamp, millimetres, "mono16", "0")),
            (device.format(0, "Depth_0", "info/camera_info"), "CameraInfo", make.info(stamp, (64, 48), (9, 9, 9, 9))),
            (device.format(1, "Color_0", "info/camera_info"), "CameraInfo", make.info(stamp, (64, 48))),
        ):
            plan.append((stamp, topic, f"sensor_msgs/msg/{kind}", msg))
    dataset: Any = open_dataset(write_ros1(tmp_path / "viewer.bag", plan))
    assert dataset.topics == ("/device_0/sensor_1/Color_0/image/data", "/device_0/sensor_0/Depth_0/image/data")
    assert (dataset.camera.fx, dataset.camera.fy, dataset.frame_id) == (50, 51, "0")
    assert np.nanmax(np.abs(dataset[2].depth - scene.metres(2))) < 0.00051 and len(dataset) == 6


def write_mcap(path: Path, channels: dict[str, tuple[str, str, str, str]], rows: list[tuple[int, str, bytes]]) -> Path:
    """An unchunked MCAP by its specification; `channels`: encoding, schema's name, encoding and text by topic."""

    def text(value: str) -> bytes:
        return struct.pack("<I", len(value.encode())) + value.encode()

    def record(op: int, data: bytes) -> bytes:
        return struct.pack("<BQ", op, len(data)) + data

    parts = [b"\x89MCAP0\r\n", record(1, text("") + text("a test"))]
    for number, (topic, (encoding, name, form, definition)) in enumerate(channels.items(), 1):
        parts.append(record(3, struct.pack("<H", number) + text(name) + text(form) + text(definition)))
        parts.append(
            record(4, struct.pack("<HH", number, number) + text(topic) + text(encoding) + struct.pack("<I", 0))
        )
    numbers = {topic: number for number, topic in enumerate(channels, 1)}
    for stamp, topic, data in rows:
        parts.append(record(5, struct.pack("<HIQQ", numbers[topic], 0, stamp, stamp) + data))
    path.write_bytes(b"".join([*parts, record(15, bytes(4)), b"\x89MCAP0\r\n"]))
    return path


def test_ros1_messages_in_mcap_are_read_by_their_definitions(tmp_path: Path) -> None:
    scene, plan = Scene(), tum_plan(Scene(), ROS1)
    channels = {}
    for _, topic, kind, _ in plan:
        definition, _ = ROS1.generate_msgdef(kind, ros_version=1)
        channels[topic] = ("ros1", kind.replace("/msg/", "/"), "ros1msg", definition)
    rows = [(stamp, topic, bytes(ROS1.serialize_ros1(msg, kind))) for stamp, topic, kind, msg in plan]
    dataset: Any = open_dataset(write_mcap(tmp_path / "a.mcap", channels, rows))
    assert len(dataset) == 6 and dataset.notes == [] and dataset.camera.fx == 50
    assert np.array_equal(dataset[2].rgb, scene.rgb[2])
    assert np.array_equal(dataset[2].T_world_camera[:3, 3], scene.positions[2])


def test_other_encodings_are_named(tmp_path: Path) -> None:
    channels = {"/cam": ("protobuf", "foxglove.CompressedImage", "protobuf", ""), "/log": ("json", "", "", "")}
    path = write_mcap(tmp_path / "a.mcap", channels, [(1, "/cam", b"\x0a\x00"), (2, "/log", b"{}")])
    with pytest.raises(
        DataError, match=r"2 topics .* cdr and ros1: /cam \(protobuf, foxglove.CompressedImage\); /log \(j"
    ):
        open_dataset(path)
    bag = write_ros2(tmp_path / "b", tum_plan(Scene(), ROS2))
    with sqlite3.connect(next(bag.glob("*.db3"))) as database:
        database.execute("UPDATE topics SET serialization_format = 'cbor' WHERE name LIKE '%image_color'")
    with pytest.raises(
        DataError, match=r"has no colour topic .*; 1 topics .*: /camera/rgb/image_color \(cbor, sensor_msgs"
    ):
        open_dataset(bag)


def test_floats_in_millimetres_name_the_factor_that_cures_them(tmp_path: Path) -> None:
    scene, make = Scene(), Messages(ROS2)
    plan = [
        (
            t,
            topic,
            kind,
            make.image(t - 10, scene.metres(k // 5) * np.float32(1000), "32FC1")
            if kind.endswith("Image") and "depth" in topic
            else msg,
        )
        for k, (t, topic, kind, msg) in enumerate(tum_plan(scene, ROS2))
    ]
    path = write_ros2(tmp_path / "a", plan)
    [note] = open_dataset(path).notes
    assert "median depth is 2.18e+03 m" in note and "depth_factor is 1 per metre, likely is 1000" in note
    cured = open_dataset(path, OpenOptions(depth_factor=1000.0))
    assert cured.notes == [] and cured.per_metre(0) == 1000
    assert np.allclose(cured[2].depth, scene.metres(2), atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("name", ["desk [2]", "v1.0_desk"])
def test_names_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    from mono_depth_recon.datasets.mixture.training_data import open_training_data

    (tmp_path / name).mkdir()
    path = FORMATS["sqlite3"](tmp_path / name, Scene(frames=10)).rename(tmp_path / name / name)
    tree = {"sources": [{"kind": "bag", "path": str(path), "split": "time"}]}
    data = open_training_data(tree, 1)
    assert data.train.parts[0].scene(0) == name


@pytest.mark.parametrize(
    "metadata", ["", "rosbag2_bagfile_information: {relative_file_paths: [NAME, NAME.zstd, NAME]}"]
)
def test_a_file_beside_its_compressed_form_is_read_once(tmp_path: Path, metadata: str) -> None:
    scene = Scene()
    (tmp_path / "packed").mkdir()
    path = FORMATS["sqlite3_file"](tmp_path / "packed", scene)
    whole = next(FORMATS["sqlite3"](tmp_path, scene).glob("*.db3"))
    packed = next(path.glob("*.zstd"))
    shutil.copy(whole, path / packed.name.removesuffix(".zstd"))
    (path / "metadata.yaml").write_text(metadata.replace("NAME", packed.name.removesuffix(".zstd")))
    dataset = open_dataset(path, OpenOptions(camera=CAMERA))
    assert len(dataset) == scene.frames and len(set(dataset.stamps)) == scene.frames  # type: ignore[attr-defined]
    assert len(dataset.notes) == 1 and "files are not read" in dataset.notes[0] and packed.name in dataset.notes[0]


INFO, IMAGE = "sensor_msgs/msg/CameraInfo", "sensor_msgs/msg/Image"


def test_colour_and_depth_are_of_one_camera(tmp_path: Path) -> None:
    """A camera at the back that has no depth, and one in front: the same frame_id by careless drivers."""
    scene, make = Scene(), Messages(ROS2)
    plan = [(at, topic.replace("/camera/", "/front/"), kind, msg) for at, topic, kind, msg in tum_plan(scene, ROS2)]
    for stamp in scene.stamps_ns:
        back = make.image(stamp, np.zeros_like(scene.rgb[0]), "rgb8")
        plan.append((stamp, "/back/rgb/image_color", IMAGE, back))
        plan.append((stamp, "/back/rgb/camera_info", INFO, make.info(stamp, (scene.width, scene.height))))
    assert open_dataset(write_ros2(tmp_path / "a", plan)).topics == ("/front/rgb/image_color", "/front/depth/image")  # type: ignore[attr-defined]
    more = [
        (stamp, "/back/depth_registered/image", IMAGE, make.image(stamp, scene.metres(i) * 9, "32FC1"))
        for i, stamp in enumerate(scene.stamps_ns)
    ]
    for colour, depth in (("/front/rgb/image_color", "/front/depth/image"), ("/back/rgb/image_color", more[0][1])):
        both = open_dataset(write_ros2(tmp_path / colour[1:5], [*plan, *more]), OpenOptions(colour_topic=colour))
        assert both.topics == (colour, depth)  # type: ignore[attr-defined]


def test_calibrations_of_zeros_before_the_first_are_passed_over(tmp_path: Path) -> None:
    scene = Scene()
    plan = tum_plan(scene, ROS2)
    for _, _, _, msg in [row for row in plan if row[1] == "/camera/rgb/camera_info"][:3]:
        msg.k[:] = 0
        msg.p[:] = 0
    dataset = open_dataset(write_ros2(tmp_path / "a", plan))
    assert (dataset.camera.fx, dataset.camera.cy) == (INTRINSICS[0], INTRINSICS[3]) and dataset.notes == []  # type: ignore[attr-defined]
    for _, _, _, msg in [row for row in plan if row[1] == "/camera/rgb/camera_info"]:
        msg.k[:] = 0
        msg.p[:] = 0
    path = write_ros2(tmp_path / "b", plan)
    with pytest.raises(CalibrationError, match=f"^{path}, /camera/rgb/camera_info: "):
        open_dataset(path)


def test_a_calibration_that_changes_is_said(tmp_path: Path) -> None:
    plan = tum_plan(Scene(), ROS2)
    for _, _, _, msg in [row for row in plan if row[1] == "/camera/rgb/camera_info"][3:]:
        msg.k[[0, 4]] *= 2
        msg.p[[0, 5]] *= 2
    path = write_ros2(tmp_path / "a", plan)
    dataset = open_dataset(path)
    assert dataset.camera.fx == INTRINSICS[0]  # type: ignore[attr-defined]
    says = (
        "the calibration changes within the bag (fx 50, later 100, 64x48, later 64x48 pixels); all frames get the first"
    )
    assert [note for note in dataset.notes if says in note and "/camera/rgb/camera_info" in note]


def test_an_empty_first_image_says_nothing_about_its_topic(tmp_path: Path) -> None:
    scene, make = Scene(), Messages(ROS2)
    empty = make.image(scene.stamps_ns[0] - 10**6, np.zeros((1, 1), np.uint8), "")
    empty.height, empty.width, empty.step, empty.data = 0, 0, 0, np.zeros(0, np.uint8)
    plan = [*((1, topic, IMAGE, empty) for topic in ("/camera/rgb/image_color", "/camera/depth/image"))]
    dataset = open_dataset(write_ros2(tmp_path / "a", [*plan, *tum_plan(scene, ROS2)]))
    assert dataset.topics == ("/camera/rgb/image_color", "/camera/depth/image")  # type: ignore[attr-defined]
    assert np.array_equal(dataset[3].rgb, scene.rgb[2])

"""Bags' images and cameras: which are rectified, what a compressed infrared image is, cameras that cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from encoded import png_of
from made_recordings import ROS1, ROS2, Messages, Plan, Scene, encoded_plan, write_ros1, write_ros2

from mono_depth_recon.datasets.opening import OpenOptions, open_dataset
from mono_depth_recon.errors import CalibrationError, DataError

P_FX = 70.0


def with_topic(plan: Plan, topic: str, types: Any = ROS2, **camera_info: Any) -> Plan:
    """The plan with its colour topic renamed, camera_info beside it, and other values in its camera_info."""
    P = np.array([P_FX, 0, 31, 0, 0, P_FX, 23, 0, 0, 0, 1, 0])
    beside, changes = topic.removesuffix("/compressed").rpartition("/")[0], {"P": P, "p": P, **camera_info}
    rows = []
    for stamp, name, kind, msg in plan:
        if kind.endswith("CameraInfo"):
            known = {key: value for key, value in changes.items() if hasattr(msg, key)}
            rows.append((stamp, f"{beside}/camera_info", kind, replace(msg, **known)))
        else:
            rows.append((stamp, topic if "/cam/image_raw" in name else name, kind, msg))
    return rows


@pytest.mark.parametrize(
    ("colour", "topic", "rectified"),
    [
        ("png", "/camera/image_rect/compressed", True),
        ("bgr8", "/camera/rect/image", True),
        ("bgr8", "/camera/image_direct", False),
        ("png", "/camera/image_direct/compressed", False),
    ],
)
def test_the_name_of_the_topic_says_whether_images_are_rectified(
    tmp_path: Path, colour: str, topic: str, rectified: bool
) -> None:
    """Of a rectified topic P counts as it is; of another the image is still to be moved from K to P."""
    scene = Scene()
    bag = open_dataset(write_ros2(tmp_path / "bag", with_topic(encoded_plan(scene, ROS2, colour, "16UC1"), topic)))
    assert bag.camera.is_rectified == rectified
    assert bag.camera.rectified.fx == P_FX
    assert (bag.camera.fx == P_FX) == rectified


def test_a_compressed_infrared_image_is_no_depth(tmp_path: Path) -> None:
    scene, rows = Scene(), []
    make = Messages(ROS1)
    for i, row in enumerate(encoded_plan(scene, ROS1, "png", "16UC1")):
        infrared = cv2.imencode(".png", np.full((48, 64), 700 + i, np.uint16))[1].tobytes()
        msg = make.compressed(row[0], infrared, "mono16; png compressed ")
        rows += [row, (row[0], "/cam/ir/image/compressed", "sensor_msgs/msg/CompressedImage", msg)]
    bag = open_dataset(write_ros1(tmp_path / "bag.bag", rows))
    assert bag.topics == ("/cam/image_raw/compressed", "/cam/depth/image_raw")


def test_a_first_image_that_claims_too_much_is_passed_over(tmp_path: Path) -> None:
    plan = encoded_plan(Scene(), ROS1, "png", "16UC1")
    first = next(i for i, row in enumerate(plan) if row[1] == "/cam/image_raw/compressed")
    stamp, topic, kind, _ = plan[first]
    plan[first] = stamp, topic, kind, Messages(ROS1).compressed(stamp, png_of(60_000, 60_000), "bgr8; png")
    bag = open_dataset(write_ros1(tmp_path / "bag.bag", plan))
    assert bag.camera.size == (64, 48)
    with pytest.raises(DataError, match="has 60000x60000 pixels, more than 100 megapixels"):
        bag.read(0)


@pytest.mark.parametrize(
    ("K", "message"),
    [
        (np.eye(3), "camera_info: K must not be the identity"),
        (np.array([[600, 0, 320], [0, 600, 240], [0, 0, 1.0]]), "K must have its principal point in the image"),
    ],
)
def test_a_camera_info_that_cannot_be_is_named(tmp_path: Path, K: Any, message: str) -> None:
    plan = with_topic(encoded_plan(Scene(), ROS2, "bgr8", "16UC1"), "/cam/image_raw", k=K.ravel(), K=K.ravel())
    with pytest.raises(CalibrationError, match=message):
        open_dataset(write_ros2(tmp_path / "bag", plan))


def test_a_given_camera_counts_instead(tmp_path: Path) -> None:
    plan = with_topic(encoded_plan(Scene(), ROS2, "bgr8", "16UC1"), "/cam/image_raw", k=np.eye(3).ravel())
    path = write_ros2(tmp_path / "bag", plan)
    assert open_dataset(path, OpenOptions(camera="60 60 31.5 23.5")).camera.fx == 60


@pytest.mark.parametrize("form", ["mono16", "mono16; png compressed "])
def test_a_recording_of_16_bits_keeps_its_brightness(tmp_path: Path, form: str) -> None:
    """The first frame is dark, every frame has the same grey in a corner, and the order of reading does not matter."""
    make, rows = Messages(ROS1), []
    maxima = iter((300, 4000, 1900, 4000, 900, 4000))
    for stamp, topic, kind, msg in encoded_plan(Scene(), ROS1, "mono8", "16UC1"):
        if topic == "/cam/image_raw":
            pixels = np.full((48, 64), next(maxima), np.uint16)
            pixels[0, 0] = 160
            packed = cv2.imencode(".png", pixels)[1].tobytes()
            if form == "mono16":
                msg = make.image(stamp, pixels, form)
            else:
                msg, kind = make.compressed(stamp, packed, form), "sensor_msgs/msg/CompressedImage"
        rows.append((stamp, topic, kind, msg))
    bag = open_dataset(write_ros1(tmp_path / "bag.bag", rows))
    assert [bag[i].rgb[0, 0, 0] for i in range(6)] == [10] * 6
    assert not bag.notes


def test_infrared_in_16uc1_is_no_depth(tmp_path: Path) -> None:
    make, rows = Messages(ROS1), []
    for row in encoded_plan(Scene(), ROS1, "bgr8", "16UC1"):
        msg = make.image(row[0], np.full((48, 64), 700, np.uint16), "16UC1")
        rows += [row, (row[0], "/cam/aligned/infra1/image_raw", "sensor_msgs/msg/Image", msg)]
    assert open_dataset(write_ros1(tmp_path / "bag.bag", rows)).topics == ("/cam/image_raw", "/cam/depth/image_raw")


def test_depth_in_a_png_without_an_encoding_is_found(tmp_path: Path) -> None:
    make, rows, scene = Messages(ROS1), [], Scene()
    for stamp, topic, kind, msg in encoded_plan(scene, ROS1, "png", "16UC1"):
        if topic == "/cam/depth/image_raw":
            data = cv2.imencode(".png", np.full((48, 64), 1500, np.uint16))[1].tobytes()
            topic, kind, msg = (
                topic + "/compressed",
                "sensor_msgs/msg/CompressedImage",
                make.compressed(stamp, data, "png"),
            )
        elif kind.endswith("CompressedImage"):
            msg = replace(msg, format="png")
        rows.append((stamp, topic, kind, msg))
    bag = open_dataset(write_ros1(tmp_path / "bag.bag", rows))
    assert bag.topics == ("/cam/image_raw/compressed", "/cam/depth/image_raw/compressed")
    depth = bag[0].depth
    assert depth is not None and (depth == 1.5).all()

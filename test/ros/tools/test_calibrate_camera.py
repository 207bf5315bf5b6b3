"""calibrate_camera: from images on a topic to the camera's file, over DDS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from boards import CHESS, PLAIN, POSES, SIZE, seen
from processes import Processes
from ros_client import RosClient, ros_client

from mono_depth_recon.calibration.camera_file import read_camera
from mono_depth_recon.ros.conversions import rgb_to_msg

MODULE = "mono_depth_recon.ros.tools.calibrate_camera"


@pytest.fixture
def client(ros_domain: int) -> Iterator[RosClient]:
    with ros_client() as made:
        yield made


def test_images_become_the_file_of_the_camera(client: RosClient, processes: Processes, tmp_path: Path) -> None:
    output = tmp_path / "head.yaml"
    flags = ["--board", "7x5", "--square", "0.03", "--views", "6", "--output", output, "--name", "head"]
    node = processes.python("-m", MODULE, *flags)
    node.wait_for("looking for a board of 7x5 on /image")
    driver = client.camera()
    images = [cv2.cvtColor(seen(CHESS, PLAIN, pose), cv2.COLOR_GRAY2RGB) for pose in POSES]
    client.repeat(  # each until it is kept
        lambda: driver.send(rgb_to_msg(images[node.output.count("of 6 views") % len(images)], driver.header())),
        lambda: "written to" in node.output,
        "the camera's file",
    )
    assert node.wait() == 0 and "6 of 6 views" in node.output
    camera = read_camera(output)
    assert camera.size == SIZE and camera.fx == pytest.approx(PLAIN.fx, rel=0.03)
    assert output.with_suffix(".png").is_file()


def test_no_image_in_time_is_one_line(client: RosClient, processes: Processes, tmp_path: Path) -> None:
    node = processes.python("-m", MODULE, "--timeout", "1", "--output", tmp_path / "a.yaml")
    assert node.wait() == 1
    assert "calibrate_camera: no image came on /image within 1 s: remap image" in node.output
    assert client and not list(tmp_path.glob("a.*"))

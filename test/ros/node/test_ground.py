"""The ground below the camera, by TF and by an IMU, in one process with the node's own classes."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import Imu
from std_msgs.msg import Header

from mono_depth_recon.arrays import Matrix
from mono_depth_recon.errors import DataError
from mono_depth_recon.ros.node.camera_pose import CameraPoses
from mono_depth_recon.ros.node.ground import GroundInput, down_at_rest, ground_of

# A camera that looks along the robot's x axis and 0.3 rad down, 0.8 m above the floor and 0.2 m ahead.
PITCH = 0.3
T_BASE_CAMERA = np.eye(4)
T_BASE_CAMERA[:3, :3] = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], float) @ np.array(
    [[1, 0, 0], [0, np.cos(PITCH), np.sin(PITCH)], [0, -np.sin(PITCH), np.cos(PITCH)]]
)
T_BASE_CAMERA[:3, 3] = 0.2, 0.05, 0.8
DOWN = (0, np.cos(PITCH), np.sin(PITCH))


def test_a_frame_on_the_floor_gives_height_and_gravity() -> None:
    ground = ground_of(np.linalg.inv(T_BASE_CAMERA))
    np.testing.assert_allclose(ground.down, DOWN, atol=1e-12)
    assert ground.height == pytest.approx(0.8)


def imu(T_image_imu: Matrix, *accelerations: tuple[float, float, float]) -> Any:
    """The input after these messages of an IMU that is mounted there."""
    made = GroundInput.__new__(GroundInput)
    made._accelerations, made._frame = deque(maxlen=500), ""
    made._subscription = SimpleNamespace(topic="/imu")  # type: ignore[assignment]
    made._mounts = SimpleNamespace(expect=lambda *_: None, pose=lambda *_: T_image_imu)  # type: ignore[assignment]
    for x, y, z in accelerations:
        msg = Imu(header=Header(frame_id="imu"))
        msg.linear_acceleration.x, msg.linear_acceleration.y, msg.linear_acceleration.z = x, y, z
        made._add(msg)
    return made


def test_an_imu_gives_gravity_through_its_mount() -> None:
    """It lies level on the robot: at rest it measures 9.81 m/s^2 upwards. Shaking is averaged."""
    mounted = imu(np.linalg.inv(T_BASE_CAMERA), (0.5, 0.0, 9.81), (-0.5, 0.2, 9.7), (0.0, -0.2, 9.92))
    ground = mounted.pair(Header(frame_id="lens"))()
    np.testing.assert_allclose(ground.down, DOWN, atol=1e-9)
    assert ground.height == 0.0


@pytest.mark.parametrize(
    ("accelerations", "said"),
    [
        ((), "no message on /imu for 1 s: scale.gravity=imu needs an IMU"),
        (((0.0, 0.0, 0.02),), r"the IMU measures 0.0 m/s\^2, of 9.81 at rest: it accelerates, or removes gravity"),
        (((9.0, 0.0, 9.81),), r"the IMU measures 13.3 m/s\^2"),
        (((np.nan, 0.0, 9.81),), r"the IMU measures nan m/s\^2"),
    ],
)
def test_an_imu_without_gravity_is_refused(accelerations: tuple[Any, ...], said: str) -> None:
    with pytest.raises(DataError, match=said):
        imu(np.eye(4), *accelerations).pair(Header(frame_id="lens"))()


def test_the_pose_of_the_camera_is_that_of_the_odometry_turned_round() -> None:
    poses = CameraPoses.__new__(CameraPoses)
    poses._odom = "odom"
    poses._mounts = SimpleNamespace(  # type: ignore[assignment]
        expect=lambda *_: None, pose=lambda own, *_: np.linalg.inv(T_BASE_CAMERA) if own == "odom" else None
    )
    np.testing.assert_allclose(poses.pair(Header(frame_id="lens"))(), T_BASE_CAMERA, atol=1e-12)


def test_gravity_is_opposite_to_what_rest_measures() -> None:
    np.testing.assert_allclose(down_at_rest(np.array([0.0, -9.81, 0.0])), (0, 1, 0))

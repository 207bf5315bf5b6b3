"""Bags whose depth another camera saw: registered by the recorded transform and both K, or refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_recordings import OPTICAL, ROS1, ROS2, Messages, Plan, Scene, write_ros1, write_ros2
from numpy.typing import NDArray

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.datasets.opening import OpenOptions, open_dataset
from mono_depth_recon.errors import CalibrationError, DataError
from mono_depth_recon.frames import Sample

COLOUR = PinholeCamera.from_intrinsics(64, 48, 50.0, 51.0, 31.5, 23.5)
DEPTH = PinholeCamera.from_intrinsics(80, 60, 70.0, 71.0, 38.2, 30.7)
BASELINE = np.array([-0.06, 0.01, 0.02])  # of the depth camera's origin in the colour camera
FRAME = "/depth_optical"


def wall(camera: PinholeCamera, shift: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
    """Depth of the plane 0.2 x - 0.1 y + z = 1.5 of the depth camera, seen by a camera that sees it at `shift`."""
    normal, x, y = np.array([0.2, -0.1, 1.0]), *camera.rays
    distance = 1.5 + (0.0 if shift is None else float(normal @ shift))
    return (distance / (normal[0] * x[None] + normal[1] * y[:, None] + 1)).astype(np.float32)


def plan_of(types: Any, *leave_out: str, frame: str = FRAME, K: PinholeCamera = DEPTH) -> Plan:
    """Two frames of two cameras with their camera_info and the static transform between them."""
    make, scene, plan = Messages(types), Scene(frames=2), []
    for i, stamp in enumerate(scene.stamps_ns):
        depth = wall(K)
        info = make.info(stamp, K.size, (K.fx, K.fy, K.cx, K.cy))
        image = make.image(stamp, depth, "32FC1", frame)
        plan += [
            (stamp, "/rgb/camera_info", "sensor_msgs/msg/CameraInfo", make.info(stamp, (64, 48))),
            (stamp, "/rgb/image_color", "sensor_msgs/msg/Image", make.image(stamp, scene.rgb[i], "rgb8")),
            (stamp, "/depth/camera_info", "sensor_msgs/msg/CameraInfo", info),
            (stamp, "/depth/image_rect_raw", "sensor_msgs/msg/Image", image),
        ]
        links = {(OPTICAL, "/mount"): np.array([-0.06, 0.0, 0.0]), ("/mount", FRAME): np.array([0.0, 0.01, 0.02])}
        plan.append((stamp, "/tf_static", make.tf, make.transforms(stamp, links)))
    return [row for row in plan if row[1] not in leave_out]


def first(path: Path, **options: Any) -> Sample:
    return open_dataset(path, OpenOptions(**options))[0]


@pytest.mark.parametrize("types", [ROS1, ROS2], ids=["ros1", "ros2"])
def test_depth_is_registered_by_the_transform_and_both_cameras(tmp_path: Path, types: Any) -> None:
    plan = plan_of(types)
    path = write_ros1(tmp_path / "a.bag", plan) if types is ROS1 else write_ros2(tmp_path / "a", plan)
    depth = first(path).depth
    assert depth is not None and depth.shape == (48, 64)
    known = np.isfinite(depth)
    assert known.mean() > 0.6
    np.testing.assert_allclose(depth[known], wall(COLOUR, BASELINE)[known], rtol=1e-5)


def test_another_k_in_the_same_frame_needs_no_transform(tmp_path: Path) -> None:
    depth = first(write_ros2(tmp_path / "a", plan_of(ROS2, "/tf_static", frame=OPTICAL))).depth
    assert depth is not None
    known = np.isfinite(depth)
    assert known.mean() > 0.6
    np.testing.assert_allclose(depth[known], wall(COLOUR)[known], rtol=1e-5)


def test_depth_of_the_same_frame_and_camera_stays_as_it_is(tmp_path: Path) -> None:
    for name, left_out in (("a", ()), ("b", ("/depth/camera_info",)), ("c", ("/tf_static",))):
        depth = first(write_ros2(tmp_path / name, plan_of(ROS2, *left_out, frame=OPTICAL, K=COLOUR))).depth
        np.testing.assert_array_equal(depth, wall(COLOUR))


def test_a_driver_that_knows_no_calibration_of_its_registered_depth(tmp_path: Path) -> None:
    make = Messages(ROS2)
    plan = [
        (stamp, topic, kind, make.info(stamp, (64, 48), (0.0, 0.0, 0.0, 0.0)) if topic == "/depth/camera_info" else msg)
        for stamp, topic, kind, msg in plan_of(ROS2, frame=OPTICAL, K=COLOUR)
    ]
    zero = [msg for _, topic, _, msg in plan if topic == "/depth/camera_info"]
    for msg in zero:
        msg.k[:], msg.p[:] = 0, 0
    np.testing.assert_array_equal(first(write_ros2(tmp_path / "a", plan)).depth, wall(COLOUR))


@pytest.mark.parametrize(
    ("left_out", "kind", "reason"),
    [
        ("/tf_static", DataError, "the transform between them is not known"),
        ("/depth/camera_info", CalibrationError, "there is no camera_info with a calibration beside the depth"),
    ],
)
def test_what_is_not_known_is_refused_with_the_reason(
    tmp_path: Path, left_out: str, kind: type[Exception], reason: str
) -> None:
    path = write_ros2(tmp_path / "a", plan_of(ROS2, left_out))
    with pytest.raises(kind, match=f"depth/image_rect_raw is in the frame 'depth_optical', .*{reason}") as raised:
        open_dataset(path)
    assert "\n" not in str(raised.value) and "record the camera_info of the depth and /tf_static" in str(raised.value)
    recording = open_dataset(path, OpenOptions(need_depth=False))
    assert recording[0].depth is None and len(recording) == 2
    assert any(reason in note for note in recording.notes)

"""What is published besides images and organised clouds: points, scans, meshes, poses, stamps; by their definitions."""

from __future__ import annotations

import sys
from array import array
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hypothesis import given
from hypothesis import strategies as st
from properties import QUICK
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from mono_depth_recon.cloud.obstacles import PlanarScan
from mono_depth_recon.mesh.mesh import Mesh
from mono_depth_recon.ros import conversions as c

HEADER = Header(stamp=Time(sec=3, nanosec=4), frame_id="lens")
XYZ = ("x", "y", "z")


def test_points_without_order() -> None:
    points = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    for given_points in (points, points.astype(np.float64), np.ascontiguousarray(points.T).T):
        msg = c.xyz_to_msg(given_points, HEADER)
        fields = [(field.name, field.offset, field.datatype, field.count) for field in msg.fields]
        assert fields == [(name, 4 * i, PointField.FLOAT32, 1) for i, name in enumerate(XYZ)]
        assert (msg.height, msg.width, msg.point_step, msg.row_step, msg.is_dense) == (1, 7, 12, 84, True)
        assert msg.header == HEADER and msg.is_bigendian == (sys.byteorder == "big")
        np.testing.assert_array_equal(np.frombuffer(msg.data, np.float32).reshape(7, 3), points)
        np.testing.assert_array_equal(c.xyz_from_msg(msg), points)


def test_a_scan_ends_at_the_angle_of_its_last_range() -> None:
    ranges = np.array([0.5, np.inf, np.nan, 3.25], np.float32)
    msg = c.scan_to_msg(PlanarScan(-0.75, 0.25, 0.125, 5.0, ranges), HEADER, 0.5)
    assert msg.header == HEADER
    assert (msg.angle_min, msg.angle_increment, msg.angle_max, msg.scan_time) == (-0.75, 0.25, 0.0, 0.5)
    assert (msg.range_min, msg.range_max, msg.time_increment) == (0.125, 5.0, 0.0)
    np.testing.assert_array_equal(np.array(msg.ranges), ranges)


def test_a_mesh_is_a_list_of_coloured_corners() -> None:
    vertices = np.array([[0, 0, 1], [1, 0, 2], [0, 1, 3], [1, 1, 4]], np.float32)
    colors = np.array([[0, 51, 255], [102, 0, 0], [0, 153, 0], [255, 255, 255]], np.uint8)
    triangles = np.array([[0, 1, 2], [2, 1, 3]], np.int32)
    marker = c.mesh_to_marker(Mesh(vertices, triangles, colors), HEADER)
    assert (marker.header, marker.ns, marker.id) == (HEADER, "mono_depth_recon", 0)
    assert (marker.type, marker.action, marker.color.a) == (Marker.TRIANGLE_LIST, Marker.ADD, 1.0)
    pose, scale = marker.pose, marker.scale
    assert (pose.position.x, pose.position.y, pose.position.z) == (0, 0, 0) and (scale.x, scale.y, scale.z) == (1, 1, 1)
    assert [getattr(pose.orientation, axis) for axis in "xyzw"] == [0, 0, 0, 1]
    corners = triangles.ravel()
    np.testing.assert_array_equal([[point.x, point.y, point.z] for point in marker.points], vertices[corners])
    shades = [[color.r, color.g, color.b, color.a] for color in marker.colors]
    np.testing.assert_allclose(shades, np.column_stack([colors, np.full(4, 255)])[corners] / 255, rtol=1e-6)


@QUICK
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.01))
def test_every_rotation_becomes_its_quaternion(values: list[float]) -> None:
    """Against scipy; the half turns, where w is 0, are among the smallest examples."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = Rotation.from_quat(values).as_matrix(), (1.5, -2.5, 3.5)
    msg = c.odometry_to_msg(pose, HEADER, "base")
    position, orientation = msg.pose.pose.position, msg.pose.pose.orientation
    assert (msg.header, msg.child_frame_id) == (HEADER, "base")
    assert (position.x, position.y, position.z) == (1.5, -2.5, 3.5)
    q = np.array([getattr(orientation, axis) for axis in "xyzw"])
    assert q[3] >= 0 and np.linalg.norm(q) == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(Rotation.from_quat(q).as_matrix(), pose[:3, :3], atol=1e-12)


def test_half_turns_about_every_axis() -> None:
    for axis in np.vstack([np.eye(3), [[1, 1, 0], [0, -1, 1], [1, 2, 3]]]):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_rotvec(np.pi * axis / np.linalg.norm(axis)).as_matrix()
        q = c.odometry_to_msg(pose, HEADER, "base").pose.pose.orientation
        np.testing.assert_allclose(Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix(), pose[:3, :3], atol=1e-12)


@QUICK
@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 10**9 - 1))
def test_a_stamp_is_a_whole_number_of_nanoseconds(seconds: int, nanoseconds: int) -> None:
    assert divmod(c.nanoseconds(Time(sec=seconds, nanosec=nanoseconds)), 10**9) == (seconds, nanoseconds)


@pytest.mark.parametrize("kind", ["f4", "u4"])
def test_clouds_of_another_layout_are_read_by_sensor_msgs_py(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Its read_points gives a structured array; colours keep their bits, whichever of the two types they have."""
    layout = np.dtype([("rgb", kind), ("z", "f8"), ("y", "f8"), ("x", "f8"), ("ring", "u2")])
    rows = np.zeros(6, layout)
    rows["x"], rows["y"], rows["z"] = np.arange(6), np.arange(6) + 10.5, np.arange(6) + 20.5
    rows["rgb"] = (np.arange(6, dtype=np.uint32) * 0x10203).view(kind)

    def read_points(cloud: PointCloud2, field_names: tuple[str, ...], reshape_organized_cloud: bool) -> Any:
        assert not reshape_organized_cloud and cloud is msg
        return np.frombuffer(cloud.data, layout)[list(field_names)]

    stand_in = ModuleType("sensor_msgs_py")
    stand_in.point_cloud2 = ModuleType("point_cloud2")  # type: ignore[attr-defined]
    stand_in.point_cloud2.read_points = read_points
    monkeypatch.setitem(sys.modules, "sensor_msgs_py", stand_in)
    step = layout.itemsize
    msg = PointCloud2(height=2, width=3, point_step=step, row_step=3 * step, data=array("B", rows.tobytes()))
    msg.fields = [PointField(name=name, offset=layout.fields[name][1], count=1) for name in layout.names]  # type: ignore
    points = c.points_from_msg(msg)
    assert points.shape == (2, 3, 4) and points.dtype == np.float32
    for place, axis in enumerate("xyz"):
        np.testing.assert_array_equal(points[..., place].ravel(), rows[axis])
    np.testing.assert_array_equal(points[..., 3].copy().view(np.uint32).ravel(), np.arange(6) * 0x10203)

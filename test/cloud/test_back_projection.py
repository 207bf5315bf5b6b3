"""Back-projection against Open3D, against planes, and the packing of colours against PCL's definition."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from properties import QUICK

from mono_depth_recon.arrays import Depth, Points, Rgb
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.back_projection import back_project, pack_rgb, unpack_rgb
from mono_depth_recon.errors import DataError

SIZES = [(640, 480), (480, 640), (333, 97), (1, 1), (1, 7), (5, 1)]


def camera(width: int, height: int) -> PinholeCamera:
    return PinholeCamera.from_intrinsics(width, height, 517.3, 516.5, 0.498 * width, 0.53 * height)


def scene(width: int, height: int, seed: int = 0) -> tuple[Depth, Rgb]:
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.2, 9.0, (height, width)).astype(np.float32)
    return depth, rng.integers(0, 256, (height, width, 3), np.uint8)


def open3d_cloud(depth: Depth, rgb: Rgb, pinhole: PinholeCamera) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import open3d as o3d

    intrinsic = o3d.camera.PinholeCameraIntrinsic(*pinhole.size, pinhole.fx, pinhole.fy, pinhole.cx, pinhole.cy)
    rgbd = o3d.geometry.RGBDImage.create_from_color_and_depth(
        o3d.geometry.Image(rgb),
        o3d.geometry.Image(depth),
        depth_scale=1.0,
        depth_trunc=100.0,
        convert_rgb_to_intensity=False,
    )
    cloud = o3d.geometry.PointCloud.create_from_rgbd_image(rgbd, intrinsic)
    return np.asarray(cloud.points), np.asarray(cloud.colors)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_points_and_colours_agree_with_open3d(width: int, height: int) -> None:
    pinhole, (depth, rgb) = camera(width, height), scene(width, height)
    points = back_project(depth, pinhole, rgb)
    assert points.shape == (height, width, 4)
    assert points.dtype == np.float32
    expected, colors = open3d_cloud(depth, rgb, pinhole)
    assert np.abs(points[..., :3].reshape(-1, 3) - expected).max() < 1e-5
    np.testing.assert_array_equal(unpack_rgb(points[..., 3]).reshape(-1, 3), np.rint(colors * 255).astype(np.uint8))


@QUICK
@given(
    depth=arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(0.5, 99, width=32)),
    focal=st.tuples(st.floats(1, 5000), st.floats(1, 5000)),
    centre=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    stride=st.integers(1, 4),
)
def test_points_fall_on_the_pixels_they_came_from(
    depth: Depth, focal: tuple[float, float], centre: tuple[float, float], stride: int
) -> None:
    height, width = depth.shape
    pinhole = PinholeCamera.from_intrinsics(width, height, *focal, *centre)
    points = back_project(depth, pinhole, np.zeros((height, width, 3), np.uint8), stride)[..., :3]
    np.testing.assert_array_equal(points[..., 2], depth[::stride, ::stride])
    image = points.astype(np.float64) @ pinhole.K.T
    pixels = np.stack(np.meshgrid(np.arange(0, width, stride), np.arange(0, height, stride)), axis=-1)
    np.testing.assert_allclose(image[..., :2] / image[..., 2:], pixels, atol=2e-5)


def test_unknown_depth_has_no_point_and_open3d_sees_the_same_others() -> None:
    import open3d as o3d

    pinhole, (depth, rgb) = camera(120, 90), scene(120, 90)
    depth[10:20], depth[30:40, 5:50] = np.nan, np.inf
    points = back_project(depth, pinhole, rgb)
    known = np.isfinite(depth)
    np.testing.assert_array_equal(np.isnan(points[..., :3]), np.repeat(~known[..., None], 3, axis=-1))
    np.testing.assert_array_equal(points[..., 2][known], depth[known])
    np.testing.assert_array_equal(unpack_rgb(points[..., 3]), rgb)
    intrinsic = o3d.camera.PinholeCameraIntrinsic(*pinhole.size, pinhole.fx, pinhole.fy, pinhole.cx, pinhole.cy)
    holes = o3d.geometry.Image(np.where(known, depth, np.float32(0)))
    cloud = o3d.geometry.PointCloud.create_from_depth_image(holes, intrinsic, depth_scale=1.0, depth_trunc=100.0)
    assert np.abs(points[known][:, :3] - np.asarray(cloud.points)).max() < 1e-5


@pytest.mark.parametrize(("normal", "distance"), [((0.0, 0.8, 0.6), 1.4), ((0.3, 0.2, 0.933), 2.5), ((0, 0, 1), 3.0)])
def test_a_tilted_plane_comes_back_as_that_plane(normal: tuple[float, float, float], distance: float) -> None:
    n = np.array(normal) / np.linalg.norm(normal)
    pinhole = camera(640, 480)
    u, v = np.meshgrid(np.arange(640), np.arange(480))
    rays = np.stack([(u - pinhole.cx) / pinhole.fx, (v - pinhole.cy) / pinhole.fy, np.ones_like(u)], axis=-1)
    exact = distance / (rays @ n)
    depth = np.where((exact > 0.1) & (exact < 50), exact, np.nan).astype(np.float32)
    points = back_project(depth, pinhole, np.zeros((480, 640, 3), np.uint8))[..., :3].astype(np.float64)
    residual = points @ n - distance
    seen = np.isfinite(depth)
    rounding = 4 * np.finfo(np.float32).eps * np.linalg.norm(points, axis=-1)
    assert seen.sum() > 100_000
    assert (np.abs(residual)[seen] <= rounding[seen]).all()


@pytest.mark.parametrize("stride", [1, 2, 3, 7, 100])
def test_stride_keeps_every_nth_row_and_column(stride: int) -> None:
    pinhole, (depth, rgb) = camera(101, 77), scene(101, 77)
    whole = back_project(depth, pinhole, rgb)
    np.testing.assert_array_equal(
        back_project(depth, pinhole, rgb, stride).view(np.uint32), whole[::stride, ::stride].view(np.uint32)
    )


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_sigma_is_the_fifth_value_of_a_point(stride: int) -> None:
    pinhole, (depth, rgb) = camera(101, 77), scene(101, 77)
    sigma = np.random.default_rng(1).uniform(0, 1, depth.shape).astype(np.float32)
    sigma[3:9] = np.nan
    points = back_project(depth, pinhole, rgb, stride, sigma=sigma)
    np.testing.assert_array_equal(points[..., :4].view(np.uint32), back_project(depth, pinhole, rgb, stride).view("u4"))
    np.testing.assert_array_equal(points[..., 4], sigma[::stride, ::stride])
    out = np.empty_like(points)
    assert back_project(depth, pinhole, rgb, stride, out, sigma) is out
    np.testing.assert_array_equal(out.view(np.uint32), points.view(np.uint32))
    with pytest.raises(DataError, match=r"out must be \(.*, 5\) float32, got"):
        back_project(depth, pinhole, rgb, stride, np.empty((*points.shape[:2], 4), np.float32), sigma)
    with pytest.raises(DataError, match="camera is 101x77, image is 101x76"):
        back_project(depth, pinhole, rgb, sigma=sigma[1:])


@pytest.mark.parametrize("stride", [1, 2])
def test_points_are_written_into_the_given_buffer(stride: int) -> None:
    """As the node does it: the bytes of a message, written through a numpy view."""
    pinhole, (depth, rgb) = camera(64, 48), scene(64, 48)
    shape = (48 // stride, 64 // stride, 4)
    message = bytearray(16 + 4 * int(np.prod(shape)))
    out: Points = np.frombuffer(message, np.float32, offset=16).reshape(shape)
    result = back_project(depth, pinhole, rgb, stride, out)
    assert result is out
    expected = back_project(depth, pinhole, rgb, stride)
    assert bytes(message[16:]) == expected.tobytes()


@pytest.mark.parametrize(
    "out", [np.empty((48, 64, 3), np.float32), np.empty((64, 48, 4), np.float32), np.empty((48, 64, 4), np.float64)]
)
def test_a_buffer_of_another_shape_or_type_is_refused(out: Any) -> None:
    pinhole, (depth, rgb) = camera(64, 48), scene(64, 48)
    with pytest.raises(DataError, match=r"out must be \(48, 64, 4\) float32, got"):
        back_project(depth, pinhole, rgb, out=out)


def test_views_of_larger_arrays_are_taken_as_they_are() -> None:
    pinhole, (depth, rgb) = camera(64, 48), scene(64, 48)
    wide_depth, wide_rgb = np.zeros((48, 80), np.float32), np.zeros((48, 80, 4), np.uint8)
    wide_depth[:, :64], wide_rgb[:, :64, :3] = depth, rgb
    points = back_project(wide_depth[:, :64], pinhole, wide_rgb[:, :64, 2::-1][..., ::-1])
    np.testing.assert_array_equal(points.view(np.uint32), back_project(depth, pinhole, rgb).view(np.uint32))


def test_inputs_stay_as_they_are() -> None:
    pinhole, (depth, rgb) = camera(64, 48), scene(64, 48)
    depth[3, 4] = np.inf
    kept = depth.copy(), rgb.copy()
    back_project(depth, pinhole, rgb)
    np.testing.assert_array_equal(depth, kept[0])
    np.testing.assert_array_equal(rgb, kept[1])


def test_sizes_that_do_not_belong_together_are_refused() -> None:
    depth, rgb = scene(64, 48)
    with pytest.raises(DataError, match="camera is 65x48, image is 64x48"):
        back_project(depth, camera(65, 48), rgb)
    with pytest.raises(DataError, match="camera is 64x48, image is 32x48"):
        back_project(depth, camera(64, 48), rgb[:, ::2])


def test_colours_are_packed_as_pcl_does() -> None:
    """pcl::PointXYZRGB: uint32 rgb = r << 16 | g << 8 | b, its bits read as a float."""
    colors = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [1, 128, 254]]], np.uint8)
    packed = pack_rgb(colors)
    assert packed.dtype == np.float32
    words = [struct.pack("<I", (int(r) << 16) | (int(g) << 8) | int(b)) for r, g, b in colors[0]]
    expected = [struct.unpack("<f", word)[0] for word in words]
    np.testing.assert_array_equal(packed[0].view(np.uint32), np.array(expected, np.float32).view(np.uint32))
    np.testing.assert_array_equal(unpack_rgb(packed), colors)


def test_every_colour_survives_packing() -> None:
    codes = np.arange(0, 1 << 24, 37, dtype=np.uint32)
    colors = np.stack([codes >> 16, codes >> 8, codes], axis=-1).astype(np.uint8)[None]
    packed = pack_rgb(colors)
    np.testing.assert_array_equal(packed[0].view(np.uint32), codes)
    np.testing.assert_array_equal(unpack_rgb(packed.copy()), colors)

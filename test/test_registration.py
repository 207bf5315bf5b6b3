"""Depth of one camera on the grid of another, against analytic planes and spheres seen by both."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mono_depth_recon.alignment import on_rectified_grid
from mono_depth_recon.arrays import Depth, Matrix
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.errors import DataError
from mono_depth_recon.registration import DepthView, register_depth, same_grid

DEPTH = PinholeCamera.from_intrinsics(160, 120, 141.3, 140.1, 80.2, 58.9)
COLOUR = PinholeCamera.from_intrinsics(200, 150, 173.7, 174.9, 101.4, 73.3)
LENS = PinholeCamera.from_intrinsics(200, 150, 173.7, 174.9, 101.4, 73.3, (0.1, -0.2, 0.001, -0.002, 0.05))
FISHEYE = PinholeCamera.from_intrinsics(200, 150, 90.0, 90.0, 99.5, 74.5, (0.02, -0.01, 0.003, -0.001), "equidistant")
NORMAL, DISTANCE = np.array([0.3, -0.2, 1.0]), 1.9


def pose(angle_deg: float = 2.0, shift: tuple[float, float, float] = (-0.05, 0.004, 0.002)) -> Matrix:
    """T_colour_depth: a baseline of 5 cm and a turn about a slanted axis."""
    import cv2

    T = np.eye(4)
    T[:3, :3] = cv2.Rodrigues(np.radians(angle_deg) * np.array([0.5, -0.7, 0.5]))[0]
    T[:3, 3] = shift
    return T


def rays(camera: PinholeCamera) -> NDArray[np.float64]:
    """(H, W, 3) rays of the raw pixels with z = 1, by OpenCV's inverse of the lens model."""
    import cv2

    v, u = np.mgrid[: camera.height, : camera.width].astype(np.float64)
    pixels = np.stack([u, v], axis=-1).reshape(-1, 1, 2)
    undistort = cv2.fisheye.undistortPoints if camera.distortion_model == "equidistant" else cv2.undistortPoints
    flat = undistort(pixels, camera.K, np.array(camera.D or (0.0,) * 4)).reshape(camera.height, camera.width, 2)
    return np.concatenate([flat, np.ones((camera.height, camera.width, 1))], axis=2)


def plane(camera: PinholeCamera, T: Matrix) -> Depth:
    """Depth of the plane NORMAL . P = DISTANCE of the depth camera's axes, seen by the camera that T leads to."""
    normal = T[:3, :3] @ NORMAL
    return ((DISTANCE + normal @ T[:3, 3]) / (rays(camera) @ normal)).astype(np.float32)


def sphere(camera: PinholeCamera, T: Matrix, centre: tuple[float, float, float], radius: float) -> Depth:
    """Depth of a sphere given in the depth camera's axes; NaN beside it."""
    c, ray = T[:3, :3] @ np.array(centre) + T[:3, 3], rays(camera)
    a, b = (ray**2).sum(axis=2), ray @ c
    root = b**2 - a * (c @ c - radius**2)
    with np.errstate(invalid="ignore"):
        return np.where(root > 0, (b - np.sqrt(root)) / a, np.nan).astype(np.float32)


@pytest.mark.parametrize("colour", [COLOUR, COLOUR.resized(80, 60), COLOUR.resized(480, 360), LENS, FISHEYE])
@pytest.mark.parametrize("T", [np.eye(4), pose(), pose(-12.0, (0.1, 0.1, -0.2))])
def test_a_plane_is_exact_at_every_pixel_of_any_camera(colour: PinholeCamera, T: Matrix) -> None:
    found = register_depth(plane(DEPTH, np.eye(4)), DEPTH, colour, T)
    expected = plane(colour, T)
    assert found.dtype == np.float32 and found.shape == (colour.height, colour.width)
    known = np.isfinite(found)
    np.testing.assert_allclose(found[known], expected[known], rtol=2e-5)
    points = (rays(colour) * expected[..., None] - T[:3, 3]) @ T[:3, :3]  # in the depth camera's axes
    pixels = points[..., :2] / points[..., 2:] * (DEPTH.fx, DEPTH.fy) + (DEPTH.cx, DEPTH.cy)
    seen = (pixels > -0.49).all(axis=2) & (pixels < np.array(DEPTH.size) - 0.51).all(axis=2) & (points[..., 2] > 0)
    assert known[seen].all(), "no holes where the depth camera sees the plane"
    outside = (pixels < -0.7).any(axis=2) | (pixels > np.array(DEPTH.size) - 0.3).any(axis=2)
    assert not known[outside].any()


def test_depth_from_a_distorted_camera_is_exact_too() -> None:
    T = np.linalg.inv(pose())
    found = register_depth(plane(LENS, np.eye(4)), LENS, DEPTH, T)
    known = np.isfinite(found)
    assert known.mean() > 0.8
    np.testing.assert_allclose(found[known], plane(DEPTH, T)[known], rtol=5e-4)


def test_a_sphere_before_a_plane_hides_it_and_leaves_a_shadow() -> None:
    centre, radius, T = (0.1, -0.05, 1.0), 0.2, pose(1.0, (-0.08, 0.0, 0.0))

    def scene(camera: PinholeCamera, T: Matrix) -> Depth:
        return np.fmin(plane(camera, T), sphere(camera, T, centre, radius))

    found, expected = register_depth(scene(DEPTH, np.eye(4)), DEPTH, COLOUR, T), scene(COLOUR, T)
    on_sphere = np.isfinite(sphere(COLOUR, T, centre, radius * 0.93))
    both = on_sphere & np.isfinite(found)
    assert both.sum() > 0.97 * on_sphere.sum()
    np.testing.assert_allclose(found[both], expected[both], atol=2e-3)
    shadow = np.isnan(found) & np.isfinite(expected)
    assert 50 < shadow[20:130, 20:180].sum() < 3000, "the plane behind the sphere was not seen: no value is invented"
    away = np.isfinite(found) & ~np.isfinite(sphere(COLOUR, T, centre, radius * 1.07))
    error = np.abs(found - expected)[away]
    assert np.quantile(error, 0.995) < 1e-4


def test_the_nearest_wins_and_the_unknown_stays_unknown() -> None:
    depth = np.full((120, 160), 2.0, np.float32)
    depth[40:80, 60:100] = 1.0
    depth[:10], depth[10:20], depth[20:30] = np.nan, 0, np.inf
    found = register_depth(depth, DEPTH, DEPTH, np.eye(4))
    np.testing.assert_array_equal(np.isnan(found[:30]), True)
    np.testing.assert_allclose(found[30:], depth[30:], rtol=1e-6)
    T = np.eye(4)
    T[0, 3] = 0.1  # the near square moves by 14 pixels, the wall by 7
    moved = register_depth(depth, DEPTH, DEPTH, T)[60]
    assert (moved[75:113] == pytest.approx(1.0)) and np.isnan(moved[68:73]).all() and moved[64] == pytest.approx(2.0)
    assert moved[116] == pytest.approx(2.0)
    behind = np.eye(4)
    behind[2, 3] = -5.0
    assert np.isnan(register_depth(depth, DEPTH, DEPTH, behind)).all()
    assert np.isnan(register_depth(np.full((120, 160), np.nan, np.float32), DEPTH, LENS, T)).all()


def test_another_size_than_the_camera_is_refused() -> None:
    with pytest.raises(DataError, match="depth is 160x100, its camera 160x120"):
        register_depth(np.ones((100, 160), np.float32), DEPTH, COLOUR, np.eye(4))


def test_grids_are_the_same_within_half_a_pixel() -> None:
    near = PinholeCamera.from_intrinsics(160, 120, 141.5, 140.1, 80.0, 58.9)
    far = PinholeCamera.from_intrinsics(160, 120, 146.0, 140.1, 80.0, 58.9)
    assert same_grid(DEPTH, near) and not same_grid(DEPTH, far) and not same_grid(DEPTH, COLOUR)
    assert same_grid(COLOUR, LENS), "the lens is not in the question"


def test_a_view_of_another_camera_comes_to_the_rectified_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coarser where it must be registered; as it is where the cameras are the same."""
    monkeypatch.setattr("mono_depth_recon.registration._COARSE_PX", 80)
    T = pose()
    view = DepthView(plane(DEPTH, np.eye(4)), DEPTH, T)
    coarse = view.on(LENS)
    assert coarse.shape == (60, 80)
    known = np.isfinite(coarse)
    assert known.mean() > 0.5
    np.testing.assert_allclose(coarse[known], plane(LENS.resized(80, 60), T)[known], rtol=1e-4)
    full, straight = on_rectified_grid(view, LENS), LENS.rectified
    known = np.isfinite(full)
    assert full.shape == (150, 200) and known.mean() > 0.5
    np.testing.assert_allclose(full[known], plane(straight, T)[known], rtol=0.02)  # nearest of coarse pixels
    depth = plane(DEPTH, np.eye(4))
    assert DepthView(depth, DEPTH, np.eye(4)).on(DEPTH) is depth

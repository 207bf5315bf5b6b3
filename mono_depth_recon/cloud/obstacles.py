"""The obstacles around a robot in a depth map: points for 3D costmaps, and a planar scan of them.

All is in the robot's base frame: x forward, y left, z up (REP 103). Height is z, range the horizontal distance from the
origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth, Mask, Matrix
from ..camera import PinholeCamera
from ..config import SafeConfig
from .voxel_grid import voxel_means

_HORIZON_M = 1e4  # far enough for the direction from the base to be that of the ray
_STEEPEST = 0.5  # cosine of the steepest rays (60 degrees) that every bin of a scan is wide enough for
_SEEN_SHARE, _SEEN_ROWS = 0.5, 4  # of the pixels in a direction, counted in every fourth row


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What a depth map shows: `obstacles` (N, 3) and flattened `ground` (M, 3), float32 metres in the base frame.

    `known` (h, w) bool is true where the used rows and columns have depth or are beyond range; `camera` is the one of
    this grid and `T_base_camera` (4, 4) its pose.
    """

    obstacles: NDArray[np.float32]
    ground: NDArray[np.float32]
    known: Mask
    camera: PinholeCamera
    T_base_camera: Matrix


@dataclass(frozen=True, eq=False)
class PlanarScan:
    """Range (N,) float32 of the nearest obstacle at each `angle_min` + i `increment` (rad, from x towards y).

    +Inf where the camera sees that direction and nothing in it within `range_max`, NaN where it does not see it.
    """

    angle_min: float
    increment: float
    range_min: float
    range_max: float
    ranges: NDArray[np.float32]


def surroundings(depth: Depth, camera: PinholeCamera, T_base_camera: Matrix, settings: SafeConfig) -> Surroundings:
    """The obstacles in `depth` (H, W; metres, NaN unknown, +Inf beyond range) of a rectified `camera`.

    A point within `max_range` is ground where its height differs from `ground_height` by at most `ground_tolerance` +
    `ground_slope` * range (unless `ground` is keep), and an obstacle where it is not and its height is from
    `min_height` to `max_height`. Raises DataError where depth and camera differ in size.
    """
    camera.check_image(depth)
    depth, camera = depth[:: settings.stride, :: settings.stride], strided(camera, settings.stride)
    with np.errstate(invalid="ignore"):  # Inf * 0
        x, y, z = (
            depth * direction + np.float32(offset)
            for direction, offset in zip(_directions(camera, T_base_camera), T_base_camera[:3, 3], strict=True)
        )
        squared = x * x + y * y
        near = squared <= settings.max_range**2  # not where depth is not finite
        obstacle = near & (z >= settings.min_height) & (z <= settings.max_height)
        ground = np.zeros_like(near)
        if settings.ground != "keep":
            tolerance = np.sqrt(squared) * np.float32(settings.ground_slope) + np.float32(settings.ground_tolerance)
            ground = near & (np.abs(z - np.float32(settings.ground_height)) <= tolerance)
            obstacle &= ~ground
    floor = np.empty((0, 3), np.float32)
    if settings.ground == "flatten":
        z = np.where(ground, np.float32(settings.ground_height), z)
        floor = _chosen(ground, x, y, z)
    return Surroundings(_chosen(obstacle, x, y, z), floor, ~np.isnan(depth), camera, T_base_camera)


def strided(camera: PinholeCamera, stride: int) -> PinholeCamera:
    """The camera of every n-th row and column of its image, from the first."""
    columns, rows = -(-camera.width // stride), -(-camera.height // stride)
    return PinholeCamera.from_intrinsics(
        columns, rows, camera.fx / stride, camera.fy / stride, camera.cx / stride, camera.cy / stride
    )


def safe_points(seen: Surroundings, voxel_size: float) -> NDArray[np.float32]:
    """(N, 3) float32: obstacles and flattened ground in the camera's frame, one point per voxel (0: all of them).

    The cubes of the voxel grid are those of the base frame.
    """
    points = np.concatenate([seen.obstacles, seen.ground])
    if voxel_size and len(points):
        points = voxel_means(points, np.empty((len(points), 0), np.float32), voxel_size).T
    R, t = seen.T_base_camera[:3, :3], seen.T_base_camera[:3, 3]
    moved: NDArray[np.float32] = (points - t.astype(np.float32)) @ R.astype(np.float32)
    return moved


def planar_scan(seen: Surroundings, near_m: float, settings: SafeConfig) -> PlanarScan:
    """The scan of the obstacles of `seen`, from the base frame's origin.

    Its angles cover the camera's view of everything farther than `near_m` along the optical axis, also where the camera
    is off the origin. A step is what one column of the image spans where it spans most. A direction is seen where at
    least half of the pixels in it are known.
    """
    low, high = _fan(seen.camera, seen.T_base_camera, near_m)
    step = _step(seen.camera, seen.T_base_camera)
    count = round((high - low) / step) + 1

    def place(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.intp]:
        steps = (np.arctan2(y, x) - np.float32(low - step)) % np.float32(2 * np.pi) / np.float32(step)
        return np.clip(np.rint(steps).astype(np.intp) - 1, 0, count - 1)

    x, y, _ = _directions(seen.camera, seen.T_base_camera)
    bins = place(x[::_SEEN_ROWS], y[::_SEEN_ROWS]).ravel()
    pixels = np.bincount(bins, minlength=count)
    known = np.bincount(bins, weights=seen.known[::_SEEN_ROWS].ravel(), minlength=count)
    clear = (pixels > 0) & (known >= _SEEN_SHARE * pixels)
    ranges = np.full(count, np.inf, np.float32)
    x, y, _ = seen.obstacles.T
    np.minimum.at(ranges, place(x, y), np.hypot(x, y))
    ranges[np.isinf(ranges) & ~clear] = np.nan
    return PlanarScan(low, step, near_m, settings.max_range, ranges)


def _directions(camera: PinholeCamera, T_base_camera: Matrix) -> list[NDArray[np.float32]]:
    """x, y and z (H, W) in the base frame of what lies at depth 1, without the camera's position."""
    columns, rows = camera.rays
    R = T_base_camera[:3, :3].astype(np.float32)
    return [a * columns + (b * rows + c)[:, None] for a, b, c in R]


def _chosen(where: Mask, *planes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([plane[where] for plane in planes], axis=1)


def _fan(camera: PinholeCamera, T_base_camera: Matrix, near_m: float) -> tuple[float, float]:
    """First and last angle of the view as seen from the origin: of its convex outline, all around if that is in it."""
    columns, rows = camera.rays
    corners = np.array([(x, y, 1.0) for x in columns[[0, -1]] for y in rows[[0, -1]]], np.float64)
    points = np.concatenate([corners * near_m, corners * _HORIZON_M]) @ T_base_camera[:3, :3].T + T_base_camera[:3, 3]
    angles = np.sort(np.arctan2(points[:, 1], points[:, 0]))
    gaps = np.diff(np.append(angles, angles[0] + 2 * np.pi))
    widest = int(np.argmax(gaps))
    if gaps[widest] < np.pi:
        return -np.pi, np.pi
    low = float(angles[(widest + 1) % len(angles)])
    return low, low + 2 * np.pi - float(gaps[widest])


def _step(camera: PinholeCamera, T_base_camera: Matrix) -> float:
    """The largest angle about z between neighbouring pixels, of rays not steeper than 60 degrees."""
    x, y = (rays[np.linspace(0, len(rays) - 1, 9).astype(int)] for rays in camera.rays)
    rays = np.stack(np.broadcast_arrays(x[None], y[:, None], np.float32(1)), axis=-1) @ T_base_camera[:3, :3].T
    level = np.hypot(rays[..., 0], rays[..., 1])
    lengths = np.linalg.norm(rays, axis=-1)
    return float(1 / min(camera.fx, camera.fy) / np.maximum(level, _STEEPEST * lengths).min())

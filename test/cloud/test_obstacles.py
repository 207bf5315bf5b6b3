"""Obstacles and scans of analytic rooms: a floor, walls, boxes and beams, seen by a tilted camera."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mono_depth_recon.arrays import Depth, Matrix
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.obstacles import PlanarScan, planar_scan, safe_points, strided, surroundings
from mono_depth_recon.config import SafeConfig
from mono_depth_recon.datasets.opening import open_dataset
from mono_depth_recon.errors import DataError

CAMERA = PinholeCamera.from_hfov(320, 240, 70.0)
WIDE = (-50.0, 50.0)
FLOOR = ((-50.0, 50.0), (-50.0, 50.0), (-1.0, 0.0))  # boxes: ranges of x, y and z in the base frame
NEAR = 0.1


def mounted(
    x: float = 0.2, y: float = 0.0, height: float = 0.8, down_deg: float = 20.0, left_deg: float = 0.0
) -> Matrix:
    """T_base_camera of a camera that looks forward, tilted down and turned left."""
    T = np.eye(4)
    optical = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # of a level camera: x right, y down, z forward
    T[:3, :3] = Rotation.from_euler("zy", [left_deg, down_deg], degrees=True).as_matrix() @ optical
    T[:3, 3] = x, y, height
    return T


def depth_of(T: Matrix, *boxes: tuple[tuple[float, float], ...], camera: PinholeCamera = CAMERA) -> Depth:
    """What a camera outside of all boxes sees of them: the nearest, by slabs; +Inf where there is none."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], -1) @ T[:3, :3].T
    depth = np.full(u.shape, np.inf)
    for box in boxes:
        low, high = np.array(box).T - T[:3, 3]
        with np.errstate(divide="ignore", invalid="ignore"):
            a, b = low / rays, high / rays
        enter, leave = np.fmin(a, b).max(-1), np.fmax(a, b).min(-1)
        depth = np.where((enter <= leave) & (enter > 0) & (enter < depth), enter, depth)
    return depth.astype(np.float32)


def wall_at(x: float) -> tuple[tuple[float, float], ...]:
    return ((x, x + 1), WIDE, (-1.0, 3.0))


def scan_of(depth: Depth, T: Matrix, **values: object) -> PlanarScan:
    settings = SafeConfig(**{"stride": 1, **values})  # type: ignore[arg-type]
    return planar_scan(surroundings(depth, CAMERA, T, settings), NEAR, settings)


def angles_of(scan: PlanarScan) -> NDArray[np.float64]:
    return scan.angle_min + scan.increment * np.arange(len(scan.ranges), dtype=np.float64)


def in_base(points: NDArray[np.float32], T: Matrix) -> NDArray[np.float64]:
    placed: NDArray[np.float64] = points @ T[:3, :3].T + T[:3, 3]
    return placed


@pytest.mark.parametrize("mount", [mounted(), mounted(down_deg=35.0, height=1.3), mounted(y=-0.3, left_deg=25.0)])
def test_ground_is_removed_and_the_obstacle_stays(mount: Matrix) -> None:
    box = ((1.5, 1.9), (-0.2, 0.3), (0.0, 0.4))
    depth = depth_of(mount, FLOOR, box)
    seen = surroundings(depth, CAMERA, mount, SafeConfig(stride=1, ground_slope=0.0, ground_tolerance=0.02))
    points = seen.obstacles
    assert len(points) > 500 and len(seen.ground) == 0
    outside = np.maximum(0, np.maximum(np.array(box)[:, 0] - points, points - np.array(box)[:, 1]))
    assert np.linalg.norm(outside, axis=1).max() < 1e-3
    assert points[:, 2].min() > 0.02 and points[:, 2].max() > 0.38


def test_what_belongs_to_the_ground_grows_with_range() -> None:
    """Of steps of one height those beyond (height - tolerance) / slope belong to the ground."""
    steps = [((x, x + 0.1), WIDE, (0.0, 0.15)) for x in (1.0, 1.8, 2.6, 3.4)]
    mount = mounted(x=0.0, height=1.5, down_deg=30.0)
    near = (-0.05, 0.05)
    depth = depth_of(mount, FLOOR, *[(x, near, z) for x, _, z in steps])
    settings = SafeConfig(stride=1, ground_tolerance=0.05, ground_slope=0.05)
    tops = surroundings(depth, CAMERA, mount, settings).obstacles
    tops = tops[tops[:, 2] > 0.149]
    assert set(np.floor(tops[:, 0] * 10 + 1e-3).astype(int).tolist()) == {10, 18}


@pytest.mark.parametrize("ground", ["remove", "flatten", "keep"])
def test_the_three_ways_with_the_ground(ground: str) -> None:
    mount, rng = mounted(), np.random.default_rng(3)
    depth = depth_of(mount, FLOOR) * rng.uniform(0.97, 1.03, (240, 320)).astype(np.float32)
    settings = SafeConfig(stride=1, ground=ground, max_range=3.0, min_height=-0.5, voxel_size=0.0)
    seen = surroundings(depth, CAMERA, mount, settings)
    expected = np.hypot(*in_base(safe_points(seen, 0.0), mount)[:, :2].T) if ground != "remove" else np.empty(0)
    if ground == "keep":
        assert len(seen.ground) == 0 and len(seen.obstacles) > 10_000 and seen.obstacles[:, 2].std() > 0.001
    else:
        assert len(seen.obstacles) == 0 and (len(seen.ground) > 10_000) == (ground == "flatten")
        assert (seen.ground[:, 2] == 0).all()
    assert not len(expected) or expected.max() <= 3.0
    flattened = in_base(safe_points(seen, 0.05), mount)
    assert np.abs(flattened[:, 2]).max(initial=0) < (1e-5 if ground != "keep" else 0.1)


def test_the_ground_of_a_base_frame_above_it() -> None:
    raised = mounted(height=0.6)  # of a base frame 0.2 m above the ground
    floor, box = ((-50, 50), (-50, 50), (-1.0, -0.2)), ((1.5, 1.9), (-0.2, 0.2), (-0.2, 0.1))
    settings = SafeConfig(stride=1, ground_height=-0.2, min_height=-0.3, max_height=0.05)
    points = surroundings(depth_of(raised, floor, box), CAMERA, raised, settings).obstacles
    np.testing.assert_allclose(points[:, 0], 1.5, atol=1e-3)  # the front alone: its top is too high
    assert -0.1 < points[:, 2].min() < 0.0 and 0.0 < points[:, 2].max() <= 0.05


def test_heights_and_ranges_are_limited() -> None:
    mount = mounted(down_deg=0.0)
    depth = depth_of(mount, FLOOR, wall_at(2.0))
    points = surroundings(depth, CAMERA, mount, SafeConfig(stride=1, min_height=0.5, max_height=0.9)).obstacles
    assert 0.5 <= points[:, 2].min() < 0.51 and 0.89 < points[:, 2].max() <= 0.9
    points = surroundings(depth, CAMERA, mount, SafeConfig(stride=1, max_range=2.2)).obstacles
    assert 2.19 < np.hypot(points[:, 0], points[:, 1]).max() <= 2.2
    assert not len(surroundings(depth, CAMERA, mount, SafeConfig(max_range=1.9)).obstacles)


def test_points_come_back_to_the_camera_and_one_per_voxel_of_the_base() -> None:
    mount = mounted(y=0.4, left_deg=-15.0)
    depth = depth_of(mount, FLOOR, wall_at(2.0))
    seen = surroundings(depth, CAMERA, mount, SafeConfig(stride=1))
    every = safe_points(seen, 0.0)
    np.testing.assert_allclose(in_base(every, mount), seen.obstacles, atol=1e-5)
    u, v = (every[:, :2] / every[:, 2:] * [CAMERA.fx, CAMERA.fy] + [CAMERA.cx, CAMERA.cy]).T
    np.testing.assert_allclose(depth[np.rint(v).astype(int), np.rint(u).astype(int)], every[:, 2], rtol=1e-5)
    thinned = in_base(safe_points(seen, 0.1), mount)
    cubes = np.floor(thinned / 0.1 + 0.5)
    assert len(np.unique(cubes, axis=0)) == len(thinned) < len(every) / 20
    np.testing.assert_array_equal(
        np.unique(cubes, axis=0), np.unique(np.floor(seen.obstacles.astype(np.float32) / np.float32(0.1) + 0.5), axis=0)
    )


def test_a_stride_is_the_smaller_camera() -> None:
    camera = PinholeCamera.from_intrinsics(321, 241, 300.0, 310.0, 155.0, 122.0)
    small = strided(camera, 3)
    assert small.size == (107, 81)
    for axis in (0, 1):
        np.testing.assert_allclose(small.rays[axis], camera.rays[axis][::3], atol=1e-6)
    mount = mounted()
    depth = depth_of(mount, FLOOR, wall_at(2.0), camera=camera)
    fine, coarse = (surroundings(depth, camera, mount, SafeConfig(stride=n)) for n in (1, 3))
    assert len(coarse.obstacles) == pytest.approx(len(fine.obstacles) / 9, rel=0.05)
    assert coarse.known.shape == (81, 107)


def test_depth_of_another_size_is_refused() -> None:
    with pytest.raises(DataError, match="camera is 320x240, image is 10x10"):
        surroundings(np.ones((10, 10), np.float32), CAMERA, mounted(), SafeConfig())


@pytest.mark.parametrize(
    "mount",
    [
        mounted(x=0.0, down_deg=0.0),
        mounted(down_deg=25.0),
        mounted(x=0.3, y=0.4, down_deg=15.0, left_deg=30.0),
        mounted(x=-0.2, down_deg=10.0, left_deg=-40.0),
    ],
)
def test_a_scan_of_a_wall_is_its_distance_over_the_cosine(mount: Matrix) -> None:
    """Every beam from the base's origin towards the wall ends there; those beyond the range see nothing."""
    scan = scan_of(depth_of(mount, FLOOR, wall_at(2.0)), mount, max_range=3.0)
    angles = angles_of(scan)
    expected = 2.0 / np.cos(angles)
    hit = np.isfinite(scan.ranges)
    assert hit.sum() > 100
    slack = 2 * scan.increment * np.abs(np.tan(angles)) + 1e-3  # half a step to both sides, twice
    assert (np.abs(scan.ranges - expected)[hit] <= (expected * slack)[hit] + 1e-3).all()
    inner = hit & np.roll(hit, 1) & np.roll(hit, -1)
    first, last = np.flatnonzero(inner)[[0, -1]]
    assert inner[first : last + 1].all(), "no gaps within the wall"
    assert not np.isfinite(scan.ranges[(expected > 3.01) | (np.cos(angles) <= 0)]).any()


def test_the_angles_of_a_level_camera_are_those_of_its_intrinsics() -> None:
    mount = mounted(x=0.0, down_deg=0.0)
    scan = scan_of(depth_of(mount, FLOOR, wall_at(2.0)), mount)
    half = np.arctan(CAMERA.cx / CAMERA.fx)
    assert scan.angle_min == pytest.approx(-half, abs=1e-6) and scan.increment == pytest.approx(1 / CAMERA.fx, rel=1e-5)
    assert angles_of(scan)[-1] == pytest.approx(half, abs=scan.increment)
    assert (scan.range_min, scan.range_max) == (NEAR, 5.0)
    assert np.isfinite(scan.ranges).all() and scan.ranges.dtype == np.float32


def test_the_ground_is_no_obstacle_of_a_scan_and_where_it_is_seen_the_way_is_free() -> None:
    """A band of rows around the centre of a tilted camera would end at the floor."""
    mount = mounted(down_deg=30.0)
    for ground in ("remove", "flatten"):
        scan = scan_of(depth_of(mount, FLOOR), mount, ground=ground)
        assert not np.isfinite(scan.ranges).any() and np.isposinf(scan.ranges).sum() > 200


def test_what_is_too_high_or_too_low_is_no_obstacle() -> None:
    mount = mounted(down_deg=0.0)
    beam, curb, box = (((1.5, 1.6), (-0.3, 0.3), z) for z in ((1.0, 1.1), (0.0, 0.1), (0.0, 0.9)))
    settings = {"min_height": 0.3, "max_height": 0.9}
    scan = scan_of(depth_of(mount, FLOOR, beam, curb), mount, **settings)
    assert not np.isfinite(scan.ranges).any()
    scan = scan_of(depth_of(mount, FLOOR, box), mount, **settings)
    assert np.nanmin(scan.ranges) == pytest.approx(1.5, abs=1e-3)


def test_a_direction_without_depth_is_not_free() -> None:
    """REP 117: NaN where nothing is known, +Inf where nothing is within range."""
    mount = mounted(x=0.0, down_deg=0.0)
    depth = depth_of(mount)  # nothing at all
    depth[:, :80], depth[: 240 * 2 // 3, 80:160] = np.nan, np.nan
    depth[: 240 // 3, 160:240] = np.nan
    scan = scan_of(depth, mount)
    columns = CAMERA.cx - np.tan(angles_of(scan)) * CAMERA.fx
    inside = np.abs((columns + 0.5) % 80 - 40) < 37
    assert np.isnan(scan.ranges[inside & (columns < 160)]).all()
    assert np.isposinf(scan.ranges[inside & (columns > 160)]).all()
    depth[100:110, 20:30] = 1.0  # an obstacle is one whatever else is unknown
    assert np.isfinite(scan_of(depth, mount).ranges).sum() >= 6


def test_no_depth_at_all_is_an_empty_cloud_and_an_unknown_scan() -> None:
    mount = mounted()
    depth = np.full((240, 320), np.nan, np.float32)
    seen = surroundings(depth, CAMERA, mount, SafeConfig(ground="flatten"))
    assert safe_points(seen, 0.05).shape == (0, 3) == seen.ground.shape
    assert np.isnan(planar_scan(seen, NEAR, SafeConfig()).ranges).all()


def test_a_camera_behind_the_origin_or_looking_down_sees_all_around() -> None:
    for mount in (mounted(x=-0.5, down_deg=0.0), mounted(down_deg=90.0, height=2.0)):
        scan = scan_of(depth_of(mount, FLOOR), mount)
        angles = angles_of(scan)
        assert angles[0] == pytest.approx(-np.pi) and angles[-1] >= np.pi
    pole = ((-0.3, -0.25), (-0.1, 0.1), (0.0, 0.9))  # behind the origin, before the camera
    mount = mounted(x=-0.9, down_deg=0.0)
    scan = scan_of(depth_of(mount, FLOOR, pole), mount)
    nearest = int(np.nanargmin(scan.ranges))
    assert abs(angles_of(scan)[nearest]) == pytest.approx(np.pi, abs=0.1)
    assert scan.ranges[nearest] == pytest.approx(0.3, abs=0.01)


def test_a_camera_that_looks_back_scans_across_pi() -> None:
    mount = mounted(x=-0.2, left_deg=180.0)
    scan = scan_of(depth_of(mount, FLOOR, ((-3.0, -2.0), WIDE, (0.0, 3.0))), mount)
    angles = angles_of(scan)
    assert angles[0] < np.pi < angles[-1] < 2 * np.pi
    assert scan.ranges[np.argmin(np.abs(angles - np.pi))] == pytest.approx(2.0, abs=2e-3)


def test_the_costmap_of_a_recording_has_the_obstacles_that_its_depth_has(tum_folder: Callable[[str], Path]) -> None:
    """Cells of 5 cm with an obstacle, by points_safe and from all pixels in homogeneous coordinates."""
    recording = open_dataset(tum_folder("rgbd_dataset_freiburg3_cabinet_keyframes"))
    settings = SafeConfig(stride=1, max_range=3.0, min_height=0.1, max_height=1.2, voxel_size=0.0)
    for number in range(0, len(recording), len(recording) // 3):
        sample = recording.read(number)
        assert sample.depth is not None and sample.T_world_camera is not None
        T = np.array(sample.T_world_camera)
        T[:2, 3] = 0.0  # a base on the floor below the camera
        found = in_base(safe_points(surroundings(sample.depth, sample.camera, T, settings), 0.0), T)
        v, u = np.nonzero(np.isfinite(sample.depth))
        pixels = np.stack([u, v, np.ones_like(u)]) * sample.depth[v, u].astype(np.float64)
        x, y, z = T[:3] @ np.vstack([np.linalg.inv(sample.camera.K) @ pixels, np.ones(len(u))])
        reach = np.hypot(x, y)
        standing = (reach <= 3.0) & (z >= 0.1) & (z <= 1.2) & (np.abs(z) > 0.05 + 0.05 * reach)
        expected, cells = (
            {tuple(cell) for cell in np.floor(places / 0.05).astype(int).tolist()}
            for places in (np.stack([x, y], 1)[standing], found[:, :2])
        )
        assert len(expected) > 100 and len(cells ^ expected) <= 0.01 * len(expected)

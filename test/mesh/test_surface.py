"""Meshes of one frame against analytic planes, spheres and steps, and on a real desk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mono_depth_recon.arrays import Points
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.back_projection import back_project
from mono_depth_recon.cloud.clean_up import clean_cloud
from mono_depth_recon.cloud.cloud import Cloud, cloud_from_organised
from mono_depth_recon.config import MeshConfig
from mono_depth_recon.datasets.tum import TumFolder
from mono_depth_recon.errors import DataError
from mono_depth_recon.filters import flying_pixels
from mono_depth_recon.mesh.ball_pivoting import mesh_ball_pivoting
from mono_depth_recon.mesh.finish import decimate
from mono_depth_recon.mesh.grid import mesh_grid
from mono_depth_recon.mesh.mesh import Mesh
from mono_depth_recon.mesh.poisson import mesh_poisson
from mono_depth_recon.mesh.surface import make_mesh, seen_part

CAMERA = PinholeCamera.from_hfov(160, 120, 60.0)
CENTRE, RADIUS = np.array([0.0, 0.0, 2.0]), 0.5


def _frame(depth: NDArray[np.floating], camera: PinholeCamera = CAMERA) -> Points:
    rgb = np.random.default_rng(0).integers(0, 256, (*depth.shape, 3), np.uint8)
    return back_project(depth.astype(np.float32), camera, rgb)


def _sphere_depth() -> NDArray[np.float64]:
    """Depth of the sphere (CENTRE, RADIUS), NaN beside it: solves |t * ray - centre| = radius for the nearer t."""
    x, y = (ray.astype(np.float64) for ray in CAMERA.rays)
    square = x[None, :] ** 2 + y[:, None] ** 2 + 1.0
    root = CENTRE[2] ** 2 - square * (CENTRE @ CENTRE - RADIUS**2)
    with np.errstate(invalid="ignore"):
        return (CENTRE[2] - np.sqrt(root)) / square


def _tilted_plane() -> NDArray[np.float64]:
    """Depth of the plane 0.3 x + 0.1 y + z = 2."""
    x, y = CAMERA.rays
    return 2.0 / (0.3 * x[None, :] + 0.1 * y[:, None] + 1.0)


def _facing(mesh: Mesh) -> NDArray[np.bool_]:
    """True for triangles whose counter-clockwise side is towards the origin."""
    a, b, c = (mesh.vertices[mesh.triangles[:, i]].astype(np.float64) for i in range(3))
    return (np.cross(b - a, c - a) * (a + b + c)).sum(axis=1) < 0


def _is_sound(mesh: Mesh) -> bool:
    return (
        mesh.vertices.dtype == np.float32
        and mesh.triangles.dtype == np.int32
        and mesh.colors.dtype == np.uint8
        and mesh.colors.shape == mesh.vertices.shape
        and mesh.triangles.min() >= 0
        and np.array_equal(np.unique(mesh.triangles), np.arange(len(mesh.vertices)))
    )


def test_the_grid_of_a_plane_has_two_triangles_a_quad_and_lies_in_the_plane() -> None:
    points = _frame(_tilted_plane())
    mesh = mesh_grid(points, 0.05)
    assert len(mesh.triangles) == 2 * 119 * 159 and len(mesh.vertices) == 120 * 160
    assert _is_sound(mesh) and _facing(mesh).all()
    np.testing.assert_allclose(mesh.vertices @ [0.3, 0.1, 1.0], 2.0, atol=1e-5)
    np.testing.assert_array_equal(mesh.colors, cloud_from_organised(points).colors)


def test_the_grid_is_cut_at_a_step_and_only_there() -> None:
    depth = np.full((120, 160), 1.0)
    depth[:, 80:] = 1.2
    assert len(mesh_grid(_frame(depth), 0.05).triangles) == 2 * 119 * 158
    assert len(mesh_grid(_frame(depth), 0.25).triangles) == 2 * 119 * 159


@pytest.mark.parametrize("hole", [(5, 7), (0, 0), (0, 159), (119, 0), (119, 159)])
def test_a_missing_pixel_costs_the_fewest_triangles(hole: tuple[int, int]) -> None:
    depth = np.full((120, 160), 1.0)
    depth[hole] = np.nan
    quads_hit = 4 if 0 < hole[0] < 119 and 0 < hole[1] < 159 else 1
    mesh = mesh_grid(_frame(depth), 0.05)
    assert len(mesh.triangles) == 2 * 119 * 159 - quads_hit  # every quad that is hit keeps one of its two
    assert _is_sound(mesh) and _facing(mesh).all()


@pytest.mark.parametrize("method", ["poisson", "grid", "ball_pivoting"])
def test_a_frame_without_depth_is_refused_alike(method: str) -> None:
    for nothing in (np.nan, np.inf):
        with pytest.raises(DataError, match=r"none of its 19200 pixels has any: check the range and the mask$"):
            make_mesh(_frame(np.full((120, 160), nothing)), MeshConfig(method=method))


def test_a_grid_without_triangles_is_refused_with_its_cause() -> None:
    apart, row = np.full((120, 160), np.nan), _frame(np.ones((120, 160)))[::120]
    apart[::2, ::2] = 1.0
    with pytest.raises(DataError, match=r"the 4800 with depth lie apart: use mesh\.method poisson"):
        mesh_grid(_frame(apart), 0.05)
    with pytest.raises(DataError, match=r"crosses a depth edge: raise mesh\.edge_ratio"):
        mesh_grid(_frame(np.random.default_rng(0).uniform(1, 2, (120, 160))), 1e-6)
    with pytest.raises(DataError, match=r"2x2 points at least, got 160x1: lower cloud\.stride"):
        mesh_grid(row, 0.05)


@pytest.mark.parametrize("make", [lambda cloud: mesh_poisson(cloud, 7, 0.02), mesh_ball_pivoting])
def test_a_seen_half_of_a_sphere_comes_back_and_no_balloon(make: Callable[[Cloud], Mesh]) -> None:
    cloud = clean_cloud(cloud_from_organised(_frame(_sphere_depth())), MeshConfig(voxel_size=0.015))
    mesh = make(cloud)
    radius = np.linalg.norm(mesh.vertices - CENTRE, axis=1)
    assert np.median(np.abs(radius - RADIUS)) < 0.002
    assert np.quantile(np.abs(radius - RADIUS), 0.95) < 0.01
    assert mesh.vertices[:, 2].max() < cloud.points[:, 2].max() + 0.06  # nothing of the unseen half
    assert _is_sound(mesh) and _facing(mesh).mean() > 0.99
    seen = 2 * np.pi * RADIUS**2 * (1 - RADIUS / CENTRE[2])  # cap above the horizon as seen from the camera
    assert 0.65 * seen < _area(mesh) < 1.05 * seen  # the grazing rim has few points


def _area(mesh: Mesh) -> float:
    a, b, c = (mesh.vertices[mesh.triangles[:, i]].astype(np.float64) for i in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def test_poisson_puts_nothing_between_a_board_and_the_wall_behind_it() -> None:
    depth = np.full((120, 160), 2.5)
    depth[40:80, 50:110] = 1.5
    mesh = mesh_poisson(clean_cloud(cloud_from_organised(_frame(depth)), MeshConfig(voxel_size=0.03)), 7, 0.02)
    off_both = np.minimum(np.abs(mesh.vertices[:, 2] - 1.5), np.abs(mesh.vertices[:, 2] - 2.5))
    assert off_both.max() < 0.12 and np.quantile(off_both, 0.98) < 0.03
    assert (np.abs(mesh.vertices[:, 2] - 1.5) < 0.03).sum() > 200


@pytest.mark.parametrize("method", ["poisson", "ball_pivoting"])
@pytest.mark.parametrize("ramp_px", [1, 4], ids=["sharp", "blurred"])
def test_no_bridge_hangs_between_a_desk_and_the_floor_behind_its_edge(method: str, ramp_px: int) -> None:
    """A desk in the lower half, the floor 0.6 m behind its edge: a network blurs the step over some pixels."""
    rows = np.arange(120)[:, None]
    near_share = np.clip((rows - 60 + ramp_px / 2) / ramp_px, 0, 1)
    depth = np.repeat(1 / (near_share / 1.2 + (1 - near_share) / 1.8), 160, axis=1)
    mesh = make_mesh(_frame(depth), MeshConfig(method=method))
    z = mesh.vertices[:, 2]
    assert np.minimum(np.abs(z - 1.2), np.abs(z - 1.8)).max() < 0.04
    edge = 1.2 / CAMERA.fy * (60 - CAMERA.cy)
    assert mesh.vertices[z < 1.5, 1].min() > edge - 0.02  # nor does the desk grow over its edge
    assert _area(mesh) == pytest.approx(_seen_area(1.2) / 2 + _seen_area(1.8) / 2, rel=0.12)


def _seen_area(depth_m: float) -> float:
    return depth_m**2 * 160 * 120 / CAMERA.fx / CAMERA.fy


def test_a_floor_seen_at_a_flat_angle_is_no_edge() -> None:
    """From 0.4 m above: its end at 3 m is met at 7.6 degrees."""
    with np.errstate(divide="ignore"):
        floor = np.where(CAMERA.rays[1] > 0.4 / 3, 0.4 / CAMERA.rays[1], np.nan)
    points = _frame(np.repeat(floor[:, None], 160, axis=1))
    mesh = make_mesh(points, MeshConfig())
    missed = _distance(cloud_from_organised(points).points, mesh.vertices) > 0.04
    assert missed.mean() < 0.03 and mesh.vertices[:, 2].max() > 2.7


@pytest.mark.parametrize("depth", [5, 6])
def test_a_coarse_octree_makes_no_holes(depth: int) -> None:
    points = _frame(_tilted_plane())
    mesh = make_mesh(points, MeshConfig(poisson_depth=depth))
    assert _area(mesh) > 0.85 * _area(mesh_grid(points, 0.05))


def test_only_edges_are_no_surface() -> None:
    depth = 1 + np.indices((120, 160)).sum(axis=0) % 2
    with pytest.raises(DataError, match="every pixel with depth lies on a depth edge"):
        make_mesh(_frame(depth), MeshConfig())


def test_what_no_point_supports_is_cut_and_the_rest_takes_the_nearest_colours() -> None:
    cloud = Cloud(np.array([[0, 0, 1], [1, 0, 1]], np.float32), np.array([[255, 0, 0], [0, 0, 255]], np.uint8))
    corners = [[0.1, 0, 1], [0.9, 0, 1], [0.9, 0.1, 1], [9, 9, 1]]
    mesh = Mesh(np.array(corners, np.float32), np.array([[0, 1, 3], [0, 1, 2]], np.int32), np.zeros((4, 3), np.uint8))
    seen = seen_part(mesh, cloud, np.full(2, 0.01, np.float32))
    np.testing.assert_array_equal(seen.triangles, [[0, 1, 2]])
    np.testing.assert_array_equal(seen.colors, cloud.colors[[0, 1, 1]])
    far = Cloud(cloud.points + 5, cloud.colors)
    with pytest.raises(DataError, match="surface near the points"):
        seen_part(mesh, far, np.full(2, 0.01, np.float32))


def test_decimation_keeps_the_limit_the_shape_and_the_winding() -> None:
    mesh = mesh_grid(_frame(_tilted_plane()), 0.05)
    small = decimate(mesh, 1000)
    assert 500 < len(small.triangles) <= 1000 and _facing(small).all()
    np.testing.assert_allclose(small.vertices @ [0.3, 0.1, 1.0], 2.0, atol=2e-3)
    assert _area(small) == pytest.approx(_area(mesh), rel=0.05)
    assert decimate(small, 1000) is small


@pytest.mark.parametrize("method", ["poisson", "grid", "ball_pivoting"])
def test_every_method_makes_a_desk_near_its_data(method: str, desk_points: Points) -> None:
    start = time.process_time()
    mesh = make_mesh(desk_points, MeshConfig(method=method))
    print(f"{method}: {time.process_time() - start:.2f} s CPU, {len(mesh.triangles)} triangles")
    assert len(mesh.triangles) > 5000 and _is_sound(mesh)
    assert _facing(mesh).mean() > 0.97  # sensor noise tilts some triangles of grazing surfaces
    data = cloud_from_organised(desk_points).points
    assert np.quantile(_distance(mesh.vertices, data), 0.99) < 2 * MeshConfig().voxel_size
    assert _distance(data, mesh.vertices).mean() < 0.015  # and most of the data has a surface


def _distance(queries: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.float64]:
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(points).query(queries, workers=1)[0])


@pytest.fixture(scope="module")
def desk_points() -> Points:
    folder = os.environ.get("MONO_DEPTH_RECON_DATA")
    if not folder:
        pytest.skip("MONO_DEPTH_RECON_DATA names no data folder")
    frames = TumFolder(Path(folder) / "tum" / "rgbd_dataset_freiburg1_rpy_part", rectified=True)
    sample = frames[frames.positions.index(125)]
    assert sample.depth is not None
    depth = np.where(flying_pixels(sample.depth, 0.08), np.float32(np.nan), sample.depth)
    return back_project(depth, sample.camera, sample.rgb)

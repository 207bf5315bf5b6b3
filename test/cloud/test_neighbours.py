"""Neighbours, distances and rays against scipy and analytic values; the thinning grid against a dictionary of cubes."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mono_depth_recon.cloud.cloud import Cloud, known_points
from mono_depth_recon.cloud.neighbours import local_spacing, nearest, within
from mono_depth_recon.cloud.open3d_cloud import open3d_cloud, rgb_bytes
from mono_depth_recon.cloud.ray_casting import ray_scene
from mono_depth_recon.cloud.voxel_grid import voxel_grid, voxel_means
from mono_depth_recon.errors import DataError


def points_of(kind: type[np.floating], count: int = 200, seed: int = 0) -> NDArray[np.floating]:
    return np.random.default_rng(seed).normal(size=(count, 3)).astype(kind)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_neighbours_are_those_of_a_tree(kind: type[np.floating]) -> None:
    points, queries = points_of(kind), points_of(kind, 30, 1)
    tree = cKDTree(points)
    indices, distances = nearest(points, queries, 5)
    expected = tree.query(queries, 5)
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(distances, expected[0], rtol=1e-4 if kind is np.float32 else 1e-9)
    assert indices.dtype == np.int64 and distances.dtype == kind
    counts, found = within(points, queries, 0.7)
    parts = np.split(found, np.cumsum(counts)[:-1])
    assert [sorted(part) for part in parts] == [sorted(each) for each in tree.query_ball_point(queries, 0.7)]
    assert found.dtype == np.int64 and counts.sum() == len(found) > 30
    turned = nearest(np.asfortranarray(points), queries[::2], 1)[0]
    np.testing.assert_array_equal(turned, indices[::2, :1])


def test_the_spacing_is_the_mean_distance_to_twelve_others() -> None:
    points = points_of(np.float32)
    expected = cKDTree(points).query(points, 13)[0][:, 1:].mean(axis=1)
    np.testing.assert_allclose(local_spacing(points), expected, rtol=1e-4)  # type: ignore[arg-type]
    line = np.array([[0, 0, 0], [1, 0, 0], [3, 0, 0]], np.float32)
    np.testing.assert_allclose(local_spacing(line), [2.0, 1.5, 2.5])
    np.testing.assert_allclose(local_spacing(line[:2]), [1.0, 1.0])
    for few in (line[:1], line[:0]):
        spacing = local_spacing(few)
        assert spacing.shape == (len(few),) and spacing.dtype == np.float32 and not spacing.any()


def test_rays_end_on_the_triangles_that_were_given() -> None:
    import open3d as o3d

    vertices = np.array([[9, 9, 9], [-1, -1, 2], [3, -1, 2], [-1, 3, 2]], np.float64)  # the first is not used
    scene = ray_scene(vertices, np.array([[1, 2, 3]], np.int64))  # type: ignore[arg-type]
    rays = np.array([[0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, -1], [2.5, 2.5, 0, 0, 0, 1]], np.float32)
    hits = scene.cast_rays(o3d.core.Tensor(rays))["t_hit"].numpy()
    np.testing.assert_allclose(hits, [2, np.inf, np.inf], rtol=1e-6)


def test_colours_come_back_from_open3d() -> None:
    colors = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)
    cloud = Cloud(points_of(np.float32, 256), colors)  # type: ignore[arg-type]
    made = open3d_cloud(cloud)
    np.testing.assert_array_equal(np.asarray(made.points), cloud.points)
    assert np.asarray(made.colors).max() == 1.0
    np.testing.assert_array_equal(rgb_bytes(made.colors), colors)
    assert rgb_bytes([[0.3, 0.7, 1.0]]).tolist() == [[76, 178, 255]]


def test_a_point_is_known_where_all_coordinates_are_finite() -> None:
    points = np.ones((5, 4), np.float32)
    points[[0, 1, 2, 3], [0, 1, 2, 3]] = np.nan, np.inf, -np.inf, np.nan  # the last is a colour
    assert known_points(points).tolist() == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("extent", "size"),
    [(0.5, 0.1), (3.0, 0.05), (160.0, 0.1), (300.0, 0.1)],
    ids=["few", "many", "more than 2**31 cubes", "more than 2**32"],
)
def test_the_grid_is_that_of_a_dictionary_of_cubes(extent: float, size: float) -> None:
    rng = np.random.default_rng(2)
    points = rng.uniform(-extent / 2, extent / 2, (400, 3)).astype(np.float32)
    points = np.concatenate([points, points[::2] + np.float32(size / 50)])
    colors = rng.integers(0, 256, points.shape, np.uint8)
    cubes: dict[tuple[int, ...], list[int]] = defaultdict(list)
    scaled = points * np.float32(1 / size) + np.float32(0.5)
    for place, cube in enumerate(np.floor(scaled).astype(np.int64).tolist()):
        cubes[tuple(cube)].append(place)
    made, shades = voxel_grid(points, colors, size)
    assert made.dtype == np.float32 and shades.dtype == np.uint8
    means = [points[places].mean(axis=0) for _, places in sorted(cubes.items())]
    np.testing.assert_allclose(made, means, atol=1e-5 * extent)
    expected = [colors[places].mean(axis=0, dtype=np.float32) for _, places in sorted(cubes.items())]
    assert np.abs(shades - np.array(expected)).max() <= 0.51


def test_a_grid_without_points_or_beyond_counting() -> None:
    assert voxel_means(np.empty((0, 3), np.float32), np.empty((0, 2), np.float32), 0.1).shape == (5, 0)
    far = np.array([[0, 0, 0], [4e6, 4e6, 4e6]], np.float32)
    with pytest.raises(
        DataError, match=r"^a voxel grid of 0.5 m needs .*, got a box of 4e\+06 x 4e\+06 x 4e\+06 m: limit the range$"
    ):
        voxel_grid(far, np.zeros((2, 3), np.uint8), 0.5)
    far[1, 1] = np.nan
    with np.errstate(invalid="ignore"), pytest.raises(DataError, match=r"got a box of .* x nan x .* m"):
        voxel_grid(far, np.zeros((2, 3), np.uint8), 0.5)

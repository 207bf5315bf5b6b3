"""Clouds without order and their clean-up, on analytic points."""

from __future__ import annotations

import numpy as np
import pytest

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.back_projection import back_project
from mono_depth_recon.cloud.clean_up import clean_cloud
from mono_depth_recon.cloud.cloud import Cloud, cloud_from_organised
from mono_depth_recon.config import MeshConfig
from mono_depth_recon.errors import DataError

CAMERA = PinholeCamera.from_hfov(160, 120, 60.0)
RGB = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)


def _tilted_plane() -> Cloud:
    """The plane 0.3 x + 0.1 y + z = 2."""
    x, y = CAMERA.rays
    depth = 2.0 / (0.3 * x[None, :] + 0.1 * y[:, None] + 1.0)
    return cloud_from_organised(back_project(depth.astype(np.float32), CAMERA, RGB))


def test_the_cloud_keeps_finite_points_with_their_colours_in_row_order() -> None:
    depth = np.ones((2, 3), np.float32)
    depth[0, 1], depth[1, 2] = np.nan, np.inf
    camera = PinholeCamera.from_intrinsics(3, 2, 10, 10, 1, 0.5)
    rgb = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    cloud = cloud_from_organised(back_project(depth, camera, rgb))
    assert cloud.points.shape == (4, 3) and cloud.points.dtype == np.float32
    np.testing.assert_array_equal(cloud.colors, rgb[np.isfinite(depth)])


def test_a_frame_without_depth_is_refused() -> None:
    with pytest.raises(DataError, match="valid depth"):
        cloud_from_organised(back_project(np.full((120, 160), np.nan, np.float32), CAMERA, RGB))


def test_the_voxel_grid_averages_points_and_colours() -> None:
    corners = np.stack(np.meshgrid(*[np.arange(6) * 0.1 + 0.005] * 3), axis=-1).reshape(-1, 3)
    points = np.repeat(corners, 2, axis=0)
    points[1::2] += 0.01  # both within one cube: they are centred on multiples of 0.05
    colors = np.tile(np.array([[10, 20, 30], [30, 40, 50]], np.uint8), (len(corners), 1))
    cleaned = clean_cloud(Cloud(points.astype(np.float32), colors), MeshConfig(voxel_size=0.05, outlier_neighbors=0))
    order = np.lexsort(cleaned.points.round(2).T)
    np.testing.assert_allclose(cleaned.points[order], (corners + 0.005)[np.lexsort(corners.T)], atol=1e-6)
    np.testing.assert_array_equal(cleaned.colors, np.full((len(corners), 3), (20, 30, 40)))
    assert cleaned.points.dtype == np.float32 and cleaned.colors.dtype == np.uint8


def test_a_lone_point_is_an_outlier_and_the_plane_stays() -> None:
    cloud = _tilted_plane()
    lone = Cloud(
        np.concatenate([cloud.points, [[0, 0, 0.3]]]).astype(np.float32),
        np.concatenate([cloud.colors, [[0, 0, 0]]]).astype(np.uint8),
    )
    cleaned = clean_cloud(lone, MeshConfig(voxel_size=0.0))
    assert cleaned.points[:, 2].min() > 1.0
    assert len(cleaned) > 0.95 * len(cloud)


def test_points_without_eight_others_nearby_are_outliers_too() -> None:
    """Eight points close together have seven others each, nine have eight."""
    cloud, rng = _tilted_plane(), np.random.default_rng(1)
    for count in (8, 9):
        group = rng.uniform(-0.01, 0.01, (count, 3)) + [0, 0, 0.5]
        both = Cloud(
            np.concatenate([cloud.points, group]).astype(np.float32),
            np.concatenate([cloud.colors, np.zeros((count, 3))]).astype(np.uint8),
        )
        settings = MeshConfig(voxel_size=0.0, outlier_neighbors=0, outlier_radius=0.1)
        near = clean_cloud(both, settings).points[:, 2] < 0.6
        assert near.sum() == (0 if count == 8 else 9)
    assert len(clean_cloud(both, MeshConfig(voxel_size=0.0, outlier_neighbors=0))) == len(both)


def test_clean_up_that_leaves_nothing_says_so() -> None:
    cloud = _tilted_plane()
    with pytest.raises(DataError, match=r"mesh\.voxel_size"):
        clean_cloud(cloud, MeshConfig(voxel_size=1.0))

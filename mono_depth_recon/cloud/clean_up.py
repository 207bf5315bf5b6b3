"""Clean-up of a cloud: voxel grid, statistical outliers, radius outliers."""

from __future__ import annotations

import numpy as np

from ..config import MeshConfig
from ..errors import DataError
from .cloud import Cloud
from .open3d_cloud import open3d_cloud, rgb_bytes
from .voxel_grid import voxel_grid

_MIN_POINTS = 50
_RADIUS_NEIGHBORS = 8


def clean_cloud(cloud: Cloud, settings: MeshConfig) -> Cloud:
    """Voxel grid (`voxel_size`; means of positions and colours), then statistical outliers (Rusu et al., 2008), radius.

    A point goes where its mean distance to `outlier_neighbors` neighbours exceeds the cloud's mean by
    `outlier_std` standard deviations, or where fewer than 8 others lie within `outlier_radius`. Raises DataError where
    too little is left.
    """
    thinned = cloud
    if settings.voxel_size > 0:
        thinned = Cloud(*voxel_grid(cloud.points, cloud.colors, settings.voxel_size))
    cleaned = open3d_cloud(thinned)
    if settings.outlier_neighbors > 0 and len(cleaned.points) > settings.outlier_neighbors:
        cleaned, _ = cleaned.remove_statistical_outlier(settings.outlier_neighbors, settings.outlier_std)
    if settings.outlier_radius > 0:
        cleaned, _ = cleaned.remove_radius_outlier(_RADIUS_NEIGHBORS, settings.outlier_radius)
    if len(cleaned.points) < _MIN_POINTS:
        raise DataError(
            f"expected at least {_MIN_POINTS} points after clean-up, {len(cleaned.points)} of {len(cloud)} "
            "are left: lower mesh.voxel_size or widen the depth range"
        )
    return Cloud(np.asarray(cleaned.points, np.float32), rgb_bytes(cleaned.colors))

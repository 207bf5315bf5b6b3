"""Clouds to Open3D and its colours back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .cloud import Cloud

if TYPE_CHECKING:
    import open3d as o3d


def open3d_cloud(cloud: Cloud) -> o3d.geometry.PointCloud:
    """The cloud as Open3D's, in float64, colours from 0 to 1."""
    import open3d as o3d

    result = o3d.geometry.PointCloud()
    result.points = o3d.utility.Vector3dVector(cloud.points.astype(np.float64))
    result.colors = o3d.utility.Vector3dVector(cloud.colors / 255.0)
    return result


def rgb_bytes(colors: Any) -> NDArray[np.uint8]:
    """Open3D's colours (N, 3), 0 to 1, as bytes."""
    return np.rint(np.asarray(colors) * 255.0).astype(np.uint8)

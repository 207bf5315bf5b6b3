"""Triangles for rays and distances, by Open3D."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def ray_scene(vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> Any:
    """Open3D's RaycastingScene of triangles (M, 3) over vertices (N, 3)."""
    import open3d as o3d

    scene = o3d.t.geometry.RaycastingScene()
    corners = o3d.core.Tensor.from_numpy(np.ascontiguousarray(vertices, np.float32))
    scene.add_triangles(corners, o3d.core.Tensor.from_numpy(triangles.astype(np.uint32)))
    return scene

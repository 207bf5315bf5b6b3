"""Nearest neighbours of points, by Open3D."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SPACING_NEIGHBORS = 12  # enough to reach the next row where far rows lie apart


def local_spacing(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,) metres: mean distance of every point (N, 3) to its 12 nearest; 0 for a lone point."""
    count = min(_SPACING_NEIGHBORS, len(points) - 1)
    if count < 1:
        return np.zeros(len(points), np.float32)
    _, distances = nearest(points, points, count + 1)
    return distances[:, 1:].mean(axis=1)


def nearest(
    points: NDArray[np.float32],
    queries: NDArray[np.float32],
    count: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Indices and distances (Q, count) of the nearest `points` (N, 3) to each of `queries` (Q, 3)."""
    import open3d as o3d

    search = o3d.core.nns.NearestNeighborSearch(o3d.core.Tensor.from_numpy(np.ascontiguousarray(points)))
    search.knn_index()
    indices, squared = search.knn_search(o3d.core.Tensor.from_numpy(np.ascontiguousarray(queries)), count)
    return indices.numpy(), np.sqrt(squared.numpy())

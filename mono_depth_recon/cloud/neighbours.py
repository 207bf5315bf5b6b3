"""Nearest neighbours of points, by Open3D."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_Float = TypeVar("_Float", np.float32, np.float64)  # computed in the type of the points
_SPACING_NEIGHBORS = 12  # enough to reach the next row where far rows lie apart


def local_spacing(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,) metres: mean distance of every point (N, 3) to its 12 nearest; 0 for a lone point."""
    count = min(_SPACING_NEIGHBORS, len(points) - 1)
    if count < 1:
        return np.zeros(len(points), np.float32)
    _, distances = nearest(points, points, count + 1)
    return distances[:, 1:].mean(axis=1)


def nearest(points: NDArray[_Float], queries: NDArray[_Float], count: int) -> tuple[NDArray[np.int64], NDArray[_Float]]:
    """Indices and distances (Q, count) of the nearest `points` (N, 3) to each of `queries` (Q, 3), nearest first."""
    search = _search(points)
    search.knn_index()
    indices, squared = search.knn_search(_tensor(queries), count)
    return indices.numpy().astype(np.int64, copy=False), np.sqrt(squared.numpy())


def within(
    points: NDArray[_Float], queries: NDArray[_Float], radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The number of `points` (N, 3) within `radius` of each of `queries` (Q,), and their indices, query by query."""
    search = _search(points)
    search.fixed_radius_index(radius)
    indices, _, splits = search.fixed_radius_search(_tensor(queries), radius, sort=False)
    return np.diff(splits.numpy()), indices.numpy().astype(np.int64, copy=False)


def _search(points: NDArray[_Float]) -> Any:
    import open3d as o3d

    return o3d.core.nns.NearestNeighborSearch(_tensor(points))


def _tensor(points: NDArray[_Float]) -> Any:
    import open3d as o3d

    return o3d.core.Tensor.from_numpy(np.ascontiguousarray(points))

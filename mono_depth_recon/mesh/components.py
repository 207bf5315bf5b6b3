"""Connected components of a graph, and the removal of small parts of a mesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .mesh import Mesh, with_triangles


def components(count: int, a: NDArray[np.integer], b: NDArray[np.integer]) -> NDArray[np.int32]:
    """(count,) the component of each node, numbered from 0, where edges join the nodes a (E,) and b (E,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(a), np.bool_), (a, b)), shape=(count, count))
    labels: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return labels


def drop_specks(mesh: Mesh, triangles: int) -> Mesh:
    """`mesh` without parts of fewer than `triangles` triangles; the largest part always stays.

    Triangles that share a vertex belong to one part.
    """
    if not len(mesh.triangles):
        return mesh
    start, end = mesh.triangles[:, :2].ravel(), mesh.triangles[:, 1:].ravel()
    part = components(len(mesh.vertices), start, end)[mesh.triangles[:, 0]]
    size = np.bincount(part)
    return with_triangles(mesh, mesh.triangles[size[part] >= min(triangles, int(size.max()))])

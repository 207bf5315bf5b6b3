"""The last steps of any mesh, each by its parameter: small holes closed, smoothed, decimated, specks dropped."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..config import MeshConfig
from .mesh import Mesh
from .open3d_mesh import open3d_mesh, plain_mesh

_TAUBIN = (0.5, -0.53)  # a step inwards, and a slightly larger one outwards


def finish_mesh(mesh: Mesh, settings: MeshConfig) -> Mesh:
    """`mesh` after hole filling (`hole_size`), Taubin smoothing (`smoothing`) and decimation (`triangles`)."""
    if settings.hole_size > 0:
        mesh = fill_holes(mesh, settings.hole_size)
    if settings.smoothing > 0:
        mesh = smooth(mesh, settings.smoothing)
    return decimate(mesh, settings.triangles) if settings.triangles > 0 else mesh


def smooth(mesh: Mesh, rounds: int) -> Mesh:
    """`rounds` of Taubin's smoothing (SIGGRAPH 1995): a step inwards and one outwards, so that nothing shrinks.

    All neighbours of a vertex count alike: with weights by distance, the slivers of Poisson and of maps fold, and the
    surface becomes rougher. Colours stay with their vertices.
    """
    count = len(mesh.vertices)
    edges = np.sort(mesh.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64), axis=1)
    low, high = np.divmod(np.unique(edges[:, 0] * count + edges[:, 1]), count)
    at, neighbor = np.concatenate([low, high]), np.concatenate([high, low])
    degree = np.bincount(at, minlength=count)
    axes = mesh.vertices.T.astype(np.float64)
    for step in _TAUBIN * rounds:
        total = np.stack([np.bincount(at, axis[neighbor], count) for axis in axes])
        axes += step * (total - degree * axes) / np.maximum(degree, 1)
    return Mesh(axes.T.astype(np.float32), mesh.triangles, mesh.colors)


def fill_holes(mesh: Mesh, size: float) -> Mesh:
    """Closes every hole whose extent is at most `size` metres with triangles about its middle, in its rim's colours.

    The outer border of a single view is a hole as well, and larger. Rims that touch themselves stay open.
    """
    rims = [rim for rim in _rims(mesh.triangles) if _extent(mesh.vertices[rim]) <= size]
    if not rims:
        return mesh
    middle = np.array([mesh.vertices[rim].mean(axis=0) for rim in rims], np.float32)
    color = np.array([np.rint(mesh.colors[rim].mean(axis=0)) for rim in rims], np.uint8)
    fans = [
        np.stack([np.roll(rim, -1), rim, np.full(len(rim), len(mesh.vertices) + place)], axis=1)
        for place, rim in enumerate(rims)
    ]
    return Mesh(
        np.concatenate([mesh.vertices, middle]),
        np.concatenate([mesh.triangles, *fans]).astype(np.int32),
        np.concatenate([mesh.colors, color]),
    )


def _rims(triangles: NDArray[np.int32]) -> list[NDArray[np.int64]]:
    """Closed chains of the edges that have one triangle, each in the direction of its triangles."""
    edges = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
    count = int(triangles.max(initial=0)) + 1
    forward, backward = edges[:, 0] * count + edges[:, 1], edges[:, 1] * count + edges[:, 0]
    border = edges[~np.isin(forward, backward)]
    starts, uses = np.unique(border[:, 0], return_counts=True)
    crossing = set(starts[uses > 1].tolist())
    following = {int(a): int(b) for a, b in border if int(a) not in crossing}
    rims = []
    while following:
        first, at = following.popitem()
        rim = [first]
        while at != first and at in following:
            rim.append(at)
            at = following.pop(at)
        if at == first:
            rims.append(np.array(rim, np.int64))
    return rims


def _extent(points: NDArray[np.float32]) -> float:
    """The longest side of the box around points (N, 3)."""
    return float(np.ptp(points, axis=0).max())


def decimate(mesh: Mesh, triangles: int) -> Mesh:
    """At most `triangles` triangles: vertex clustering down to some times that, then quadric edge collapse.

    Clustering first, because edge collapse takes seconds for hundreds of thousands of triangles.
    """
    if len(mesh.triangles) <= triangles:
        return mesh
    surface = open3d_mesh(mesh)
    if len(mesh.triangles) > 4 * triangles:
        surface = surface.simplify_vertex_clustering(float(np.sqrt(surface.get_surface_area() / (2 * triangles))))
    if len(surface.triangles) > triangles:
        surface = surface.simplify_quadric_decimation(triangles)
    return plain_mesh(surface)

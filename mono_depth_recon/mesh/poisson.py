"""Screened Poisson surfaces of clouds, cut back to where there is data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import Mask
from ..cloud.cloud import Cloud
from ..cloud.neighbours import local_spacing, nearest
from .mesh import Mesh
from .open3d_mesh import oriented_cloud, visible_mesh

# A Poisson vertex farther from the data than this many times the local spacing closes a hole that was never seen.
_REACH_SPACINGS = 1.5


def mesh_poisson(cloud: Cloud, depth: int, trim_quantile: float, threads: int = 1) -> Mesh:
    """Screened Poisson surface (Kazhdan and Hoppe, 2013) of the cloud, cut back to where there is data.

    The solver closes every surface; what it invents is cut twice: the `trim_quantile` of vertices of lowest
    density, and every vertex that no point of the cloud supports. `depth` is the octree's depth.
    """
    import open3d as o3d

    oriented = oriented_cloud(cloud)
    make = o3d.geometry.TriangleMesh.create_from_point_cloud_poisson
    surface, vertex_density = make(oriented, depth=depth, n_threads=threads)
    density = np.asarray(vertex_density)
    unseen = ~_supported(np.asarray(surface.vertices, np.float32), cloud.points)
    surface.remove_vertices_by_mask(unseen | (density < np.quantile(density, trim_quantile)))
    return visible_mesh(surface, "Poisson: lower mesh.trim_quantile or mesh.poisson_depth")


def _supported(vertices: NDArray[np.float32], points: NDArray[np.float32]) -> Mask:
    """True where a point lies within reach; the reach grows with the local spacing, as far pixels lie wide apart."""
    spacing = local_spacing(points)
    low, high = np.quantile(spacing, (0.5, 0.98))  # isolated points have a wide spacing but must not reach far
    place, distance = nearest(points, vertices, 1)
    return distance[:, 0] <= _REACH_SPACINGS * np.clip(spacing, low, high)[place[:, 0]]

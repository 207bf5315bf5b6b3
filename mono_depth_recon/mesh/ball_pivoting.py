"""Surfaces of clouds by ball pivoting."""

from __future__ import annotations

import numpy as np

from ..cloud.cloud import Cloud
from .mesh import Mesh
from .open3d_mesh import oriented_cloud, visible_mesh

_BALL_RADII = (1.5, 3.0, 6.0)  # times the spacing of the points


def mesh_ball_pivoting(cloud: Cloud) -> Mesh:
    """Ball pivoting (Bernardini et al., 1999) with balls of 1.5, 3 and 6 times the spacing of the points."""
    import open3d as o3d

    oriented = oriented_cloud(cloud)
    spacing = float(np.median(np.asarray(oriented.compute_nearest_neighbor_distance())))
    radii = o3d.utility.DoubleVector([factor * spacing for factor in _BALL_RADII])
    surface = o3d.geometry.TriangleMesh.create_from_point_cloud_ball_pivoting(oriented, radii)
    return visible_mesh(surface, "ball pivoting: use mesh.method poisson or grid")

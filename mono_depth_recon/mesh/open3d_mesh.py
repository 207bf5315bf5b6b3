"""Meshes to Open3D and back, and what the surface methods share: normals, and the side that the camera sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Mask
from ..cloud.cloud import Cloud
from ..cloud.open3d_cloud import open3d_cloud, rgb_bytes
from ..errors import DataError
from .components import drop_specks
from .mesh import Mesh

if TYPE_CHECKING:
    import open3d as o3d

_NORMAL_NEIGHBORS = 30
_AWAY_COSINE = 0.25  # noise tilts triangles of grazing surfaces by some degrees
_SPECK_TRIANGLES = 40


def open3d_mesh(mesh: Mesh) -> o3d.geometry.TriangleMesh:
    """The mesh as Open3D's, with vertex colours."""
    import open3d as o3d

    result = o3d.geometry.TriangleMesh()
    result.vertices = o3d.utility.Vector3dVector(mesh.vertices.astype(np.float64))
    result.triangles = o3d.utility.Vector3iVector(mesh.triangles)
    result.vertex_colors = o3d.utility.Vector3dVector(mesh.colors / 255.0)
    return result


def plain_mesh(surface: o3d.geometry.TriangleMesh) -> Mesh:
    """A Mesh from Open3D's, with vertex colours."""
    return Mesh(
        np.asarray(surface.vertices, np.float32),
        np.asarray(surface.triangles, np.int32),
        rgb_bytes(surface.vertex_colors),
    )


def oriented_cloud(cloud: Cloud) -> o3d.geometry.PointCloud:
    """The cloud as Open3D's, with normals of the planes through 30 neighbours that face the camera at the origin."""
    import open3d as o3d

    oriented = open3d_cloud(cloud)
    oriented.estimate_normals(o3d.geometry.KDTreeSearchParamKNN(_NORMAL_NEIGHBORS))
    oriented.orient_normals_towards_camera_location(np.zeros(3))
    return oriented


def visible_mesh(surface: o3d.geometry.TriangleMesh, remedy: str) -> Mesh:
    """The surface as a mesh, without its back and without specks; raises DataError with `remedy` where nothing is left.

    A triangle that clearly faces away from the camera cannot have been seen: the methods curl them around edges.
    """
    surface.remove_triangles_by_mask(_facing_away(surface))
    surface.remove_unreferenced_vertices()
    if not len(surface.triangles):
        raise DataError(f"expected a surface, got no triangle from {remedy}")
    return drop_specks(plain_mesh(surface), _SPECK_TRIANGLES)


def _facing_away(surface: o3d.geometry.TriangleMesh) -> Mask:
    corners = np.asarray(surface.vertices)[np.asarray(surface.triangles)]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    normal = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normal, axis=1) * np.linalg.norm(a, axis=1)
    return np.einsum("ij,ij->i", normal, a) > _AWAY_COSINE * lengths  # seen from the origin, any corner shows the side

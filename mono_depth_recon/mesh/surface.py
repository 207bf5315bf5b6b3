"""The mesh of one frame by the method of its settings: Poisson, triangulated depth image or ball pivoting.

Everything is in the optical frame (x right, y down, z forward, metres) with the camera at the origin;
normals and triangles face the camera: seen from the origin, vertices run counter-clockwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import Points
from ..cloud.clean_up import clean_cloud
from ..cloud.cloud import Cloud, cloud_from_organised, known_points
from ..cloud.neighbours import nearest
from ..config import MeshConfig
from ..errors import DataError
from .ball_pivoting import mesh_ball_pivoting
from .grid import mesh_grid
from .mesh import Mesh, with_triangles
from .poisson import mesh_poisson

_GRAZING_DEG = 5.0  # a surface that rays meet at less is taken for a depth edge
_SLACK_EDGES = 0.75


def make_mesh(points: Points, settings: MeshConfig) -> Mesh:
    """The mesh of an organised (H, W, 4) cloud by `settings.method`. Raises DataError where there is no surface.

    poisson and ball_pivoting leave out what lies on a depth edge, that is nearly along the rays: no surface was seen
    there, and they would bridge the gap.
    """
    if settings.method == "grid":
        return mesh_grid(points, settings.edge_ratio)
    cloud, spread = cloud_from_organised(points), _spread(points)[known_points(points)]
    across, along = spread.T
    smooth = along < across / np.tan(np.radians(_GRAZING_DEG))
    if not smooth.any():
        raise DataError("expected a surface, every pixel with depth lies on a depth edge: look at the depth map")
    cloud = Cloud(cloud.points[smooth], cloud.colors[smooth])
    cleaned = clean_cloud(cloud, settings)
    if settings.method == "poisson":
        mesh = mesh_poisson(cleaned, settings.poisson_depth, settings.trim_quantile)
    else:
        mesh = mesh_ball_pivoting(cleaned)
    return seen_part(mesh, cloud, np.hypot(across, along)[smooth])


def _spread(points: Points) -> NDArray[np.float32]:
    """(H, W, 2) metres: how far apart neighbouring pixels are at each pixel's depth, across and along its ray.

    Along: from the farthest to the nearest known depth in 3x3 pixels, as differences of inverse depth, which is
    linear over a plane, by two pixels. Across: one pixel's width.
    """
    import cv2

    known, depth = known_points(points), points[..., 2]
    inverse = np.divide(1, depth, out=np.zeros(depth.shape, np.float32), where=known)
    kernel = np.ones((3, 3), np.uint8)
    step = cv2.dilate(inverse, kernel) - cv2.erode(np.where(known, inverse, np.float32(np.inf)), kernel)
    columns = np.nonzero(known)[1]
    ray = np.divide(points[..., 0], depth, out=np.zeros(depth.shape, np.float32), where=known)[known]
    pitch = np.ptp(ray) / max(np.ptp(columns), 1) if len(columns) else 0.0
    return np.stack([pitch * depth, 0.5 * step * depth**2], axis=-1)


def seen_part(mesh: Mesh, cloud: Cloud, spacing: NDArray[np.float32]) -> Mesh:
    """What of `mesh` lies within reach of a point of `cloud`, in the colour of the nearest point.

    Reach: the point's `spacing` (N,) to its neighbours in metres, and what triangles of that size cannot follow.
    Raises DataError where nothing is left.
    """
    corners = mesh.vertices[mesh.triangles]
    edge = float(np.median(np.linalg.norm(corners[:, 0] - corners[:, 1], axis=1)))
    place, distance = nearest(cloud.points, mesh.vertices, 1)
    seen = distance[:, 0] <= spacing[place[:, 0]] + _SLACK_EDGES * edge
    kept = mesh.triangles[seen[mesh.triangles].all(axis=1)]
    if not len(kept):
        raise DataError("expected a surface near the points, got none: raise mesh.poisson_depth")
    return with_triangles(Mesh(mesh.vertices, mesh.triangles, cloud.colors[place[:, 0]]), kept)

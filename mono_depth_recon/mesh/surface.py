"""Cloud and mesh of one frame: clean-up, Poisson, triangulated depth image, ball pivoting, decimation.

Everything is in the optical frame (x right, y down, z forward, metres) with the camera at the origin;
normals and triangles face the camera: seen from the origin, vertices run counter-clockwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Mask, Points
from ..cloud.back_projection import unpack_rgb
from ..cloud.voxel_grid import voxel_grid
from ..config import MeshConfig
from ..errors import DataError

if TYPE_CHECKING:
    import open3d as o3d

_MIN_POINTS = 50
_NORMAL_NEIGHBORS = 30
_RADIUS_NEIGHBORS = 8
# A Poisson vertex farther from the data than this many times the local spacing closes a hole that nobody has seen.
_REACH_SPACINGS = 1.5
_SPACING_NEIGHBORS = 12  # enough to reach the next row where far rows lie apart
_AWAY_COSINE = 0.25  # noise tilts triangles of grazing surfaces by some degrees
_SPECK_TRIANGLES = 40
_GRAZING_DEG = 5.0  # a surface that rays meet at less is taken for a depth edge
_SLACK_EDGES = 0.75
_BALL_RADII = (1.5, 3.0, 6.0)  # times the spacing of the points


@dataclass(frozen=True, eq=False)
class Cloud:
    """Coloured points: `points` (N, 3) float32 metres, `colors` (N, 3) uint8 RGB."""

    points: NDArray[np.float32]
    colors: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles over coloured vertices.

    `vertices` (N, 3) float32 metres, `triangles` (M, 3) int32 indices, `colors` (N, 3) uint8 RGB.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    colors: NDArray[np.uint8]


def cloud_from_organised(points: Points) -> Cloud:
    """The finite points of an organised (H, W, 4) cloud, in row order. Raises DataError where there is none."""
    kept = points[_known(points)]
    if not len(kept):
        raise DataError(_no_depth(points[..., 0].size))
    return Cloud(np.ascontiguousarray(kept[:, :3]), np.ascontiguousarray(unpack_rgb(kept[:, 3])))


def _known(points: Points) -> Mask:
    known: Mask = np.logical_and.reduce(np.isfinite(points[..., :3]), axis=-1)
    return known


def _no_depth(pixels: int) -> str:
    return f"expected a frame with valid depth, none of its {pixels} pixels has any: check the range and the mask"


def clean_cloud(cloud: Cloud, settings: MeshConfig) -> Cloud:
    """Voxel grid (`voxel_size`; means of positions and colours), then statistical outliers (Rusu et al., 2008), radius.

    A point goes where its mean distance to `outlier_neighbors` neighbours exceeds the cloud's mean by
    `outlier_std` standard deviations, or where fewer than 8 others lie within `outlier_radius`. Raises DataError where
    too little is left.
    """
    thinned = cloud
    if settings.voxel_size > 0:
        thinned = Cloud(*voxel_grid(cloud.points, cloud.colors, settings.voxel_size))
    cleaned = _to_open3d(thinned)
    if settings.outlier_neighbors > 0 and len(cleaned.points) > settings.outlier_neighbors:
        cleaned, _ = cleaned.remove_statistical_outlier(settings.outlier_neighbors, settings.outlier_std)
    if settings.outlier_radius > 0:
        cleaned, _ = cleaned.remove_radius_outlier(_RADIUS_NEIGHBORS, settings.outlier_radius)
    if len(cleaned.points) < _MIN_POINTS:
        raise DataError(
            f"expected at least {_MIN_POINTS} points after clean-up, {len(cleaned.points)} of {len(cloud)} "
            "are left: lower mesh.voxel_size or widen the depth range"
        )
    return Cloud(np.asarray(cleaned.points, np.float32), _to_uint8(cleaned.colors))


def make_mesh(points: Points, settings: MeshConfig) -> Mesh:
    """The mesh of an organised (H, W, 4) cloud by `settings.method`. Raises DataError where there is no surface.

    poisson and ball_pivoting leave out what lies on a depth edge, that is nearly along the rays: nobody saw a surface
    there, and they would make a bridge of it.
    """
    if settings.method == "grid":
        return mesh_grid(points, settings.edge_ratio)
    cloud, spread = cloud_from_organised(points), _spread(points)[_known(points)]
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


def mesh_grid(points: Points, edge_ratio: float) -> Mesh:
    """Triangulates an organised cloud (H, W, 4): neighbouring pixels become neighbouring vertices.

    A triangle is cut where its depths differ by more than `edge_ratio` of the nearest, or where a corner
    is missing. Each quad is split along the diagonal of the smaller depth step. Raises DataError where no triangle
    is left.
    """
    depth = np.where(_known(points), points[..., 2], np.float32(np.nan))
    triangles = _grid_triangles(depth, edge_ratio)
    if not len(triangles):
        raise DataError(_why_no_grid(depth))
    used = np.zeros(depth.size, np.bool_)
    used[triangles] = True
    renumbered = (np.cumsum(used, dtype=np.int32) - 1)[triangles]
    kept = points.reshape(-1, 4)[used]
    return Mesh(np.ascontiguousarray(kept[:, :3]), renumbered, np.ascontiguousarray(unpack_rgb(kept[:, 3])))


def _grid_triangles(depth: NDArray[np.float32], edge_ratio: float) -> NDArray[np.int32]:
    height, width = depth.shape
    corner = np.arange(height * width, dtype=np.int32).reshape(height, width)
    a, right, down, far = (
        (slice(None, -1), slice(None, -1)),
        (slice(None, -1), slice(1, None)),
        (slice(1, None), slice(None, -1)),
        (slice(1, None), slice(1, None)),
    )
    # Infinite steps where a corner is missing: then the other diagonal leaves one whole triangle.
    across = np.nan_to_num(np.abs(depth[down] - depth[right]), nan=np.inf)
    along = np.nan_to_num(np.abs(depth[a] - depth[far]), nan=np.inf)
    split_across = across <= along
    halves = (
        (split_across, (a, down, right)),
        (split_across, (right, down, far)),
        (~split_across, (a, down, far)),
        (~split_across, (a, far, right)),
    )
    found = []
    for chosen, corners in halves:
        keep = chosen & _connected(edge_ratio, *(depth[c] for c in corners))
        found.append(np.stack([corner[c][keep] for c in corners], axis=-1))
    return np.concatenate(found)


def _why_no_grid(depth: NDArray[np.float32]) -> str:
    """What keeps a depth map (H, W) without a single triangle from having one, and what to do."""
    height, width = depth.shape
    if not np.isfinite(depth).any():
        return _no_depth(depth.size)
    if min(height, width) < 2:
        return f"expected a cloud of 2x2 points at least, got {width}x{height}: lower cloud.stride or use larger images"
    if not len(_grid_triangles(depth, np.inf)):
        return (
            f"expected neighbouring pixels with depth, the {np.isfinite(depth).sum()} with depth lie apart: "
            "use mesh.method poisson"
        )
    return "expected neighbouring pixels of similar depth, every triangle crosses a depth edge: raise mesh.edge_ratio"


def _connected(edge_ratio: float, *corner_depths: NDArray[np.float32]) -> Mask:
    nearest, farthest = reduce(np.minimum, corner_depths), reduce(np.maximum, corner_depths)
    return farthest - nearest <= np.float32(edge_ratio) * nearest


def mesh_poisson(cloud: Cloud, depth: int, trim_quantile: float, threads: int = 1) -> Mesh:
    """Screened Poisson surface (Kazhdan and Hoppe, 2013) of the cloud, cut back to where there is data.

    The solver closes every surface; what it invents is cut twice: the `trim_quantile` of vertices of lowest
    density, and every vertex that no point of the cloud supports. `depth` is the octree's depth.
    """
    import open3d as o3d

    oriented = _with_normals(cloud)
    make = o3d.geometry.TriangleMesh.create_from_point_cloud_poisson
    surface, vertex_density = make(oriented, depth=depth, n_threads=threads)
    density = np.asarray(vertex_density)
    unseen = ~_supported(np.asarray(surface.vertices, np.float32), cloud.points)
    surface.remove_vertices_by_mask(unseen | (density < np.quantile(density, trim_quantile)))
    return _from_open3d(surface, "Poisson: lower mesh.trim_quantile or mesh.poisson_depth")


def mesh_ball_pivoting(cloud: Cloud) -> Mesh:
    """Ball pivoting (Bernardini et al., 1999) with balls of 1.5, 3 and 6 times the spacing of the points."""
    import open3d as o3d

    oriented = _with_normals(cloud)
    spacing = float(np.median(np.asarray(oriented.compute_nearest_neighbor_distance())))
    radii = o3d.utility.DoubleVector([factor * spacing for factor in _BALL_RADII])
    surface = o3d.geometry.TriangleMesh.create_from_point_cloud_ball_pivoting(oriented, radii)
    return _from_open3d(surface, "ball pivoting: use mesh.method poisson or grid")


def _spread(points: Points) -> NDArray[np.float32]:
    """(H, W, 2) metres: how far apart neighbouring pixels are at each pixel's depth, across and along its ray.

    Along: from the farthest to the nearest known depth in 3x3 pixels, as differences of inverse depth, which is
    linear over a plane, by two pixels. Across: one pixel's width.
    """
    import cv2

    known, depth = _known(points), points[..., 2]
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
    nearest, distance = _nearest(cloud.points, mesh.vertices, 1)
    seen = distance[:, 0] <= spacing[nearest[:, 0]] + _SLACK_EDGES * edge
    kept = mesh.triangles[seen[mesh.triangles].all(axis=1)]
    if not len(kept):
        raise DataError("expected a surface near the points, got none: raise mesh.poisson_depth")
    return with_triangles(Mesh(mesh.vertices, mesh.triangles, cloud.colors[nearest[:, 0]]), kept)


def with_triangles(mesh: Mesh, triangles: NDArray[np.int32]) -> Mesh:
    """`triangles` (M, 3) of `mesh`, and the vertices that they use."""
    used = np.zeros(len(mesh.vertices), np.bool_)
    used[triangles] = True
    numbers = np.cumsum(used, dtype=np.int32) - 1
    return Mesh(mesh.vertices[used], numbers[triangles], mesh.colors[used])


def _parts(mesh: Mesh) -> NDArray[np.intp]:
    """(M,) the part of each triangle, as the smallest vertex of those that hang together (Shiloach and Vishkin, 1982).

    Each round hangs the larger root of every edge below the smaller one and shortens all ways to the roots.
    """
    root = np.arange(len(mesh.vertices))
    start, end = mesh.triangles[:, :2].ravel(), mesh.triangles[:, 1:].ravel()
    while True:
        apart = root[start] != root[end]
        if not apart.any():
            return root[mesh.triangles[:, 0]]
        start, end = start[apart], end[apart]
        np.minimum.at(root, np.maximum(root[start], root[end]), np.minimum(root[start], root[end]))
        while not np.array_equal(shorter := root[root], root):
            root = shorter


def drop_specks(mesh: Mesh, triangles: int) -> Mesh:
    """`mesh` without parts of fewer than `triangles` triangles; the largest part always stays."""
    if not len(mesh.triangles):
        return mesh
    part = _parts(mesh)
    size = np.bincount(part)
    return with_triangles(mesh, mesh.triangles[size[part] >= min(triangles, int(size.max()))])


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


def _with_normals(cloud: Cloud) -> o3d.geometry.PointCloud:
    import open3d as o3d

    oriented = _to_open3d(cloud)
    oriented.estimate_normals(o3d.geometry.KDTreeSearchParamKNN(_NORMAL_NEIGHBORS))
    oriented.orient_normals_towards_camera_location(np.zeros(3))
    return oriented


def local_spacing(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,) metres: mean distance of every point (N, 3) to its 12 nearest; 0 for a lone point."""
    count = min(_SPACING_NEIGHBORS, len(points) - 1)
    if count < 1:
        return np.zeros(len(points), np.float32)
    _, distances = _nearest(points, points, count + 1)
    return distances[:, 1:].mean(axis=1)


def _supported(vertices: NDArray[np.float32], points: NDArray[np.float32]) -> Mask:
    """True where a point lies within reach; the reach grows with the local spacing, as far pixels lie wide apart."""
    spacing = local_spacing(points)
    low, high = np.quantile(spacing, (0.5, 0.98))  # a lone point has a wide spacing and no right to a wide reach
    nearest, distance = _nearest(points, vertices, 1)
    return distance[:, 0] <= _REACH_SPACINGS * np.clip(spacing, low, high)[nearest[:, 0]]


def _nearest(
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


def _to_open3d(cloud: Cloud) -> o3d.geometry.PointCloud:
    import open3d as o3d

    result = o3d.geometry.PointCloud()
    result.points = o3d.utility.Vector3dVector(cloud.points.astype(np.float64))
    result.colors = o3d.utility.Vector3dVector(cloud.colors / 255.0)
    return result


def open3d_mesh(mesh: Mesh) -> o3d.geometry.TriangleMesh:
    """The mesh as Open3D's, with vertex colours."""
    import open3d as o3d

    result = o3d.geometry.TriangleMesh()
    result.vertices = o3d.utility.Vector3dVector(mesh.vertices.astype(np.float64))
    result.triangles = o3d.utility.Vector3iVector(mesh.triangles)
    result.vertex_colors = o3d.utility.Vector3dVector(mesh.colors / 255.0)
    return result


def _from_open3d(surface: o3d.geometry.TriangleMesh, remedy: str) -> Mesh:
    """The surface without its back and without specks; raises DataError with `remedy` where nothing is left.

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
    return np.einsum("ij,ij->i", normal, a) > _AWAY_COSINE * lengths  # seen from the origin, any corner tells the side


def plain_mesh(surface: o3d.geometry.TriangleMesh) -> Mesh:
    """Open3D's mesh, with vertex colours, as ours."""
    return Mesh(
        np.asarray(surface.vertices, np.float32),
        np.asarray(surface.triangles, np.int32),
        _to_uint8(surface.vertex_colors),
    )


def _to_uint8(colors: Any) -> NDArray[np.uint8]:
    return np.rint(np.asarray(colors) * 255.0).astype(np.uint8)

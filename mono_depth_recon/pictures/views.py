"""Images of clouds and meshes without a display, a GPU or a window system: ray casting and point splatting.

Open3D's windows need EGL or X; these views need numpy, and Open3D's ray casting and search. A scene is in the optical
frame; a view orbits its camera around the centre of the scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Mask, Rgb
from ..cloud.cloud import Cloud
from ..cloud.neighbours import local_spacing
from ..cloud.ray_casting import ray_scene
from ..errors import DataError
from ..mesh.mesh import Mesh
from ..srgb import linear_light, srgb_bytes

_SUPERSAMPLING = 2
_FIELD_OF_VIEW_DEG = 38.0
_MARGIN = 1.1
_OUTLYING = 0.01  # share of the points, at each side, that may lie outside the image
_RADIUS_SPACINGS = 0.75
_RADII_PX = (0.7, 6.0)
_BACKGROUND = ((250, 251, 253), (222, 227, 234))  # top, bottom
_LIGHT = np.array([-0.45, -0.75, -0.5]) / np.linalg.norm([-0.45, -0.75, -0.5])  # towards the lamp, behind the camera
_AMBIENT, _LAMP = 0.6, 0.55
_SHEEN = 0.012  # reflected by every surface, so that black ones show their shape
_EDGE_STRENGTH = 0.35


@dataclass(frozen=True)
class View:
    """A viewpoint: the camera, moved around the centre of the scene.

    `azimuth_deg` > 0 moves it to the right, `elevation_deg` > 0 up.
    """

    name: str
    azimuth_deg: float
    elevation_deg: float


VIEWS = (View("from the left", -20.0, 8.0), View("from the right, raised", 18.0, 26.0))


@dataclass(frozen=True)
class _Camera:
    """A pinhole camera (f, cx, cy in pixels) that maps scene points by rotation @ (point - eye)."""

    rotation: NDArray[np.float64]
    eye: NDArray[np.float64]
    f: float
    cx: float
    cy: float
    width: int
    height: int


def view_cloud(
    cloud: Cloud, view: View, size: tuple[int, int] = (640, 480), scene: NDArray[np.float32] | None = None
) -> Rgb:
    """An image (height, width, 3) uint8 of the points as discs, shaded where depth jumps (eye-dome lighting).

    `size` is (width, height) in pixels; `scene` (N, 3) are the points that the view is fitted to, by default the
    cloud's, so that several clouds can share a viewpoint. Raises DataError for an empty cloud.
    """
    camera = _placed(cloud.points if scene is None else scene, view, size)
    nearest, depth = _splat(camera, cloud.points)
    hit = nearest >= 0
    colors = linear_light(cloud.colors[nearest])
    return _finished(colors * _edge_shade(depth)[..., None], hit)


def view_mesh(
    mesh: Mesh,
    view: View,
    size: tuple[int, int] = (640, 480),
    distance: float | None = None,
    scene: NDArray[np.float32] | None = None,
) -> Rgb:
    """An image (height, width, 3) uint8 of the mesh in its vertex colours under soft light.

    `size` is (width, height) in pixels. The view is fitted to `scene` (N, 3), by default the mesh's vertices; with
    `distance` (metres) it looks at its centre from that distance. Raises DataError for a mesh without triangles.
    """
    if not len(mesh.triangles):
        raise DataError("expected a mesh with triangles to draw, got none")
    camera = _placed(mesh.vertices if scene is None else scene, view, size, distance)
    depth, triangle, weights, rays = _cast(camera, mesh)
    hit = np.isfinite(depth)
    corners, share = mesh.triangles[triangle[hit]], weights[hit]
    vertices = np.concatenate([vertex_normals(mesh), linear_light(mesh.colors).astype(np.float32)], axis=1)
    seen = sum(share[:, i, None] * vertices[corners[:, i]] for i in range(3))
    picture = np.zeros((*hit.shape, 3), np.float32)
    shade = _soft_light(seen[:, :3], rays[hit]) * _edge_shade(depth)[hit]
    picture[hit] = (seen[:, 3:] + _SHEEN) * shade[:, None]
    return _finished(picture, hit)


def vertex_normals(mesh: Mesh) -> NDArray[np.float32]:
    """(N, 3) float32 unit normals: the area-weighted mean of the triangles' normals around each vertex."""
    a, b, c = (mesh.vertices[mesh.triangles[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    total = np.stack(
        [np.bincount(mesh.triangles.ravel(), np.repeat(normal[:, axis], 3), len(mesh.vertices)) for axis in range(3)],
        axis=-1,
    )
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.divide(total, length, out=np.zeros_like(total), where=length > 0).astype(np.float32)


def view_distance(mesh: Mesh, views: Sequence[View], size: tuple[int, int] = (640, 480)) -> float:
    """Metres from the centre of the scene at which it fits into the image of every view."""
    middle, tangents = np.median(mesh.vertices, axis=0).astype(np.float64), _tangents(size)
    seen = [(mesh.vertices - middle) @ _rotation(view).T for view in views]
    return max(_distance(points, tangents) for points in seen)


def _placed(points: NDArray[np.float32], view: View, size: tuple[int, int], distance: float | None = None) -> _Camera:
    """The camera of a view, with the distance and the image centre that fit the scene into the image."""
    if not len(points):
        raise DataError("expected points to draw, got none")
    width, height = (side * _SUPERSAMPLING for side in size)
    rotation = _rotation(view)
    middle = np.median(points, axis=0).astype(np.float64)
    f = 0.5 * width / np.tan(np.radians(_FIELD_OF_VIEW_DEG) / 2)
    cx, cy = (width - 1) / 2, (height - 1) / 2
    if distance is None:
        seen = (points - middle) @ rotation.T
        distance = _distance(seen, _tangents(size))
        image = seen[:, :2] / np.maximum(seen[:, 2:] + distance, 0.05 * distance)
        low, high = np.quantile(image, (_OUTLYING, 1 - _OUTLYING), axis=0)
        cx, cy = np.array([cx, cy]) - f * (low + high) / 2
    return _Camera(rotation, middle - distance * rotation[2], f, cx, cy, width, height)


def _tangents(size: tuple[int, int]) -> NDArray[np.float64]:
    tan_x = np.tan(np.radians(_FIELD_OF_VIEW_DEG) / 2)
    return np.array([tan_x, tan_x * size[1] / size[0]]) / _MARGIN


def _rotation(view: View) -> NDArray[np.float64]:
    azimuth, elevation = np.radians([view.azimuth_deg, view.elevation_deg])
    cos, sin = np.cos(azimuth), np.sin(azimuth)
    turned = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    cos, sin = np.cos(elevation), np.sin(elevation)
    return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ turned


def _distance(seen: NDArray[np.float64], tangents: NDArray[np.float64]) -> float:
    """The shortest distance from the centre at which the scene fits between the tangents, for any image centre."""
    # A point is inside on the right where x <= t (z + d) + shift, on the left where x >= -t (z + d) + shift;
    # the two sides need d >= ((x - t z) on the right - (x + t z) on the left) / 2t for some shift.
    right = np.quantile(seen[:, :2] - tangents * seen[:, 2:], 1 - _OUTLYING, axis=0)
    left = np.quantile(seen[:, :2] + tangents * seen[:, 2:], _OUTLYING, axis=0)
    nearest = -np.quantile(seen[:, 2], _OUTLYING)
    return float(max(*((right - left) / (2 * tangents)), 1.2 * nearest, 1e-6))


def _splat(camera: _Camera, points: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Index of the nearest point (-1: none) and its depth (inf: none) per pixel, (H, W); points are drawn as discs."""
    seen = (points - camera.eye) @ camera.rotation.T
    front = np.flatnonzero(seen[:, 2] > 1e-3)
    radius = _radii(points)[front] * camera.f / seen[front, 2]
    radius = np.clip(radius, _RADII_PX[0], _RADII_PX[1] * _SUPERSAMPLING)
    order = np.argsort(-radius)  # the discs that reach a ring are the first in this order
    front, radius = front[order], radius[order]
    x, y, z = seen[front].T
    u, v = camera.f * x / z + camera.cx, camera.f * y / z + camera.cy
    buffer = np.full(camera.height * camera.width, np.iinfo(np.uint64).max, np.uint64)
    reach = int(radius.max(initial=0))
    for dy, dx in np.ndindex(2 * reach + 1, 2 * reach + 1):
        dy, dx = dy - reach, dx - reach
        count = int(np.searchsorted(-radius, -np.hypot(dx, dy), side="right"))
        column, row = np.rint(u[:count]).astype(np.int64) + dx, np.rint(v[:count]).astype(np.int64) + dy
        inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
        # A cone, not a disc: where neighbours overlap, each keeps its own colour about its centre.
        distance = z[:count] * (1 + np.hypot(column - u[:count], row - v[:count]) / camera.f)
        place = row[inside] * camera.width + column[inside]
        np.minimum.at(buffer, place, _depth_and_index(distance[inside], front[:count][inside]))
    empty = buffer == np.iinfo(np.uint64).max
    index = np.where(empty, -1, (buffer & np.uint64(0xFFFFFFFF)).astype(np.int64))
    depth = np.where(empty, np.inf, (buffer >> np.uint64(32)).astype(np.uint32).view(np.float32))
    return index.reshape(camera.height, camera.width), depth.reshape(camera.height, camera.width)


def _depth_and_index(depth: NDArray[np.float64], index: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Keys of which the smallest is the nearest point: depth in the upper bits (positive floats sort like integers)."""
    return depth.astype(np.float32).view(np.uint32).astype(np.uint64) << np.uint64(32) | index.astype(np.uint64)


def _radii(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,) metres: radii of discs that reach their neighbours and leave holes open; isolated points stay small."""
    spacing = local_spacing(points)
    return np.float32(_RADIUS_SPACINGS) * np.minimum(spacing, 1.5 * np.quantile(spacing, 0.98))


def _cast(
    camera: _Camera,
    mesh: Mesh,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]:
    """Per pixel (H, W): depth (inf: none), triangle, its corners' weights (3,), and the ray in scene axes (3,)."""
    import open3d as o3d

    v, u = np.mgrid[: camera.height, : camera.width]
    pixel = np.stack([(u - camera.cx) / camera.f, (v - camera.cy) / camera.f, np.ones(u.shape)], axis=-1)
    rays = pixel @ camera.rotation
    scene = ray_scene(mesh.vertices, mesh.triangles)
    origin = np.broadcast_to(camera.eye, rays.shape)
    both = np.concatenate([origin, rays], axis=-1).astype(np.float32)
    answer = scene.cast_rays(o3d.core.Tensor.from_numpy(both))
    depth = answer["t_hit"].numpy().astype(np.float64)  # rays have z = 1 in the camera: t is depth
    triangle = np.where(np.isfinite(depth), answer["primitive_ids"].numpy(), 0).astype(np.int64)
    second = answer["primitive_uvs"].numpy()
    weights = np.concatenate([1 - second.sum(axis=-1, keepdims=True), second], axis=-1)
    return depth, triangle, weights, rays


def _soft_light(normals: NDArray[np.floating], rays: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) brightness: ambient light and one lamp; the side turned away from the viewer is darker."""
    away = np.einsum("nx,nx->n", normals, rays) > 0
    lit = normals @ _LIGHT
    return np.where(away, 0.45, _AMBIENT + _LAMP * np.clip(0.25 + 0.75 * lit, 0, 1))


def _edge_shade(depth: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W) 0 to 1: darker where neighbours lie in front (eye-dome lighting, Boucheny 2009), which shows shape."""
    log_depth = np.log(np.where(np.isfinite(depth), depth, 1e6))
    step = _SUPERSAMPLING
    padded = np.pad(log_depth, step, mode="edge")
    height, width = depth.shape
    behind = np.zeros(depth.shape)
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        neighbor = padded[step + dy * step : step + dy * step + height, step + dx * step : step + dx * step + width]
        behind += np.clip(log_depth - neighbor, 0, 0.05)
    return np.exp(-_EDGE_STRENGTH * behind / 0.05)


def _finished(linear: NDArray[np.floating], hit: Mask) -> Rgb:
    """Adds the background where nothing was hit and reduces to the image size, averaged in linear light."""
    import cv2

    height, width = hit.shape
    top, bottom = (linear_light(np.array(color, np.uint8)) for color in _BACKGROUND)
    share = np.linspace(0, 1, height)[:, None, None]
    picture = np.where(hit[..., None], linear, top * (1 - share) + bottom * share).astype(np.float32)
    small = cv2.resize(picture, (width // _SUPERSAMPLING, height // _SUPERSAMPLING), interpolation=cv2.INTER_AREA)
    return srgb_bytes(small)

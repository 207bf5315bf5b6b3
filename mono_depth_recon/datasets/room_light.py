"""Light of the synthetic rooms, baked once per room: direct light with soft shadows, one bounce, contact darkness.

Baking makes a frame cheap (no shadow rays) and the light the same from every view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Matrix
from .room_scene import LIGHTMAP_WIDTH, Patch, SceneMesh
from .room_textures import F32, Rng, atlas

_BOUNCE_RAYS = 20
_CHUNK = 16384


@dataclass(frozen=True)
class AreaLight:
    """A parallelogram that shines along its normal: corner, edges (3,) metres, radiance (3,), samples per edge."""

    corner: Matrix
    edge_a: Matrix
    edge_b: Matrix
    radiance: F32
    samples: tuple[int, int] = (3, 3)

    @property
    def area_normal(self) -> Matrix:
        """(3,) normal times area."""
        return np.cross(self.edge_a, self.edge_b)

    def seen_along(self, points: F32, ways: F32) -> F32:
        """How much of the lamp (N,) rays from points (N, 3) along unit ways (N, 3) see, with soft edges of some 10 cm."""
        n = self.area_normal / np.linalg.norm(self.area_normal)
        toward = -(ways @ n.astype(np.float32))
        distance = ((points - self.corner.astype(np.float32)) @ n.astype(np.float32)) / np.maximum(toward, 1e-3)
        hit = points + distance[:, None] * ways - self.corner.astype(np.float32)
        outside = np.zeros(len(points), np.float32)
        for edge in (self.edge_a, self.edge_b):
            length = float(np.linalg.norm(edge))
            along = hit @ (edge / length).astype(np.float32)
            outside += np.maximum(np.maximum(-along, along - length), 0) ** 2
        seen = np.exp(-outside / np.float32(0.09**2))
        return np.where((toward > 1e-3) & (distance > 0), seen, 0).astype(np.float32)


def bake(scene: Any, mesh: SceneMesh, patches: Sequence[Patch], lights: Sequence[AreaLight], rng: Rng) -> F32:
    """Light map (H, W, 3) float32: what a white matt surface would send back, for every texel of every patch.

    `scene` is the Open3D RaycastingScene of `mesh`.
    """
    cells, points, normals = _texel_points(mesh, patches)
    start = points + 2e-3 * normals
    direct = np.zeros((len(points), 3), np.float32)
    for light in lights:
        for sample in _light_samples(light, len(points), rng):
            direct += _shine(scene, start, normals, sample, light)
    image = np.zeros((mesh.lightmap_height, LIGHTMAP_WIDTH, 3), np.float32)
    image[cells[:, 1], cells[:, 0]] = direct
    mask = np.zeros(image.shape[:2], np.float32)
    mask[cells[:, 1], cells[:, 0]] = 1
    direct_map = _smooth(image, mask, 1)
    image[cells[:, 1], cells[:, 0]] = _bounce(scene, mesh, direct_map, start, normals, rng)
    return direct_map + _smooth(image, mask, 3)


def _texel_points(mesh: SceneMesh, patches: Sequence[Patch]) -> tuple[np.ndarray, F32, F32]:
    """Pixel (N, 2), point (N, 3) and unit normal (N, 3) of every texel."""
    cells, points, normals = [], [], []
    for patch, (x, y, w, h) in zip(patches, mesh.rect):
        m, n = patch.points.shape[:2]
        inset = 0.12
        t = np.clip(np.linspace(0, 1, h), inset / (h - 1), 1 - inset / (h - 1)) * (m - 1)
        s = np.clip(np.linspace(0, 1, w), inset / (w - 1), 1 - inset / (w - 1)) * (n - 1)
        points.append(_bilinear(patch.points, t, s).reshape(-1, 3))
        normals.append(_bilinear(patch.normals, t, s).reshape(-1, 3))
        grid = np.meshgrid(np.arange(x, x + w), np.arange(y, y + h))
        cells.append(np.stack([grid[0].ravel(), grid[1].ravel()], 1))
    n_all = np.concatenate(normals)
    n_all = n_all / np.maximum(np.sqrt((n_all**2).sum(1, keepdims=True)), 1e-9)
    return np.concatenate(cells), np.concatenate(points).astype(np.float32), n_all.astype(np.float32)


def _bilinear(grid: Matrix, t: Matrix, s: Matrix) -> Matrix:
    i = np.minimum(t.astype(int), grid.shape[0] - 2)
    j = np.minimum(s.astype(int), grid.shape[1] - 2)
    a, b = (t - i)[:, None, None], (s - j)[None, :, None]
    upper = grid[i][:, j] * (1 - b) + grid[i][:, j + 1] * b
    lower = grid[i + 1][:, j] * (1 - b) + grid[i + 1][:, j + 1] * b
    return np.asarray(upper * (1 - a) + lower * a)


def _light_samples(light: AreaLight, count: int, rng: Rng) -> list[F32]:
    """One point (count, 3) on the light for every texel and every cell of the light, jittered within the cell."""
    na, nb = light.samples
    samples = []
    for i in range(na):
        for j in range(nb):
            jitter = rng.random((count, 2), np.float32)
            a, b = (i + jitter[:, :1]) / na, (j + jitter[:, 1:]) / nb
            samples.append((light.corner + a * light.edge_a + b * light.edge_b).astype(np.float32))
    return samples


def _shine(scene: Any, points: F32, normals: F32, sample: F32, light: AreaLight) -> F32:
    """Light (N, 3) that arrives from one sample point per texel."""
    import open3d as o3d

    way = sample - points
    r2 = np.maximum((way * way).sum(1), 1e-3)
    facing = np.maximum((way * normals).sum(1), 0) * np.maximum(-(way * light.area_normal.astype(np.float32)).sum(1), 0)
    strength = facing / (np.pi * r2 * r2) / (light.samples[0] * light.samples[1])
    seen = np.flatnonzero(strength > 1e-5)
    out = np.zeros((len(points), 3), np.float32)
    rays = np.concatenate([points[seen], way[seen]], 1)
    hidden = scene.test_occlusions(o3d.core.Tensor(np.ascontiguousarray(rays)), 0.0, 0.998).numpy()
    out[seen] = np.where(hidden, 0, strength[seen])[:, None] * light.radiance
    return out


def _bounce(scene: Any, mesh: SceneMesh, direct: F32, points: F32, normals: F32, rng: Rng) -> F32:
    """Light (N, 3) that arrives by way of other surfaces, or from glowing ones, gathered with cosine-weighted rays."""
    import open3d as o3d

    albedo = atlas().mean[mesh.texture] * mesh.tint
    gain = np.float32(1.0 / max(1.0 - float(albedo.mean()), 0.35))  # further bounces
    side, up = _tangents(normals)
    out = np.zeros_like(points)
    for a in range(0, len(points), _CHUNK):
        part = slice(a, a + _CHUNK)
        count = len(points[part])
        for k in range(_BOUNCE_RAYS):
            u = rng.random((count, 2), np.float32)
            radius = np.sqrt((k + u[:, 0]) / _BOUNCE_RAYS)
            turn = np.float32(2 * np.pi) * (u[:, 1] + np.float32(k * 0.618))
            x, y, z = radius * np.cos(turn), radius * np.sin(turn), np.sqrt(1 - radius**2)
            way = x[:, None] * side[part] + y[:, None] * up[part] + z[:, None] * normals[part]
            hits = scene.cast_rays(o3d.core.Tensor(np.concatenate([points[part], way], 1)))
            out[part] += _seen_light(hits, mesh, direct, albedo)
    return out * (gain / _BOUNCE_RAYS)


def _seen_light(hits: Any, mesh: SceneMesh, direct: F32, albedo: F32) -> F32:
    """Radiance (N, 3) of what the rays hit; glow counts little here, since lights were sampled already."""
    prim = hits["primitive_ids"].numpy()
    missed = prim == np.uint32(0xFFFFFFFF)
    prim = np.where(missed, 0, prim).astype(np.int64)
    w1, w2 = hits["primitive_uvs"].numpy().T
    uv = mesh.uv[prim, 6:]
    x = uv[:, 0] + w1 * (uv[:, 2] - uv[:, 0]) + w2 * (uv[:, 4] - uv[:, 0])
    y = uv[:, 1] + w1 * (uv[:, 3] - uv[:, 1]) + w2 * (uv[:, 5] - uv[:, 1])
    patch = mesh.patch[prim]
    light = direct[np.rint(y).astype(np.int64), np.rint(x).astype(np.int64)] * albedo[patch]
    light += 0.3 * np.minimum(mesh.glow[patch], 2.0)[:, None]
    light[missed] = 0
    return light


def _tangents(normals: F32) -> tuple[F32, F32]:
    helper = np.where(np.abs(normals[:, 2:]) < 0.9, np.float32([[0, 0, 1]]), np.float32([[1, 0, 0]]))
    side = np.cross(helper, normals)
    side /= np.sqrt((side * side).sum(1, keepdims=True))
    return side.astype(np.float32), np.cross(normals, side).astype(np.float32)


def _smooth(image: F32, mask: F32, passes: int) -> F32:
    """Blurs each patch within itself (3x3 per pass): the empty texel around patches keeps them apart."""
    import cv2

    weight = np.maximum(cv2.blur(mask, (3, 3)), 1e-6)[..., None]
    for _ in range(passes):
        image = cv2.blur(image, (3, 3)) / weight * mask[..., None]
    return image.astype(np.float32)

"""Light of the synthetic rooms, baked once per room: direct light with soft shadows, one bounce, ambient occlusion.

Baking makes a frame cheap (no shadow rays) and the light the same from every view. Samples are interleaved: texels take
one of 3 x 3 patterns by their place in the map, so that a 3 x 3 blur sums nine times as many directions without noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import Matrix
from .noise import F32, Rng
from .scene import LIGHTMAP_WIDTH, Patch, SceneMesh
from .textures import atlas

_BOUNCE_RAYS = 10
_CHUNK = 65536
_X, _Z = np.eye(3, dtype=np.float32)[[0, 2]]


@dataclass(frozen=True)
class AreaLight:
    """A parallelogram that shines along edge_a x edge_b: corner, edges (3,) metres, radiance (3,), samples per edge."""

    corner: Matrix
    edge_a: Matrix
    edge_b: Matrix
    radiance: F32
    samples: tuple[int, int] = (3, 3)

    @property
    def area_normal(self) -> Matrix:
        """(3,) normal times area."""
        return np.cross(self.edge_a, self.edge_b)

    def seen_along(self, points: Sequence[F32], ways: Sequence[F32]) -> F32:
        """How much of the lamp (N,) rays from points (x, y, z of N) along unit ways see; edges soften with distance."""
        n = (self.area_normal / np.linalg.norm(self.area_normal)).astype(np.float32)
        toward = -_dot(ways, n)
        rays = np.flatnonzero(toward > 0.02)
        p = [a[rays] - np.float32(c) for a, c in zip(points, self.corner, strict=True)]
        d = [a[rays] for a in ways]
        distance = _dot(p, n) / toward[rays]
        hit = [a + distance * b for a, b in zip(p, d, strict=True)]
        outside = np.zeros(len(rays), np.float32)
        for edge in (self.edge_a, self.edge_b):
            length = float(np.linalg.norm(edge))
            along = _dot(hit, (edge / length).astype(np.float32))
            outside += np.maximum(np.maximum(-along, along - np.float32(length)), 0) ** 2
        seen = np.zeros(len(toward), np.float32)
        seen[rays] = np.exp(-outside / (0.05 + 0.12 * np.maximum(distance, 0)) ** 2) * (distance > 0)
        return seen


@dataclass(frozen=True)
class Sun:
    """Sunlight through one window: its corner and edges (3,) metres, unit way towards the sun, irradiance (3,)."""

    corner: Matrix
    edge_a: Matrix
    edge_b: Matrix
    towards: Matrix
    irradiance: F32


def bake(
    scene: Any, mesh: SceneMesh, patches: Sequence[Patch], lights: Sequence[AreaLight], suns: Sequence[Sun], rng: Rng
) -> F32:
    """Light map (H, W, 3) float32: what a white matt surface would send back, for every texel of every patch.

    `scene` is the Open3D RaycastingScene of `mesh`.
    """
    cells, points, normals = _texel_points(mesh, patches)
    pattern = cells[:, 0] % 3 + 3 * (cells[:, 1] % 3)
    start = points + np.float32(2e-3) * normals
    direct = np.zeros((len(points), 3), np.float32)
    for light in lights:
        for sample in _light_samples(light, pattern, rng):
            direct += _shine(scene, start, normals, sample, light)
    for sun in suns:
        direct += _sunshine(scene, start, normals, sun)
    image = np.zeros((mesh.lightmap_height, LIGHTMAP_WIDTH, 3), np.float32)
    image[cells[:, 1], cells[:, 0]] = direct
    mask = np.zeros(image.shape[:2], np.float32)
    mask[cells[:, 1], cells[:, 0]] = 1
    direct_map = _smooth(image, mask, 1)
    # Few rays find a small patch of sun, and those that do would show as spots: it counts as a larger, dimmer one.
    tame = np.minimum(direct_map, np.float32(4 * direct.mean()))
    image[cells[:, 1], cells[:, 0]] = _bounce(scene, mesh, tame, start, normals, pattern, rng)
    return direct_map + _smooth(image, mask, 4)


def _dot(planes: Sequence[F32], vector: F32) -> F32:
    return np.asarray(planes[0] * vector[0] + planes[1] * vector[1] + planes[2] * vector[2])


def _texel_points(mesh: SceneMesh, patches: Sequence[Patch]) -> tuple[NDArray[np.int64], F32, F32]:
    """Pixel (N, 2), point (N, 3) and unit normal (N, 3) of every texel."""
    cells, points, normals = [], [], []
    inset = 0.12  # of a texel: a sample on an edge would lie in the neighbouring face
    for patch, (x, y, w, h) in zip(patches, mesh.rect, strict=True):
        m, n = patch.points.shape[:2]
        t = np.clip(np.linspace(0, 1, h), inset / (h - 1), 1 - inset / (h - 1)) * (m - 1)
        s = np.clip(np.linspace(0, 1, w), inset / (w - 1), 1 - inset / (w - 1)) * (n - 1)
        points.append(_bilinear(patch.points, t, s).reshape(-1, 3))
        normals.append(_bilinear(patch.normals, t, s).reshape(-1, 3))
        columns, rows = np.meshgrid(np.arange(x, x + w), np.arange(y, y + h))
        cells.append(np.stack([columns.ravel(), rows.ravel()], 1))
    unit = np.concatenate(normals)
    unit /= np.maximum(np.sqrt((unit**2).sum(1, keepdims=True)), 1e-9)
    return np.concatenate(cells), np.concatenate(points).astype(np.float32), unit.astype(np.float32)


def _bilinear(grid: Matrix, t: Matrix, s: Matrix) -> Matrix:
    i = np.minimum(t.astype(int), grid.shape[0] - 2)
    j = np.minimum(s.astype(int), grid.shape[1] - 2)
    a, b = (t - i)[:, None, None], (s - j)[None, :, None]
    upper = grid[i][:, j] * (1 - b) + grid[i][:, j + 1] * b
    lower = grid[i + 1][:, j] * (1 - b) + grid[i + 1][:, j + 1] * b
    return np.asarray(upper * (1 - a) + lower * a)


def _light_samples(light: AreaLight, pattern: NDArray[np.int64], rng: Rng) -> list[F32]:
    """One point (N, 3) on the light for every texel and every cell of the light, shifted within the cell by pattern."""
    na, nb = light.samples
    shift = (np.stack([np.arange(9) % 3, np.arange(9) // 3], 1) + rng.random((na * nb, 9, 2))) / 3
    points = []
    for i in range(na):
        for j in range(nb):
            a, b = ((i, j) + shift[i * nb + j]).T / np.array([[na], [nb]])
            places = light.corner + a[:, None] * light.edge_a + b[:, None] * light.edge_b
            points.append(places.astype(np.float32)[pattern])
    return points


def _shine(scene: Any, points: F32, normals: F32, sample: F32, light: AreaLight) -> F32:
    """Light (N, 3) that arrives from one sample point per texel."""
    way = sample - points
    r2 = np.maximum((way * way).sum(1), 1e-3)
    facing = np.maximum((way * normals).sum(1), 0) * np.maximum(-(way * light.area_normal.astype(np.float32)).sum(1), 0)
    strength = facing / (np.float32(np.pi) * r2 * r2 * np.float32(light.samples[0] * light.samples[1]))
    lit = np.flatnonzero(strength > 1e-5)
    out = np.zeros((len(points), 3), np.float32)
    hidden = _hidden(scene, points[lit], way[lit])
    out[lit] = np.where(hidden, np.float32(0), strength[lit])[:, None] * light.radiance
    return out


def _hidden(scene: Any, points: F32, ways: F32) -> NDArray[np.bool_]:
    """(N,) True where something blocks the segment from a point to point + way."""
    import open3d as o3d

    rays = np.concatenate([points, ways], 1)
    return np.asarray(scene.test_occlusions(o3d.core.Tensor(rays), 0.0, 0.998).numpy())


def _sunshine(scene: Any, points: F32, normals: F32, sun: Sun) -> F32:
    """Light (N, 3) of the sun where it falls through the window's opening."""
    towards = sun.towards.astype(np.float32)
    n = np.cross(sun.edge_a, sun.edge_b).astype(np.float32)
    distance = ((sun.corner.astype(np.float32) - points) @ n) / np.float32(towards @ n)
    cosine = normals @ towards
    hit = points + distance[:, None] * towards - sun.corner.astype(np.float32)
    inside = (distance > 0.01) & (cosine > 0)
    for edge in (sun.edge_a, sun.edge_b):
        along = hit @ (edge / (edge @ edge)).astype(np.float32)
        inside &= (along > 0) & (along < 1)
    lit = np.flatnonzero(inside)
    out = np.zeros((len(points), 3), np.float32)
    hidden = _hidden(scene, points[lit], np.outer(distance[lit], towards).astype(np.float32))
    out[lit] = np.where(hidden, np.float32(0), cosine[lit])[:, None] * sun.irradiance
    return out


def _bounce(
    scene: Any, mesh: SceneMesh, direct: F32, points: F32, normals: F32, pattern: NDArray[np.int64], rng: Rng
) -> F32:
    """Light (N, 3) reflected by other surfaces, gathered with cosine-weighted rays."""
    import open3d as o3d

    albedo = atlas().mean[mesh.texture] * mesh.tint
    gain = np.float32(1.0 / max(1.0 - float(albedo.mean()), 0.35))  # further bounces
    ways = _hemisphere(9 * _BOUNCE_RAYS, rng).reshape(_BOUNCE_RAYS, 9, 3)
    side, up = _tangents(normals)
    out = np.zeros_like(points)
    for a in range(0, len(points), _CHUNK):
        part = slice(a, a + _CHUNK)
        for k in range(_BOUNCE_RAYS):
            x, y, z = ways[k][pattern[part]].T[..., None]
            rays = np.concatenate([points[part], x * side[part] + y * up[part] + z * normals[part]], 1)
            out[part] += _seen_light(scene.cast_rays(o3d.core.Tensor(rays)), mesh, direct, albedo)
    return out * (gain / _BOUNCE_RAYS)


def _hemisphere(count: int, rng: Rng) -> F32:
    """Directions (count, 3) spread evenly with the cosine to z (a sunflower on the disc), in random order per block."""
    k = np.arange(count)
    radius, turn = np.sqrt((k + 0.5) / count), k * np.pi * (3 - np.sqrt(5))
    ways = np.stack([radius * np.cos(turn), radius * np.sin(turn), np.sqrt(1 - radius**2)], 1).astype(np.float32)
    return np.concatenate([rng.permutation(block) for block in ways.reshape(-1, 9, 3)])


def _seen_light(hits: Any, mesh: SceneMesh, direct: F32, albedo: F32) -> F32:
    """Radiance (N, 3) of what the rays hit; without its glow, since lamps and windows were sampled already."""
    prim = hits["primitive_ids"].numpy()
    missed = prim == np.uint32(0xFFFFFFFF)
    prim = np.where(missed, 0, prim).astype(np.int32)
    w1, w2 = hits["primitive_uvs"].numpy().T
    uv = np.take(mesh.uv, prim, axis=0)
    x = uv[:, 6] + w1 * (uv[:, 8] - uv[:, 6]) + w2 * (uv[:, 10] - uv[:, 6])
    y = uv[:, 7] + w1 * (uv[:, 9] - uv[:, 7]) + w2 * (uv[:, 11] - uv[:, 7])
    patch = np.take(mesh.patch, prim)
    texel = np.rint(y).astype(np.int32) * LIGHTMAP_WIDTH + np.rint(x).astype(np.int32)
    light = np.take(direct.reshape(-1, 3), texel, axis=0) * np.take(albedo, patch, axis=0)
    light[missed] = 0
    return light


def _tangents(normals: F32) -> tuple[F32, F32]:
    helper = np.where(np.abs(normals[:, 2:]) < 0.9, _Z, _X)
    side = np.cross(helper, normals)
    side /= np.sqrt((side * side).sum(1, keepdims=True))
    return side.astype(np.float32), np.cross(normals, side).astype(np.float32)


def _smooth(image: F32, mask: F32, passes: int) -> F32:
    """Blurs each patch within itself (3x3 per pass): the empty texels around patches keep them apart."""
    import cv2

    weight = np.maximum(cv2.blur(mask, (3, 3)), 1e-6)[..., None]
    for _ in range(passes):
        image = cv2.blur(image, (3, 3)) / weight * mask[..., None]
    return image.astype(np.float32)

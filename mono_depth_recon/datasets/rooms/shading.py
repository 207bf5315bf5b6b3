"""From ray hits to a picture: textures, baked light, mirrored lamps, and the camera that develops it.

Everything works on flat arrays, one per coordinate: that is what makes numpy fast here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import Matrix, Rgb
from .light import AreaLight
from .noise import F32
from .scene import SceneMesh
from .textures import LEVELS, atlas

TONE_STEPS = 4096
_TONE_RANGE = 3.0  # radiance after exposure that the curve covers; its white lies at about 1.5
_MEAN_RADIANCE = 0.5  # of a typical view, in white sheets
_MIRRORED_GREY = 0.18  # what glossy surfaces mirror besides lamps, in white sheets
_MATT = 0.12  # gloss below which nothing is seen to be mirrored
_ALBEDO = (np.arange(256, dtype=np.float32) / 255) ** 2  # of texture values
Planes = tuple[F32, F32, F32]


class Shader:
    """Radiance of points of one lit mesh. `light` is the light map, in units of a white sheet in the room."""

    def __init__(self, mesh: SceneMesh, light: F32, lamps: Sequence[AreaLight]) -> None:
        self._light, self._lamps = light, lamps
        self.patch = mesh.patch
        self._uv = np.ascontiguousarray(mesh.uv.T)
        corners = mesh.vertices[mesh.triangles.astype(np.int64)].astype(np.float64)
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normal /= np.maximum(np.sqrt((normal**2).sum(1, keepdims=True)), 1e-12)
        self._corner_normals = np.ascontiguousarray(mesh.normals[mesh.triangles.astype(np.int64)].transpose(1, 2, 0))
        self._normal = np.ascontiguousarray(normal.T.astype(np.float32))
        self._texture, self._density, self._gloss, self._glow = (
            a[mesh.patch] for a in (mesh.texture, mesh.texels_per_m, mesh.gloss, mesh.glow)
        )
        self._tint = mesh.tint[mesh.patch]

    def radiance(
        self,
        eye: Matrix,
        way: Planes,
        reach: F32,
        prim: NDArray[np.int32],
        bary: Planes | tuple[F32, F32],
        focal_px: float,
    ) -> F32:
        """Radiance (N, 3) where rays from `eye` along `way` (camera z = 1) meet triangle `prim` after `reach`.

        `bary` are the second and third barycentric coordinates; `focal_px` decides the level of detail.
        """
        import cv2

        length = np.sqrt(way[0] ** 2 + way[1] ** 2 + way[2] ** 2)
        normal = tuple(np.take(n, prim) for n in self._normal)
        facing = (way[0] * normal[0] + way[1] * normal[1] + way[2] * normal[2]) / length
        pixel_m = reach / np.float32(focal_px) / np.maximum(np.sqrt(np.abs(facing)), 0.15)
        u, v, lx, ly = (self._interpolate(k, prim, bary[0], bary[1]) for k in (0, 1, 6, 7))
        map_x, map_y = _texture_maps(u, v, np.take(self._texture, prim), pixel_m * np.take(self._density, prim))
        light = _sample(self._light, lx, ly)
        light *= np.take(self._tint, prim, axis=0)
        light += np.take(self._glow, prim)[:, None]
        light *= cv2.LUT(_sample(atlas().image, map_x, map_y), _ALBEDO)
        pick = np.flatnonzero(np.take(self._gloss, prim) > _MATT)
        near = (w[pick] for w in (*way, *bary, length, reach))
        light[pick] += self._mirrored(eye, prim[pick], *near)
        return light

    def _interpolate(self, k: int, prim: NDArray[np.int32], w1: F32, w2: F32) -> F32:
        a = np.take(self._uv[k], prim)
        return np.asarray(a + w1 * (np.take(self._uv[k + 2], prim) - a) + w2 * (np.take(self._uv[k + 4], prim) - a))

    def _mirrored(self, eye: Matrix, prim: NDArray[np.int32], *flat: F32) -> F32:
        """What glossy surfaces mirror, (N, 3): the room's grey, lamps and windows as soft spots.

        The strength is Schlick's approximation of Fresnel's law.
        `flat` are (N,): way x, y, z, two barycentric coordinates, length of the way, reach.
        """
        *way, w1, w2, length, reach = flat
        a, b, c = ([np.take(n, prim) for n in corner] for corner in self._corner_normals)
        n = [p + w1 * (q - p) + w2 * (r - p) for p, q, r in zip(a, b, c, strict=True)]
        shorten = 1 / np.sqrt(n[0] ** 2 + n[1] ** 2 + n[2] ** 2)
        n = [p * shorten for p in n]
        cosine = (way[0] * n[0] + way[1] * n[1] + way[2] * n[2]) / length
        strength = np.take(self._gloss, prim) * (0.04 + 0.96 * (1 - np.minimum(np.abs(cosine), 1)) ** 5)
        point = [np.float32(eye[k]) + reach * way[k] for k in range(3)]
        ray = [way[k] / length - 2 * cosine * n[k] for k in range(3)]
        extra = np.full((3, len(prim)), _MIRRORED_GREY, np.float32)
        for lamp in self._lamps:
            seen = lamp.seen_along(point, ray)
            for k in range(3):
                extra[k] += seen * lamp.radiance[k]
        return np.asarray((strength * extra).T)


def _sample(image: NDArray[Any], x: F32, y: F32) -> NDArray[Any]:
    """Bilinear samples (N, C) of an image at flat pixel coordinates."""
    import cv2

    n, columns = len(x), 512  # remap wants images, no longer than 32767
    pad = -n % columns
    if pad:
        x, y = np.pad(x, (0, pad)), np.pad(y, (0, pad))
    found = cv2.remap(image, x.reshape(-1, columns), y.reshape(-1, columns), cv2.INTER_LINEAR)
    return np.asarray(found.reshape(-1, image.shape[2])[:n])


def _texture_maps(u: F32, v: F32, texture: NDArray[np.int32], texels: F32) -> tuple[F32, F32]:
    """Pixel of the atlas for texture coordinates in tiles; `texels` is how many texels of level 0 a pixel spans."""
    table = atlas()
    level = np.clip(np.log2(np.maximum(texels, 1.0)) + 0.2, 0, LEVELS - 1).astype(np.int32)
    k = texture * LEVELS + level
    size = np.take(table.size.ravel(), k)
    x, y = np.ascontiguousarray(table.origin.reshape(-1, 2).T - np.float32(0.5))
    return (u - np.floor(u)) * size + np.take(x, k), (v - np.floor(v)) * size + np.take(y, k)


class Development:
    """A camera's character, drawn once per room: exposure, white balance, vignette, tone curve, noise."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._key = float(rng.uniform(0.24, 0.6))
        self._balance = np.array([rng.normal(1, 0.05), 1.0, rng.normal(1, 0.06)], np.float32)
        self._vignette = float(rng.uniform(0.02, 0.25))
        self._noise = float(rng.uniform(0.6, 3.0))
        x = np.arange(TONE_STEPS) / (TONE_STEPS - 1) * _TONE_RANGE
        shoulder = np.where(x < 0.7, x, 0.7 + 0.3 * (1 - np.exp(-(x - 0.7) / 0.3)))
        self._curve = np.round(255 * shoulder ** (1 / rng.uniform(2.0, 2.4))).astype(np.uint8)

    def gain(self, radiance: F32) -> F32:
        """(3,) factors to steps of the tone curve: exposed for this frame, mostly, and for the room."""
        mean = max(float(np.minimum(radiance[::61], 2.0).mean()), 1e-4)
        exposure = self._key / (mean**0.75 * _MEAN_RADIANCE**0.25)
        return np.float32(exposure * (TONE_STEPS - 1) / _TONE_RANGE) * self._balance

    def picture(self, exposed: F32, seed: tuple[int, int]) -> Rgb:
        """(H, W, 3) uint8 of exposed light (H, W, 3) in steps of the tone curve; the seed is the noise's."""
        import cv2

        h, w = exposed.shape[:2]
        x, y = np.linspace(-1, 1, w, dtype=np.float32), np.linspace(-1, 1, h, dtype=np.float32)
        shade = 1 - np.float32(self._vignette * 0.5) * (x[None, :] ** 2 + y[:, None] ** 2)
        soft = cv2.GaussianBlur(exposed, (3, 3), 0.5)
        soft *= shade[..., None]
        image = np.take(self._curve, soft.astype(np.int32))
        return np.asarray(cv2.add(image, _grain_of(h, w, self._noise, seed), dtype=cv2.CV_8U), np.uint8)


def _grain_of(h: int, w: int, sigma: float, seed: tuple[int, int]) -> NDArray[np.int16]:
    """Sensor noise (h, w, 3) of standard deviation sigma grey levels: one noise image, shifted at random."""
    dy, dx = np.random.default_rng(seed).integers(0, 512, 2)
    rows, columns = (np.arange(h) + dy) % 512, (np.arange(w) + dx) % 512
    scaled = np.rint(_grain() * np.float32(sigma)).astype(np.int16)
    return np.take(np.take(scaled, rows, 0), columns, 1)


@lru_cache(maxsize=1)
def _grain() -> F32:
    return np.random.default_rng(12).standard_normal((512, 512, 3), np.float32)

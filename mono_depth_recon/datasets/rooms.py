"""Synthetic rooms: colour, exact depth and pose of a camera that moves through a procedural room.

Everything follows from the seed, to the byte. A room is joined and lit once (about a second), after that a
frame costs one ray per pixel. The world is z-up, in metres; one corner of the room's floor is its origin.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Depth, Matrix, Rgb
from ..camera import PinholeCamera
from ..errors import CalibrationError
from ..frames import Sample
from .room_layout import plan
from .room_light import bake
from .room_path import find_path
from .room_scene import join
from .room_textures import F32, LEVELS, atlas

_MISS = np.uint32(0xFFFFFFFF)
_TONE_STEPS = 4096
_TONE_RANGE = 3.0


class Room:
    """One furnished and lit room. `style` names its kind, `size` is (x, y, z) metres."""

    def __init__(self, seed: int) -> None:
        import open3d as o3d

        self.seed = int(seed)
        self._layout = plan(self.seed)
        self.style, self.size = self._layout.style, self._layout.size
        self._mesh = join(self._layout.builder.patches)
        # One thread builds the tree: its shape, and so which of two touching triangles a ray meets, never varies.
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        self._scene.add_triangles(o3d.core.Tensor(self._mesh.vertices), o3d.core.Tensor(self._mesh.triangles))
        rng = np.random.default_rng((self.seed, 11))
        self._light = bake(self._scene, self._mesh, self._layout.builder.patches, self._layout.lights, rng)
        self._level = float(np.median(self._light[self._light.any(2)].mean(1))) * 0.5
        self._look = _Look(rng)
        self._per_triangle = self._shading_table()

    def _shading_table(self) -> F32:
        """(T, 20) float32: uv (12), tint (3), texture, texels per metre, gloss, glow, 0."""
        mesh = self._mesh
        per_patch = np.column_stack([mesh.tint, mesh.texture, mesh.texels_per_m, mesh.gloss, mesh.glow, np.zeros(len(mesh.gloss))])
        return np.concatenate([mesh.uv, per_patch[mesh.patch].astype(np.float32)], 1)

    def render(self, camera: PinholeCamera, T_world_camera: ArrayLike) -> tuple[Rgb, Depth]:
        """Colour (H, W, 3) uint8 and exact depth (H, W) float32, Z in metres, of a camera at that pose (4, 4).

        NaN where a ray leaves the room. Raises CalibrationError for a camera with distortion.
        """
        T = np.asarray(T_world_camera, np.float64)
        way, hits = self._cast(camera, T)
        depth = hits["t_hit"].numpy()
        prim = hits["primitive_ids"].numpy()
        missed = prim == _MISS
        if missed.any():
            prim = np.where(missed, 0, prim)
            depth = np.where(missed, np.float32(np.nan), depth)
        radiance = self._shade(camera, T, way, hits, prim, np.where(missed, 1, depth))
        radiance[missed] = 0
        noise_seed = zlib.crc32(T.tobytes())
        return self._look.develop(radiance, self._level, (self.seed, noise_seed)), depth

    def _cast(self, camera: PinholeCamera, T: Matrix) -> tuple[F32, dict]:  # type: ignore[type-arg]
        """World direction (H, W, 3) of every pixel with camera z = 1, and what it meets."""
        import open3d as o3d

        if camera.is_distorted:
            raise CalibrationError("rooms are rendered without lens distortion: pass camera.rectified")
        x, y = camera.rays
        R = T[:3, :3].astype(np.float32)
        rays = np.empty((camera.height, camera.width, 6), np.float32)
        rays[..., :3] = T[:3, 3]
        for k in range(3):
            rays[..., 3 + k] = (R[k, 0] * x)[None, :] + (R[k, 1] * y + R[k, 2])[:, None]
        return rays[..., 3:], self._scene.cast_rays(o3d.core.Tensor(rays))

    def _shade(self, camera: PinholeCamera, T: Matrix, way: F32, hits: dict, prim: NDArray[np.uint32], depth: Depth) -> F32:  # type: ignore[type-arg]
        """Radiance (H, W, 3)."""
        import cv2

        table = np.take(self._per_triangle, prim.astype(np.int32), axis=0)
        w1, w2 = np.moveaxis(hits["primitive_uvs"].numpy(), -1, 0)
        u, v, lx, ly = (table[..., k] + w1 * (table[..., k + 2] - table[..., k]) + w2 * (table[..., k + 4] - table[..., k])
                        for k in (0, 1, 6, 7))
        normal = hits["primitive_normals"].numpy()
        length = np.sqrt(np.einsum("hwk,hwk->hw", way, way))
        cosine = np.abs(np.einsum("hwk,hwk->hw", way, normal)) / length
        pixel_m = depth / np.float32(camera.fx) / np.maximum(np.sqrt(cosine), 0.15)
        map_x, map_y = _texture_maps(u, v, table[..., 15], pixel_m * table[..., 16])
        albedo = cv2.remap(atlas().image, map_x, map_y, cv2.INTER_LINEAR).astype(np.float32)
        albedo *= albedo * np.float32(1 / 255**2)
        light = cv2.remap(self._light, lx, ly, cv2.INTER_LINEAR)
        glow = table[..., 18, None]
        light *= table[..., 12:15]
        light += glow
        light *= albedo
        self._add_gloss(light, T, way / length[..., None], normal, cosine, depth, table[..., 17])
        return light

    def _add_gloss(self, light: F32, T: Matrix, view: F32, normal: F32, cosine: F32, depth: Depth, gloss: F32) -> None:
        """Adds what glossy surfaces mirror: the room's grey, lamps and windows as soft spots."""
        pick = np.nonzero(gloss > 0.02)
        n, d, c = normal[pick], view[pick], cosine[pick]
        facing = np.einsum("nk,nk->n", n, d)
        mirrored = d - 2 * facing[:, None] * n
        strength = gloss[pick] * (0.04 + 0.96 * (1 - c) ** 5)
        camera_z = T[:3, 2].astype(np.float32)
        point = T[:3, 3].astype(np.float32) + d * (depth[pick] / (d @ camera_z))[:, None]
        extra = np.full((len(c), 3), 0.35 * self._level, np.float32)
        for lamp in self._layout.lights:
            extra += lamp.seen_along(point, mirrored)[:, None] * lamp.radiance
        light[pick] += strength[:, None] * extra

    def clearance(self, points: ArrayLike) -> Matrix:
        """Distance (N,) metres of points (N, 3) to the nearest surface; negative outside the room and inside boxes."""
        import open3d as o3d

        p = np.asarray(points, np.float64).reshape(-1, 3)
        distance = self._scene.compute_distance(o3d.core.Tensor(p.astype(np.float32))).numpy().astype(np.float64)
        return np.where(self.contains(p), distance, -distance)

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """(N,) True for points (N, 3) of the air of the room: within its walls and in no solid box of furniture."""
        p = np.asarray(points, np.float64).reshape(-1, 3)
        free = ((p > 0) & (p < self.size)).all(1)
        for unit in self._layout.builder.solids:
            free &= ~(np.abs(p @ unit[:3, :3].T + unit[:3, 3]) < 1).all(1)
        return free

    def _view_depths(self, T: Matrix) -> tuple[float, float]:
        """Near (3 % of pixels) and middle depth of a coarse view, metres."""
        depth = self._cast(_PROBE, T)[1]["t_hit"].numpy()
        return float(np.quantile(depth, 0.03)), float(np.median(depth))


class _Look:
    """The camera's character: exposure, white balance, vignette, noise. Drawn once per room."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._key = float(rng.uniform(0.2, 0.42))
        self._balance = np.array([rng.normal(1, 0.05), 1.0, rng.normal(1, 0.06)], np.float32)
        self._vignette = float(rng.uniform(0.02, 0.25))
        self._noise = float(rng.uniform(0.6, 3.0))
        x = np.arange(_TONE_STEPS) / (_TONE_STEPS - 1) * _TONE_RANGE
        shoulder = np.where(x < 0.7, x, 0.7 + 0.3 * (1 - np.exp(-(x - 0.7) / 0.3)))
        self._curve = np.round(255 * shoulder ** (1 / rng.uniform(2.0, 2.4))).astype(np.uint8)

    def develop(self, radiance: F32, level: float, seed: tuple[int, int]) -> Rgb:
        """Picture (H, W, 3) uint8 of a radiance map: exposed for the frame, mostly, and for the room."""
        import cv2

        h, w = radiance.shape[:2]
        mean = max(float(np.minimum(radiance[::8, ::8], 4 * level).mean()), 1e-4)
        gain = self._key / (mean**0.75 * level**0.25)
        x, y = np.linspace(-1, 1, w, dtype=np.float32), np.linspace(-1, 1, h, dtype=np.float32)
        scale = np.float32(gain * (_TONE_STEPS - 1) / _TONE_RANGE) * (1 - np.float32(self._vignette * 0.5) * (x[None, :] ** 2 + y[:, None] ** 2))
        exposed = radiance * self._balance * scale[..., None]
        soft = cv2.GaussianBlur(np.minimum(exposed, _TONE_STEPS - 1), (3, 3), 0.55)
        image = np.take(self._curve, soft.astype(np.int32))
        rng = np.random.default_rng(seed)
        grain = _grain()
        dy, dx = rng.integers(0, grain.shape[0] - 16, 2)
        tiles = np.roll(grain, (int(dy), int(dx)), (0, 1))
        tiles = np.tile(tiles, (-(-h // len(tiles)), -(-w // len(tiles)), 1))[:h, :w]
        return np.asarray(cv2.add(image, np.round(tiles * self._noise).astype(np.int16), dtype=cv2.CV_8U), np.uint8)


@lru_cache(maxsize=1)
def _grain() -> F32:
    return np.random.default_rng(12).standard_normal((512, 512, 3), np.float32)


def _texture_maps(u: F32, v: F32, texture: F32, texels: F32) -> tuple[F32, F32]:
    """Pixel of the atlas for texture coordinates in tiles; `texels` is how many texels of level 0 a pixel spans."""
    table = atlas()
    level = np.clip(np.log2(np.maximum(texels, 1.0)) + 0.2, 0, LEVELS - 1).astype(np.int32)
    k = texture.astype(np.int32) * LEVELS + level
    size = table.size.ravel()[k]
    origin = table.origin.reshape(-1, 2)
    return (u - np.floor(u)) * size + (origin[:, 0] - 0.5)[k], (v - np.floor(v)) * size + (origin[:, 1] - 0.5)[k]


_PROBE = PinholeCamera.from_hfov(20, 15, 62.0)


class RoomSequence:
    """Frames along a closed smooth path through the room of `seed`: stamp i / rate_hz, exact depth, pose.

    The path does not depend on `length`, which says how many frames the loop is divided into.
    The default camera has 640x480 pixels and 62 degrees horizontal field of view.
    """

    def __init__(self, seed: int, camera: PinholeCamera | None = None, length: int = 120, rate_hz: float = 15.0) -> None:
        self.seed, self.length, self.rate_hz = int(seed), int(length), float(rate_hz)
        self.camera = camera or PinholeCamera.from_hfov(640, 480, 62.0)
        self.room = Room(self.seed)
        rng = np.random.default_rng((self.seed, 13))
        self._path = find_path(self.room._layout, self.room.clearance, self.room._view_depths, rng)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(self.length))

    def pose(self, i: int) -> Matrix:
        """(4, 4) T_world_camera of frame i, not rendered; the frame after the last is the first again."""
        return self._path.pose(i / self.length)

    def __getitem__(self, i: int) -> Sample:
        if not 0 <= i < self.length:
            raise IndexError(f"frame {i} of a sequence of {self.length}")
        T = self.pose(i)
        rgb, depth = self.room.render(self.camera, T)
        return Sample(rgb, self.camera, depth, i / self.rate_hz, f"room{self.seed}/{i:06d}", T)

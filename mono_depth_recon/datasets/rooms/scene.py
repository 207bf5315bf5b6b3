"""Shapes of the synthetic rooms: boxes, turned shapes, tubes as grids of points, joined into one triangle mesh.

Every shape is a set of patches. A patch is a grid of points (m, n, 3) in world metres with parameters t along
its rows and s along its columns; it carries one material and one rectangle of the light map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...arrays import Matrix
from .noise import F32
from .textures import atlas, pack

LIGHTMAP_WIDTH = 1024
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """How a surface looks: `texture` times `tint` (linear albedo).

    `tile_m` is metres per tile, 0 = one picture over the patch; `gloss` 0 to 1 is how strongly it mirrors lights;
    `glow` is radiance sent out, in units of a white sheet in the room; `turned` lays the grain along t instead of s.
    """

    texture: str = "plain"
    tint: Colour = (0.8, 0.8, 0.8)
    tile_m: float = 0.5
    gloss: float = 0.0
    glow: float = 0.0
    turned: bool = False

    def dyed(self, tint: ArrayLike) -> Material:
        """The same surface in another colour."""
        r, g, b = (float(c) for c in np.asarray(tint))
        return replace(self, tint=(r, g, b))


@dataclass
class Patch:
    """One grid of points (m, n, 3) with unit normals (m, n, 3), world frame, metres."""

    points: Matrix
    normals: Matrix
    material: Material
    shift: tuple[float, float]  # where in the texture it begins, in tiles

    @property
    def size_m(self) -> tuple[float, float]:
        """Longest length along s and along t, metres."""
        along_s = np.linalg.norm(np.diff(self.points, axis=1), axis=2).sum(1).max()
        along_t = np.linalg.norm(np.diff(self.points, axis=0), axis=2).sum(0).max()
        return float(along_s), float(along_t)


@dataclass
class SceneBuilder:
    """Collects patches. Shapes are given in the local frame of the enclosing `at` blocks."""

    rng: np.random.Generator
    patches: list[Patch] = field(default_factory=list)
    solids: list[Matrix] = field(default_factory=list)  # (4, 4) maps world points to the unit cube [-1, 1] of a box
    _frame: Matrix = field(default_factory=lambda: np.eye(4))

    @contextmanager
    def at(self, position: ArrayLike, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Iterator[None]:
        """Moves the local frame for the block: rotation z(yaw) y(pitch) x(roll) in radians, position in metres."""
        outer = self._frame
        self._frame = outer @ rigid(position, yaw, pitch, roll)
        yield
        self._frame = outer

    def grid(self, points: Matrix, normals: Matrix, material: Material) -> None:
        """Adds a patch of local points (m, n, 3) and unit normals (m, n, 3)."""
        R, t = self._frame[:3, :3], self._frame[:3, 3]
        shift = (0.0, 0.0)
        if material.tile_m > 0:
            shift = (float(self.rng.random()), float(self.rng.random()))
        self.patches.append(Patch(points @ R.T + t, normals @ R.T, material, shift))

    def quad(self, corner: ArrayLike, along_s: ArrayLike, along_t: ArrayLike, material: Material) -> None:
        """A parallelogram seen from its front: s to the right, t down, a picture has its top left at the corner."""
        c, s, t = (np.asarray(v, np.float64) for v in (corner, along_s, along_t))
        normal = np.cross(t, s)
        points = np.array([[c, c + s], [c + t, c + s + t]])
        self.grid(points, np.broadcast_to(normal / np.linalg.norm(normal), (2, 2, 3)), material)

    def box(
        self,
        centre: Sequence[float],
        size: Sequence[float],
        material: Material,
        front: Material | None = None,
        top: Material | None = None,
        solid: bool = True,
    ) -> None:
        """A box; `front` covers its face towards local -y, `top` the one towards +z."""
        c, h = np.asarray(centre, np.float64), np.asarray(size, np.float64) / 2
        x, y, z = np.diag(2 * h)
        lo, hi = c - h, c + h
        self.quad((lo[0], lo[1], hi[2]), x, -z, front or material)
        self.quad((hi[0], hi[1], hi[2]), -x, -z, material)
        self.quad((hi[0], lo[1], hi[2]), y, -z, material)
        self.quad((lo[0], hi[1], hi[2]), -y, -z, material)
        self.quad((lo[0], hi[1], hi[2]), x, -y, top or material)
        self.quad((lo[0], lo[1], lo[2]), x, y, material)
        if solid:
            self.solids.append(np.asarray(np.linalg.inv(self._frame @ rigid(c) @ np.diag([*h, 1.0])), np.float64))

    def lathe(
        self, profile: ArrayLike, material: Material, centre: Sequence[float] = (0.0, 0.0, 0.0), sides: int = 20
    ) -> None:
        """Turns a profile [(radius, z), ...] about local z; the outside is to its right when it rises."""
        r, z = np.asarray(profile, np.float64).T
        angle = np.linspace(0, 2 * np.pi, sides + 1)
        ring = np.stack([np.cos(angle), np.sin(angle)], 1)
        dr, dz = np.diff(r), np.diff(z)
        slope = np.stack([dz, -dr], 1) / np.maximum(np.hypot(dr, dz), 1e-9)[:, None]
        for i in range(len(r) - 1):  # one patch per step keeps creases sharp and light maps even
            points = np.empty((2, sides + 1, 3))
            normals = np.empty_like(points)
            for k, j in enumerate((i + 1, i)):
                points[k] = np.c_[ring * r[j], np.full(sides + 1, z[j])] + centre
                normals[k] = np.c_[ring * slope[i, 0], np.full(sides + 1, slope[i, 1])]
            self.grid(points, normals, material)

    def cylinder(
        self,
        base: Sequence[float],
        radius: float,
        height: float,
        material: Material,
        sides: int = 16,
        top_radius: float | None = None,
    ) -> None:
        """An upright closed cylinder or cone."""
        top = radius if top_radius is None else top_radius
        self.lathe([(radius, 0), (top, height), (0, height)], material, base, sides)

    def ball(self, centre: Sequence[float], radius: float, material: Material, flatten: float = 1.0) -> None:
        """A sphere, or a spheroid with its height times `flatten`; one smooth patch."""
        a, e = np.meshgrid(np.linspace(0, 2 * np.pi, 21), np.linspace(np.pi / 2, -np.pi / 2, 13))
        n = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], 2)
        points = n * radius * np.array([1, 1, flatten]) + np.asarray(centre)
        out = n / np.array([1, 1, flatten])
        self.grid(points, out / np.linalg.norm(out, axis=2, keepdims=True), material)

    def tube(self, path: ArrayLike, radius: float, material: Material, sides: int = 6) -> None:
        """A round tube along a path (n, 3): cables, handles, bars."""
        p = np.asarray(path, np.float64)
        ahead = np.gradient(p, axis=0)
        ahead /= np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
        side = np.cross(ahead, np.where(np.abs(ahead[:, 2:]) > 0.9, [[1.0, 0, 0]], [[0, 0, 1.0]]))
        side /= np.linalg.norm(side, axis=1, keepdims=True)
        up = np.cross(side, ahead)
        angle = np.linspace(0, 2 * np.pi, sides + 1)[:, None, None]
        out = np.cos(angle) * side + np.sin(angle) * up
        self.grid(p + radius * out, np.ascontiguousarray(out), material)


def rigid(position: ArrayLike = (0, 0, 0), yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Matrix:
    """(4, 4) transform: rotation z(yaw) y(pitch) x(roll), then translation in metres."""
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    T = np.eye(4)
    T[:3, :3] = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    T[:3, 3] = position
    return T


@dataclass(frozen=True)
class SceneMesh:
    """The triangles of a scene with what shading needs per triangle.

    `vertices` and unit `normals` (V, 3) float32, `triangles` (T, 3) uint32; `uv` (T, 12) float32: texture u0 v0 u1 v1
    u2 v2 in tiles, then the light map's x0 y0 .. in texels; `patch` (T,) int32. Per patch: `texture`, `tint` (P, 3),
    `gloss`, `glow`, `texels_per_m` and its rectangle of the light map `rect` (P, 4): x, y, width, height.
    """

    vertices: F32
    normals: F32
    triangles: NDArray[np.uint32]
    uv: F32
    patch: NDArray[np.int32]
    texture: NDArray[np.int32]
    tint: F32
    gloss: F32
    glow: F32
    texels_per_m: F32
    rect: NDArray[np.int64]
    lightmap_height: int


def _texels(size_m: tuple[float, float], upward: bool) -> tuple[int, int]:
    """Light map size of a patch: a desk top gets 14 mm a texel, a floor 35 mm, a cup a few texels."""
    area = size_m[0] * size_m[1]
    texel = 0.014 if upward and 0.3 < area < 3.5 else float(np.clip(0.011 * np.sqrt(area), 0.02, 0.035))
    nu, nv = (int(np.clip(np.ceil(s / texel) + 1, 3, 400)) for s in size_m)
    return nu, nv


def join(patches: Sequence[Patch]) -> SceneMesh:
    """Joins patches into one mesh, packing their rectangles into one light map."""
    table = atlas()
    sizes = [patch.size_m for patch in patches]
    texels = np.array([_texels(s, patch.normals[0, 0, 2] > 0.9) for s, patch in zip(sizes, patches, strict=True)])
    origins, height = pack(texels + 2, LIGHTMAP_WIDTH)
    rect = np.concatenate([origins + 1, texels], 1)
    vertices, triangles, uv, owner = [], [], [], []
    base = 0
    for i, patch in enumerate(patches):
        m, n = patch.points.shape[:2]
        cells = _cells(m, n)
        vertices.append(patch.points.reshape(-1, 3))
        triangles.append(cells + base)
        uv.append(_patch_uv(patch, sizes[i], rect[i])[cells].transpose(0, 2, 1, 3).reshape(len(cells), 12, order="C"))
        owner.append(np.full(len(cells), i, np.int32))
        base += m * n
    materials = [p.material for p in patches]
    texture = np.array([table.index[m.texture] for m in materials], np.int32)
    density = [table.size[k, 0] / (m.tile_m or max(s)) for k, m, s in zip(texture, materials, sizes, strict=True)]
    return SceneMesh(
        np.concatenate(vertices).astype(np.float32),
        np.concatenate([p.normals.reshape(-1, 3) for p in patches]).astype(np.float32),
        np.concatenate(triangles).astype(np.uint32),
        np.concatenate(uv).astype(np.float32),
        np.concatenate(owner),
        texture,
        np.array([m.tint for m in materials], np.float32),
        np.array([m.gloss for m in materials], np.float32),
        np.array([m.glow for m in materials], np.float32),
        np.array(density, np.float32),
        rect,
        height,
    )


def _cells(m: int, n: int) -> NDArray[np.int64]:
    """Two triangles per cell of an (m, n) grid, as vertex numbers."""
    i = (np.arange(m - 1)[:, None] * n + np.arange(n - 1)).ravel()
    return np.concatenate([np.stack([i, i + n, i + 1], 1), np.stack([i + 1, i + n, i + n + 1], 1)])


def _patch_uv(patch: Patch, size_m: tuple[float, float], rect: NDArray[np.int64]) -> Matrix:
    """(m * n, 2, 2): texture coordinates in tiles and light map coordinates in texels of every grid point."""
    m, n = patch.points.shape[:2]
    t, s = (a.ravel() for a in np.meshgrid(np.linspace(0, 1, m), np.linspace(0, 1, n), indexing="ij"))
    lit = np.stack([rect[0] + s * (rect[2] - 1), rect[1] + t * (rect[3] - 1)], 1)
    material = patch.material
    scale = (size_m[0] / material.tile_m, size_m[1] / material.tile_m) if material.tile_m > 0 else (1.0, 1.0)
    tile = np.stack([patch.shift[0] + s * scale[0], patch.shift[1] + t * scale[1]], 1)
    return np.stack([tile[:, ::-1] if material.turned else tile, lit], 1)

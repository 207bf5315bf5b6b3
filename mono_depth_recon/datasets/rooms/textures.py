"""The textures of the synthetic rooms: made from noise and simple drawing, packed with their mip levels in one image.

Values are display values (albedo is their square times the tint of a material). All tiles are square
and wrap around, so that one cv2.remap samples every surface of a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from . import decals as room_decals
from .noise import F32, Rng, fractal, grey

LEVELS = 6
_PAD = 2  # wrapped border of a tile, for bilinear sampling


@dataclass(frozen=True)
class TextureAtlas:
    """All textures in one image: `image` (H, W, 3) uint8; `index` names to rows of `origin` and `size`.

    `origin` (N, LEVELS, 2) float32 is the pixel of a tile's first texel, `size` (N, LEVELS) float32 its edge in texels.
    """

    image: NDArray[np.uint8]
    index: dict[str, int]
    origin: F32
    size: F32
    mean: F32  # (N, 3) mean albedo before the tint, for light that bounces


def pack(sizes: NDArray[np.int64], width: int) -> tuple[NDArray[np.int64], int]:
    """Places rectangles (N, 2) width, height on shelves of an image of `width`: origins (N, 2), height needed."""
    origins = np.zeros_like(sizes)
    x = y = shelf = 0
    for i in np.argsort(-sizes[:, 1], kind="stable"):
        w, h = sizes[i]
        if x + w > width:
            x, y, shelf = 0, y + shelf, 0
        origins[i] = x, y
        x, shelf = x + w, max(shelf, h)
    return origins, int(y + shelf)


def _plaster(rng: Rng) -> F32:
    return grey(0.95 + 0.03 * fractal(rng, 512, 0.9) + 0.008 * fractal(rng, 512, 2.0))


def _rough_plaster(rng: Rng) -> F32:
    bumps = fractal(rng, 512, 1.2)
    return grey(0.93 + 0.4 * (np.roll(bumps, 1, 0) - np.roll(bumps, -1, 1)) + 0.01 * fractal(rng, 512, 2.0))


def _wood_grain(rng: Rng, n: int, contrast: float) -> F32:
    rings = fractal(rng, n, 2.2, stretch=14.0)
    fine = fractal(rng, n, 0.7, stretch=30.0)
    return np.asarray(0.8 + contrast * (0.6 * np.sin(9 * rings) * 0.5 + 0.5 * fine + 0.3 * rings), np.float32)


def _wood(rng: Rng) -> F32:
    return grey(_wood_grain(rng, 512, 0.16))


def _pale_wood(rng: Rng) -> F32:
    return grey(_wood_grain(rng, 512, 0.05) + 0.13)


def _knotty_wood(rng: Rng) -> F32:
    image = _wood_grain(rng, 512, 0.13)
    y, x = np.mgrid[:512, :512].astype(np.float32)
    for cx, cy, r in rng.uniform((20, 20, 4), (490, 490, 11), (14, 3)):
        image -= 0.5 * np.exp(-(((x - cx) / (1.6 * r)) ** 2 + ((y - cy) / r) ** 2))
    return grey(image)


def _planks(rng: Rng) -> F32:
    n, rows = 512, 8
    image = np.empty((n, n), np.float32)
    step = n // rows
    for r in range(rows):
        row = np.roll(_wood_grain(rng, n, 0.15), rng.integers(n), 0)[:step]
        cut = rng.integers(n)
        row = np.roll(row, cut, 1)
        row[:, : n // 2] += rng.uniform(-0.12, 0.05)
        row[:, n // 2 :] += rng.uniform(-0.12, 0.05)
        row[:, [0, 1, n // 2, n // 2 + 1]] -= 0.35
        row[:2] -= 0.35
        image[r * step : (r + 1) * step] = np.roll(row, -cut, 1)
    return grey(image)


def _parquet(rng: Rng) -> F32:
    n, cells = 512, 4
    step = n // cells
    image = np.empty((n, n), np.float32)
    for i in range(cells):
        for j in range(cells):
            block = _wood_grain(rng, n, 0.14)[:step, :step].copy()
            for k in range(4):
                block[k * step // 4 : (k + 1) * step // 4] += rng.uniform(-0.12, 0.06)
                block[k * step // 4] -= 0.3
            image[i * step : (i + 1) * step, j * step : (j + 1) * step] = block if (i + j) % 2 else block.T
    return grey(image)


def _tiles(rng: Rng) -> F32:
    n, cells = 512, 4
    step = n // cells
    y, x = np.mgrid[:n, :n]
    edge = np.minimum(np.minimum(x % step, step - 1 - x % step), np.minimum(y % step, step - 1 - y % step))
    shade = rng.uniform(-0.07, 0.03, (cells, cells))[y // step, x // step]
    face = 0.92 + shade + 0.05 * fractal(rng, n, 2.0)
    return grey(np.where(edge < 2, 0.6 + 0.04 * fractal(rng, n, 0.5), face - 0.08 * np.exp(-edge / 3.0)))


def _bricks(rng: Rng) -> F32:
    n, rows = 512, 12
    h, w = n / rows, n / 4
    y, x = np.mgrid[:n, :n]
    row = (y / h).astype(int)
    shifted = (x + (row % 2) * w / 2) % n
    column = (shifted / w).astype(int) % 4
    mortar = (y % h < 3) | (shifted % w < 3)
    shade = rng.uniform(-0.2, 0.05, (rows, 4))[row % rows, column]
    return grey(np.where(mortar, 0.92, 0.85 + shade + 0.08 * fractal(rng, n, 1.0)))


def _carpet(rng: Rng) -> F32:
    return grey(0.8 + 0.22 * fractal(rng, 512, 0.25) + 0.05 * fractal(rng, 512, 2.0))


def _speckle(rng: Rng) -> F32:
    n = 256
    image = grey(0.88 + 0.03 * fractal(rng, n, 2.0))
    flakes = fractal(rng, n, 1.1)
    image[flakes > 0.45] *= 0.75
    image[flakes < -0.5] = 1.0
    return image


def _fabric(rng: Rng) -> F32:
    n = 256
    y, x = np.mgrid[:n, :n]
    weave = np.sin(2 * np.pi * x / 8) * np.sin(2 * np.pi * y / 8)
    return grey(0.84 + 0.07 * weave + 0.06 * fractal(rng, n, 0.4) + 0.05 * fractal(rng, n, 2.0))


def _checked(rng: Rng) -> F32:
    n = 256
    y, x = np.mgrid[:n, :n]
    bands = 0.13 * ((x // 32) % 2) + 0.13 * ((y // 32) % 2) + 0.1 * ((x % 64) < 4) + 0.1 * ((y % 64) < 4)
    return grey(0.98 - bands + 0.05 * fractal(rng, n, 0.3))


def _stripes(rng: Rng) -> F32:
    x = np.arange(512)
    bands = 0.95 - 0.07 * ((x // 32) % 2) - 0.06 * ((x % 64) < 3)
    return grey(bands[None, :] + 0.03 * fractal(rng, 512, 0.8))


def _ornament(rng: Rng) -> F32:
    n = 512
    y, x = np.mgrid[:n, :n] * (2 * np.pi / 64)
    row = (y / (2 * np.pi)).astype(int) % 2
    u = x + np.pi * row
    leaf = np.cos(u) + np.cos(y) + 0.5 * np.cos(2 * u + np.sin(y) * 2)
    return grey(0.95 - 0.1 * (leaf > 0.9) - 0.05 * (np.abs(leaf - 0.4) < 0.12) + 0.03 * fractal(rng, n, 0.8))


def _metal(rng: Rng) -> F32:
    return grey(0.88 + 0.05 * fractal(rng, 256, 0.6, stretch=40.0) + 0.04 * fractal(rng, 256, 2.4))


def _leather(rng: Rng) -> F32:
    bumps = fractal(rng, 256, 1.0)
    return grey(0.85 + 0.35 * (np.roll(bumps, 1, 0) - bumps) + 0.06 * fractal(rng, 256, 2.2))


def _plain(rng: Rng) -> F32:
    return grey(0.95 + 0.03 * fractal(rng, 256, 2.2) + 0.012 * fractal(rng, 256, 0.0))


def _cardboard(rng: Rng) -> F32:
    return grey(0.9 + 0.05 * fractal(rng, 256, 1.5) + 0.04 * fractal(rng, 256, 0.5, stretch=20.0))


def _ceiling_panel(rng: Rng) -> F32:
    n = 512
    y, x = np.mgrid[:n, :n] % (n // 2)
    holes = (fractal(rng, n, 0.3) > 0.62) * 0.2
    return grey(np.where((x < 4) | (y < 4), 0.8, 0.95 - holes + 0.02 * fractal(rng, n, 2.0)))


SURFACES: dict[str, Callable[[Rng], F32]] = {
    "plaster": _plaster,
    "rough_plaster": _rough_plaster,
    "wood": _wood,
    "pale_wood": _pale_wood,
    "knotty_wood": _knotty_wood,
    "planks": _planks,
    "parquet": _parquet,
    "tiles": _tiles,
    "bricks": _bricks,
    "carpet": _carpet,
    "speckle": _speckle,
    "fabric": _fabric,
    "checked": _checked,
    "stripes": _stripes,
    "ornament": _ornament,
    "metal": _metal,
    "leather": _leather,
    "plain": _plain,
    "cardboard": _cardboard,
    "ceiling_panel": _ceiling_panel,
}


@lru_cache(maxsize=1)
def atlas() -> TextureAtlas:
    """The one atlas of this process; the same bytes in every process."""
    tiles = {name: make(np.random.default_rng((1, i))) for i, (name, make) in enumerate(SURFACES.items())}
    tiles |= room_decals.all_decals()
    mips = [_mip_levels(tile) for tile in tiles.values()]
    sizes = np.array([[len(m) + 2 * _PAD] * 2 for levels in mips for m in levels])
    origins, height = pack(sizes, 4096)
    image = np.zeros((height, 4096, 3), np.uint8)
    for (x, y), tile in zip(origins, (m for levels in mips for m in levels), strict=True):
        n = len(tile) + 2 * _PAD
        image[y : y + n, x : x + n] = np.pad(tile, ((_PAD, _PAD), (_PAD, _PAD), (0, 0)), mode="wrap")
    means = np.array([(levels[-1].astype(np.float32) / 255).mean((0, 1)) ** 2 for levels in mips], np.float32)
    return TextureAtlas(
        image,
        {name: i for i, name in enumerate(tiles)},
        (origins + _PAD).reshape(-1, LEVELS, 2).astype(np.float32),
        (sizes[:, 0] - 2 * _PAD).reshape(-1, LEVELS).astype(np.float32),
        means,
    )


def _mip_levels(tile: F32) -> list[NDArray[np.uint8]]:
    levels = []
    for _ in range(LEVELS):
        levels.append(np.round(np.clip(tile, 0, 1) * 255).astype(np.uint8))
        tile = 0.25 * (tile[::2, ::2] + tile[1::2, ::2] + tile[::2, 1::2] + tile[1::2, 1::2])
    return levels

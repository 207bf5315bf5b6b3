"""Depth of single points by triangulation: points of a keyframe are searched in others along epipolar lines.

The poses are in metres, and so is the depth found here, whatever scale the model predicts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth, Matrix, Rgb
from ..camera import PinholeCamera
from ..poses import motion_between
from .scale import on_grid

_F32 = NDArray[np.float32]

_WIDTH = 320  # pixels, of the images that are searched
_CELL = 10  # pixels; the strongest edge of each cell is a point
_MIN_GRADIENT = 40.0  # grey levels, by Sobel: five a pixel
_PATCH: _F32 = np.array([(dx, dy) for dy in (-2.4, -0.8, 0.8, 2.4) for dx in (-2.4, -0.8, 0.8, 2.4)], np.float32)
_CORNERS = [0, 3, 12, 15]
_AT_ONCE = 256  # points per step, so that its arrays stay in the processor's cache
_RIM = 6
_FLAT = np.float32(len(_PATCH) * 2.0**2)  # squared grey levels of noise without texture
_KEPT, _COMPARED = 12, 3  # keyframes
_BASELINE, _MIN_BASELINE = 0.1, 0.025  # relative to the distance of the scene: best, and smallest
_MIN_TURN_DEG, _MAX_TURN_DEG = 3.0, 25.0  # between keyframes at least; to a compared one at most
_COARSE, _FINE = (3.0, 48), (1.08, 9)  # inverse depth from 1 / span to span times the expected, in how many steps
_MIN_CORRELATION, _MIN_FINE, _LEAD, _BREADTH = 0.8, 0.85, 0.08, 7  # lead over other places; candidates as good
_MIN_SHARE = 0.1  # of the points; fewer are found by chance, which means that the poses are wrong
_UNKNOWN_M = 2.0  # start of the search without any depth
_NEAREST_M = 0.2


@dataclass(frozen=True, eq=False)
class SparseDepth:
    """Inverse depth (N,) 1/m at `pixels` (N, 2), x and y on an image of `shape` (height, width)."""

    pixels: _F32
    inverse: _F32
    shape: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Patches:
    """Grey levels (N, 16) around points, zero-mean and of unit length, and the rays (N, 16, 3) of these pixels."""

    levels: _F32
    rays: _F32

    @classmethod
    def around(cls, pixels: _F32, gray: _F32, camera: PinholeCamera) -> Patches:
        """The patches around `pixels` (N, 2) of a grey image (h, w)."""
        import cv2

        places = pixels[:, None] + _PATCH
        levels = cv2.remap(gray, places[..., 0], places[..., 1], cv2.INTER_LINEAR)
        levels -= levels.mean(axis=1, keepdims=True)
        levels /= np.sqrt(np.square(levels).sum(axis=1, keepdims=True) + _FLAT)
        rays = np.concatenate([places, np.ones((*places.shape[:2], 1), np.float32)], axis=-1)
        return cls(levels, rays @ np.linalg.inv(camera.K).T.astype(np.float32))

    def __getitem__(self, which: slice | NDArray[np.bool_]) -> Patches:
        return Patches(self.levels[which], self.rays[which])


@dataclass(frozen=True, eq=False)
class Keyframe:
    """A view that later ones are compared with: grey image (h, w), camera, pose, and the points triangulated in it.

    `distance` is that of the scene in metres, roughly; `patches` are those of the points.
    """

    gray: _F32
    camera: PinholeCamera
    T_world_camera: Matrix
    distance: float
    points: SparseDepth
    patches: Patches


class Triangulator:
    """Triangulates points of a view with the last keyframes, which it keeps with their points."""

    def __init__(self) -> None:
        self._kept: deque[Keyframe] = deque(maxlen=_KEPT)

    def reset(self) -> None:
        """Forgets all keyframes."""
        self._kept.clear()

    def triangulate(self, rgb: Rgb, depth: Depth, camera: PinholeCamera, T_world_camera: Matrix) -> Keyframe:
        """The view with its triangulated points, none where its parallax to the kept keyframes is too small.

        The search starts from `depth` (H, W), which may be wrong by half.
        """
        small = camera.resized(*_small_size(camera))
        gray = _gray(rgb, small)
        expected = on_grid(depth, gray.shape)
        usual = float(np.median(expected[known])) if (known := np.isfinite(expected)).any() else _UNKNOWN_M
        others = self._others(T_world_camera, usual)
        pixels = edge_points(gray) if others else np.empty((0, 2), np.float32)
        if not len(pixels):
            nothing = np.empty(0, np.float32)
            bare = Patches(np.empty((0, len(_PATCH)), np.float32), np.empty((0, len(_PATCH), 3), np.float32))
            return Keyframe(gray, small, T_world_camera, usual, SparseDepth(pixels, nothing, gray.shape), bare)
        start = expected[tuple(np.rint(pixels.T[::-1]).astype(int))]
        start = np.where(np.isfinite(start) & (start > 0), 1 / start, np.float32(1 / usual))
        patches = Patches.around(pixels, gray, small)
        sure, inverse = _searched(patches, others, T_world_camera, start)
        found = SparseDepth(pixels[sure], inverse[sure], gray.shape)
        return Keyframe(gray, small, T_world_camera, usual, found, patches[sure])

    def keep(self, view: Keyframe) -> None:
        """Keeps a view for comparison with later ones, unless the camera has hardly moved since the last kept one."""
        if self._kept:
            moved, turned = motion_between(self._kept[-1].T_world_camera, view.T_world_camera)
            if moved < _MIN_BASELINE / 2 * view.distance and turned < _MIN_TURN_DEG:
                return
        self._kept.append(view)

    def known_points(self, view: Keyframe) -> SparseDepth:
        """The points of `view`, and those of the kept keyframes that look the same in it, hence are not occluded."""
        moved = [_reprojected(kept, view) for kept in self._kept if len(kept.points.inverse)]
        every = [view.points, *moved]
        return SparseDepth(
            np.concatenate([points.pixels for points in every]),
            np.concatenate([points.inverse for points in every]),
            view.points.shape,
        )

    def _others(self, T: Matrix, distance: float) -> list[Keyframe]:
        """The kept keyframes whose baselines suit a scene at `distance` metres best."""
        suitable = []
        for kept in self._kept:
            moved, turned = motion_between(kept.T_world_camera, T)
            if moved >= _MIN_BASELINE * distance and turned <= _MAX_TURN_DEG:
                suitable.append((abs(moved / distance - _BASELINE) + turned / 250, kept))
        return [kept for _, kept in sorted(suitable, key=lambda pair: pair[0])[:_COMPARED]]


def edge_points(gray: _F32) -> _F32:
    """(N, 2) pixels x, y: that of the largest gradient in each cell of 10x10, where it is large enough."""
    import cv2

    height, width = (side // _CELL * _CELL for side in gray.shape)
    steep = np.square(cv2.Sobel(gray, cv2.CV_32F, 1, 0)) + np.square(cv2.Sobel(gray, cv2.CV_32F, 0, 1))
    steep[:_RIM] = steep[-_RIM:] = 0
    steep[:, :_RIM] = steep[:, -_RIM:] = 0
    cells = steep[:height, :width].reshape(height // _CELL, _CELL, width // _CELL, _CELL).swapaxes(1, 2)
    cells = cells.reshape(height // _CELL, width // _CELL, -1)
    best = cells.argmax(axis=-1)
    row, column = np.nonzero(cells.max(axis=-1) > _MIN_GRADIENT**2)
    inside = best[row, column]
    return np.stack([column * _CELL + inside % _CELL, row * _CELL + inside // _CELL], axis=-1).astype(np.float32)


def _searched(
    patches: Patches,
    others: list[Keyframe],
    T_world_camera: Matrix,
    start: _F32,
) -> tuple[NDArray[np.bool_], _F32]:
    """Which points (N,) are found unambiguously, and inverse depth (N,), searched around `start` (N,) in two passes.

    The correlation is averaged over all others before its maximum is taken (Okutomi and Kanade, PAMI 1993).
    """
    tried = _candidates(start, *_COARSE)
    correlation = _correlation(patches, others, T_world_camera, tried)
    best, inverse = _peaks(tried, correlation)
    height = correlation[np.arange(len(best)), best]
    apart = np.abs(np.arange(_COARSE[1]) - best[:, None]) > 3
    rival = np.where(apart, correlation, -1).max(axis=1)
    broad = (correlation > height[:, None] - 0.1).sum(axis=1)
    sure = (height > _MIN_CORRELATION) & (height - rival > _LEAD) & (broad <= _BREADTH) & _inner(best, _COARSE[1])
    if not sure.any():
        return sure, inverse
    tried = _candidates(inverse[sure], *_FINE)
    correlation = _correlation(patches[sure], others, T_world_camera, tried)
    best, inverse[sure] = _peaks(tried, correlation)
    sure[sure] = (correlation.max(axis=1) > _MIN_FINE) & _inner(best, _FINE[1])
    return sure & (sure.sum() >= _MIN_SHARE * len(start)), inverse


def _candidates(middle: _F32, span: float, count: int) -> _F32:
    """(N, count) inverse depths from 1 / span to span times `middle` (N,), in equal ratios."""
    ratios = np.exp(np.linspace(-np.log(span), np.log(span), count)).astype(np.float32)
    tried: _F32 = middle[:, None] * ratios
    return tried


def _correlation(patches: Patches, others: list[Keyframe], T_world_camera: Matrix, tried: _F32) -> _F32:
    """(N, D) mean normalised correlation of patches with others, assuming the inverse depths `tried` (N, D).

    -1 where fewer than two of the others (one, if there is only one) see the whole patch.
    """
    total, count = np.zeros(tried.shape, np.float32), np.zeros(tried.shape, np.float32)
    mappings = [(other.gray, *_mapping(T_world_camera, other)) for other in others]
    for first in range(0, len(tried), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        some = patches[part]
        columns = np.stack([some.levels, np.ones_like(some.levels)], axis=-1)
        for gray, rotation, shift in mappings:
            x, y = _projected(some.rays @ rotation, tried[part, :, None], shift)
            inside = _inside(x[..., _CORNERS], y[..., _CORNERS], gray.shape)  # then all that lies between them is
            total[part] += np.where(inside, _correlated(gray, x, y, columns), 0)
            count[part] += inside
    return np.where(count >= min(2, len(others)), total / np.maximum(count, 1), np.float32(-1))


def _mapping(T_world_camera: Matrix, other: Keyframe) -> tuple[_F32, _F32]:
    """(3, 3) by which rows of rays are multiplied and (3,) shift per inverse depth: homogeneous pixels of `other`."""
    motion = np.linalg.inv(other.T_world_camera) @ T_world_camera
    return ((other.camera.K @ motion[:3, :3]).T.astype(np.float32), (other.camera.K @ motion[:3, 3]).astype(np.float32))


def _projected(rotated: _F32, tried: _F32, shift: _F32) -> tuple[_F32, _F32]:
    """Pixels x and y (N, D, P) of points along `rotated` rays (N, P, 3) at inverse depths `tried` (N, D, 1)."""
    x, y, z = (rotated[:, None, :, axis] + tried * shift[axis] for axis in range(3))
    scale = np.reciprocal(np.maximum(z, np.float32(1e-3), out=z), out=z)
    return np.multiply(x, scale, out=x), np.multiply(y, scale, out=y)


def _inside(x: _F32, y: _F32, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    height, width = shape
    return np.asarray(((x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)).all(axis=-1))


def _correlated(gray: _F32, x: _F32, y: _F32, columns: _F32) -> _F32:
    """Correlation (N, D) of the grey levels at x and y (N, D, P) with `columns` (N, P, 2): patches, and ones."""
    import cv2

    seen = cv2.remap(gray, x.reshape(len(x), -1), y.reshape(len(y), -1), cv2.INTER_LINEAR).reshape(x.shape)
    product, total = np.moveaxis(seen @ columns, -1, 0)
    square = np.einsum("ndp,ndp->nd", seen, seen) - np.square(total) / np.float32(len(_PATCH))
    correlation: _F32 = product / np.sqrt(np.maximum(square, 0) + _FLAT)
    return correlation


def _peaks(tried: _F32, correlation: _F32) -> tuple[NDArray[np.intp], _F32]:
    """Index (N,) of the best candidate, and inverse depth (N,) at the vertex of the parabola through it."""
    best = correlation.argmax(axis=1)
    rows, middle = np.arange(len(best)), np.clip(best, 1, correlation.shape[1] - 2)
    before, at, after = (correlation[rows, middle + step] for step in (-1, 0, 1))
    offset = np.clip(0.5 * (before - after) / np.minimum(before + after - 2 * at, -1e-6), -1, 1)
    ratio = tried[:, 1] / tried[:, 0]
    return best, (tried[rows, middle] * ratio**offset).astype(np.float32)


def _inner(best: NDArray[np.intp], count: int) -> NDArray[np.bool_]:
    return (best > 0) & (best < count - 1)


def _reprojected(kept: Keyframe, view: Keyframe) -> SparseDepth:
    """The points of a kept keyframe in the image of `view`, where they look the same there."""
    camera, found = kept.camera, kept.points
    same = _correlation(kept.patches, [view], kept.T_world_camera, found.inverse[:, None])[:, 0] > _MIN_CORRELATION
    found = SparseDepth(found.pixels[same], found.inverse[same], found.shape)
    rays = np.column_stack([found.pixels, np.ones(len(found.pixels))]) @ np.linalg.inv(camera.K).T
    motion = np.linalg.inv(view.T_world_camera) @ kept.T_world_camera
    points = (rays / found.inverse[:, None]) @ motion[:3, :3].T + motion[:3, 3]
    points = points[points[:, 2] > _NEAREST_M]
    pixels = (points @ view.camera.K.T)[:, :2] / points[:, 2:]
    height, width = view.points.shape
    inside = ((pixels > -0.5) & (pixels < (width - 0.5, height - 0.5))).all(axis=1)
    return SparseDepth(pixels[inside].astype(np.float32), (1 / points[inside, 2]).astype(np.float32), view.points.shape)


def _small_size(camera: PinholeCamera) -> tuple[int, int]:
    width = min(_WIDTH, camera.width)
    return width, max(1, round(camera.height * width / camera.width))


def _gray(rgb: Rgb, small: PinholeCamera) -> _F32:
    import cv2

    gray = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    return cv2.resize(gray, small.size, interpolation=cv2.INTER_AREA).astype(np.float32)

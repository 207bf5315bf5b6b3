"""Sensors that a recording with true depth and poses lacks: a LiDAR beside the camera, a marker on a wall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arrays import Depth, Matrix
from ..errors import DataError
from ..frames import Sample
from ..scale.settings import ScaleSettings

_LINES, _COLUMNS = 16, 200
_NOISE, _OUTLIERS, _WRONG_M = 0.02, 0.1, (0.3, 12.0)
_CELLS, _CELL_PX, _FINE = 10, 24, 4  # of the drawn marker with its white border; supersampling of the image
_LOOKED_AT, _GRID = 12, (10, 8)  # frames, and places in each, where a marker might hang
_FLAT, _STEEPEST, _SMALLEST_PX, _ASIDE_PX = 0.01, 0.5, 40.0, 8.0
_HIDDEN = 0.05  # of the depth: what is nearer hides the marker


def lidar_points(sample: Sample, rng: np.random.Generator) -> Matrix:
    """(N, 3) points of 16 lines in the camera's frame, by the true depth: ranges with 2 % noise, 10 % of them wrong."""
    truth, (x, y) = true_depth(sample), sample.camera.rays
    rows = np.linspace(0, len(y) - 1, _LINES + 2).astype(int)[1:-1, None]
    columns = np.linspace(0, len(x) - 1, _COLUMNS).astype(int)[None]
    z = truth[rows, columns].astype(np.float64)
    rays = np.stack(np.broadcast_arrays(x[columns], y[rows], np.float32(1)), axis=-1)[np.isfinite(z)].astype(np.float64)
    z = z[np.isfinite(z)] * (1 + rng.normal(0, _NOISE, int(np.isfinite(z).sum())))
    wrong = rng.random(len(z)) < _OUTLIERS
    z[wrong] = rng.uniform(*_WRONG_M, int(wrong.sum()))
    return rays * z[:, None]


def random_points(sample: Sample, rng: np.random.Generator, count: int) -> Matrix:
    """(N, 3) points in the camera's frame: the true depth, without noise, at `count` random pixels that have it.

    DataError for more than half of these.
    """
    truth, (x, y) = true_depth(sample), sample.camera.rays
    known = np.flatnonzero(np.isfinite(truth))
    if 2 * count > len(known):
        raise DataError(
            f"at most half of the {len(known)} pixels with true depth can be anchors, the others judge, got {count}"
        )
    rows, columns = np.divmod(rng.choice(known, count, replace=False), truth.shape[1])
    z = truth[rows, columns].astype(np.float64)
    return np.stack([x[columns] * z, y[rows] * z, z], axis=1)


def true_depth(sample: Sample) -> Depth:
    """Depth (H, W) where it is known, else NaN. Raises DataError where the sample has none."""
    if sample.depth is None:
        raise DataError(f"{sample.name}: expected a recording with depth, this frame has none")
    return np.where((sample.depth > 0) & (sample.depth < np.inf), sample.depth, np.float32(np.nan))


def coarse_depth(sample: Sample, columns: int, rows: int) -> Depth:
    """(rows, columns): the true depth at the centre of each cell, NaN where it is not known, as a coarse ToF sensor
    without noise. DataError where the sample has none, or fewer pixels than that.
    """
    truth = true_depth(sample)
    height, width = truth.shape
    if rows > height or columns > width:
        raise DataError(f"a prompt must be no larger than the image, {width}x{height}, got {columns}x{rows}")
    down, across = (np.arange(each) + 0.5 for each in (rows, columns))
    return truth[(down * height / rows).astype(np.intp)][:, (across * width / columns).astype(np.intp)]


@dataclass(frozen=True, eq=False)
class Poster:
    """A marker that hangs in the world: `corners` (4, 3) of its black square, metres, clockwise from its top left."""

    corners: Matrix
    settings: ScaleSettings

    def seen_by(self, sample: Sample) -> Sample:
        """The sample with the marker in its image, where nothing is before it."""
        import cv2

        outer = self._outer(sample)
        if outer is None:
            return sample
        camera = sample.camera
        low = np.clip(np.floor(outer.min(axis=0)).astype(int) - 1, 0, camera.size)
        high = np.clip(np.ceil(outer.max(axis=0)).astype(int) + 2, 0, camera.size)
        if (high <= low).any():
            return sample
        drawn = _drawn(self.settings)
        side = len(drawn) - 0.5
        texture = np.array([[-0.5, -0.5], [side, -0.5], [side, side], [-0.5, side]], np.float32)
        fine = ((outer - low + 0.5) * _FINE - 0.5).astype(np.float32)
        H, size = cv2.getPerspectiveTransform(texture, fine), tuple((_FINE * (high - low)).tolist())
        inked = cv2.warpPerspective(drawn, H, size, flags=cv2.INTER_AREA)
        share = cv2.warpPerspective(np.full_like(drawn, 255), H, size)
        inked, share = (
            cv2.resize(each, tuple((high - low).tolist()), interpolation=cv2.INTER_AREA) for each in (inked, share)
        )
        window = np.s_[low[1] : high[1], low[0] : high[0]]
        depth = true_depth(sample)[window]
        with np.errstate(invalid="ignore"):
            hidden = depth < (1 - _HIDDEN) * self._depth(sample)[window]
        opaque = np.where(hidden, 0, share / 255.0)[..., None]
        rgb = sample.rgb.copy()
        paper = (40 + 0.75 * inked.astype(np.float64))[..., None]
        rgb[window] = np.rint(opaque * paper + (1 - opaque) * rgb[window]).astype(np.uint8)
        return replace(sample, rgb=rgb)

    def visible(self, sample: Sample) -> bool:
        """Whether all of it is in the image, large enough, and on the surface that is seen there."""
        outer = self._outer(sample)
        if outer is None or (outer < _ASIDE_PX).any() or (outer > np.array(sample.camera.size) - _ASIDE_PX).any():
            return False
        if np.linalg.norm(outer - np.roll(outer, 1, axis=0), axis=1).min() < _SMALLEST_PX:
            return False
        u, v = np.rint(outer.mean(axis=0)).astype(int)
        return bool(abs(true_depth(sample)[v, u] / self._depth(sample)[v, u] - 1) < _HIDDEN)

    def _in_camera(self, sample: Sample) -> Matrix:
        T = np.linalg.inv(posed(sample))
        corners: Matrix = self.corners @ T[:3, :3].T + T[:3, 3]
        return corners

    def _outer(self, sample: Sample) -> Matrix | None:
        """Pixels (4, 2) of the corners with the white border; None where they are behind the camera."""
        corners = self._in_camera(sample)
        middle = corners.mean(axis=0)
        outer = middle + (corners - middle) * _CELLS / (_CELLS - 2)
        if (outer[:, 2] < 0.05).any():
            return None
        camera = sample.camera
        pixels: Matrix = outer[:, :2] / outer[:, 2:] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
        return pixels

    def _depth(self, sample: Sample) -> Depth:
        """(H, W) metres of its plane."""
        corners, (x, y) = self._in_camera(sample), sample.camera.rays
        normal = np.cross(corners[1] - corners[0], corners[3] - corners[0])
        along = normal[0] * x[None] + normal[1] * y[:, None] + normal[2]
        return ((normal @ corners[0]) / along).astype(np.float32)


def hang_poster(samples: Sequence[Sample], settings: ScaleSettings) -> Poster:
    """A marker of `settings` at the flat place that most of the samples see. Raises DataError where there is none."""
    looked_at = [samples[i] for i in np.unique(np.linspace(0, len(samples) - 1, _LOOKED_AT).astype(int))]
    best, most = None, 0
    for sample in looked_at:
        across, down = (
            np.linspace(0.12, 0.88, count) * size for count, size in zip(_GRID, sample.camera.size, strict=True)
        )
        for u in across.astype(int):
            for v in down.astype(int):
                poster = _flat_place(sample, int(u), int(v), settings)
                count = 0 if poster is None else sum(map(poster.visible, looked_at))
                if count > most:
                    best, most = poster, count
    if best is None:
        raise DataError(f"no flat place in view that a marker of {settings.marker_size:g} m fits on")
    return best


def posed(sample: Sample) -> Matrix:
    """The camera's pose of a sample. Raises DataError where it has none."""
    if sample.T_world_camera is None:
        raise DataError(f"{sample.name}: expected a recording with poses, this frame has none")
    return sample.T_world_camera


def _flat_place(sample: Sample, u: int, v: int, settings: ScaleSettings) -> Poster | None:
    """A marker on the plane about a pixel, upright in the image; None where no plane is."""
    depth, camera, half = true_depth(sample), sample.camera, settings.marker_size / 2
    if not np.isfinite(depth[v, u]):
        return None
    reach = int(1.3 * half * camera.fx / depth[v, u])
    rows, columns = slice(v - reach, v + reach + 1), slice(u - reach, u + reach + 1)
    if reach < _SMALLEST_PX / 2 or v < reach or u < reach:
        return None
    patch, (x, y) = depth[rows, columns], camera.rays
    rays = np.stack(np.broadcast_arrays(x[columns][None], y[rows][:, None], np.float32(1)), axis=-1)
    known = np.isfinite(patch)
    if patch.shape != (2 * reach + 1, 2 * reach + 1) or known.mean() < 0.8:
        return None
    plane = np.linalg.lstsq(rays[known].astype(np.float64), 1 / patch[known].astype(np.float64), rcond=None)[0]
    if np.percentile(np.abs(rays[known] @ plane * patch[known] - 1), 95) > _FLAT:
        return None
    normal, ray = -plane / np.linalg.norm(plane), rays[reach, reach].astype(np.float64)
    middle = ray / (ray @ plane)
    if abs(normal @ ray) < _STEEPEST * np.linalg.norm(ray):
        return None
    right = np.array([1.0, 0, 0]) - normal[0] * normal
    right /= np.linalg.norm(right)
    down = np.cross(right, normal)
    corners = middle + half * np.array([-right - down, right - down, right + down, down - right])
    T = posed(sample)
    return Poster(corners @ T[:3, :3].T + T[:3, 3], settings)


def _drawn(settings: ScaleSettings) -> Any:
    """(h, h) uint8: the marker with a white border as wide as a tenth."""
    import cv2

    family = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{settings.marker_dictionary}"))
    inner = (_CELLS - 2) * _CELL_PX
    marker = cv2.aruco.generateImageMarker(family, max(settings.marker_id, 0), inner)
    return cv2.copyMakeBorder(marker, *[_CELL_PX] * 4, cv2.BORDER_CONSTANT, value=255)

"""The analytic scene of all measurements: a box with exact depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth, Rgb
from ..camera import PinholeCamera

# Half width, height above and below the camera, and depth of the room, metres
_ROOM = (2.0, 1.3, 1.2, 4.0)


def room(camera: PinholeCamera, ahead: float = 0.0) -> tuple[Depth, Rgb]:
    """Exact depth (H, W) of a box-shaped room seen by the undistorted camera, and tiled walls (H, W, 3).

    `ahead` is how many metres the camera went forward.
    """
    half, above, below, end = _ROOM
    far = end - ahead
    x, y = (ray.astype(np.float64) for ray in camera.rays)
    with np.errstate(divide="ignore"):
        to_side = half / np.abs(x)[None]
        to_floor_or_ceiling = (np.where(y > 0, below, above) / np.abs(y))[:, None]
    depth = np.minimum(np.minimum(to_side, to_floor_or_ceiling), far)
    tiles = sum(np.floor(4 * where) for where in (depth * x[None], depth * y[:, None], depth + ahead)) % 2
    shade = (70 + 110 * tiles) * (1 - 0.1 * (depth + ahead))
    rgb = shade[..., None] * np.array([1.0, 0.93, 0.8])
    return depth.astype(np.float32), np.clip(rgb, 0, 255).astype(np.uint8)


def distance_to_walls(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,) metres from points (N, 3) to the nearest wall of `room`."""
    half, above, below, far = _ROOM
    x, y, z = points.T
    gaps = np.stack([half - np.abs(x), y + above, below - y, far - z])
    return np.abs(gaps).min(axis=0)

"""A camera in a box with textured walls, at any pose, with exact depth; things may stand or move in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from mono_depth_recon.arrays import Depth, Matrix, Rgb
from mono_depth_recon.camera import PinholeCamera

HALF = np.array([2.0, 1.25, 3.0])  # of the box, metres; its middle is the origin of the world, y points down
CAMERA = PinholeCamera.from_hfov(320, 240, 62)
_TEXELS, _PER_M = 512, 60.0


@dataclass(frozen=True)
class Board:
    """A textured square that faces the camera's start: its middle in the world and half its side, metres."""

    centre: tuple[float, float, float]
    half: float = 0.4


@lru_cache
def _texture(seed: int) -> NDArray[np.float32]:
    """Tiles of random grey and smooth noise, (T, T) from 0 to 1."""
    rng = np.random.default_rng(seed)
    tiles = cv2.resize(rng.random((32, 32), np.float32), (_TEXELS, _TEXELS), interpolation=cv2.INTER_NEAREST)
    noise = cv2.resize(rng.random((128, 128), np.float32), (_TEXELS, _TEXELS), interpolation=cv2.INTER_CUBIC)
    return np.clip(0.7 * tiles + 0.3 * noise, 0, 1).astype(np.float32)


def pose(x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw_deg: float = 0.0) -> Matrix:
    """(4, 4) T_world_camera: metres from the middle of the box; yaw turns to the right."""
    c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    return np.array([[c, 0, s, x], [0, 1, 0, y], [-s, 0, c, z], [0, 0, 0, 1]])


def view(
    T_world_camera: Matrix, boards: Sequence[Board] = (), camera: PinholeCamera = CAMERA, seed: int = 0
) -> tuple[Rgb, Depth]:
    """Colour (H, W, 3) and exact depth (H, W); `seed` paints the walls."""
    x, y = (each.astype(np.float64) for each in camera.rays)
    rays = np.stack(np.broadcast_arrays(x[None], y[:, None], np.ones((camera.height, camera.width))), axis=-1)
    ways = rays @ T_world_camera[:3, :3].T
    eye = T_world_camera[:3, 3]
    with np.errstate(divide="ignore"):
        reach = (np.where(ways > 0, HALF, -HALF) - eye) / ways  # to the walls ahead on each axis
    wall = reach.argmin(axis=-1)
    depth = reach.min(axis=-1)
    hit = eye + ways * depth[..., None]
    across, along = np.where(wall == 0, hit[..., 2], hit[..., 0]), np.where(wall == 1, hit[..., 2], hit[..., 1])
    grey = _sampled(
        across + 3.1 * wall, along + 1.7 * np.sign(np.take_along_axis(ways, wall[..., None], -1))[..., 0], seed
    )
    for number, board in enumerate(boards):
        with np.errstate(divide="ignore", invalid="ignore"):
            reach_board = (board.centre[2] - eye[2]) / ways[..., 2]
        at = eye + ways * reach_board[..., None] - board.centre
        seen = (reach_board > 0) & (reach_board < depth) & (np.abs(at[..., :2]) < board.half).all(axis=-1)
        depth = np.where(seen, reach_board, depth)
        grey = np.where(seen, _sampled(at[..., 0], at[..., 1], seed + 101 + number), grey)
    rgb = np.repeat((40 + 190 * grey)[..., None], 3, axis=-1).astype(np.uint8)
    return rgb, depth.astype(np.float32)


def _sampled(u: NDArray[np.float64], v: NDArray[np.float64], seed: int) -> NDArray[np.float32]:
    """The texture at metres u, v of a wall (H, W)."""
    return cv2.remap(
        _texture(seed),
        (u * _PER_M).astype(np.float32) + _TEXELS / 2,
        (v * _PER_M).astype(np.float32) + _TEXELS / 2,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )

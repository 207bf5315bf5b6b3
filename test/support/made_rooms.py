"""Synthetic rooms without their light, which costs most of a room, and a LiDAR in them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from mono_depth_recon.arrays import Matrix
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.datasets.rooms import room as rooms
from mono_depth_recon.datasets.rooms.room import RoomSequence

LINES, FIELD_DEG, STEP_DEG = 16, (-15.0, 15.0), 0.4


@lru_cache(maxsize=4)
def unlit(seed: int, camera: PinholeCamera, length: int = 24) -> RoomSequence:
    """A sequence whose geometry is that of the room, with plain light."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rooms, "bake", lambda scene, mesh, *rest: np.ones((mesh.lightmap_height, 1024, 3), np.float32))
        return RoomSequence(seed, camera, length)


def scan(
    sequence: RoomSequence, T_world_lidar: Matrix, rng: np.random.Generator, noise: float = 0.02, outliers: float = 0.1
) -> Matrix:
    """Points (N, 3) of 16 lines, the front half, in the LiDAR's axes (those of a camera: z forward, y down).

    Ranges have relative `noise`; a share `outliers` of them is anywhere from 0.3 m to 12 m.
    """
    azimuth = np.radians(np.arange(-60, 60, STEP_DEG))
    elevation = np.radians(np.linspace(*FIELD_DEG, LINES))
    across, up = (each.ravel() for each in np.meshgrid(azimuth, elevation))
    x, y = np.tan(across).astype(np.float32), (np.tan(up) / np.cos(across)).astype(np.float32)
    depth = sequence.room._cast(T_world_lidar, x, y)[1]["t_hit"].numpy().astype(np.float64)
    rays = np.stack([x, y, np.ones_like(x)], axis=1).astype(np.float64)
    length = np.linalg.norm(rays, axis=1)
    ranges = depth * length * (1 + rng.normal(0, noise, len(depth)))
    wrong = rng.random(len(ranges)) < outliers
    ranges[wrong] = rng.uniform(0.3, 12.0, int(wrong.sum()))
    return rays * (ranges / length)[:, None]

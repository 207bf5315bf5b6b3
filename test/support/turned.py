"""Poses of a camera moving and turning in a plane."""

from __future__ import annotations

import numpy as np

from mono_depth_recon.arrays import Matrix


def pose_at(x: float = 0.0, turn_deg: float = 0.0) -> Matrix:
    T = np.eye(4)
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    T[:3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    T[0, 3] = x
    return T

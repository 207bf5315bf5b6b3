"""What a synthetic room consists of before it is joined and lit: its builder, lamps, and the places that are taken."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np

from ...arrays import Matrix
from .light import AreaLight, Sun
from .scene import SceneBuilder, rigid


@dataclass(frozen=True)
class Interest:
    """Something worth looking at: its frame in the world, footprint (w, d) metres and the height to look at."""

    name: str
    T_world_item: Matrix
    width: float
    depth: float
    look_m: float

    def point(self, x: float, y: float, z: float) -> Matrix:
        """World point (3,) of a point in the item's frame."""
        return np.asarray(self.T_world_item[:3, :3] @ (x, y, z) + self.T_world_item[:3, 3])


@dataclass
class Layout:
    """What a room consists of, before it is joined and lit."""

    style: str
    size: tuple[float, float, float]
    builder: SceneBuilder
    lights: list[AreaLight] = field(default_factory=list)
    suns: list[Sun] = field(default_factory=list)
    interests: list[Interest] = field(default_factory=list)
    floor_taken: list[tuple[float, float, float, float]] = field(default_factory=list)  # x0 y0 x1 y1
    wall_taken: list[tuple[int, float, float, float]] = field(default_factory=list)  # wall, x0, x1, lowest z in use

    def wall_frame(self, k: int) -> tuple[Matrix, float]:
        """Frame of wall k and its length: origin mid-foot, x to the right seen from inside, y outwards."""
        Lx, Ly, _ = self.size
        position = ((Lx / 2, 0, 0), (Lx, Ly / 2, 0), (Lx / 2, Ly, 0), (0, Ly / 2, 0))[k]
        return rigid(position, yaw=(np.pi, -np.pi / 2, 0.0, np.pi / 2)[k]), (Lx, Ly)[k % 2]

    def at_wall(self, k: int) -> AbstractContextManager[None]:
        """The builder's `at` block in the frame of wall k."""
        T, _ = self.wall_frame(k)
        return self.builder.at(T[:3, 3], np.arctan2(T[1, 0], T[0, 0]))

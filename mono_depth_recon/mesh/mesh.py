"""A mesh: triangles over coloured vertices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles over coloured vertices.

    `vertices` (N, 3) float32 metres, `triangles` (M, 3) int32 indices, `colors` (N, 3) uint8 RGB.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    colors: NDArray[np.uint8]


def with_triangles(mesh: Mesh, triangles: NDArray[np.int32]) -> Mesh:
    """`triangles` (M, 3) of `mesh`, and the vertices that they use."""
    used = np.zeros(len(mesh.vertices), np.bool_)
    used[triangles] = True
    numbers = np.cumsum(used, dtype=np.int32) - 1
    return Mesh(mesh.vertices[used], numbers[triangles], mesh.colors[used])

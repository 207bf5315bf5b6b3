"""Quality of a mesh by itself: closed or not, in how many parts, how smooth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .components import components
from .mesh import Mesh


@dataclass(frozen=True)
class MeshQuality:
    """`watertight`: every edge has exactly two triangles; `boundary`: share of the edges that have one.

    `components`: parts connected by edges; `roughness_deg`: mean angle between neighbouring triangles, degrees.
    """

    vertices: int
    triangles: int
    components: int
    watertight: bool
    boundary: float
    roughness_deg: float

    def text(self) -> str:
        """One line for a reply or a log."""
        parts = "1 part" if self.components == 1 else f"{self.components} parts"
        closed = "watertight" if self.watertight else f"open ({100 * self.boundary:.1f} % of edges)"
        return f"{self.triangles} triangles, {parts}, {closed}, roughness {self.roughness_deg:.1f} deg"


def mesh_quality(mesh: Mesh) -> MeshQuality:
    """Counts and angles of `mesh`; an empty one has no component and is not watertight."""
    count = len(mesh.triangles)
    if not count:
        return MeshQuality(len(mesh.vertices), 0, 0, False, 0.0, 0.0)
    edges = mesh.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
    keys = edges.min(axis=1) * len(mesh.vertices) + edges.max(axis=1)
    order = np.argsort(keys, kind="stable")
    first = np.flatnonzero(np.concatenate([[True], np.diff(keys[order]) > 0]))
    uses = np.diff(np.append(first, len(keys)))
    pairs = first[uses == 2]
    a, b = order[pairs] // 3, order[pairs + 1] // 3
    return MeshQuality(
        len(mesh.vertices),
        count,
        int(components(count, a, b).max()) + 1,
        bool((uses == 2).all()),
        float(np.mean(uses == 1)),
        _mean_angle(mesh, a, b),
    )


def _mean_angle(mesh: Mesh, a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=1)
    known = (length[a] > 0) & (length[b] > 0)
    if not known.any():
        return 0.0
    cosine = np.einsum("ij,ij->i", normal[a], normal[b])[known] / (length[a] * length[b])[known]
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())

"""Metrics of surfaces: accuracy, completeness, F-score and Chamfer distance of a mesh against a true one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cloud.neighbours import nearest
from ..cloud.ray_casting import ray_scene
from ..errors import DataError


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles (M, 3) over vertices (N, 3) in metres; without triangles the vertices are points of the surface."""

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]


@dataclass(frozen=True)
class SurfaceMetrics:
    """Distances between two surfaces in metres, from points sampled evenly on each (Knapitsch et al., 2017).

    `accuracy` mean distance from the compared surface to the true one, `completeness` from the true one to it;
    `precision` and `recall` the shares of these within `threshold`, `f_score` their harmonic mean; `chamfer` the mean
    of accuracy and completeness. Nothing is aligned.
    """

    accuracy: float
    completeness: float
    precision: float
    recall: float
    f_score: float
    chamfer: float
    threshold: float

    def text(self) -> str:
        """One line for a log or a table."""
        return (
            f"F-score {self.f_score:.3f} at {100 * self.threshold:g} cm (precision {self.precision:.3f}, recall "
            f"{self.recall:.3f}), accuracy {100 * self.accuracy:.2f} cm, completeness "
            f"{100 * self.completeness:.2f} cm, Chamfer {100 * self.chamfer:.2f} cm"
        )


def surface_metrics(made: Surface, truth: Surface, threshold: float = 0.05, samples: int = 50000) -> SurfaceMetrics:
    """Compares two surfaces of one frame, metres, by `samples` points of each. Deterministic.

    Raises DataError if one of them is empty or `threshold` is not positive.
    """
    if not threshold > 0:
        raise DataError(f"the threshold of an F-score must be positive, got {threshold:g} m")
    for name, surface in (("made", made), ("true", truth)):
        if not len(surface.vertices):
            raise DataError(f"expected two surfaces to compare, but the {name} one is empty")
    to_truth = distances(sampled(made, samples), truth)
    to_made = distances(sampled(truth, samples), made)
    precision, recall = float(np.mean(to_truth < threshold)), float(np.mean(to_made < threshold))
    f_score = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    accuracy, completeness = float(to_truth.mean()), float(to_made.mean())
    return SurfaceMetrics(accuracy, completeness, precision, recall, f_score, (accuracy + completeness) / 2, threshold)


def sampled(surface: Surface, count: int) -> NDArray[np.float32]:
    """Points (count, 3) sampled evenly on the triangles, or at most `count` vertices if there are no triangles."""
    rng = np.random.default_rng(0)
    if not len(surface.triangles):
        kept = np.sort(rng.permutation(len(surface.vertices))[:count])
        return np.ascontiguousarray(surface.vertices[kept])
    a, b, c = (surface.vertices[surface.triangles[:, corner]].astype(np.float64) for corner in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    if not area.sum() > 0:
        raise DataError("expected a surface, but its triangles have no area")
    chosen = np.searchsorted(np.cumsum(area) / area.sum(), rng.random(count)).clip(0, len(area) - 1)
    root, share = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
    points = (1 - root) * a[chosen] + root * (1 - share) * b[chosen] + root * share * c[chosen]
    return points.astype(np.float32)


def distances(points: NDArray[np.float32], surface: Surface) -> NDArray[np.float32]:
    """(N,) metres from points (N, 3) to the nearest point of the surface, or vertex if it has no triangles."""
    import open3d as o3d

    points, vertices = points.astype(np.float32), surface.vertices.astype(np.float32)
    if not len(surface.triangles):
        return nearest(vertices, points, 1)[1][:, 0]
    scene = ray_scene(vertices, surface.triangles)
    return np.asarray(scene.compute_distance(o3d.core.Tensor.from_numpy(np.ascontiguousarray(points))).numpy())

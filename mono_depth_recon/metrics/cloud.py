"""Point clouds of single frames against those of the true depth, in float64: density, smoothness, errors.

The paper names density, completeness and smoothness without defining them; the definitions here are ours. The others
are those of Knapitsch et al. (2017) and, for normals, of Mescheder et al. (CVPR 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cloud.neighbours import nearest, within
from ..errors import DataError

RADIUS_M = 0.05
_PLANE_POINTS = 8  # fewer neighbours define no plane
_NORMAL_NEIGHBOURS = 16
_SAMPLES = 4000  # points at which density and smoothness are measured, evenly spaced
_THRESHOLDS_M = (0.02, 0.05, 0.10)

_Points = NDArray[np.float64]

DEFINITIONS = {
    "density": "points per square metre of surface: median over the points of n / (pi r^2), n the points of the "
    "cloud within r = 5 cm, itself included",
    "completeness": "share of the true points that have a point of the cloud within 5 cm",
    "smoothness": "metres, 0 is smoothest: median over the points of the distance to the least-squares plane through "
    "all points within 5 cm",
    "accuracy": "metres: mean distance of the points to the nearest true point",
    "completeness_distance": "metres: mean distance of the true points to the nearest point of the cloud",
    "chamfer": "metres: mean of accuracy and completeness_distance",
    **{
        f"fscore_{round(100 * limit)}cm": f"harmonic mean of the shares of points, and of true points, that have one "
        f"of the other cloud within {round(100 * limit)} cm"
        for limit in _THRESHOLDS_M
    },
    "normal_consistency": "mean |cosine| between the normals of a point and the nearest of the other cloud, both ways; "
    "normals of the least-squares plane through the 16 nearest points",
}


@dataclass(frozen=True)
class Texture:
    """`density` in points per square metre, `smoothness` in metres (0 smoothest): see DEFINITIONS."""

    density: float
    smoothness: float


def cloud_figures(points: NDArray[np.floating], truth: NDArray[np.floating]) -> dict[str, float]:
    """All figures of DEFINITIONS for points (N, 3) against true points (M, 3), metres. DataError for too few points."""
    made, true = (_checked(each) for each in (points, truth))
    nearest_true, to_true = nearest(true, made, 1)
    nearest_made, to_made = nearest(made, true, 1)
    accuracy, completeness = float(to_true.mean()), float(to_made.mean())
    texture = cloud_texture(made)
    return {
        "density": texture.density,
        "completeness": float(np.mean(to_made <= RADIUS_M)),
        "smoothness": texture.smoothness,
        "accuracy": accuracy,
        "completeness_distance": completeness,
        "chamfer": (accuracy + completeness) / 2,
        **{f"fscore_{round(100 * limit)}cm": _f_score(to_true, to_made, limit) for limit in _THRESHOLDS_M},
        "normal_consistency": _normal_consistency(made, true, nearest_true[:, 0], nearest_made[:, 0]),
    }


def cloud_texture(points: NDArray[np.floating]) -> Texture:
    """Density and smoothness of points (N, 3) in metres, at evenly chosen points. DataError for too few points."""
    points = _checked(points)
    chosen = np.linspace(0, len(points) - 1, min(len(points), _SAMPLES)).astype(np.intp)
    counts, neighbours = within(points, points[chosen], RADIUS_M)
    residuals = []
    for place, found in zip(chosen, np.split(neighbours, np.cumsum(counts)[:-1]), strict=True):
        if len(found) >= _PLANE_POINTS:
            centred = points[found] - points[found].mean(axis=0)
            normal = np.linalg.eigh(centred.T @ centred)[1][:, 0]
            residuals.append(abs(float((points[place] - points[found].mean(axis=0)) @ normal)))
    density = float(np.median(counts)) / (np.pi * RADIUS_M**2)
    return Texture(density, float(np.median(residuals)) if residuals else float("nan"))


def normals(points: _Points) -> _Points:
    """(N, 3) unit normals of the planes of least squares through the 16 nearest points; either side."""
    count = min(_NORMAL_NEIGHBOURS, len(points))
    around = points[nearest(points, points, count)[0]]
    around = around - around.mean(axis=1, keepdims=True)
    covariance = np.einsum("nki,nkj->nij", around, around)
    directions: _Points = np.linalg.eigh(covariance)[1][:, :, 0]
    return directions


def _normal_consistency(
    made: _Points, true: _Points, nearest_true: NDArray[np.int64], nearest_made: NDArray[np.int64]
) -> float:
    of_made, of_true = normals(made), normals(true)
    there = np.abs(np.einsum("ni,ni->n", of_made, of_true[nearest_true])).mean()
    back = np.abs(np.einsum("ni,ni->n", of_true, of_made[nearest_made])).mean()
    return float(there + back) / 2


def _f_score(to_true: _Points, to_made: _Points, limit: float) -> float:
    precision, recall = float(np.mean(to_true <= limit)), float(np.mean(to_made <= limit))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _checked(points: NDArray[np.floating]) -> _Points:
    if points.ndim != 2 or points.shape[1] != 3 or len(points) < _PLANE_POINTS or not np.isfinite(points).all():
        raise DataError(f"expected a cloud of at least {_PLANE_POINTS} finite points (N, 3), got {points.shape}")
    return points.astype(np.float64)

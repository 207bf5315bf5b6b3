"""Depth of networks that predict points up to a shift along the optical axis, as MoGe (Wang et al., CVPR 2025).

A point (x, y, z) appears at f * (x, y) / (z + shift) from the middle of the image. The shift, and the focal length f
where it is not known, are those for which the points appear where they were seen: least squares over the image.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .placement import Placement

_GRID = 64  # rows and columns of the pixels that are compared
_FEWEST = 16


def shift_and_focal(
    points: NDArray[np.float32], valid: NDArray[np.bool_] | None, place: Placement, focal_px: float | None
) -> tuple[float, float]:
    """The shift, in the unit of `points` (rows, columns, 3), and the focal length in pixels of the image.

    `valid` (rows, columns) chooses the points that count; `focal_px` is the camera's, None where it is not known. 0 and
    NaN where too few points count.
    """
    from scipy.optimize import least_squares

    seen, xy, z = _samples(points, valid, place)
    if len(z) < _FEWEST:
        return 0.0, math.nan

    def directions(shift: float) -> NDArray[np.float64]:
        return xy / (z + shift)[:, None]

    def focal_of(found: NDArray[np.float64]) -> float:
        if focal_px is not None:
            return focal_px
        return float((found * seen).sum() / np.square(found).sum())

    def differences(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        found = directions(float(parameters[0]) * unit)
        return (focal_of(found) * found - seen).ravel() / diagonal

    unit = max(float(np.median(np.abs(z))), 1e-9)
    diagonal = math.hypot(*place.image)
    solution = least_squares(differences, 0.0, method="lm")
    shift = float(solution.x[0]) * unit
    return shift, focal_of(directions(shift))


def _samples(
    points: NDArray[np.float32], valid: NDArray[np.bool_] | None, place: Placement
) -> tuple[NDArray[np.float64], ...]:
    """Where pixels lie from the middle of the image, in its pixels (N, 2), and their points: xy (N, 2), z (N,)."""
    rows, columns = points.shape[:2]
    v, u = (_places(length) for length in (rows, columns))
    chosen = points[np.ix_(v, u)].astype(np.float64)
    counts = np.isfinite(chosen).all(axis=2)
    if valid is not None:
        counts &= valid[np.ix_(v, u)]
    (across, down), (width, height) = place.scales, place.image
    x = ((u + 0.5) * place.canvas[0] / columns - place.corner[0]) / across - width / 2
    y = ((v + 0.5) * place.canvas[1] / rows - place.corner[1]) / down - height / 2
    counts &= (np.abs(x) <= width / 2)[None, :] & (np.abs(y) <= height / 2)[:, None]
    seen = np.stack(np.broadcast_arrays(x[None, :], y[:, None]), axis=2)
    return seen[counts], chosen[counts][:, :2], chosen[counts][:, 2]


def _places(length: int) -> NDArray[np.intp]:
    """At most _GRID indices, evenly spread."""
    return np.unique(((np.arange(_GRID) + 0.5) * length / _GRID).astype(np.intp))

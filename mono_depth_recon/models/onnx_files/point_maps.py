"""Depth of networks that predict points up to a shift along the optical axis, as MoGe (Wang et al., CVPR 2025).

A point (x, y, z) appears at f * (x, y) / (z + shift) from the middle of the image. The shift, and the focal length f
where it is not known, are those for which the points appear where they were seen: least squares over the image.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .placement import Placement

_GRID = 64  # rows and columns of the pixels that are compared
_FEWEST = 16
_STEPS, _HALVINGS, _ENOUGH = 20, 8, 1e-9

_Floats: TypeAlias = "NDArray[np.float64]"


def shift_and_focal(
    points: NDArray[np.float32], valid: NDArray[np.bool_] | None, place: Placement, focal_px: float | None
) -> tuple[float, float]:
    """The shift, in the unit of `points` (rows, columns, 3), and the focal length in pixels of the image.

    `valid` (rows, columns) chooses the points that count; `focal_px` is the camera's, None where it is not known. 0 and
    NaN where too few points count.
    """
    seen, xy, z = _samples(points, valid, place)
    if len(z) < _FEWEST:
        return 0.0, math.nan
    known = [] if focal_px is None else [focal_px]
    # first the differences times depth, in which shift and focal length are linear
    shift, *found = _least_squares(np.stack([-seen, xy][: 2 - len(known)]), seen * z[:, None] - sum(known) * xy)
    return _refined(seen, xy, z, shift, (known or found)[0], not known)


def _refined(
    seen: _Floats, xy: _Floats, z: _Floats, shift: float, focal: float, focal_is_free: bool
) -> tuple[float, float]:
    """Shift and focal length after Gauss and Newton's steps, each shortened until it is none for the worse."""
    cost = _cost(seen, xy, z, shift, focal)
    for _ in range(_STEPS):
        inverse = 1 / (z + shift)[:, None]
        directions = xy * inverse
        changes = np.stack([-focal * directions * inverse, directions][: 1 + focal_is_free])
        step = [*_least_squares(changes, seen - focal * directions), 0.0][:2]
        for share in 0.5 ** np.arange(_HALVINGS):
            new = shift + share * step[0], focal + share * step[1]
            if (new_cost := _cost(seen, xy, z, *new)) <= cost:
                break
        else:
            break
        (shift, focal), gained, cost = new, cost - new_cost, new_cost
        if gained <= _ENOUGH * cost:
            break
    return float(shift), float(focal)


def _cost(seen: _Floats, xy: _Floats, z: _Floats, shift: float, focal: float) -> float:
    with np.errstate(all="ignore"):
        return float(np.square(focal * xy / (z + shift)[:, None] - seen).sum())


def _least_squares(columns: _Floats, target: _Floats) -> list[float]:
    """The factors of `columns` (M, ...) whose sum is nearest to `target` (...)."""
    A = columns.reshape(len(columns), -1)
    found: list[float] = np.linalg.lstsq(A @ A.T, A @ target.ravel(), rcond=None)[0].tolist()
    return found


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

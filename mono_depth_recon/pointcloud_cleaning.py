"""Thinning of a cloud, fast enough for every frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .errors import DataError

_MAX_CELLS = 2**62


def voxel_grid(points: NDArray[np.float32], colors: NDArray[np.uint8], size: float,
               ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """One point for each cube of `size` metres that holds any: the means of positions (N, 3) and colours (N, 3).

    The cubes' corners lie at whole multiples of `size`; the result is in their order. Neighbours of an image mostly
    share a cube: runs of equal cubes are summed first, so that few are left to sort. Raises DataError where points are
    not finite or too far apart for their number of cubes to be counted.
    """
    if not len(points):
        return points, colors
    keys = _cubes(points, size)
    values = np.concatenate([points.T, colors.T.astype(np.float32)])
    runs = _starts(keys)
    counts = np.diff(np.append(runs, len(keys))).astype(np.float32)
    keys, values = keys[runs], np.add.reduceat(values, runs, axis=1)
    order = np.argsort(keys, kind="stable")
    groups = _starts(keys[order])
    means = np.add.reduceat(values[:, order], groups, axis=1) / np.add.reduceat(counts[order], groups)
    return np.ascontiguousarray(means[:3].T), np.rint(means[3:].T).astype(np.uint8)


def _cubes(points: NDArray[np.float32], size: float) -> NDArray[np.int64]:
    """The number (N,) of each point's cube."""
    low, high = (np.floor(limit(points, axis=0).astype(np.float64) / size) for limit in (np.min, np.max))
    spans = high - low + 1
    if not np.isfinite(spans).all() or np.prod(spans) > _MAX_CELLS:
        raise DataError(f"a voxel grid of {size:g} m needs finite points not too far apart, got a box of "
                        f"{' x '.join(f'{span * size:.3g}' for span in spans)} m: limit the range")
    keys = np.zeros(len(points), np.int64)
    for axis in range(3):
        keys *= int(spans[axis])
        keys += np.floor(points[:, axis] * np.float32(1 / size)).astype(np.int64) - int(low[axis])
    return keys


def _starts(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where runs of equal keys begin."""
    return np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))

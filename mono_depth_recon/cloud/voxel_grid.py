"""Thinning of a cloud, fast enough for every frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import Points
from ..errors import DataError
from .back_projection import pack_rgb, unpack_rgb

_MAX_CELLS = 2**62


def voxel_grid(
    points: NDArray[np.float32],
    colors: NDArray[np.uint8],
    size: float,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """One point for each cube of `size` metres that holds any: the means of positions (N, 3) and colours (N, 3).

    The cubes' centres lie at whole multiples of `size`; the result is in their order. Neighbours of an image mostly
    share a cube: runs of equal cubes are summed first, so that few are left to sort. Raises DataError where points are
    not finite or too far apart for their number of cubes to be counted.
    """
    means = voxel_means(points, colors.astype(np.float32), size)
    return np.ascontiguousarray(means[:3].T), np.rint(means[3:].T).astype(np.uint8)


def thinned(points: Points, size: float) -> Points:
    """(1, N, 4 or 5): the mean of the points of (H, W, 4 or 5) in each cube of `size` metres that contains any."""
    import cv2

    planes = cv2.split(points)
    known = np.isfinite(planes[2])
    if not known.any():
        return np.empty((1, 0, points.shape[-1]), np.float32)
    x, y, z, packed, *sigma = (plane[known] for plane in planes)
    rgb = unpack_rgb(packed).T.astype(np.float32)
    means = voxel_means(np.stack([x, y, z]).T, np.concatenate([rgb, *(plane[None] for plane in sigma)]).T, size)
    color = pack_rgb(np.rint(means[None, 3:6].transpose(0, 2, 1)).astype(np.uint8))[0]
    return np.stack([*means[:3], color, *means[6:]], axis=-1)[None]


def voxel_means(points: NDArray[np.float32], others: NDArray[np.float32], size: float) -> NDArray[np.float32]:
    """As `voxel_grid`, with any `others` (N, C) in place of colours; the means (3 + C, M) of both together."""
    values = np.concatenate([points.T, others.T])
    if not len(points):
        return values
    keys = _cubes(points, size)
    runs = _starts(keys)
    counts = np.diff(np.append(runs, len(keys))).astype(np.float32)
    keys, values = keys[runs], np.add.reduceat(values, runs, axis=1)
    order = np.argsort(keys, kind="stable")
    groups = _starts(keys[order])
    means: NDArray[np.float32] = np.add.reduceat(values[:, order], groups, axis=1)
    means /= np.add.reduceat(counts[order], groups)
    return means


def _cubes(points: NDArray[np.float32], size: float) -> NDArray[np.signedinteger]:
    """The number (N,) of each point's cube."""
    inverse = np.float32(1 / size)
    scaled = [points[:, axis] * inverse + np.float32(0.5) for axis in range(3)]
    low = [np.floor(values.min()) for values in scaled]
    spans = [float(values.max()) - float(least) + 1 for values, least in zip(scaled, low, strict=True)]
    cells = np.prod([np.floor(span) + 1 for span in spans])
    if not cells < _MAX_CELLS:  # NaN too
        raise DataError(
            f"a voxel grid of {size:g} m needs finite points not too far apart, got a box of "
            f"{' x '.join(f'{span * size:.3g}' for span in spans)} m: limit the range"
        )
    kind: type[np.signedinteger] = np.int32 if cells < 2**31 else np.int64  # the smaller sorts faster
    keys: NDArray[np.signedinteger] = np.zeros(len(points), kind)
    for values, least, span in zip(scaled, low, spans, strict=True):
        keys = keys * kind(np.floor(span) + 1) + (values - least).astype(kind)  # positive: towards zero is down
    return keys


def _starts(keys: NDArray[np.signedinteger]) -> NDArray[np.int64]:
    """Where runs of equal keys begin."""
    return np.append(0, np.flatnonzero(keys[1:] != keys[:-1]) + 1)

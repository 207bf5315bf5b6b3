"""A predicted depth map deformed so that it passes through sparse points of known depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth, Rgb
from .scale import on_grid
from .triangulation import SparseDepth

MIN_POINTS = 30  # fewer cover too little of a view
_GRID_WIDTH = 80
_REACH = 20.0  # cells; how far a point acts
_COLOR = 0.15  # change of colour (sum of the channels, 0 to 1) that stops it
_ROUNDS = 3  # iterations of the filter
_REFITS = 2  # robust re-weightings
_TOLERANCE = 0.1  # relative: points that differ more from their neighbours get less weight
_LIMIT = 1.0  # largest logarithm of a correction
_FAINT = 1e-4  # weight of "no correction", against that of points


def deformed_to_points(depth: Depth, rgb: Rgb, points: SparseDepth) -> tuple[Depth, NDArray[np.float32]] | None:
    """`depth` (H, W) deformed to agree with `points`, and the support (H, W) of every pixel; None below 30 points.

    The scale is the median ratio of the points' depth to the predicted one. What remains, as a logarithm, is spread
    over the image up to the edges of colour by a recursive filter guided by `rgb` (H, W, 3); points that contradict
    their neighbours get less weight. The support is about the number of points per cell of 1/80 of the width.
    """
    import cv2

    ratio, cells, shape = _ratios(depth, points)
    if len(ratio) < MIN_POINTS:
        return None
    scale = float(np.median(ratio))
    correction = np.clip(np.log(ratio / scale), -_LIMIT, _LIMIT).astype(np.float32)
    distances = _distances(cv2.resize(rgb, shape[::-1], interpolation=cv2.INTER_AREA))
    count = np.ones(len(correction), np.float32)
    for _ in range(_REFITS):
        sums = np.stack(
            [np.bincount(cells, value, shape[0] * shape[1]) for value in (correction * count, count)], axis=-1
        )
        field, support = np.moveaxis(_spread(sums.reshape(*shape, 2).astype(np.float32), *distances), -1, 0)
        field = field / (support + np.float32(_FAINT))
        count = 1 / (1 + np.square((correction - field.ravel()[cells]) / _TOLERANCE))
    size = depth.shape[::-1]
    factor = np.float32(scale) * np.exp(cv2.resize(field, size, interpolation=cv2.INTER_LINEAR))
    return depth * factor, cv2.resize(support, size, interpolation=cv2.INTER_LINEAR)


def _ratios(
    depth: Depth,
    points: SparseDepth,
) -> tuple[NDArray[np.float32], NDArray[np.int64], tuple[int, int]]:
    """For the points where depth is predicted: true over predicted depth (N,), cell (N,), and the shape of the grid."""
    height, width = points.shape
    column, row = np.clip(np.rint(points.pixels), 0, (width - 1, height - 1)).astype(int).T
    predicted = on_grid(depth, points.shape)[row, column]
    known = np.isfinite(predicted) & (predicted > 0)
    shape = max(1, round(_GRID_WIDTH * height / width)), min(_GRID_WIDTH, width)
    cells = row * shape[0] // height * shape[1] + column * shape[1] // width
    return 1 / (points.inverse[known] * predicted[known]), cells[known], shape


def _distances(rgb: Rgb) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distances between neighbouring cells, across (h, w - 1) and down (h - 1, w): 1, and more over edges of colour."""
    color = rgb.astype(np.float32) / 255
    across, down = (1 + np.float32(_REACH / _COLOR) * np.abs(np.diff(color, axis=axis)).sum(axis=-1) for axis in (1, 0))
    return across, down


def _spread(
    values: NDArray[np.float32],
    across: NDArray[np.float32],
    down: NDArray[np.float32],
) -> NDArray[np.float32]:
    """`values` (h, w, C) smoothed over these distances (recursive filter of Gastal and Oliveira, SIGGRAPH 2011)."""
    turned = np.ascontiguousarray(values.swapaxes(0, 1))
    for number in range(_ROUNDS):
        width = _REACH * np.sqrt(3) * 2 ** (_ROUNDS - number - 1) / np.sqrt(4**_ROUNDS - 1)
        turned = _recursive(turned, np.exp(-np.sqrt(2) / width * across.T))
        turned = _recursive(np.ascontiguousarray(turned.swapaxes(0, 1)), np.exp(-np.sqrt(2) / width * down))
        turned = np.ascontiguousarray(turned.swapaxes(0, 1))
    return turned.swapaxes(0, 1)


def _recursive(values: NDArray[np.float32], kept: NDArray[np.float32]) -> NDArray[np.float32]:
    """Filters `values` (n, m, C) along the first axis, forth and back; a row keeps the share `kept` (n - 1, m)."""
    share = kept[..., None].astype(np.float32)
    for row in range(1, len(values)):
        values[row] += share[row - 1] * (values[row - 1] - values[row])
    for row in range(len(values) - 2, -1, -1):
        values[row] += share[row] * (values[row + 1] - values[row])
    return values

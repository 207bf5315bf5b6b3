"""A smooth field over the image, by which the inverse depth of a model that bends surfaces is multiplied."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..alignment import placed, spline
from ..arrays import Depth
from ..frames import Scale

_ROWS, _COLUMNS, _FINE = 6, 8, 2  # the field's grid; cells per row and column of it that gather the anchors
_ANCHORS = 4000  # of more only so many count: 20 in a cell
_LARGEST, _WRONG = 1.5, 1.6  # a factor, up or down; anchors that are farther off are wrong
_PRIOR = 0.25  # of the factors and their differences between neighbours, each as a standard deviation
_FEW = 1.0  # a cell with so many anchors has half the weight of one with many
_START, _LEAST = 0.05, 0.01  # deviation of a cell's median that no model goes below
_HUBER, _REFITS = 1.345, 3

F64 = NDArray[np.float64]


def with_factors(fit: Scale, disparity: Depth, reference: Depth) -> Scale:
    """`fit` with factors (6, 8) of a field that brings it closer to a reference (h, w) in metres.

    The ratios of inverse depth at the anchors are gathered in cells, of each of which the median counts: dense anchors
    of one object are one measurement. Huber's weights on these; the prior draws the factors to their neighbours and to
    1, which they are where no anchor is within about a cell. What noise alone would explain is taken off (James and
    Stein, 1961), so that the field of a model which bends nothing is 1. Between 2/3 and 3/2. What `fit` says of its
    quality stays, so that a field does not hide a wrong transform; `remaining` is the residual with it. Raises
    DataError as `fit_scale`.
    """
    d, w, rows, columns = (each[:: max(1, len(each) // _ANCHORS)] for each in placed(disparity, reference))
    made = fit.scale * d + fit.shift
    usable = (made * _WRONG > w) & (made < w * _WRONG)
    if not usable.any():
        return replace(fit, factors=np.ones((_ROWS, _COLUMNS), np.float32), remaining=fit.residual)
    down, across = (
        place * (_FINE * count) // size
        for place, count, size in zip((rows, columns), (_ROWS, _COLUMNS), disparity.shape, strict=True)
    )
    cells = down * (_FINE * _COLUMNS) + across
    medians, counts = _medians(w[usable] / made[usable] - 1, cells[usable])
    factors = np.clip(1 + _smooth(medians, counts / (counts + _FEW)), 1 / _LARGEST, _LARGEST)
    remaining = float(np.median(np.abs((_design()[0] @ factors)[cells] * made / w - 1)))
    field = factors.astype(np.float32).reshape(_ROWS, _COLUMNS)
    return replace(fit, factors=field, remaining=remaining)


def _medians(values: F64, cells: NDArray[np.intp]) -> tuple[F64, F64]:
    """The median of the values in each cell (cells,), 0 where there is none, and how many they are."""
    order = np.lexsort((values, cells))
    found, first, counts = np.unique(cells[order], return_index=True, return_counts=True)
    ordered, medians, numbers = values[order], *np.zeros((2, _ROWS * _COLUMNS * _FINE**2))
    medians[found] = (ordered[first + (counts - 1) // 2] + ordered[first + counts // 2]) / 2
    numbers[found] = counts
    return medians, numbers


def _smooth(values: F64, weights: F64) -> F64:
    """The robust smooth field (rows * columns,) through `values` (cells,)."""
    shares, prior = _design()
    deviation, off = _START, values
    for _ in range(_REFITS):
        robust = weights * np.minimum(1, _HUBER * deviation / np.maximum(np.abs(off), 1e-9)) / deviation**2
        weighted = shares * robust[:, None]
        normal = _product(weighted, shares)
        field = np.linalg.solve(normal + prior, values @ weighted)
        off = values - shares @ field
        deviation = max(1.4826 * float(np.median(np.abs(off[weights > 0]))), _LEAST)
    by_chance = float(np.trace(np.linalg.solve(normal + prior, normal)))
    explained = float(robust @ (values**2 - off**2))
    return np.asarray(field, np.float64) * max(0.0, 1 - by_chance / max(explained, 1e-9))


def _product(a: F64, b: F64) -> F64:
    """a^T b in two halves: the whole is large enough for BLAS to start threads, which wait where cores are busy."""
    halves = [each.reshape(2, -1, each.shape[1]) for each in (a, b)]
    return (halves[0].transpose(0, 2, 1) @ halves[1]).sum(axis=0)


@lru_cache(maxsize=1)
def _design() -> tuple[F64, F64]:
    """The share of each factor in each cell (cells, factors), and the inverse of the prior's covariance."""
    down, across = (spline(count, _FINE * count).astype(np.float64) for count in (_ROWS, _COLUMNS))
    steps = [np.diff(np.eye(count), axis=0) for count in (_ROWS, _COLUMNS)]
    differences = np.concatenate([np.kron(steps[0], np.eye(_COLUMNS)), np.kron(np.eye(_ROWS), steps[1])])
    prior = (np.eye(_ROWS * _COLUMNS) + differences.T @ differences) / _PRIOR**2
    return np.kron(down, across).astype(np.float64), prior

"""Robust statistics of small arrays: numpy's median takes longer than all that it is used for here."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIGMA = 1.4826  # of a normal distribution: its standard deviation over the median of absolute deviations


def middle(values: NDArray[Any]) -> float:
    """The median of values (N,), the upper one where N is even."""
    half = len(values) // 2
    return float(np.partition(values, half)[half])


def spread(values: NDArray[Any]) -> float:
    """Robust standard deviation of values (N,)."""
    return SIGMA * middle(np.abs(values - middle(values)))

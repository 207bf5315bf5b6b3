"""Combines several Predictions of one image into one."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth, Mask
from ..frames import Prediction

T = TypeVar("T")
F = TypeVar("F", np.float32, np.float64)


def merged(kind: Prediction, predictions: Sequence[Prediction], values: Depth, sigma: Depth) -> Prediction:
    """`values` and `sigma` as a Prediction like `kind` (depth or disparity), the other fields merged.

    A pixel is valid, or sky, where all predictions that have such a mask agree; intrinsics and confidence are the means
    of those that have them.
    """
    return Prediction(
        depth=None if kind.depth is None else values,
        disparity=values if kind.depth is None else None,
        sigma=sigma,
        valid=_all(prediction.valid for prediction in predictions),
        sky=_all(prediction.sky for prediction in predictions),
        intrinsics=_mean(prediction.intrinsics for prediction in predictions),
        confidence=_mean(prediction.confidence for prediction in predictions),
    )


def mirrored_prediction(prediction: Prediction) -> Prediction:
    """Left and right exchanged: the prediction of the mirrored image on the grid of the image."""
    width = prediction.values.shape[1]
    maps = {
        name: value[:, ::-1] for name, value in vars(prediction).items() if value is not None and name != "intrinsics"
    }
    K = prediction.intrinsics
    if K is not None:
        K = K.copy()
        K[0, 2] = width - 1 - K[0, 2]
    return replace(prediction, **maps, intrinsics=K)


def _known(values: Iterable[T | None]) -> list[T]:
    return [value for value in values if value is not None]


def _all(masks: Iterable[Mask | None]) -> Mask | None:
    known = _known(masks)
    return functools.reduce(np.logical_and, known) if known else None


def _mean(values: Iterable[NDArray[F] | None]) -> NDArray[F] | None:
    known = _known(values)
    return np.mean(known, axis=0, dtype=known[0].dtype) if known else None

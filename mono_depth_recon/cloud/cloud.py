"""Coloured points without order, and those of an organised cloud."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Mask, Points
from ..errors import DataError
from .back_projection import unpack_rgb


@dataclass(frozen=True, eq=False)
class Cloud:
    """Coloured points: `points` (N, 3) float32 metres, `colors` (N, 3) uint8 RGB."""

    points: NDArray[np.float32]
    colors: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.points)


def cloud_from_organised(points: Points) -> Cloud:
    """The finite points of an organised (H, W, 4) cloud, in row order. Raises DataError where there is none."""
    kept = points[known_points(points)]
    if not len(kept):
        raise DataError(no_depth(points[..., 0].size))
    return Cloud(np.ascontiguousarray(kept[:, :3]), np.ascontiguousarray(unpack_rgb(kept[:, 3])))


def known_points(points: Points) -> Mask:
    """(...,) bool: where points (..., 4) have finite coordinates."""
    known: Mask = np.logical_and.reduce(np.isfinite(points[..., :3]), axis=-1)
    return known


def no_depth(pixels: int) -> str:
    """The message for a frame of `pixels` pixels without any depth."""
    return f"expected a frame with valid depth, none of its {pixels} pixels has any: check the range and the mask"

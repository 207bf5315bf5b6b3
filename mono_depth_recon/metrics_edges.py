"""Depth boundaries: how near the predicted ones are to the true ones (DBE of iBims-1, Koch et al., ECCVW 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .arrays import Mask

MAX_DISTANCE_PX = 10.0
_BLUR_PX = 2**0.5
# Largest change of ln depth per pixel after the blur; a step of 10 % has 0.028
_STRONG, _WEAK = 0.028, 0.014
_FIXED_POINT = 2.0**14
_SOBEL_SUM = 8.0


@dataclass(frozen=True)
class EdgeErrors:
    """Distances between predicted and true depth boundaries, in pixels; NaN where there is nothing to measure.

    `accuracy` mean distance of the predicted edge pixels to the nearest true one, of those nearer than 10 pixels (the
    others are no attempt at a true edge); `completeness` mean distance of the true edge pixels to the nearest predicted
    one, each counted as 10 at most. Smaller is better for both. `edges`, `true_edges`: pixels of each.
    """

    accuracy: float
    completeness: float
    edges: int
    true_edges: int


def edge_errors(depth: NDArray[np.floating], truth: NDArray[np.floating], mask: Mask) -> EdgeErrors:
    """Compares the boundaries of depth and truth, (H, W) in any common unit, within `mask` (H, W).

    Both are found alike, by `depth_edges`. Raises DataError for no pixel (from there).
    """
    found, true = depth_edges(depth, mask), depth_edges(truth, mask)
    to_true, to_found = _distance(true), _distance(found)
    near = found & (to_true < MAX_DISTANCE_PX)
    return EdgeErrors(
        accuracy=float(to_true[near].mean()) if near.any() else float("nan"),
        completeness=float(np.minimum(to_found[true], MAX_DISTANCE_PX).mean()) if true.any() else float("nan"),
        edges=int(found.sum()), true_edges=int(true.sum()))


def depth_edges(depth: NDArray[np.floating], mask: Mask) -> Mask:
    """(H, W) bool: Canny on ln depth, so that a scale does not matter, thin lines at jumps of 10 % and what joins them.

    What is unknown takes the value of the nearest known pixel, so that a hole makes no edge of its own, and edges
    within 3 pixels of the mask's border do not count.
    """
    import cv2

    known = mask & np.isfinite(depth) & (depth > 0)
    if not known.any():
        return np.zeros(depth.shape, np.bool_)
    logs = cv2.GaussianBlur(np.log(_filled(depth, known)).astype(np.float32), (0, 0), _BLUR_PX)
    slopes = [cv2.Sobel(logs, cv2.CV_32F, *axis) / _SOBEL_SUM for axis in ((1, 0), (0, 1))]
    fixed = [np.clip(np.rint(slope * _FIXED_POINT), -32768, 32767).astype(np.int16) for slope in slopes]
    edges = cv2.Canny(*fixed, _WEAK * _FIXED_POINT, _STRONG * _FIXED_POINT, L2gradient=True) > 0
    inner = cv2.erode(known.astype(np.uint8), np.ones((7, 7), np.uint8), borderValue=1) > 0
    counted: Mask = edges & inner
    return counted


def _filled(depth: NDArray[np.floating], known: Mask) -> NDArray[np.floating]:
    """Every unknown pixel with the value of the nearest known one."""
    import cv2

    if known.all():
        return depth
    _, labels = cv2.distanceTransformWithLabels((~known).astype(np.uint8), cv2.DIST_L2, 5,
                                                labelType=cv2.DIST_LABEL_PIXEL)
    values = np.zeros(labels.max() + 1, depth.dtype)
    values[labels[known]] = depth[known]
    filled: NDArray[np.floating] = values[labels]
    return filled


def _distance(edges: Mask) -> NDArray[np.float32]:
    """Euclidean distance of every pixel to the nearest edge, in pixels; +Inf where there is none."""
    import cv2

    if not edges.any():
        return np.full(edges.shape, np.inf, np.float32)
    return cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)

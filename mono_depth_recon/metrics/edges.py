"""Depth boundary errors: distance of predicted from true boundaries (DBE of iBims-1, Koch et al., ECCVW 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from ..arrays import Mask
from .figure import Figure

MAX_DISTANCE_PX = 10.0
_BLUR_PX = 2**0.5
# Change of ln depth per pixel after the blur; a step of 10 % has 0.028
_STRONG, _WEAK = 0.028, 0.014
_FIXED_POINT = 2.0**14
_SOBEL_SUM = 8.0


@dataclass(frozen=True)
class EdgeErrors:
    """Distances between predicted and true depth boundaries, in pixels; NaN if there is nothing to measure.

    `accuracy` mean distance of the predicted edge pixels to the nearest true one, of those nearer than 10 pixels (the
    others do not belong to a true edge); `completeness` mean distance of the true edge pixels to the nearest predicted
    one, each counted as 10 at most. Lower is better for both. `edges`, `true_edges`: numbers of pixels.
    """

    accuracy: Annotated[
        float, Figure("Edge acc. px", "mean distance of predicted boundaries to true ones, pixels", "low")
    ]
    completeness: Annotated[
        float, Figure("Edge compl. px", "mean distance of true boundaries to predicted ones, pixels", "low")
    ]
    edges: int
    true_edges: int


def edge_errors(depth: NDArray[np.floating], truth: NDArray[np.floating], mask: Mask) -> EdgeErrors:
    """Compares the boundaries of depth and truth, (H, W) in any common unit, within `mask` (H, W)."""
    return errors_of_edges(depth_edges(depth, mask), TrueEdges.of(depth_edges(truth, mask)))


@dataclass(frozen=True, eq=False)
class TrueEdges:
    """The boundaries of the truth (H, W), and every pixel's distance to the nearest of them in pixels."""

    edges: Mask
    distance: NDArray[np.float32]

    @classmethod
    def of(cls, edges: Mask) -> TrueEdges:
        """With their distances, +Inf where there is no edge."""
        return cls(edges, _distance(edges))


def errors_of_edges(found: Mask, true: TrueEdges) -> EdgeErrors:
    """Compares found boundaries (H, W) with true ones."""
    near = _exact(true.distance[found])
    near = near[near < MAX_DISTANCE_PX]
    missed = _exact(_distance(found)[true.edges])
    return EdgeErrors(
        accuracy=float(near.mean()) if near.size else float("nan"),
        completeness=float(np.minimum(missed, MAX_DISTANCE_PX).mean()) if missed.size else float("nan"),
        edges=int(found.sum()),
        true_edges=int(true.edges.sum()),
    )


def depth_edges(depth: NDArray[np.floating], mask: Mask) -> Mask:
    """(H, W) bool: the boundaries of depth within `mask`, where it is finite and positive."""
    return EdgeFinder(mask & np.isfinite(depth) & (depth > 0)).edges(depth)


class EdgeFinder:
    """Canny on ln depth, which is independent of scale: thin lines at jumps of 10 % and weaker ones connected to them.

    For maps with the same known pixels (H, W). Unknown pixels take the value of the nearest known pixel, so that
    holes produce no edges, and edges within 3 pixels of the border of the known region are ignored.
    """

    def __init__(self, known: Mask) -> None:
        import cv2

        self._known = known
        self._unknown, self._nearest = _nearest_known(known)
        self._inner = cv2.erode(known.astype(np.uint8), np.ones((7, 7), np.uint8), borderValue=1) > 0

    def edges(self, depth: NDArray[np.floating]) -> Mask:
        """(H, W) bool; `depth` is finite and positive in the known pixels."""
        import cv2

        if not self._known.any():
            return np.zeros(depth.shape, np.bool_)
        filled = depth.ravel().copy()
        filled[self._unknown] = filled[self._nearest]
        logs = np.log(filled).astype(np.float32).reshape(depth.shape)
        logs = cv2.GaussianBlur(logs, (0, 0), _BLUR_PX)
        slopes = [cv2.Sobel(logs, cv2.CV_32F, *axis) / _SOBEL_SUM for axis in ((1, 0), (0, 1))]
        fixed = [np.clip(np.rint(slope * _FIXED_POINT), -32768, 32767).astype(np.int16) for slope in slopes]
        edges = cv2.Canny(*fixed, _WEAK * _FIXED_POINT, _STRONG * _FIXED_POINT, L2gradient=True) > 0
        counted: Mask = edges & self._inner
        return counted


def _nearest_known(known: Mask) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Flat indices (N,) of the unknown pixels, and of the nearest known pixel of each."""
    import cv2

    unknown = np.flatnonzero(~known)
    if not unknown.size or unknown.size == known.size:
        return unknown[:0], unknown[:0]
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    labels, seen = labels.ravel(), np.flatnonzero(known)
    place = np.zeros(int(labels.max()) + 1, np.intp)
    place[labels[seen]] = seen
    return unknown, place[labels[unknown]]


def _distance(edges: Mask) -> NDArray[np.float32]:
    """Euclidean distance of every pixel to the nearest edge, in pixels; +Inf where there is none."""
    import cv2

    if not edges.any():
        return np.full(edges.shape, np.inf, np.float32)
    return cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _exact(distances: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rounds to roots of integers, as pixel distances are: OpenCV's last digit depends on threads and alignment."""
    return np.sqrt(np.rint(np.square(distances, dtype=np.float64)))

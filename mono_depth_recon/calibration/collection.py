"""Chooses from a stream the views of a board that say something new."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .board import Sighting

_NEW = 0.05  # of the image's width that corners must have moved by, on average, from every kept view
_STILL = 0.004  # of the image's width from one image to the next: faster boards are blurred


class ViewCollection:
    """The kept views of images of `size` (width, height), by number; at most `wanted`."""

    def __init__(self, size: tuple[int, int], wanted: int) -> None:
        self.size, self.wanted = size, wanted
        self.views: dict[str, Sighting] = {}
        self._boxes: list[NDArray[np.float64]] = []
        self._last: NDArray[np.float64] | None = None

    @property
    def complete(self) -> bool:
        """Whether all wanted views are there."""
        return len(self.views) >= self.wanted

    def add(self, view: Sighting | None) -> bool:
        """Keeps what an image shows where the board holds still at a new place or tilt; whether it did."""
        if view is None:
            self._last = None
            return False
        box, last = _box(view) / self.size[0], self._last
        self._last = box
        still = last is not None and _moved(last, box) < _STILL
        if not still or self.complete or any(_moved(each, box) < _NEW for each in self._boxes):
            return False
        self._boxes.append(box)
        self.views[f"view {len(self.views) + 1}"] = view
        return True


def _moved(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(a - b, axis=1).mean())


def _box(view: Sighting) -> NDArray[np.float64]:
    """(4, 2) where the outermost corners of the board that are seen are in the image, pixels.

    They follow place, size and tilt; a ChArUco board may show other corners in each view.
    """
    x, y = view.places[:, 0], view.places[:, 1]
    ends = [np.argmin(x + y), np.argmax(x - y), np.argmax(x + y), np.argmin(x - y)]
    return view.pixels[ends].astype(np.float64)

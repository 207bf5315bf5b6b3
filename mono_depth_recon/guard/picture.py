"""Small grey copies of an image, which all of the guard works on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Rgb

_FINE_PX, _COARSE_PX = 320, 160  # width at most
_CELL_PX = 8
_BLOCK_PX = 5
_LEAST_CORNER = 1e-4  # OpenCV's smaller eigenvalue; that of white noise of 3 grey levels

Grey = NDArray[np.uint8]
Pixels = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Picture:
    """An image as the guard sees it: `fine` and `coarse` grey copies (h, w) uint8, and its corners.

    `corners` (N, 2) are x, y in pixels of `coarse`, at most one per cell of 8x8; `texture` is the share of cells that
    have one.
    """

    fine: Grey
    coarse: Grey
    corners: Pixels
    texture: float


def picture_of(rgb: Rgb) -> Picture:
    """The copies of an image (H, W, 3) uint8, of the same shape for images of one size."""
    import cv2

    fine = cv2.cvtColor(_shrunk(rgb, _FINE_PX), cv2.COLOR_RGB2GRAY)
    coarse = _shrunk(fine, _COARSE_PX)
    corners, cells = _corners(coarse)
    return Picture(fine, coarse, corners, len(corners) / max(1, cells))


def _shrunk(image: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    import cv2

    rows, columns = image.shape[:2]
    if columns <= width:
        return image
    size = (width, max(1, round(rows * width / columns)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _corners(grey: Grey) -> tuple[Pixels, int]:
    """The strongest corner of each cell that has one, and the number of cells."""
    import cv2

    rows, columns = grey.shape[0] // _CELL_PX, grey.shape[1] // _CELL_PX
    if not rows * columns:
        return np.empty((0, 2), np.float32), 0
    strength = cv2.cornerMinEigenVal(grey, _BLOCK_PX)[: rows * _CELL_PX, : columns * _CELL_PX]
    cells = strength.reshape(rows, _CELL_PX, columns, _CELL_PX).transpose(0, 2, 1, 3).reshape(rows * columns, -1)
    best = cells.argmax(axis=1)
    found = np.flatnonzero(cells[np.arange(len(cells)), best] > _LEAST_CORNER)
    x = (found % columns) * _CELL_PX + best[found] % _CELL_PX
    y = (found // columns) * _CELL_PX + best[found] // _CELL_PX
    return np.stack([x, y], axis=1).astype(np.float32), len(cells)

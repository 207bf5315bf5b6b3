"""The resampling kernels that the models were published with, and the way back to the size of the image.

OpenCV's cubic kernel differs from Pillow's by tens of grey levels, so each model keeps its published kernel. All act on
rows and columns one after the other: as `Separable` they run on any device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth, Rgb

Kernel: TypeAlias = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]
# PIL.Image.Resampling, by which preprocessor_config.json names a kernel
KERNELS: dict[int, Kernel] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


def antialiased(rgb: Rgb, size: tuple[int, int], kernel: Kernel) -> Rgb:
    """`rgb` (H, W, 3) uint8 at `size` = (columns, rows), by Pillow: the kernel widens where the image shrinks."""
    if (rgb.shape[1], rgb.shape[0]) == size:
        return rgb
    from PIL import Image

    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling[kernel.upper()]))


def bilinear(rgb: Rgb, size: tuple[int, int]) -> NDArray[np.float32]:
    """`rgb` as float32 (rows, columns, 3), 0 to 255, at `size` = (columns, rows): plain bilinear, edges aligned."""
    import cv2

    return cv2.resize(rgb.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)


def bilinear_corners(rgb: Rgb, size: tuple[int, int]) -> NDArray[np.float32]:
    """As `bilinear`, with the centres of the corner pixels aligned (torch's align_corners)."""
    columns, rows = size
    low, high, share = _taps(rgb.shape[0], rows)
    tall = rgb[low] * (1 - share)[:, None, None]
    tall += rgb[high] * share[:, None, None]
    low, high, share = _taps(rgb.shape[1], columns)
    wide = tall[:, low] * (1 - share)[:, None]
    wide += tall[:, high] * share[:, None]
    return wide


def normalised(
    pixels: NDArray[Any], gain: Sequence[float], bias: Sequence[float], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """(rows, columns, 3) -> (3, rows, columns) float32 = pixels * gain + bias; a table for whole grey levels."""
    import cv2

    blob = np.empty((3, *pixels.shape[:2]), np.float32) if out is None else out
    for plane, target, g, b in zip(cv2.split(pixels), blob, gain, bias, strict=True):
        if plane.dtype == np.uint8:
            cv2.LUT(plane, (np.arange(256) * g + b).astype(np.float32), dst=target)
        else:
            np.multiply(plane, np.float32(g), out=target)
            target += np.float32(b)
    return blob


def _taps(source: int, target: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """The two source pixels of every target pixel, and the weight of the second."""
    place = np.linspace(0.0, source - 1.0, target) if target > 1 else np.zeros(1)
    low = np.minimum(place.astype(np.intp), max(source - 2, 0))
    return low, np.minimum(low + 1, source - 1), (place - low).astype(np.float32)


def restored(values: Depth, size: tuple[int, int]) -> Depth:
    """A map of the network at `size` = (columns, rows), a new array: values bilinear, validity nearest.

    Bilinear values stay between their neighbours. What is not finite is unknown: NaN in the nearest pixels of the
    result, and without weight in the others.
    """
    import cv2

    valid = np.isfinite(values)
    if valid.all():
        return np.array(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), np.float32)
    weight = cv2.resize(valid.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    total = cv2.resize(np.where(valid, values, np.float32(0)), size, interpolation=cv2.INTER_LINEAR)
    known = cv2.resize(valid.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT).astype(bool)
    result = np.full(total.shape, np.nan, np.float32)
    return np.divide(total, weight, out=result, where=known & (weight > 0))


Matrix32: TypeAlias = NDArray[np.float32]
Rounds: TypeAlias = Literal["each", "once", "no"]


@dataclass(frozen=True, eq=False)
class Separable:
    """A resampling as matrices: rows (r, H) and columns (c, W) make (r, c) of an image (H, W).

    `rounds`: whole grey levels, limited to 0 to 255, after each of the two ("each", as Pillow does), after both
    ("once", OpenCV), or not at all. Columns come first unless `rows_first`, which matters for "each".
    """

    rows: Matrix32
    columns: Matrix32
    rounds: Rounds = "no"
    rows_first: bool = False

    def cut(self, rows: slice, columns: slice) -> Separable:
        """Only these rows and columns of the result."""
        return replace(self, rows=self.rows[rows], columns=self.columns[columns])


def impulses(side: int) -> Matrix32:
    """(side, side): what a resampling makes of its rows is the matrix of the resampling."""
    return np.eye(side, dtype=np.float32)


def antialiased_matrices(source: tuple[int, int], target: tuple[int, int], kernel: Kernel) -> Separable:
    """`antialiased` from `source` to `target`, both (columns, rows)."""
    from PIL import Image, __version__

    def matrix(before: int, after: int) -> Matrix32:
        image = Image.fromarray(impulses(before))
        return np.asarray(image.resize((before, after), Image.Resampling[kernel.upper()]))

    columns, rows = map(matrix, source, target)
    cheaper = target[0] > source[0] and target[1] < source[1]
    return Separable(rows, columns, "each", rows_first=cheaper and int(__version__.partition(".")[0]) >= 13)


def opencv_matrices(
    source: tuple[int, int], target: tuple[int, int], interpolation: int, rounds: Rounds = "no"
) -> Separable:
    """cv2.resize from `source` to `target`, both (columns, rows)."""
    import cv2

    def matrix(before: int, after: int) -> Matrix32:
        return np.asarray(cv2.resize(impulses(before), (before, after), interpolation=interpolation), np.float32)

    columns, rows = map(matrix, source, target)
    return Separable(rows, columns, rounds)


def bilinear_matrices(source: tuple[int, int], target: tuple[int, int]) -> Separable:
    """`bilinear` from `source` to `target`, both (columns, rows)."""
    import cv2

    return opencv_matrices(source, target, cv2.INTER_LINEAR)


def corners_matrices(source: tuple[int, int], target: tuple[int, int]) -> Separable:
    """`bilinear_corners` from `source` to `target`, both (columns, rows)."""

    def matrix(before: int, after: int) -> Matrix32:
        low, high, share = _taps(before, after)
        each = impulses(before)
        return each[low] * (1 - share)[:, None] + each[high] * share[:, None]

    columns, rows = map(matrix, source, target)
    return Separable(rows, columns)


def restoring_matrices(source: tuple[int, int], target: tuple[int, int]) -> tuple[Separable, Separable]:
    """`restored` from `source` to `target`, both (columns, rows): of values, and of what is known."""
    import cv2

    return bilinear_matrices(source, target), opencv_matrices(source, target, cv2.INTER_NEAREST_EXACT)

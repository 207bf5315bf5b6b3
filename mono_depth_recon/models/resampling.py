"""The resampling kernels that the models were published with, and the way back to the size of the image.

OpenCV's cubic kernel differs from Pillow's by tens of grey levels, so each model keeps its published kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
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

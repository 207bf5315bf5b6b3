"""The two loops over pixels that pay for compiling, by numba where it is installed: each goes through memory once.

They give the same bits as the numpy operations beside which they are used, and let other threads run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import Depth, Points, Rgb
from .once import Once

F32 = NDArray[np.float32]


class Kernels(NamedTuple):
    """`limit` and `project` below as compiled functions."""

    limit: Callable[..., None]
    project: Callable[..., None]


def limit(
    depth: Depth, above: F32, below: F32, inverse: F32, high: F32, low: F32, threshold: float, near: float, far: float
) -> None:
    """`filters.limit_range` on the edges that `filters.flying_pixels` finds, in place.

    `above` and `below` (W,) are the rows beside depth (n, W); at the border of the image these are its own. `inverse`
    (3, W), `high` and `low` (W + 2,) are working arrays.
    """
    rows, width = depth.shape
    zero, one, infinite, unknown = np.float32(0), np.float32(1), np.float32(np.inf), np.float32(np.nan)
    for row in range(-1, rows + 1):
        source = above if row < 0 else below if row == rows else depth[row]
        newest = inverse[(row + 1) % 3]
        for i in range(width):
            value = one / source[i]
            newest[i] = value if abs(value) < infinite else zero
        if row < 1:
            continue
        before, own, after = inverse[(row - 1) % 3], inverse[row % 3], newest
        band = depth[row - 1]
        for i in range(width):
            most = own[i] if own[i] > before[i] else before[i]
            least = own[i] if own[i] < before[i] else before[i]
            high[i + 1] = after[i] if after[i] > most else most
            low[i + 1] = after[i] if after[i] < least else least
        high[0], high[width + 1], low[0], low[width + 1] = high[1], high[width], low[1], low[width]
        for i in range(width):
            most = high[i] if high[i] > high[i + 1] else high[i + 1]
            most = high[i + 2] if high[i + 2] > most else most
            least = low[i] if low[i] < low[i + 1] else low[i + 1]
            least = low[i + 2] if low[i + 2] < least else least
            z = band[i]
            beyond = z > far
            dropped = ((most - least > threshold * own[i]) | (z < near)) & (not beyond)
            z = infinite if beyond else z
            band[i] = unknown if dropped else z


def project(depth: Depth, x: F32, y: F32, rgb: Rgb, points: Points, words: NDArray[np.uint32]) -> None:
    """`back_projection.back_project` of depth (n, W) to points (n, W, 4), whose memory is also `words`."""
    rows, width = depth.shape
    zero = np.float32(0)
    for row in range(rows):
        for i in range(width):
            z = zero * depth[row, i] + depth[row, i]
            points[row, i, 0] = z * x[i]
            points[row, i, 1] = z * y[row]
            points[row, i, 2] = z
            red, green, blue = np.uint32(rgb[row, i, 0]), np.uint32(rgb[row, i, 1]), np.uint32(rgb[row, i, 2])
            words[row, i, 3] = (red << np.uint32(16)) | (green << np.uint32(8)) | blue


def taken(array: NDArray[Any]) -> bool:
    """Whether the kernels read or write the array: float32 or uint8 in one piece."""
    return array.dtype in (np.float32, np.uint8) and array.flags.c_contiguous and array.flags.aligned


def compile_all() -> Kernels | None:
    """The kernels of this process, in some seconds the first time on a machine; None without numba."""
    try:
        import numba
    except ImportError:  # also where it does not fit the installed numpy
        return None
    number, row = numba.types.float32, numba.types.float32[::1]
    band, cloud, words = row.copy(ndim=2), row.copy(ndim=3), row.copy(ndim=3, dtype=numba.types.uint32)
    line, depth = row.copy(readonly=True), band.copy(readonly=True)
    rgb = depth.copy(ndim=3, dtype=numba.types.uint8)
    signatures: dict[Callable[..., None], tuple[Any, ...]] = {
        limit: (band, line, line, band, row, row, number, number, number),
        project: (depth, line, line, rgb, cloud, words),
    }
    return Kernels(*(machine_code(function, types) for function, types in signatures.items()))


def machine_code(function: Callable[..., None], types: tuple[Any, ...]) -> Callable[..., None]:
    """`function` for arguments of these numba types, kept beside the package or in the user's cache."""
    import numba

    options = {"nogil": True, "error_model": "numpy"}
    try:
        compiled: Callable[..., None] = numba.njit(types, cache=True, **options)(function)
    except RuntimeError:  # neither place can be written: each process compiles it again
        compiled = numba.njit(types, **options)(function)
    return compiled


kernels: Once[Kernels | None] = Once(compile_all)

"""Passes over an image in bands of rows, whose working arrays stay in the processor's cache and are kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .arrays import Depth
from .compiled import Kernels

# Of a band, and least of a thread. With fewer, threads wait for each other at Python's lock, which every call takes;
# with more, nothing stays in the cache.
PIXELS = 3 << 16

Key: TypeAlias = tuple[str, Any]
Step: TypeAlias = Callable[[slice, "Workspace"], None]
BesideStep: TypeAlias = Callable[[slice, "Beside", "Workspace"], None]


class Workspace:
    """Working arrays of one thread, by name; they are kept, so that a frame allocates none."""

    def __init__(self) -> None:
        self._flat: dict[Key, NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:
        """An array of that shape with any contents; the next call with `name` and `dtype` gives the same memory."""
        size = math.prod(shape)
        flat = self._flat.get((name, dtype))
        if flat is None or flat.size < size:
            flat = self._flat[name, dtype] = np.empty(size, dtype)
        return flat[:size].reshape(shape)

    def mask(self, name: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """`array` of bool."""
        return self.array(name, shape, np.bool_)


class Beside(NamedTuple):
    """The rows (W,) of an image above and below a band, None at its border."""

    above: Depth | None = None
    below: Depth | None = None


ALONE = Beside()


class Bands:
    """Runs steps over the bands of an image, with the working arrays of earlier images; one run at a time."""

    def __init__(self, threads: int = 1, kernels: Kernels | None = None) -> None:
        self.kernels = kernels
        self._threads = max(1, threads)
        self._pool = ThreadPoolExecutor(self._threads - 1, "bands") if self._threads > 1 else None
        self._spaces = [Workspace() for _ in range(self._threads)]

    def release(self) -> None:
        """Frees the working arrays until the next run."""
        self._spaces = [Workspace() for _ in self._spaces]

    def run(self, shape: tuple[int, ...], step: Step) -> None:
        """`step(rows, workspace)` for bands that cover the rows of an image (H, W, ...), at once in several threads.

        Floating-point warnings are off: NaN and Inf are values here.
        """

        def through(stripe: slice, space: Workspace) -> None:
            for rows in _bands(stripe, shape[1]):
                step(rows, space)

        self._share(self._stripes(shape), through)

    def run_beside(self, image: Depth, step: BesideStep) -> None:
        """`run` with the rows beside each band as they were before: `step(rows, beside, workspace)` may change them."""
        stripes = self._stripes(image.shape)
        width = image.shape[1]
        ends = self._spaces[0].array("ends of stripes", (2 * len(stripes), width))
        for number, stripe in enumerate(stripes):
            ends[2 * number], ends[2 * number + 1] = image[stripe.start], image[stripe.stop - 1]

        def through(stripe: slice, space: Workspace) -> None:
            number = stripes.index(stripe)
            above = ends[2 * number - 1] if number else None
            for turn, rows in enumerate(_bands(stripe, width)):
                if rows.stop < stripe.stop:
                    below = image[rows.stop]
                else:
                    below = ends[2 * number + 2] if number + 1 < len(stripes) else None
                last = space.array(("odd last row", "even last row")[turn % 2], (width,))
                last[...] = image[rows.stop - 1]  # the band below it needs it as it is now
                step(rows, Beside(above, below), space)
                above = last

        self._share(stripes, through)

    def _stripes(self, shape: tuple[int, ...]) -> list[slice]:
        """A run of rows for each thread, of a band at least."""
        count = min(self._threads, max(1, shape[0] * shape[1] // PIXELS), max(1, shape[0]))
        return _cut(slice(0, shape[0]), count)

    def _share(self, stripes: list[slice], through: Callable[[slice, Workspace], None]) -> None:
        def quietly(stripe: slice, space: Workspace) -> None:
            with np.errstate(all="ignore"):
                through(stripe, space)

        others = [
            self._pool.submit(quietly, stripe, space)
            for stripe, space in zip(stripes[1:], self._spaces[1:], strict=False)
            if self._pool is not None
        ]
        try:
            quietly(stripes[0], self._spaces[0])
        finally:
            failed = [other.exception() for other in others]  # waits: nothing is written after the return
        for error in failed:
            if error is not None:
                raise error


def _bands(stripe: slice, width: int) -> list[slice]:
    rows = stripe.stop - stripe.start
    return _cut(stripe, max(1, min(rows, math.ceil(rows * width / PIXELS))))


def _cut(rows: slice, count: int) -> list[slice]:
    """`count` runs of rows of nearly the same length."""
    length = rows.stop - rows.start
    ends = [rows.start + length * k // count for k in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(ends)]

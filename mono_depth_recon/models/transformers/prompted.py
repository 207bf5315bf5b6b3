"""Models that are given depth beside the image: the prompt on its way into the network's input.

Runtimes take one input, so the prompt travels in a fourth channel: scaled to 0 to 1, at a quarter of the input's
resolution, in the top left corner.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...arrays import Depth, Rgb
from ...errors import DataError
from ...frames import Prediction
from ..base import PromptedView, View
from .family import NEAREST_M
from .input_rule import InputRule
from .model import TransformerDepthModel, as_batch

_SMALLEST_RANGE_M = 1e-6  # of a prompt that is constant, as the published processor makes it


class PromptedDepthModel(TransformerDepthModel):
    """A model whose metres are those of its prompt; `predict` raises DataError for a view without one."""

    prompted = True

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        """One Prediction per PromptedView."""
        return [self._predicted(view) for view in batch]

    def network_input(self, view: View) -> NDArray[np.float32]:
        """(1, 4, rows, columns): what the network sees of a view."""
        return self._input(view)[0]

    def _predicted(self, view: View) -> Prediction:
        batch, near, far = self._input(view)
        share = self.runtime.run(batch)[0, 0]
        metres = self.rule.restored(share, *view[1].size)
        metres *= np.float32(far - near)
        metres += np.float32(near)
        return Prediction(depth=np.maximum(metres, np.float32(NEAREST_M)))

    def _input(self, view: View) -> tuple[NDArray[np.float32], float, float]:
        """The network's input, and the nearest and farthest depth of the prompt."""
        if not isinstance(view, PromptedView):
            raise DataError(f"model {self.name} needs reference depth beside the image, got none")
        image = as_batch(self.rule, view[0])
        prompt = prompt_grid(view.prompt, prompt_size(*image.shape[-2:]))
        near, far = float(prompt.min()), float(prompt.max())
        if near == far:
            prompt[0, 0] = far = near + _SMALLEST_RANGE_M
        return with_prompt(image, (prompt - near) / (far - near)), near, far


def prompt_size(rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns of the prompt in an input of rows x columns: about the 192 x 256 of a phone's LiDAR."""
    return rows // 4, columns // 4


def with_prompt(image: NDArray[np.float32], prompt: NDArray[np.floating]) -> NDArray[np.float32]:
    """(1, 3, rows, columns) and the prompt, 0 to 1, as (1, 4, rows, columns)."""
    batch = np.zeros((1, 4, *image.shape[2:]), np.float32)
    batch[:, :3] = image
    batch[0, 3, : prompt.shape[0], : prompt.shape[1]] = prompt
    return batch


def example_input(rule: InputRule, rgb: Rgb) -> NDArray[np.float32]:
    """The input of an image with a made-up prompt, a ramp: for measuring and converting the network."""
    image = as_batch(rule, rgb)
    rows, columns = prompt_size(*image.shape[-2:])
    return with_prompt(image, np.linspace(0, 1, rows * columns).reshape(rows, columns))


def prompt_grid(depth: Depth, size: tuple[int, int]) -> NDArray[np.float64]:
    """Depth (h, w), sparse or dense, on a grid of `size` (rows, columns): of each cell the pixel nearest to its centre.

    A cell without a known pixel takes the value of the nearest cell that has one. DataError where no pixel is known.
    """
    from scipy.ndimage import distance_transform_edt

    rows, columns = size
    v, u = np.nonzero((depth > 0) & (depth < np.inf))
    if not len(v):
        raise DataError(f"expected reference depth for the model, none of its {depth.size} pixels is known")
    y, x = (v + 0.5) * rows / depth.shape[0], (u + 0.5) * columns / depth.shape[1]
    off = np.hypot(y - np.floor(y) - 0.5, x - np.floor(x) - 0.5)
    order = np.argsort(-off, kind="stable")  # the last value written to a cell stays
    grid = np.full(size, np.nan)
    grid[y[order].astype(np.intp), x[order].astype(np.intp)] = depth[v[order], u[order]]
    nearest = distance_transform_edt(np.isnan(grid), return_distances=False, return_indices=True)
    filled: NDArray[np.float64] = grid[tuple(nearest)]
    return filled

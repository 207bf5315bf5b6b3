"""ZoeDepth (Bhat et al., 2023): metres, from images with a reflected margin."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...arrays import Depth, Rgb
from ..base import Output
from ..resampling import bilinear_corners, restored
from .family import Family
from .input_rule import InputRule


class ZoeDepthRule(InputRule):
    """A margin, because the network is unreliable at the border, and bilinear with the corners aligned."""

    processor = "ZoeDepth"
    defaults: ClassVar[Mapping[str, Any]] = {
        "size": {"height": 384, "width": 512},
        "resample": 2,
        "ensure_multiple_of": 32,
        "keep_aspect_ratio": True,
        "do_pad": True,
    }

    def network_size(self, width: int, height: int) -> tuple[int, int]:
        """(columns, rows) of the network's input for an image of width x height pixels, margin included."""
        return super().network_size(width + 2 * self._margin(width), height + 2 * self._margin(height))

    def resampled(self, rgb: Rgb, size: tuple[int, int]) -> NDArray[np.float32]:
        """(rows, columns, 3) float32, 0 to 255, at `size` = (columns, rows)."""
        import cv2

        down, across = self._margin(rgb.shape[0]), self._margin(rgb.shape[1])
        padded = cv2.copyMakeBorder(rgb, down, down, across, across, cv2.BORDER_REFLECT_101)
        return bilinear_corners(np.asarray(padded, np.uint8), size)

    def restored(self, values: Depth, width: int, height: int) -> Depth:
        """A map of the network on the grid of the image, its margin cut away."""
        across, down = self._margin(width), self._margin(height)
        whole = restored(values, (width + 2 * across, height + 2 * down))
        return np.ascontiguousarray(whole[down : down + height, across : across + width])

    def _margin(self, side: int) -> int:
        return int(math.sqrt(side / 2) * 3) if self.pad else 0


class ZoeDepth(Family):
    """A BEiT backbone and a head of metric bins."""

    rule = ZoeDepthRule

    def output(self, config: Mapping[str, Any]) -> Output | None:
        """Always metres."""
        return "metric_depth"

    def multiple(self, config: Mapping[str, Any]) -> int:
        """1: the rule's own multiple holds."""
        return 1

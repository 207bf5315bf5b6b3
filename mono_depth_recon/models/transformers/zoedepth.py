"""ZoeDepth (Bhat et al., 2023): metres, from images with a reflected margin."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from ...arrays import Depth, Rgb
from ..base import Output
from ..resampling import Separable, bilinear_corners, corners_matrices, impulses, restored, restoring_matrices
from ..runtimes.image_way import Size
from .family import Family
from .input_rule import InputRule

if TYPE_CHECKING:
    from torch import Tensor


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

    def matrices(self, image: Size, network: Size) -> Separable:
        """`resampled` as matrices."""
        margins = [self._margin(side) for side in image]
        whole = corners_matrices((image[0] + 2 * margins[0], image[1] + 2 * margins[1]), network)
        columns, rows = (
            np.pad(impulses(side), ((margin, margin), (0, 0)), "reflect")
            for side, margin in zip(image, margins, strict=True)
        )
        return Separable(whole.rows @ rows, whole.columns @ columns)

    def matrices_back(self, size: Size, image: Size) -> tuple[Separable, Separable]:
        """`restored` as matrices."""
        (width, height), across, down = image, self._margin(image[0]), self._margin(image[1])
        values, known = restoring_matrices(size, (width + 2 * across, height + 2 * down))
        inside = slice(down, down + height), slice(across, across + width)
        return values.cut(*inside), known.cut(*inside)

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

    def prepare(self, model: Any) -> None:
        """Its relative positions stay on the device: copied from the CPU in each run, they could not be recorded."""
        kept: dict[Any, Tensor] = {}  # a recorded run needs its own as long as it may be replayed
        for module in model.modules():
            if hasattr(module, "generate_relative_position_index"):
                module.generate_relative_position_index = _positions_on_device(module, kept)


def _positions_on_device(module: Any, kept: dict[Any, Tensor]) -> Callable[[tuple[int, int]], Tensor]:
    made = module.generate_relative_position_index

    def positions(window: tuple[int, int]) -> Tensor:
        device = module.relative_position_bias_table.device
        if device.type == "cpu":
            return cast("Tensor", made(window))
        if (window, device) not in kept:
            kept[window, device] = made(window).to(device)
        return kept[window, device]

    return positions

"""From images to filtered depth and cloud as torch operations, for any device: what a graph records of a whole frame.

The operations are those of `filters` and `cloud.back_projection`, to the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

from ...camera import PinholeCamera
from ...filters import EDGE_WIDTH_PX
from ...frames import Finish
from .image_way import Metres


class FrameInputs(NamedTuple):
    """What a frame takes beside its image: arrays (they may change from frame to frame, their shapes do not).

    `knobs` (6,) float32 are the factor to metres, the least depth, and near, far, edge threshold and border of the
    filters; `x` (w,) and `y` (h, 1) the rays of the cloud's columns and rows; `unknown` (H, W)
    or, where there is none, (1, 1) bool.
    """

    knobs: NDArray[np.float32]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    unknown: NDArray[np.bool_]

    @classmethod
    def of(cls, camera: PinholeCamera, finish: Finish, metres: Metres) -> FrameInputs:
        """Of an image of `camera`."""
        settings = finish.filter
        threshold = settings.edge_threshold * EDGE_WIDTH_PX / camera.width or np.inf
        limits = settings.min_range, settings.max_range, threshold, settings.border
        x, y = (ray[:: finish.stride] for ray in camera.rays)
        unknown = np.zeros((1, 1), np.bool_) if finish.unknown is None else finish.unknown
        return cls(np.array([*metres, *limits], np.float32), x, y[:, None], unknown)


class DeviceFrame:
    """`maps` (images (1, H, W, 3) uint8 -> (1, 1, H, W)) followed by metres, filters and cloud.

    Waits for nothing, so that it can be recorded.
    """

    def __init__(self, maps: Callable[[Tensor], Tensor], stride: int) -> None:
        self._maps, self._stride = maps, stride

    def __call__(
        self, images: Tensor, knobs: Tensor, x: Tensor, y: Tensor, unknown: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The least depth before the filters (1,), NaN where any is, depth (H, W), and points (h, w, 4)."""
        per_unit, floor, *limits = knobs.unbind()
        depth = torch.maximum(self._maps(images)[0, 0] * per_unit, floor)
        least = depth.min()[None]
        depth = filtered(depth, unknown, *limits)
        step = self._stride
        return least, depth, projected(depth[::step, ::step], x, y, images[0, ::step, ::step])


def filtered(depth: Tensor, unknown: Tensor, near: Tensor, far: Tensor, threshold: Tensor, border: Tensor) -> Tensor:
    """`filters.filter_frame` of depth (H, W) with neither sigma nor confidence, on edges by `flying_pixels`."""
    inverse = depth.reciprocal()
    inverse = torch.where(inverse.isfinite(), inverse, 0)
    high, low = (sign * max_pool2d(sign * inverse[None], 3, 1, 1)[0] for sign in (1, -1))
    edges = high - low > inverse * threshold
    beyond = depth > far
    dropped = (edges | (depth < near)) & ~beyond | unknown | (_border_distance(depth) < border)
    return torch.where(dropped, torch.nan, torch.where(beyond, torch.inf, depth))


def _border_distance(depth: Tensor) -> Tensor:
    """(H, W): pixels between each one and the nearest side."""
    rows, columns = (torch.arange(length, device=depth.device) for length in depth.shape)
    rows, columns = (torch.minimum(each, each.flip(0)) for each in (rows, columns))
    return torch.minimum(rows[:, None], columns)


def projected(depth: Tensor, x: Tensor, y: Tensor, rgb: Tensor) -> Tensor:
    """`back_projection.back_project` of depth (h, w) and rgb (h, w, 3) uint8 along the rays x (w,) and y (h, 1)."""
    z = depth * 0 + depth
    red, green, blue = rgb.int().unbind(-1)
    packed = red << 16 | green << 8 | blue
    return torch.stack([*((ray * z).view(torch.int32) for ray in (x, y)), z.view(torch.int32), packed], -1).view(
        torch.float32
    )

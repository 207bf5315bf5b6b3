"""From images to filtered depth and cloud as torch operations, for any device: what a graph records of a whole frame.

The operations are those of `alignment.depth_from_disparity`, `filters` and `cloud.back_projection`, to the same bits
where a scale has no factors. Where a scale is fitted to the values, it is done in two halves: the values come down for
the fit and stay (`HeldFrame`), and what follows the fit begins with them (`ScaledFrame`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

from ...alignment import Field
from ...camera import PinholeCamera
from ...filters import EDGE_WIDTH_PX
from ...frames import Finish, Scale


class FrameInputs(NamedTuple):
    """What a frame takes beside its image: arrays (they may change from frame to frame, their shapes do not).

    `knobs` float32 are the numbers of what comes first, and near, far, edge threshold and border of the filters; `x`
    (w,) and `y` (h, 1) the rays of the cloud's columns and rows; `unknown` (H, W) or, where there is none, (1, 1) bool.
    """

    knobs: NDArray[np.float32]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    unknown: NDArray[np.bool_]

    @classmethod
    def of(cls, camera: PinholeCamera, finish: Finish, first: Sequence[float]) -> FrameInputs:
        """Of an image of `camera`; `first` are the first knobs."""
        settings = finish.filter
        threshold = settings.edge_threshold * EDGE_WIDTH_PX / camera.width or np.inf
        limits = settings.min_range, settings.max_range, threshold, settings.border
        x, y = (ray[:: finish.stride] for ray in camera.rays)
        unknown = np.zeros((1, 1), np.bool_) if finish.unknown is None else finish.unknown
        return cls(np.array([*first, *limits], np.float32), x, y[:, None], unknown)


class DeviceFrame:
    """`maps` (images (1, H, W, 3) uint8 -> (1, 1, H, W)) followed by metres, filters and cloud.

    The first knobs are Metres. Waits for nothing, so that it can be recorded; so do the others.
    """

    def __init__(self, maps: Callable[[Tensor], Tensor], stride: int) -> None:
        self._maps, self._stride = maps, stride

    def __call__(
        self, images: Tensor, knobs: Tensor, x: Tensor, y: Tensor, unknown: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The least depth before the filters (1,), NaN where any is, depth (H, W), and points (h, w, 4)."""
        depth = _metres(self._maps(images), knobs)
        return depth.min()[None], *_finished(depth, images, knobs[2:], x, y, unknown, self._stride)


class HeldFrame:
    """`maps` as of a DeviceFrame -> its values by Metres, which are the `knobs`, and their disparity, both (H, W)."""

    def __init__(self, maps: Callable[[Tensor], Tensor], inverse: bool) -> None:
        self._maps, self._inverse = maps, inverse

    def __call__(self, images: Tensor, knobs: Tensor) -> tuple[Tensor, Tensor]:
        """The values, and those or, with `inverse`, their inverse."""
        values = _metres(self._maps(images), knobs)
        return values, values.reciprocal() if self._inverse else values


class ScaleInputs(NamedTuple):
    """How a Scale reaches the device: the knobs of a ScaledFrame, and its field as `rows` @ `across`, (1, 1) where
    it has none.
    """

    knobs: tuple[float, float, float]
    rows: NDArray[np.float32]
    across: NDArray[np.float32]

    @classmethod
    def of(cls, scale: Scale, max_range: float, shape: tuple[int, ...]) -> ScaleInputs:
        """For an image of `shape` (H, W)."""
        field, none = Field.of(scale, shape), np.ones((1, 1), np.float32)
        rows, across = (none, none) if field is None else (field.rows, field.across)
        return cls((scale.scale, scale.shift, 1 / max_range), rows, across)


class ScaledFrame:
    """Held disparity (H, W) to metres by a scale, then filters and cloud; the first knobs are those of ScaleInputs."""

    def __init__(self, stride: int) -> None:
        self._stride = stride

    def __call__(
        self,
        images: Tensor,
        disparity: Tensor,
        knobs: Tensor,
        x: Tensor,
        y: Tensor,
        unknown: Tensor,
        rows: Tensor,
        across: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Depth (H, W) and points (h, w, 4)."""
        scale, shift, horizon = knobs[:3].unbind()
        inverse = disparity * scale + shift
        if rows.shape != (1, 1):
            inverse = inverse * (rows @ across)
        depth = torch.where(inverse <= horizon, torch.inf, inverse.reciprocal())
        return _finished(depth, images, knobs[3:], x, y, unknown, self._stride)


def _metres(maps: Tensor, knobs: Tensor) -> Tensor:
    return torch.maximum(maps[0, 0] * knobs[0], knobs[1])


def _finished(
    depth: Tensor, images: Tensor, limits: Tensor, x: Tensor, y: Tensor, unknown: Tensor, step: int
) -> tuple[Tensor, Tensor]:
    depth = filtered(depth, unknown, *limits.unbind())
    return depth, projected(depth[::step, ::step], x, y, images[0, ::step, ::step])


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

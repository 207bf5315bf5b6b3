"""The way of images to a network and back as torch operations, for any device: one upload, one download."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..resampling import Matrix32, Separable
from .image_way import ImageWay


class DeviceImages:
    """`forward` (N, 3, r, c) -> (N, C, r', c'), both float32, between images and maps of their size.

    Called with images (N, H, W, 3) uint8 on `device` it gives (N, C, H, W) float32: bilinear between known values, NaN
    where the nearest value is not finite, as `resampling.restored`. Waits for nothing, so that it can be recorded.
    """

    def __init__(self, way: ImageWay, forward: Callable[[Tensor], Tensor], device: str) -> None:
        self._way, self._forward, self._device = way, forward, device
        self._into = Resampling(way.into(), device)
        self._gain, self._bias = (
            torch.tensor(values, dtype=torch.float32, device=device).view(3, 1, 1) for values in (way.gain, way.bias)
        )
        self._back: dict[tuple[int, int], tuple[Resampling, Resampling]] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """The maps of the images."""
        return self.restored(self._forward(self.prepared(images)))

    def prepared(self, images: Tensor) -> Tensor:
        """(N, 3, r, c) float32: what the network sees."""
        pixels = self._into(images.permute(0, 3, 1, 2).float())
        return (pixels * self._gain + self._bias).contiguous(memory_format=torch.channels_last)

    def restored(self, values: Tensor) -> Tensor:
        """Maps (N, C, r', c') at the size of the images."""
        size = values.shape[-1], values.shape[-2]
        if size not in self._back:
            of_values, of_known = self._way.back(size)
            self._back[size] = Resampling(of_values, self._device), Resampling(of_known, self._device)
        linear, nearest = self._back[size]
        valid = torch.isfinite(values)
        weight = linear(valid.float())
        total = linear(torch.where(valid, values, 0.0))
        known = (nearest(valid.float()) > 0.5) & (weight > 0)
        return torch.where(known, total / weight, torch.nan)


class Resampling:
    """A `Separable` on a device."""

    def __init__(self, separable: Separable, device: str) -> None:
        self._rounds, self._rows_first = separable.rounds, separable.rows_first
        self._rows, self._columns_t = (_on(device, matrix) for matrix in (separable.rows, separable.columns.T))

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float32 -> (N, C, r, c)."""
        between = _whole if self._rounds == "each" else lambda x: x
        if self._rows_first:
            images = between(self._rows @ images) @ self._columns_t
        else:
            images = self._rows @ between(images @ self._columns_t)
        return images if self._rounds == "no" else _whole(images)


def _whole(images: Tensor) -> Tensor:
    return (images + 0.5).floor().clamp(0, 255)


def _on(device: str, matrix: Matrix32) -> Tensor:
    return torch.from_numpy(np.array(matrix, np.float32, order="C")).to(device)

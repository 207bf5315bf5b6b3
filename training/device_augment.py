"""Drawn changes applied to a whole batch on its device: what `training.augment` does with OpenCV, one frame at a time.

One launch per operation for all samples, no number is read back. Images are (N, 3, H, W) float32 that hold whole
numbers from 0 to 255, as the bytes in between do there. A grey level differs by rounding, noise is another of the same
distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .device_jpeg import compressed, constant
from .recipes import Group, RecipeBatch

_WORD = 0xFFFFFFFF


@dataclass
class Bank:
    """Frames of one size on a device: `rgb` (N, 3, H, W) uint8, `depth` (N, H, W) float16 metres, NaN unknown."""

    rgb: Tensor
    depth: Tensor


@torch.no_grad()
def changed_batch(batch: RecipeBatch, banks: Sequence[Bank]) -> tuple[Tensor, Tensor]:
    """Images (N, 3, H, W) and depth (N, 1, H, W) float32 metres, NaN unknown, of recipes on the banks' device."""
    colours, depths = [], []
    for group in batch.groups:
        rgb, metres, rows = _frames(group, banks)
        colours.append(_colour_at(group, rgb, batch.width, batch.height))
        depths.append(_depth_at(group, metres, rows, batch.width, batch.height))
    images, depth = (torch.cat(each).index_select(0, batch.order) for each in (colours, depths))
    flip = batch.flip[:, None, None, None]
    images, depth = torch.where(flip, images.flip(-1), images), torch.where(flip, depth.flip(-1), depth)
    return _recoloured(images, batch), depth


def _frames(group: Group, banks: Sequence[Bank]) -> tuple[Tensor, Tensor, Tensor]:
    """Colours (n, 3, H, W) of the group's samples, and all depth maps with the rows of the samples in them."""
    if group.rgb is not None and group.depth is not None:
        return group.rgb.permute(0, 3, 1, 2), group.depth, torch.arange(len(group.rgb), device=group.rgb.device)
    bank = banks[group.bank]
    return bank.rgb.index_select(0, group.rows), bank.depth, group.rows


def _colour_at(group: Group, rgb: Tensor, width: int, height: int) -> Tensor:
    """The window of each frame resampled; of turned views then seen through their homography."""
    columns, rows = group.largest
    across = resampling(group.window[:, 0], group.window[:, 2], group.sizes[:, 0], rgb.shape[3], columns)
    down = resampling(group.window[:, 1], group.window[:, 3], group.sizes[:, 1], rgb.shape[2], rows)
    exact = torch.float16 if rgb.is_cuda else torch.float32  # 11 bits of 8-bit levels
    narrow = (rgb.to(exact).flatten(1, 2) @ across.mT.to(exact)).unflatten(1, rgb.shape[1:3])
    small = (down[:, None].to(exact) @ narrow).float().round().clamp(0, 255)
    if group.small_maps is None:
        return small
    x, y = _mapped(group.small_maps, width, height)
    ends = group.sizes[:, :, None, None] - 1
    x, y = x.clamp(min=0).minimum(ends[:, 0]), y.clamp(min=0).minimum(ends[:, 1])
    grid = torch.stack((x * (2 / max(1, columns - 1)) - 1, y * (2 / max(1, rows - 1)) - 1), 3)
    return functional.grid_sample(small, grid, padding_mode="border", align_corners=True).round()


def resampling(start: Tensor, length: Tensor, count: Tensor, source: int, largest: int) -> Tensor:
    """(n, largest, source): weights that make `count` pixels of `length` ones from `start` on, all (n,).

    By area where they become fewer, otherwise linear, as cv2.resize does it. Rows from `count` on mean nothing.
    """
    start, length, step = start[:, None, None], length[:, None, None], (length / count)[:, None, None]
    made = torch.arange(largest, device=start.device, dtype=torch.float32)[:, None]
    pixel = torch.arange(source, device=start.device, dtype=torch.float32)
    low = start + made * step
    area = ((low + step).minimum(pixel + 1) - low.maximum(pixel)).clamp(min=0) / step
    place = (start + (made + 0.5) * step - 0.5).maximum(start).minimum(start + length - 1)
    return torch.where(step > 1, area, (1 - (pixel - place).abs()).clamp(min=0))


def _mapped(maps: Tensor, width: int, height: int) -> tuple[Tensor, Tensor]:
    """Column and row (n, height, width) that maps (n, 3, 3) give to every pixel."""
    x, y = _pixels(maps, width, height)
    u, v, w = (
        maps[:, i, 0, None, None] * x + maps[:, i, 1, None, None] * y + maps[:, i, 2, None, None] for i in range(3)
    )
    return u / w, v / w


def _pixels(like: Tensor, width: int, height: int) -> tuple[Tensor, Tensor]:
    x = torch.arange(width, device=like.device, dtype=torch.float32)
    y = torch.arange(height, device=like.device, dtype=torch.float32)
    return x, y[:, None]


def _depth_at(group: Group, metres: Tensor, rows: Tensor, width: int, height: int) -> Tensor:
    """Depth (n, 1, height, width) of the nearest pixel of `metres`, NaN outside, along the axis of a turned view."""
    x, y = (torch.floor(each + 0.5) for each in _mapped(group.maps, width, height))
    high, wide = metres.shape[-2:]
    inside = (x >= 0) & (x < wide) & (y >= 0) & (y < high)
    at = (rows[:, None, None] * high + y.clamp(0, high - 1).long()) * wide + x.clamp(0, wide - 1).long()
    found = torch.where(inside, metres.reshape(-1)[at].float(), math.nan)
    if group.axes is not None:
        x, y = _pixels(found, width, height)
        a, b, c = (group.axes[:, i, None, None] for i in range(3))
        found = found / (a * x + b * y + c)
    return found[:, None]


def _recoloured(images: Tensor, batch: RecipeBatch) -> Tensor:
    """`training.augment.change_colours` of a batch."""
    levels = images.to(torch.int64).flatten(2)
    images = batch.curves.gather(2, levels).view(images.shape).float()
    luma = (images * constant((0.299, 0.587, 0.114), images.device)[:, None, None]).sum(1, keepdim=True).round()
    images = torch.where(batch.grey[:, None, None, None], luma, images)
    for some, change in ((batch.blur, _blurred), (batch.motion, _moved)):
        if len(some):
            images = some.put(images, change(some.take(images), some.amount).round().clamp(0, 255))
    if len(some := batch.noise):
        chosen = some.take(images)
        grain = normal(some.seeds, chosen[0].numel()).view(chosen.shape)
        images = some.put(images, (chosen + grain * some.amount[:, None, None, None]).clamp(0, 255).floor())
    if len(some := batch.jpeg):
        images = some.put(images, compressed(some.take(images), some.amount))
    return images


def _blurred(images: Tensor, kernels: Tensor) -> Tensor:
    """Images blurred along both sides by kernels (n, K)."""
    return _moved(_moved(images, kernels[:, None]), kernels[:, :, None])


def _moved(images: Tensor, kernels: Tensor) -> Tensor:
    """Images (n, C, H, W), each with its kernel (n, K, L), reflected at the borders about their last pixels."""
    n, channels, high, wide = images.shape
    rows, columns = kernels.shape[1:]
    padded = images[:, :, _reflected(high, rows // 2, images)][..., _reflected(wide, columns // 2, images)]
    weights = kernels[:, None].expand(n, channels, rows, columns).reshape(n * channels, 1, rows, columns)
    return functional.conv2d(padded.reshape(1, n * channels, *padded.shape[2:]), weights, groups=n * channels).view(
        images.shape
    )


def _reflected(count: int, margin: int, like: Tensor) -> Tensor:
    """Indices of `count` pixels with a margin on both sides: 2 1 0 1 2 ... ."""
    period = max(1, 2 * (count - 1))
    at = torch.arange(-margin, count + margin, device=like.device).remainder(period)
    return torch.minimum(at, period - at) if count > 1 else torch.zeros_like(at)


def normal(seeds: Tensor, count: int) -> Tensor:
    """(n, count) float32 standard normal numbers, a function of each of the seeds (n,) and the place alone.

    Hashed counters rather than a generator, so that every device gives the same and all rows are one launch.
    """
    half = -(-count // 2)
    place = torch.arange(half, device=seeds.device)
    first = _hashed(place ^ _hashed(seeds & _WORD)[:, None])
    second = _hashed(first ^ _hashed((seeds >> 32) & _WORD)[:, None])
    radius = torch.sqrt(-2 * torch.log((first + 1).float() / 2**32))  # Box and Muller, 1958
    angle = second.float() * (2 * math.pi / 2**32)
    return torch.cat((radius * torch.cos(angle), radius * torch.sin(angle)), 1)[:, :count]


def _hashed(words: Tensor) -> Tensor:
    """32-bit words (in int64) mixed so that each bit depends on all: xor-shifts and odd multipliers."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        words = ((words ^ (words >> shift)) * factor) & _WORD
    return words ^ (words >> 16)

"""What JPEG at a quality does to images, as torch operations on a whole batch (ITU-T T.81, baseline, 4:2:0)."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# The quantisation of T.81, annex K.1, luminance and chrominance, by row.
_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
# JFIF, from the channels in the order in which cv2 takes them (blue first), whatever they show.
_TO_YCC = ((0.114, 0.587, 0.299), (0.5, -0.331264, -0.168736), (-0.081312, -0.418688, 0.5))
_FROM_YCC = ((1.0, 1.772, 0.0), (1.0, -0.344136, -0.714136), (1.0, 0.0, 1.402))
_BLOCK = 16  # pixels: two 8x8 blocks of luminance beside one of chrominance


def compressed(images: Tensor, quality: Tensor) -> Tensor:
    """Images (N, 3, H, W), whole numbers 0 to 255 as float32, after coding at `quality` (N,) and decoding."""
    high, wide = images.shape[-2:]
    whole = functional.pad(images, (0, -wide % _BLOCK, 0, -high % _BLOCK), mode="replicate")
    ycc = _mixed(whole, _TO_YCC)
    ycc[:, 1:] += 128
    luma, chroma = ycc[:, :1].round(), functional.avg_pool2d(ycc[:, 1:].round(), 2).round()
    luma = _coded(luma, _LUMA, quality)
    chroma = _finer(_coded(chroma, _CHROMA, quality)) - 128
    decoded = _mixed(torch.cat((luma, chroma), 1), _FROM_YCC).round().clamp(0, 255)
    return decoded[..., :high, :wide]


@cache
def constant(values: Any, device: torch.device) -> Tensor:
    """Tuples of numbers as a float32 tensor that stays on its device: to send it anew would wait for all work there."""
    return torch.tensor(values, dtype=torch.float32, device=device)


def _mixed(images: Tensor, rows: tuple[tuple[float, ...], ...]) -> Tensor:
    """Channels (N, 3, H, W) mixed by a matrix."""
    return torch.einsum("dc,nchw->ndhw", constant(rows, images.device), images)


def _coded(planes: Tensor, table: tuple[tuple[int, ...], ...], quality: Tensor) -> Tensor:
    """Planes (N, C, H, W) whose 8x8 cosine coefficients are rounded to steps of the table at a quality."""
    n, channels, high, wide = planes.shape
    share = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)[:, None, None]
    steps = ((constant(table, planes.device) * share + 50) / 100).floor().clamp(1, 255).view(n, 1, 1, 8, 1, 8)
    basis = _cosines(planes)
    blocks = planes.view(n, channels, high // 8, 8, wide // 8, 8) - 128
    waves = torch.einsum("ui,ncyixj,vj->ncyuxv", basis, blocks, basis)
    waves = (waves / steps).round() * steps
    blocks = torch.einsum("ui,ncyuxv,vj->ncyixj", basis, waves, basis)
    return (blocks.reshape(n, channels, high, wide) + 128).round().clamp(0, 255)


def _cosines(like: Tensor) -> Tensor:
    """(8, 8): the orthonormal cosine transform, a frequency per row."""
    place, wave = torch.arange(8, device=like.device), torch.arange(8, device=like.device)[:, None]
    basis = torch.cos((2 * place + 1) * wave * (math.pi / 16)) / 2
    basis[0] /= math.sqrt(2)
    return basis.to(like.dtype)


def _finer(planes: Tensor) -> Tensor:
    """Planes of half resolution at the full one, 3 / 4 of the nearest and 1 / 4 of the next, as decoders do it."""
    return functional.interpolate(planes, scale_factor=2, mode="bilinear", align_corners=False)

"""Losses on log depth: both arguments (N, 1, H, W) float32, NaN in the target where nothing is known."""

from __future__ import annotations

import torch
from torch import Tensor


def depth_loss(log_depth: Tensor, log_target: Tensor, gradient_weight: float, gradient_scales: int) -> Tensor:
    """Mean |residual| + weight * multi-scale gradient of the residual; 0 where the batch has no truth at all."""
    known = torch.isfinite(log_target)
    residual = torch.where(known, log_depth - torch.where(known, log_target, 0.0), 0.0)
    loss = residual.abs().sum() / known.sum().clamp(min=1)
    if gradient_weight:
        loss = loss + gradient_weight * gradient_loss(residual, known, gradient_scales)
    return loss


def gradient_loss(residual: Tensor, known: Tensor, scales: int) -> Tensor:
    """Mean over `scales` of |d residual / dx| + |d residual / dy| between known neighbours 1, 2, 4, ... pixels apart.

    Asks for edges where the truth has them and for smoothness elsewhere (Li and Snavely, MegaDepth, CVPR 2018).
    """
    total = residual.new_zeros(())
    for scale in range(scales):
        step = 2**scale
        r, k = residual[..., ::step, ::step], known[..., ::step, ::step]
        total = total + _difference(r, k, -1) + _difference(r, k, -2)
    return total / scales


def _difference(residual: Tensor, known: Tensor, axis: int) -> Tensor:
    length = residual.shape[axis] - 1
    both = known.narrow(axis, 1, length) & known.narrow(axis, 0, length)
    step = residual.narrow(axis, 1, length) - residual.narrow(axis, 0, length)
    return (step.abs() * both).sum() / both.sum().clamp(min=1)

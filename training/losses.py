"""Losses of depth: all tensors (N, 1, H, W) float32, the target the log of depth, NaN where nothing is known."""

from __future__ import annotations

import torch
from torch import Tensor

from .settings import LossSettings

PAPER_DEPTH_M = 10.0  # what the paper's depth is divided by
_VARIANCE_SHARE = 0.85  # of silog: 1 would ignore the scale (Eigen et al. 2014; the share is that of Lee et al. 2019)
_BEND = 0.2  # share of the largest residual from which berhu is quadratic (Laina et al., 3DV 2016, equation 2)
_SMALL = 1e-6


def metric_loss(metres: Tensor, logs: Tensor, log_target: Tensor, settings: LossSettings) -> Tensor:
    """The loss of a predicted depth, given in `metres` and in `logs`; 0 where the batch has no truth at all.

    With r = ln d - ln t: "log_l1" mean |r|; "berhu" the same, but (r^2 + c^2) / (2 c) where |r| is over c, a fifth of
    the batch's largest, so that rare far regions count; "silog" sqrt(mean r^2 - 0.85 (mean r)^2). "mse" mean of
    ((d - t) / 10 m)^2. The gradient term compares logs.
    """
    known = torch.isfinite(log_target)
    target = torch.where(known, log_target, 0.0)
    residual = torch.where(known, logs - target, 0.0)
    count = known.sum().clamp(min=1)
    if settings.kind == "mse":
        loss = torch.where(known, (metres - target.exp()) / PAPER_DEPTH_M, 0.0).square().sum() / count
    elif settings.kind == "silog":
        mean, square = residual.sum() / count, residual.square().sum() / count
        loss = (square - _VARIANCE_SHARE * mean.square() + _SMALL).sqrt() - _SMALL**0.5
    elif settings.kind == "berhu":
        size = residual.abs()
        bend = (_BEND * size.detach().max()).clamp(min=_SMALL)
        loss = torch.where(size <= bend, size, (size.square() + bend.square()) / (2 * bend)).sum() / count
    else:
        loss = residual.abs().sum() / count
    return loss + _gradient_term(residual, known, settings)


def relative_loss(disparity: Tensor, log_target: Tensor, settings: LossSettings) -> Tensor:
    """Scale- and shift-invariant loss of relative disparity (Ranftl et al., TPAMI 2022, section 5).

    Prediction and true inverse depth of every image each lose their median and mean deviation, then mean |difference|
    and the gradient term.
    """
    known = torch.isfinite(log_target)
    truth = torch.exp(-torch.where(known, log_target, 0.0))
    residual = torch.where(known, _normalised(disparity, known) - _normalised(truth, known), 0.0)
    return residual.abs().sum() / known.sum().clamp(min=1) + _gradient_term(residual, known, settings)


def _normalised(values: Tensor, known: Tensor) -> Tensor:
    """Per image: (values - median) / mean |values - median|, both over its known pixels."""
    rows = []
    for image, mask in zip(values, known, strict=True):
        inside = image[mask]
        centre = inside.median() if len(inside) else image.new_zeros(())
        spread = (inside - centre).abs().mean() if len(inside) else image.new_ones(())
        rows.append((image - centre) / spread.clamp(min=_SMALL))
    return torch.stack(rows)


def _gradient_term(residual: Tensor, known: Tensor, settings: LossSettings) -> Tensor:
    if not settings.gradient_weight:
        return residual.new_zeros(())
    return settings.gradient_weight * gradient_loss(residual, known, settings.gradient_scales)


def gradient_loss(residual: Tensor, known: Tensor, scales: int) -> Tensor:
    """Mean over `scales` of |d residual / dx| + |d residual / dy| between known neighbours 1, 2, 4, ... pixels apart.

    Favours edges where the truth has them and smoothness elsewhere (Li and Snavely, MegaDepth, CVPR 2018).
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

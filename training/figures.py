"""Figures of predictions while training: those of the paper's tables, and the errors of depth in metres."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch.distributed
from numpy.typing import NDArray
from torch import Tensor

from mono_depth_recon.metrics.depth import affine_fit, depth_of_affine
from mono_depth_recon.metrics.depth_map import depth_metrics
from mono_depth_recon.metrics.image import image_errors

from .losses import PAPER_DEPTH_M

_NEAREST_M = 1e-3


def frame_figures(metres: NDArray[np.floating], truth: NDArray[np.floating]) -> dict[str, float]:
    """`ssim` and `mse` of depth / 10 m in [0, 1], `abs_rel` and `delta1` of metres, both (H, W); NaN truth is unknown.

    Nothing is aligned. Empty where no pixel has truth; no `ssim` where no window of it is whole.
    """
    known = np.isfinite(truth)
    if not known.any():
        return {}
    held = np.maximum(metres, _NEAREST_M)
    pictures = [np.clip(np.where(known, each, 0) / PAPER_DEPTH_M, 0, 1) for each in (held, truth)]
    alike = image_errors(pictures[0], pictures[1], known)
    errors = depth_metrics(held, truth)
    figures = {"ssim": alike.ssim, "mse": alike.mse, "abs_rel": errors.abs_rel, "delta1": errors.delta1}
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def in_metres(
    values: Tensor,
    target: Tensor,
    scale: float,
    relative: bool,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(prediction, truth) in metres, (H, W), of an image's values and target (1, H, W).

    `relative` ones after the fit of scale and shift in disparity. DataError where nothing can be fitted.
    """
    truth = target[0].cpu().exp().numpy() * np.float32(scale)
    made: NDArray[np.float32] = values[0].detach().float().cpu().numpy()
    if not relative:
        return made * np.float32(scale), truth
    known = np.isfinite(truth)
    return depth_of_affine(made, *affine_fit(made[known], truth[known])).astype(np.float32), truth


class Means:
    """Means by name over the samples of all processes."""

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}

    def add(self, name: str, value: float, count: int = 1) -> None:
        """Adds `value` as the mean of `count` samples."""
        sums = self._sums.setdefault(name, [0.0, 0.0])
        sums[0] += value * count
        sums[1] += count

    def take(self) -> Mapping[str, float]:
        """The means over all processes, by name in order; clears the sums."""
        mine, self._sums = self._sums, {}
        parts = [mine]
        if torch.distributed.is_initialized():
            parts = [{}] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, mine)
        names = sorted({name for part in parts for name in part})
        return {
            name: _share(*map(sum, zip(*(part[name] for part in parts if name in part), strict=True))) for name in names
        }


def _share(total: float, count: float) -> float:
    return total / count

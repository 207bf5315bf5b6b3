"""What passes from the loading processes to the network, and what a model must provide to be trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.datasets.dataset import Problem
from mono_depth_recon.frames import Sample

from .augment import known_depth


@dataclass(frozen=True)
class Prepared:
    """One sample: `image` (3, h, w) float32, `target` (1, H, W) log of depth / scale, NaN unknown."""

    image: NDArray[np.float32]
    target: NDArray[np.float32]
    scale: float


@dataclass
class Batch:
    """Samples of one size: `images` (N, 3, h, w), `targets` (N, 1, H, W) log of depth / scale, `scales` (N,).

    `origins` name the frames in messages, `sources` the figure each of them counts for in validation; `bad` are
    those that could not be read and were replaced.
    """

    images: Tensor
    targets: Tensor
    scales: Tensor
    origins: list[str]
    sources: list[str]
    bad: list[Problem]

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device) -> Batch:
        """The batch with its tensors on a device; from pinned memory the copy overlaps with computation."""
        return self._with(*(each.to(device, non_blocking=True) for each in self._tensors()))

    def pin_memory(self) -> Batch:
        """The batch in memory that a GPU copies from while it computes."""
        return self._with(*(each.pin_memory() for each in self._tensors()))

    def _tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.images, self.targets, self.scales

    def _with(self, images: Tensor, targets: Tensor, scales: Tensor) -> Batch:
        return replace(self, images=images, targets=targets, scales=scales)


@dataclass(frozen=True)
class Loaded:
    """One sample on its way into a batch."""

    prepared: Prepared
    origin: str
    source: str
    bad: tuple[Problem, ...]


class Preparation(Protocol):
    """Makes a network's input and target of a sample."""

    def __call__(self, sample: Sample, /) -> Prepared:
        """The arrays of an augmented sample."""


@runtime_checkable
class DevicePreparation(Preparation, Protocol):
    """One that can also prepare a whole batch on its device."""

    def scale(self, camera: PinholeCamera, /) -> float:
        """`Prepared.scale` of a sample of that camera."""

    def on_device(self, rgb: Tensor, depth: Tensor, scales: Tensor, /) -> tuple[Tensor, Tensor]:
        """Images and targets of a Batch: of rgb (N, 3, H, W) 0 to 255 and depth (N, 1, H, W) metres, NaN unknown."""


class Task(Protocol):
    """A model in training. `relative` models predict disparity of unknown scale and shift."""

    network: Any
    relative: bool

    @property
    def prepare(self) -> Preparation:
        """What makes arrays of samples; it is pickled into the loading processes."""

    def values(self, network: nn.Module, images: Tensor) -> Tensor:
        """(N, 1, H, W) float32 of `network`, which is the task's own or an average of it."""

    def loss(self, values: Tensor, targets: Tensor, images: Tensor | None = None) -> Tensor:
        """A number to make small; training gives the `images`, which a teacher looks at."""

    def depth(self, values: Tensor) -> Tensor:
        """(N, 1, H, W): depth / scale in metres; of relative models disparity."""

    def parts(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Parameters of the backbone, and all others."""


def log_target(sample: Sample, scale: float) -> NDArray[np.float32]:
    """(1, H, W) log of depth / scale, NaN where depth is unknown."""
    with np.errstate(divide="ignore", invalid="ignore"):
        target = np.log(known_depth(sample) / np.float32(scale)).astype(np.float32)
    target[~np.isfinite(target)] = np.nan
    return target[None]


def log_targets(depth: Tensor, scales: Tensor) -> Tensor:
    """`log_target` of a batch: depth (N, 1, H, W), scales (N,)."""
    target = torch.log(depth / scales[:, None, None, None])
    return torch.where(torch.isfinite(target), target, torch.nan)


def collate(loaded: Sequence[Loaded]) -> Batch:
    """Samples of one size as a batch, images in channels_last."""
    images = torch.from_numpy(np.stack([each.prepared.image for each in loaded]))
    targets = torch.from_numpy(np.stack([each.prepared.target for each in loaded]))
    scales = torch.tensor([each.prepared.scale for each in loaded])
    return Batch(
        images.contiguous(memory_format=torch.channels_last),
        targets,
        scales,
        [each.origin for each in loaded],
        [each.source for each in loaded],
        [bad for each in loaded for bad in each.bad],
    )

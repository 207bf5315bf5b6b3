"""Batches for the network: batch k is a function of (settings, k), so that a resumed run sees what it would have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mono_depth_recon.arrays import Rgb
from mono_depth_recon.frames import Sample

from .augment import augment, known_depth
from .frame_store import Frames
from .settings import NetworkSettings, Settings


def make_batch(train: Mapping[str, Frames], settings: Settings, step: int, worker: int = 0,
               workers: int = 1) -> tuple[Tensor, Tensor]:
    """Images (N, 3, H, W) and log canonical depth (N, 1, H, W; NaN unknown), float32, of one optimiser step.

    Of several workers each makes its own part of the stage's batch.
    """
    rng = np.random.default_rng((settings.seed, step, worker))
    stage = settings.stage_at(step)
    chosen = [augment(_draw(train, settings.rooms_share, rng), stage.width, stage.height, settings.augment, rng)
              for _ in range(stage.batch // workers)]
    return stack(chosen, settings.network)


def stack(samples: Sequence[Sample], network: NetworkSettings) -> tuple[Tensor, Tensor]:
    """Samples of one size (that of the network's input) as image and target tensors."""
    images = np.stack([normalise(s.rgb, network) for s in samples])
    with np.errstate(divide="ignore", invalid="ignore"):
        targets = np.stack([np.log(known_depth(s) / canonical_scale(s, network)) for s in samples]).astype(np.float32)
    targets[~np.isfinite(targets)] = np.nan
    return (torch.from_numpy(images).contiguous(memory_format=torch.channels_last), torch.from_numpy(targets)[:, None])


def normalise(rgb: Rgb, network: NetworkSettings) -> NDArray[np.float32]:
    """(3, H, W) float32 = (rgb / 255 - mean) / std."""
    scaled = (rgb.astype(np.float32) / 255 - np.array(network.mean, np.float32)) / np.array(network.std, np.float32)
    return scaled.transpose(2, 0, 1).astype(np.float32)


def canonical_scale(sample: Sample, network: NetworkSettings) -> float:
    """Metres of this camera per metre of the canonical one.

    At the card's input size this is focal length / canonical focal length. In stages of lower resolution the
    canonical focal length shrinks with the image, so that a view keeps its target through all stages.
    """
    camera = sample.camera
    area = camera.width * camera.height / (network.input_width * network.input_height)
    return math.sqrt(camera.fx * camera.fy / area) / network.canonical_focal_px


def _draw(train: Mapping[str, Frames], rooms_share: float, rng: np.random.Generator) -> Sample:
    names = list(train)
    name = ("rooms" if rng.random() < rooms_share else "tum") if len(names) > 1 else names[0]
    return train[name][int(rng.integers(len(train[name])))]

"""Validation while training: metric AbsRel of each source at the network's size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from mono_depth_recon.frames import Sample
from mono_depth_recon.metrics import depth_metrics
from mono_depth_recon.models.unetpp import CanonicalDepth

from .augment import known_depth, resized
from .batches import canonical_scale, stack
from .frame_store import Frames
from .settings import NetworkSettings


def validate(module: CanonicalDepth, sources: Mapping[str, Frames], network: NetworkSettings,
             width: int, height: int) -> dict[str, float]:
    """Mean AbsRel (no alignment) over the frames of each source, resized to width x height pixels."""
    module.eval()
    return {f"{name}_abs_rel": float(np.mean([_abs_rel(module, resized(frames[i], width, height), network)
                                              for i in range(len(frames))]))
            for name, frames in sources.items()}


def _abs_rel(module: CanonicalDepth, sample: Sample, network: NetworkSettings) -> float:
    with torch.inference_mode():
        canonical = module(stack([sample], network)[0])[0, 0].numpy()
    return depth_metrics(canonical * canonical_scale(sample, network), known_depth(sample)).abs_rel

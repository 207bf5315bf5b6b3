"""Validation while training: metric AbsRel of each source at the network's size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mono_depth_recon.frames import Sample
from mono_depth_recon.metrics import depth_metrics
from mono_depth_recon.models.unetpp import CanonicalDepth

from .augment import resized
from .batches import canonical_scale, stack
from .settings import NetworkSettings


def validate(module: CanonicalDepth, sources: dict[str, Sequence[Sample]], network: NetworkSettings,
             width: int, height: int) -> dict[str, float]:
    """Mean AbsRel (no alignment) over the frames of each source, resized to width x height pixels."""
    module.eval()
    return {f"{name}_abs_rel": float(np.mean([_abs_rel(module, resized(sample, width, height), network) for sample in samples]))
            for name, samples in sources.items()}


def _abs_rel(module: CanonicalDepth, sample: Sample, network: NetworkSettings) -> float:
    with torch.inference_mode():
        canonical = module(stack([sample], network)[0])[0, 0].numpy()
    assert sample.depth is not None, "validation frames have depth"
    return depth_metrics(canonical * canonical_scale(sample, network), sample.depth).abs_rel

"""Validation while training: metric AbsRel of each source at the network's size, upright and turned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from mono_depth_recon.frames import Sample
from mono_depth_recon.metrics import depth_metrics
from mono_depth_recon.models.unetpp import CanonicalDepth

from .augment import known_depth, random_view, resized, seen_by
from .batches import canonical_scale, stack
from .frame_store import Frames
from .settings import Settings


def validate(module: CanonicalDepth, sources: Mapping[str, Frames], settings: Settings,
             width: int, height: int) -> dict[str, float]:
    """Mean AbsRel (no alignment) of each source at width x height pixels: whole frames, and one turned view of each.

    At most `settings.validation_frames` of a source, evenly chosen; the views are drawn as augmentation draws them
    (roll, window), from a seed of their own, so that they are the same each time. Colours stay as they are.
    """
    module.eval()
    scores = {}
    for name, frames in sources.items():
        for suffix, samples in (("", (resized(sample, width, height) for sample in _evenly(frames, settings))),
                                ("_turned", _turned(frames, settings, width, height))):
            errors = [_abs_rel(module, sample, settings) for sample in samples]
            scores[f"{name}{suffix}_abs_rel"] = float(np.mean(errors))
    return scores


def _turned(frames: Frames, settings: Settings, width: int, height: int) -> Iterator[Sample]:
    for i, sample in enumerate(_evenly(frames, settings)):
        rng = np.random.default_rng((i, 11))
        yield seen_by(sample, *random_view(sample.camera, width, height, settings.augment, rng))


def _evenly(frames: Frames, settings: Settings) -> Iterator[Sample]:
    for i in np.linspace(0, len(frames) - 1, min(len(frames), settings.validation_frames)):
        yield frames[round(i)]


def _abs_rel(module: CanonicalDepth, sample: Sample, settings: Settings) -> float:
    network = settings.network
    with torch.inference_mode():
        canonical = module(stack([sample], network)[0])[0, 0].numpy()
    return depth_metrics(canonical * canonical_scale(sample, network), known_depth(sample)).abs_rel

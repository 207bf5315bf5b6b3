"""Checkpoints of random numbers in the published architectures: good for measuring speed and memory only."""

from __future__ import annotations

from pathlib import Path

from ..config import nearest
from ..errors import ModelError
from .table import MODELS


def write_random_weights(name: str, folder: Path) -> Path:
    """A value for `model.checkpoint` of the model `name`, written into `folder`; the embedded model's own card.

    ModelError where `name` has no published architecture.
    """
    if name not in MODELS:
        raise ModelError(f"no published architecture is known for '{name}'{nearest(name, list(MODELS))}")
    return MODELS[name].random_weights(folder)

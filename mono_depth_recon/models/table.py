"""The table of models. Adding one is a loader and a row."""

from __future__ import annotations

from pathlib import Path

from ..config import ModelConfig, nearest
from ..errors import ModelError
from .base import DepthModel, ModelSpec
from .canonical import load_canonical

EMBEDDED = Path(__file__).parent / "embedded"


def _load_unetpp_mobile(settings: ModelConfig, threads: int) -> DepthModel:
    card = Path(settings.checkpoint) if settings.checkpoint else EMBEDDED / "unetpp_mobile.json"
    return load_canonical(card.expanduser(), settings, threads)


MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            "unetpp_mobile",
            "metric_depth",
            "Apache-2.0 (trained partly on CC BY 4.0 data, see its card)",
            "embedded",
            _load_unetpp_mobile,
        ),
    )
}


def load_model(settings: ModelConfig, threads: int = 0) -> DepthModel:
    """The model `settings.name`, ready to predict. `threads` 0 = all cores. Raises ModelError."""
    if settings.name not in MODELS:
        raise ModelError(
            f"unknown model '{settings.name}'{nearest(settings.name, list(MODELS))} (models: {', '.join(MODELS)})"
        )
    return MODELS[settings.name].load(settings, threads)

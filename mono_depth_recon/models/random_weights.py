"""Checkpoints of random numbers in the published architectures: enough to measure speed and memory, never to see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..config import nearest
from ..errors import ModelError
from .card import FORMAT
from .hub import CONFIG, PROCESSOR, read_json
from .table import CHECKPOINTS, EMBEDDED, MODELS
from .transformer import Checkpoint

# The paper's network: SMP's own decoder on a ResNeXt-50 at the size of NYU Depth V2
_RESNEXT = {"encoder": "resnext50_32x4d", "decoder_channels": [256, 128, 64, 32, 16], "dropout": 0.1}


def write_random_weights(name: str, folder: Path) -> Path:
    """A value for `model.checkpoint` of the model `name`, written into `folder`; the embedded model's own card.

    ModelError where `name` has no published architecture.
    """
    if name == "unetpp_mobile":
        return EMBEDDED / f"{name}.json"
    if name == "unetpp_resnext50":
        return _write_unetpp(name, folder)
    if name not in CHECKPOINTS:
        raise ModelError(f"no published architecture is known for '{name}'{nearest(name, list(MODELS))}")
    return _write_transformer(CHECKPOINTS[name], folder)


def _write_transformer(checkpoint: Checkpoint, folder: Path) -> Path:
    import torch
    from transformers import AutoModelForDepthEstimation
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    committed = read_json(checkpoint.committed)
    config = committed["config"]
    torch.manual_seed(0)
    model = AutoModelForDepthEstimation.from_config(CONFIG_MAPPING[config["model_type"]].from_dict(config))
    model.save_pretrained(folder)
    for file, text in ((CONFIG, config), (PROCESSOR, committed["preprocessor"])):
        (folder / file).write_text(json.dumps(text), encoding="utf-8")
    return folder


def _write_unetpp(name: str, folder: Path) -> Path:
    import torch

    from .card import load_card
    from .unetpp import build_unetpp, write_weights

    folder.mkdir(parents=True, exist_ok=True)
    text: dict[str, Any] = read_json(EMBEDDED / "unetpp_mobile.json") | {"name": name, "format": FORMAT}
    text["architecture"] = text["architecture"] | _RESNEXT
    text["input"] = text["input"] | {"width": 640, "height": 480}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(text), encoding="utf-8")
    torch.manual_seed(0)
    write_weights(build_unetpp(load_card(path)), path.with_suffix(".safetensors"))
    return path

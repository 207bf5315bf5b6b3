"""The network in training: built from the settings, and run in bfloat16 with a float32 head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mono_depth_recon.models.card import FORMAT, ModelCard
from mono_depth_recon.models.unetpp import CanonicalDepth, build_unetpp

from .settings import NetworkSettings


def card_text(network: NetworkSettings) -> dict[str, Any]:
    """What a card says about how to run the network (without training, figures and licence)."""
    return {
        "format": FORMAT, "name": network.name,
        "architecture": {"family": "unetplusplus", "encoder": network.encoder,
                         "decoder_channels": network.decoder_channels, "dropout": network.dropout},
        "input": {"width": network.input_width, "height": network.input_height, "multiple": network.multiple,
                  "rule": "resize to this area with the image's aspect, each side to the nearest multiple"},
        "normalisation": {"mean": network.mean, "std": network.std, "rule": "(rgb / 255 - mean) / std"},
        "output": {"kind": "metric_depth",
                   "rule": "metres = output * sqrt(fx * fy) / canonical_focal_px, fx and fy in pixels of the input"},
        "canonical_focal_px": network.canonical_focal_px,
        "range_m": network.range_m,
    }


def build_network(network: NetworkSettings, pretrained: bool = False) -> CanonicalDepth:
    """The architecture with random weights; `pretrained` fetches those of the encoder that the settings name.

    Where training starts from other weights anyway nothing is fetched. ModelError where they cannot be had.
    """
    card = ModelCard(path=Path(f"{network.name}.json"), name=network.name, encoder=network.encoder,
                     decoder_channels=tuple(network.decoder_channels), input_width=network.input_width,
                     input_height=network.input_height, multiple=network.multiple, mean=_three(network.mean),
                     std=_three(network.std), canonical_focal_px=network.canonical_focal_px,
                     range_m=(network.range_m[0], network.range_m[1]), text=card_text(network),
                     dropout=network.dropout)
    return build_unetpp(card, network.encoder_weights if pretrained and network.encoder_weights != "none" else None)


def log_depth(module: CanonicalDepth, images: Tensor, bfloat16: bool) -> Tensor:
    """`module.log_depth`, its decoder in bfloat16 where asked.

    The encoder's depthwise kernels are faster in float32 on CPUs, and for the head 8 bits are too few.
    """
    if not bfloat16:
        return module.log_depth(images)
    network = module.network
    features = network.encoder(images)
    with torch.autocast(images.device.type, torch.bfloat16):
        decoded = network.decoder(features)
    return network.segmentation_head(decoded.float()) + module.log_middle


def _three(values: list[float]) -> tuple[float, float, float]:
    return values[0], values[1], values[2]

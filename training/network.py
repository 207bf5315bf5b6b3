"""The U-Net++ in training: built from the settings, what it learns and how its images are made."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.errors import ConfigError
from mono_depth_recon.frames import Sample
from mono_depth_recon.models.card import FORMAT, ModelCard
from mono_depth_recon.models.encoder_weights import package_of
from mono_depth_recon.models.unetpp import CanonicalDepth, build_unetpp, check_encoder_weights
from mono_depth_recon.paths import expanded

from .batches import Prepared, log_target, log_targets
from .device_jpeg import constant
from .distillation import Teacher, metres_per_px
from .losses import metric_loss
from .settings import LossSettings, NetworkSettings, Settings


def card_text(network: NetworkSettings) -> dict[str, Any]:
    """The part of a card that describes how to run the network (without training, figures and licence)."""
    return {
        "format": FORMAT,
        "name": network.name,
        "architecture": {
            "family": "unetplusplus",
            "encoder": network.encoder,
            "decoder_channels": network.decoder_channels,
            "dropout": network.dropout,
            "attention": network.attention,
            "head": network.head,
        },
        "input": {
            "width": network.input_width,
            "height": network.input_height,
            "multiple": network.multiple,
            "rule": "resize to this area with the image's aspect, each side to the nearest multiple",
        },
        "normalisation": {"mean": network.mean, "std": network.std, "rule": "(rgb / 255 - mean) / std"},
        "output": {
            "kind": "metric_depth",
            "form": network.form,
            "rule": "metres = output * sqrt(fx * fy) / canonical_focal_px, fx and fy in pixels of the input",
            "size_exponent": network.size_exponent,
        },
        "canonical_focal_px": network.canonical_focal_px,
        "range_m": network.range_m,
    }


def build_network(network: NetworkSettings, pretrained: bool = False) -> CanonicalDepth:
    """The architecture with random weights; `pretrained` fetches those of the encoder that the settings name.

    Where training starts from other weights anyway nothing is fetched. ModelError where they cannot be had.
    """
    card = ModelCard(
        path=Path(f"{network.name}.json"),
        name=network.name,
        encoder=network.encoder,
        decoder_channels=tuple(network.decoder_channels),
        input_width=network.input_width,
        input_height=network.input_height,
        multiple=network.multiple,
        mean=_three(network.mean),
        std=_three(network.std),
        canonical_focal_px=network.canonical_focal_px,
        range_m=(network.range_m[0], network.range_m[1]),
        text=card_text(network),
        dropout=network.dropout,
        attention=network.attention,
        form=network.form,
        head=network.head,
        size_exponent=network.size_exponent,
    )
    return build_unetpp(card, network.encoder_weights if pretrained and network.encoder_weights != "none" else None)


def check_network(network: NetworkSettings, pretrained: bool) -> None:
    """Builds the network once, if `pretrained` with an encoder's weights where a package has them; no hub is asked.

    ModelError where the network or such weights cannot be had.
    """
    weights = None if network.encoder_weights == "none" else network.encoder_weights
    check_encoder_weights(network.encoder, weights)
    build_network(network, pretrained and bool(package_of(network.encoder, weights)))


class UnetPreparation:
    """A sample of the network's input size as arrays; pickled into the loading processes."""

    def __init__(self, network: NetworkSettings) -> None:
        self.network = network
        self._mean, self._std = np.array(network.mean, np.float32), np.array(network.std, np.float32)

    def __call__(self, sample: Sample) -> Prepared:
        """Image (3, H, W) = (rgb / 255 - mean) / std and the log of canonical depth."""
        image = ((sample.rgb.astype(np.float32) / 255 - self._mean) / self._std).transpose(2, 0, 1)
        scale = self.scale(sample.camera)
        return Prepared(np.ascontiguousarray(image, np.float32), log_target(sample, scale), scale)

    def scale(self, camera: PinholeCamera) -> float:
        """Metres per canonical metre."""
        return canonical_scale(camera, self.network)

    def on_device(self, rgb: Tensor, depth: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """The same of a batch on its device."""
        mean, std = (constant(tuple(each), rgb.device) for each in (self.network.mean, self.network.std))
        images = (rgb / 255 - mean[:, None, None]) / std[:, None, None]
        return images.contiguous(memory_format=torch.channels_last), log_targets(depth, scales)


def canonical_scale(camera: PinholeCamera, network: NetworkSettings) -> float:
    """Metres of this camera, whose images are the network's input, per metre of the canonical one."""
    return math.sqrt(camera.fx * camera.fy) * metres_per_px(camera.width, camera.height, network)


class UnetTask:
    """What `training.module` asks of a model: values of a batch, their loss, and depth."""

    relative = False

    def __init__(self, settings: Settings, pretrained: bool) -> None:
        self.network: CanonicalDepth = build_network(settings.network, pretrained).to(memory_format=torch.channels_last)
        self.prepare = UnetPreparation(settings.network)
        self._loss: LossSettings = settings.loss
        self._teacher = Teacher(expanded(settings.distill.card), settings.network) if settings.distill.card else None
        self._teacher_share = settings.distill.weight
        self._halved = settings.precision == "decoder_bfloat16"
        self._bfloat16 = settings.precision == "mixed_bfloat16"

        freeze_stages(self.network.network.encoder, settings.optimizer.frozen_stages)

    def values(self, network: nn.Module, images: Tensor) -> Tensor:
        """The network's channel (N, 1, H, W) float32; its decoder, or all but its head, in bfloat16 where asked.

        The encoder's depthwise kernels are faster in float32 on CPUs, and for the head 8 bits are too few.
        """
        dense: Any = network.network
        if self._bfloat16 and images.is_cuda and torch.is_autocast_enabled():
            decoded = dense.decoder(dense.encoder(images))
            with torch.autocast(images.device.type, enabled=False):
                return dense.segmentation_head(decoded.float())
        if not self._halved:
            return dense(images).float()
        features = dense.encoder(images)
        with torch.autocast(images.device.type, torch.bfloat16):
            decoded = dense.decoder(features)
        return dense.segmentation_head(decoded.float())

    def loss(self, values: Tensor, targets: Tensor, images: Tensor | None = None) -> Tensor:
        """The loss of the settings; in training, which gives the `images`, shared with that against the teacher."""
        metres, logs = self.network.metres(values), self.network.logs(values)
        loss = metric_loss(metres, logs, targets, self._loss)
        if images is None or self._teacher is None:
            return loss
        taught = metric_loss(metres, logs, self._teacher.logs(images), replace(self._loss, kind="log_l1"))
        return (1 - self._teacher_share) * loss + self._teacher_share * taught

    def depth(self, values: Tensor) -> Tensor:
        """Canonical metres (N, 1, H, W) within the range."""
        return self.network.metres(values).clamp(self.network.near, self.network.far)

    def parts(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Parameters of the encoder, and all others."""
        encoder = list(self.network.network.encoder.parameters())
        known = set(map(id, encoder))
        return encoder, [each for each in self.network.parameters() if id(each) not in known]


def freeze_stages(encoder: nn.Module, stages: int) -> None:
    """Lets the first stages of a timm encoder keep their weights: general features, and the dearest to train.

    Their batch statistics still follow the data. ConfigError for an encoder of another library.
    """
    if not stages:
        return
    known = getattr(getattr(encoder, "model", None), "feature_info", None)
    if known is None:
        raise ConfigError("optimizer.frozen_stages needs an encoder of timm (tu-...): set it to 0")
    last, reached = known.module_name()[stages - 1], False
    for name, part in encoder.model.named_modules():
        inside = name == last or name.startswith(f"{last}.")
        if reached and not inside:
            return
        reached = inside
        for parameter in part.parameters(recurse=False):
            parameter.requires_grad_(False)


def _three(values: list[float]) -> tuple[float, float, float]:
    return values[0], values[1], values[2]

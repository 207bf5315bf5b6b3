"""Runs that take a second: the smallest network, synthetic scenes of 64x32 pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from training.command import CONFIGS
from training.frames import made_data
from training.module import DepthTraining
from training.network import UnetTask
from training.runner import train
from training.settings import AugmentSettings, LoaderSettings, Settings, Stage, ValidationSettings, load_settings

MOBILE = CONFIGS / "unetpp_mobile.yaml"
SMALL_NETWORK = (
    "network.encoder=tu-mobilenetv3_small_050",
    "network.encoder_weights=none",
    "network.decoder_channels=[8, 8, 8, 8, 8]",
    "network.head=full",
)  # on a command line


def small_settings(**changes: Any) -> Settings:
    """Two stages of three and two epochs, augmented, with averaged weights and dropout."""
    settings = load_settings(MOBILE)
    network = replace(
        settings.network,
        encoder="tu-mobilenetv3_small_050",
        encoder_weights="none",
        decoder_channels=[8, 8, 8, 8, 8],
        head="full",
        size_exponent=0.0,
        mean=[0.485, 0.456, 0.406],
        std=[0.229, 0.224, 0.225],
        canonical_focal_px=198.3,
        input_width=64,
        input_height=32,
        dropout=0.3,
    )
    standard: dict[str, Any] = {
        "network": network,
        "threads": 1,
        "loss": replace(settings.loss, kind="berhu"),
        "optimizer": replace(settings.optimizer, lr=0.002, warmup_steps=200, ema_decay=0.998),
        "data": {},
        "stages": [Stage(32, 32, 2, 3, 3), Stage(64, 32, 4, 2)],
        "loader": LoaderSettings(workers=0),
        "validation": ValidationSettings(frames=2, panels=0, turned=True),
    }
    return replace(settings, **standard | changes)


def calm(settings: Settings) -> Settings:
    """The settings without augmentation."""
    return replace(settings, augment=AugmentSettings())


def train_small(settings: Settings, output: Path, **others: Any) -> DepthTraining:
    """Trains on 8 synthetic scenes."""
    import torch

    torch.manual_seed(settings.seed)
    return train(settings, UnetTask(settings, pretrained=False), made_data(8, 96, 64), output, **others)

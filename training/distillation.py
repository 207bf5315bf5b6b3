"""A teacher: a trained U-Net++ whose depth a smaller one learns beside the truth (Hinton et al., 2015)."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from mono_depth_recon.errors import ModelError
from mono_depth_recon.models.card import load_card
from mono_depth_recon.models.unetpp import load_unetpp

from .settings import NetworkSettings


class Teacher:
    """The network of a card, frozen, seen from a student's normalisation and canonical camera. Raises ModelError."""

    def __init__(self, card_path: Path, student: NetworkSettings) -> None:
        card = load_card(card_path)
        if (card.multiple, card.form) != (student.multiple, student.form):
            raise ModelError(
                f"distill.card {card_path}: a teacher needs the student's multiple {student.multiple} and form "
                f"{student.form}, got {card.multiple} and {card.form}"
            )
        self._network = load_unetpp(card_path).requires_grad_(False).to(memory_format=torch.channels_last)
        self._student, self._mean, self._std = student, _row(card.mean), _row(card.std)
        own = student.canonical_focal_px / math.sqrt(student.input_width * student.input_height)
        self._shift = math.log(own * math.sqrt(card.input_width * card.input_height) / card.canonical_focal_px)

    @torch.no_grad()
    def logs(self, images: Tensor) -> Tensor:
        """(N, 1, H, W): natural log of the depth that the student should see in `images` (N, 3, H, W), its input."""
        network = self._network.to(images.device)
        mean, std = (_row(each).to(images) for each in (self._student.mean, self._student.std))
        rgb = images * std + mean
        channel = network.network((rgb - self._mean.to(images)) / self._std.to(images))
        return network.logs(channel.float()).clamp(network.log_near, network.log_far) + self._shift


def _row(values: list[float] | tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[None, :, None, None]

"""A teacher: a trained U-Net++ whose depth a smaller one learns beside the truth (Hinton et al., 2015)."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from mono_depth_recon.errors import ModelError
from mono_depth_recon.models.card import ModelCard, load_card
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
        self._card = card

    @torch.no_grad()
    def logs(self, images: Tensor) -> Tensor:
        """(N, 1, H, W): natural log of the depth that the student should see in `images` (N, 3, H, W), its input."""
        network = self._network.to(images.device)
        mean, std = (_row(each).to(images) for each in (self._student.mean, self._student.std))
        rgb = images * std + mean
        channel = network.network((rgb - self._mean.to(images)) / self._std.to(images))
        size = images.shape[-1], images.shape[-2]
        shift = math.log(metres_per_px(*size, self._card) / metres_per_px(*size, self._student))
        return network.logs(channel.float()).clamp(network.log_near, network.log_far) + shift


def metres_per_px(width: int, height: int, network: NetworkSettings | ModelCard) -> float:
    """Metres per canonical metre and pixel of focal length, of images of a size.

    `size_exponent` 0 keeps the target of a view at any size of its image: the canonical focal length shrinks with it.
    With 1 the canonical focal length is the same number of pixels everywhere, so that the target is what a convolution
    can see: a thing of so many pixels.
    """
    size = math.sqrt(width * height / (network.input_width * network.input_height))
    return size ** (network.size_exponent - 1) / network.canonical_focal_px


def _row(values: list[float] | tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[None, :, None, None]

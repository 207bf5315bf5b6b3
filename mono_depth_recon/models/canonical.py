"""Networks that predict metres for one canonical camera: the U-Net++ family described by a ModelCard.

The network sees an image resized to the card's input size and predicts the depth that a camera of the canonical
focal length would see; metres follow by f / f_canonical (the label transform of Metric3D, Yin et al., ICCV 2023).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth, Rgb
from ..camera import PinholeCamera
from ..config import ModelConfig
from ..errors import ModelError
from ..frames import Prediction
from ..paths import expanded
from .base import Output, View
from .card import ModelCard, SigmaFit, load_card
from .onnx_files.weights import check_finite as check_finite_graph
from .resampling import normalised, opencv_matrices, restored, restoring_matrices
from .runtimes import ImageWay, Network, Runtime, Size, maps_of, open_runtime
from .runtimes.image_way import Metres
from .runtimes.images import finished_frame, image_runtime
from .safetensors_file import check_finite

_log = logging.getLogger(__name__)

RESNEXT50 = "resnext50_32x4d"
# The paper's network: SMP's own decoder on a ResNeXt-50, for images of the size of NYU Depth V2
_PAPER = {"encoder": RESNEXT50, "decoder_channels": [256, 128, 64, 32, 16], "dropout": 0.1, "head": "full"}


class CanonicalDepthModel:
    """Resize, normalise, run, scale by the focal length, resize back.

    `network.build()` and `network_input` are what `explain` looks into; `stochastic` and `sigma_fits` are read by
    `uncertainty`. `short_side` is `model.input_size`.
    """

    output: Output = "metric_depth"

    def __init__(self, card: ModelCard, network: Network, runtime: Runtime, short_side: int = 0) -> None:
        self.card = card
        self.network = network
        self.runtime = runtime
        self._preparation = CardPreparation(card, short_side)

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name

    @property
    def device(self) -> str:
        """Runtime, device and precision."""
        return self.runtime.device

    @property
    def stochastic(self) -> bool:
        """Whether each prediction is a sample of MC dropout."""
        return self.network.stochastic

    @property
    def finishes(self) -> bool:
        """Whether filters and cloud can be made on the runtime's device."""
        return image_runtime(self.runtime) is not None

    @property
    def sigma_fits(self) -> Mapping[str, SigmaFit]:
        """How a spread becomes sigma, by kind of uncertainty, from the card."""
        return self.card.sigma_fits

    def network_input(self, view: View) -> NDArray[np.float32]:
        """(1, 3, rows, columns): what the network sees of a view."""
        return self._preparation.blob(view[0], self._preparation.network_size(*view[1].size))[None]

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        """One metric Prediction per view; views whose images need one network size run as one batch."""
        finished = finished_frame(self.runtime, self._preparation, batch, self._metres)
        if finished is not None:
            return finished
        maps = maps_of(self.runtime, self._preparation, batch)
        return [
            Prediction(depth=self._metric(depth, camera)) for (depth,), (_, camera) in zip(maps, batch, strict=True)
        ]

    def release_memory(self) -> None:
        """Forwards to the runtime."""
        self.runtime.release_memory()

    def _metric(self, depth: NDArray[np.float32], camera: PinholeCamera) -> NDArray[np.float32]:
        depth *= self._metres(camera).per_unit
        return depth

    def _metres(self, camera: PinholeCamera) -> Metres:
        return Metres(self.card.focal_scale(camera, self._preparation.short_side))


@dataclass(frozen=True)
class CardPreparation:
    """Resizing and normalisation as a card says, at `model.input_size` (`short_side`, 0: the card's own)."""

    card: ModelCard
    short_side: int = 0

    def network_size(self, width: int, height: int) -> Size:
        """(columns, rows) of the input for images of width x height pixels."""
        return self.card.input_size(width, height, self.short_side)

    def blob(self, rgb: Rgb, size: Size) -> NDArray[np.float32]:
        """`rgb` (H, W, 3) uint8 as input (3, rows, columns), `size` = (columns, rows)."""
        import cv2

        interpolation = self._interpolation((rgb.shape[1], rgb.shape[0]), size)
        return normalised(cv2.resize(rgb, size, interpolation=interpolation), *self._colours())

    def restored(self, values: Depth, width: int, height: int) -> Depth:
        """Depth of the network at width x height pixels, bilinear."""
        return restored(values, (width, height))

    def way(self, width: int, height: int) -> ImageWay:
        """`blob` and `restored` as a device does them."""
        image, network = (width, height), self.network_size(width, height)
        into = partial(opencv_matrices, image, network, self._interpolation(image, network), "once")
        return ImageWay(image, network, into, *self._colours(), lambda size: restoring_matrices(size, image))

    def _interpolation(self, image: Size, network: Size) -> int:
        import cv2

        shrinks = network[0] * network[1] < image[0] * image[1]
        return cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR

    def _colours(self) -> tuple[list[float], list[float]]:
        """Gain and bias."""
        gain = [1 / (255 * std) for std in self.card.std]
        return gain, [-mean / std for mean, std in zip(self.card.mean, self.card.std, strict=True)]


def load_canonical(card_path: Path, settings: ModelConfig, threads: int) -> CanonicalDepthModel:
    """The network of a card on the runtime that `settings` name. Raises ModelError."""
    card = load_card(card_path)
    card.check_weights()
    _warn_of_size(card, settings.input_size)
    if card.weights_path.is_file():
        check_finite(card.weights_path)
    if settings.runtime != "torch" and card.onnx_path.is_file():
        check_finite_graph(card.onnx_path)
    network = network_of(card, settings.uncertainty == "mc_dropout", settings.input_size)
    return CanonicalDepthModel(card, network, open_runtime(network, settings, threads), settings.input_size)


def _warn_of_size(card: ModelCard, short_side: int) -> None:
    own = min(card.input_width, card.input_height)
    least, most = own // 2, own * 2
    if short_side and not least <= short_side <= most:
        _log.warning(
            "model.input_size %d is far from the %d pixels of %s: its depth may be wrong; take %d to %d, "
            "or 0 for its own",
            *(short_side, own, card.name, least, most),
        )


def load_unetpp_resnext50(settings: ModelConfig, threads: int) -> CanonicalDepthModel:
    """The paper's U-Net++ from the card that `settings.checkpoint` names. Raises ModelError.

    No weights of it are published for depth: they come from `training/configs/unetpp_resnext50.yaml`.
    """
    if not settings.checkpoint:
        raise ModelError(
            "unetpp_resnext50 has no published weights: train them (python -m training.train_unetpp "
            "--config training/configs/unetpp_resnext50.yaml, then python -m training.export_unetpp) and "
            "set model.checkpoint to the card (.json) that comes out"
        )
    card = load_card(expanded(settings.checkpoint))
    if card.encoder != RESNEXT50:
        raise ModelError(
            f"unetpp_resnext50 needs a card whose encoder is {RESNEXT50}, {card.path} is "
            f"{card.name} ({card.encoder}): set model.name to that model, or name another card"
        )
    return load_canonical(card.path, settings, threads)


def write_random_resnext50(template: Path, folder: Path) -> Path:
    """A card of the paper's U-Net++ with random weights in `folder`; everything else is as in the card `template`."""
    import torch

    from .unetpp import build_unetpp, write_weights

    folder.mkdir(parents=True, exist_ok=True)
    text: dict[str, Any] = json.loads(template.read_text(encoding="utf-8")) | {"name": "unetpp_resnext50"}
    text["architecture"] = text["architecture"] | _PAPER
    del text["weights_sha256"]
    text["input"] = text["input"] | {"width": 640, "height": 480}
    path = folder / "unetpp_resnext50.json"
    path.write_text(json.dumps(text), encoding="utf-8")
    torch.manual_seed(0)
    write_weights(build_unetpp(load_card(path)), path.with_suffix(".safetensors"))
    return path


def network_of(card: ModelCard, stochastic: bool = False, short_side: int = 0) -> Network:
    """The card's network for the runtimes; a stochastic one draws new dropout on every run. Raises ModelError."""
    if stochastic and not card.dropout:
        raise ModelError(
            f"model.uncertainty mc_dropout needs a network with dropout, {card.name} has none: train one "
            "with network.dropout above 0 (unetpp_resnext50 has it), or set model.uncertainty to flip"
        )

    def build() -> Any:
        from .unetpp import load_unetpp, sample_dropout

        module = load_unetpp(card.path)
        return sample_dropout(module) if stochastic else module

    preparation = CardPreparation(card, short_side)

    def preprocess(rgb: Rgb) -> NDArray[np.float32]:
        return preparation.blob(rgb, preparation.network_size(rgb.shape[1], rgb.shape[0]))[None]

    return Network(
        card.name,
        card.fingerprint,
        build,
        card.weights_path,
        None if stochastic else card.onnx_path,
        stochastic,
        preprocess,
        foldable=True,
    )

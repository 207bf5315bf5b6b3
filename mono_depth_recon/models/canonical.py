"""Networks that answer metres of one canonical camera: the U-Net++ family described by a ModelCard.

The network sees an image resized to the card's input size and says the depth that a camera of the canonical
focal length would see; metres follow by f / f_canonical (the label transform of Metric3D, Yin et al., ICCV 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Rgb
from ..camera import PinholeCamera
from ..config import ModelConfig
from ..frames import Prediction
from .base import Output, View
from .card import ModelCard, load_card
from .runtimes import Network, Runtime, open_runtime


class CanonicalDepthModel:
    """Resize, normalise, run, scale by the focal length, resize back."""

    output: Output = "metric_depth"

    def __init__(self, card: ModelCard, runtime: Runtime) -> None:
        self.card = card
        self._runtime = runtime
        std = np.array(card.std, np.float32)
        self._gain = (1 / (255 * std)).reshape(3, 1, 1)
        self._bias = (-np.array(card.mean, np.float32) / std).reshape(3, 1, 1)

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name

    @property
    def device(self) -> str:
        """Runtime, device and precision."""
        return self._runtime.device

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        """One metric Prediction per view; views whose images need one network size run as one batch."""
        sizes = [self.card.input_size(*camera.size) for _, camera in batch]
        results: list[Prediction | None] = [None] * len(batch)
        for size in dict.fromkeys(sizes):
            chosen = [i for i, s in enumerate(sizes) if s == size]
            output = self._runtime.run(self._blob([batch[i][0] for i in chosen], size))
            for i, depth in zip(chosen, output[:, 0], strict=True):
                results[i] = Prediction(depth=self._metric(depth, batch[i][1]))
        return [result for result in results if result is not None]

    def release_memory(self) -> None:
        """Forwards to the runtime."""
        self._runtime.release_memory()

    def _blob(self, images: Sequence[Rgb], size: tuple[int, int]) -> NDArray[np.float32]:
        import cv2

        blob = np.empty((len(images), 3, size[1], size[0]), np.float32)
        for image, rgb in zip(blob, images, strict=True):
            shrinks = size[0] * size[1] < rgb.shape[0] * rgb.shape[1]
            resized = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
            np.multiply(resized.transpose(2, 0, 1), self._gain, out=image)
        blob += self._bias
        return blob

    def _metric(self, depth: NDArray[np.float32], camera: PinholeCamera) -> NDArray[np.float32]:
        import cv2

        full = cv2.resize(depth, camera.size, interpolation=cv2.INTER_LINEAR)
        full *= self.card.focal_scale(camera)
        return full


def load_canonical(card_path: Path, settings: ModelConfig, threads: int) -> CanonicalDepthModel:
    """The network of a card on the runtime that `settings` ask for. Raises ModelError."""
    card = load_card(card_path)
    return CanonicalDepthModel(card, open_runtime(network_of(card), settings, threads))


def network_of(card: ModelCard) -> Network:
    """The card's network for the runtimes."""
    def build() -> Any:
        from .unetpp import load_unetpp

        return load_unetpp(card.path)

    return Network(card.name, card.fingerprint, build, card.weights_path, card.onnx_path)

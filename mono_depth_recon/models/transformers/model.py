"""A loaded model of transformers: resize as published, run, make metres, restore."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import Depth, Matrix, Rgb
from ...camera import PinholeCamera
from ...frames import Prediction
from ..base import Output, View
from ..hub import WeightFiles
from ..runtimes import Network, Runtime, maps_of
from ..runtimes.image_way import Metres
from ..runtimes.images import finished_frame, image_runtime
from .family import NEAREST_M, Channel, Family, Focal
from .input_rule import InputRule

_MASK = 0.5  # of "valid" and "sky": pixels count as such from this value on


@dataclass(frozen=True)
class Parts:
    """What a model is made of, whichever way it was named.

    `config` and `processor` are its config.json and preprocessor_config.json; `focal` None means that its metres are
    taken as they are.
    """

    name: str
    output: Output
    family: Family
    files: WeightFiles
    config: Mapping[str, Any]
    processor: Mapping[str, Any]
    focal: Focal | None
    revision: str


class TransformerDepthModel:
    """A model on its runtime. `network.build().model` is transformers' own module; `rule` is how images reach it."""

    stochastic = False

    def __init__(self, parts: Parts, rule: InputRule, network: Network, runtime: Runtime) -> None:
        self.name, self.output = parts.name, parts.output
        self.family, self.focal = parts.family, parts.focal
        self.rule, self.network, self.runtime = rule, network, runtime
        self._channels = parts.family.channels(parts.config)

    @property
    def device(self) -> str:
        """Runtime, device and precision."""
        return self.runtime.device

    @property
    def finishes(self) -> bool:
        """Whether filters and cloud can be made on the runtime's device: where the network's values are the output."""
        plain = self._channels == ("values",) and not self.family.inverse and not self.family.prompted
        return plain and image_runtime(self.runtime) is not None

    def network_input(self, view: View) -> NDArray[np.float32]:
        """(1, 3, rows, columns): what the network sees of a view."""
        return as_batch(self.rule, view[0])

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        """One Prediction per view; views whose images need one network size run as one batch."""
        if self.finishes:
            finished = finished_frame(self.runtime, self.rule, batch, self._metres, self.output)
            if finished is not None:
                return finished
        maps = maps_of(self.runtime, self.rule, batch)
        return [self._prediction(each, camera) for each, (_, camera) in zip(maps, batch, strict=True)]

    def release_memory(self) -> None:
        """Forwards to the runtime."""
        self.runtime.release_memory()

    def _prediction(self, maps: Sequence[Depth], camera: PinholeCamera) -> Prediction:
        """The Prediction of an image, from the network's maps at its size."""
        by_channel = dict(zip(self._channels, maps, strict=True))
        full = by_channel.pop("values")
        others = self._others(by_channel, camera)
        if self.output == "relative_disparity":
            return Prediction(disparity=np.maximum(full, 0), **others)
        return Prediction(depth=self.family.metres(full, self._metres(camera).per_unit), **others)

    def _metres(self, camera: PinholeCamera) -> Metres:
        if self.output == "relative_disparity":
            return Metres(1.0, 0.0)
        size = self.rule.network_size(*camera.size)
        return Metres(self.family.metres_per_unit(camera, size, self.focal), NEAREST_M)

    def _others(self, by_channel: Mapping[Channel, Depth], camera: PinholeCamera) -> dict[str, Any]:
        """Fields of Prediction beside depth and disparity."""
        fields: dict[str, Any] = {}
        for channel, full in by_channel.items():
            if channel == "focal":
                fields["intrinsics"] = _intrinsics(float(full.mean()), *camera.size)
            else:
                fields[channel] = full if channel == "confidence" else full >= _MASK
        return fields


def _intrinsics(focal_widths: float, width: int, height: int) -> Matrix:
    """K of an image with square pixels and the principal point in its middle; the focal length in image widths."""
    focal_px = focal_widths * width
    return np.array([[focal_px, 0, (width - 1) / 2], [0, focal_px, (height - 1) / 2], [0, 0, 1]], np.float64)


def as_batch(rule: InputRule, rgb: Rgb) -> NDArray[np.float32]:
    """`rgb` (H, W, 3) uint8 as a batch of one, (1, 3, rows, columns) float32."""
    return rule.blob(rgb, rule.network_size(rgb.shape[1], rgb.shape[0]))[None]

"""What the code must know about one family of transformers models, and the focal length that metres follow from.

The defaults of `Family` are what most families share; a family is a class that overrides what differs, in a module of
its own, and a row in `families`. No other code asks which family a model is of. Nothing here loads torch or
transformers until a method that needs them is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np

from ...arrays import Depth
from ...camera import PinholeCamera
from ..base import Output
from .input_rule import InputRule

if TYPE_CHECKING:
    from torch import Tensor, nn

# What a channel of the network's output holds. "values" comes first: depth, inverse depth or disparity in the family's
# own unit. "valid", "sky" and "confidence" are maps from 0 to 1, of which masks begin at 0.5; "focal" is one number per
# image, the horizontal focal length that the network sees over the width of the image, repeated over the map.
Channel: TypeAlias = Literal["values", "valid", "sky", "confidence", "focal"]
NEAREST_M = 1e-3  # rounding in a low precision may leave zero or less


@dataclass(frozen=True)
class Focal:
    """The focal length of the camera that a metric network was trained on, in pixels.

    `short_side_px` is the short side of that camera's image, where the network always sees the whole image at one
    size: what counts is the field of view. None where it sees the image at its own size: then pixels count.
    """

    focal_px: float
    short_side_px: int | None

    def scale(self, camera: PinholeCamera, size: tuple[int, int]) -> float:
        """Factor from the network's depth to metres of `camera`, whose image it sees at `size` (columns, rows)."""
        if self.short_side_px is None:
            seen = camera.resized(*size)
            return math.sqrt(seen.fx * seen.fy) / self.focal_px
        own = math.sqrt(camera.fx * camera.fy) / min(camera.size)
        return own / (self.focal_px / self.short_side_px)


class Family:
    """One architecture, by the `model_type` of its config.json; `config` below is such a file.

    `rule` reads the published preprocessor_config.json; the file's own processor decides, so that families share
    rules. `inverse`: a metric model that predicts inverse depth. `meaning` names the entries of a configuration that
    define what the numbers mean: with other values the same weights would be another model. `prompted`: the network is
    given depth beside the image, in a fourth channel (`prompted`).
    """

    rule: ClassVar[type[InputRule]] = InputRule
    inverse: ClassVar[bool] = False
    meaning: ClassVar[tuple[str, ...]] = ("max_depth",)
    prompted: ClassVar[bool] = False

    def __init__(self, model_type: str) -> None:
        self.model_type = model_type

    def output(self, config: Mapping[str, Any]) -> Output | None:
        """What a model of this configuration predicts; None where the configuration does not state it."""
        return None

    def multiple(self, config: Mapping[str, Any]) -> int:
        """What each side of the network's input must be a multiple of, in pixels."""
        backbone = config.get("backbone_config") or {}
        return int(backbone.get("patch_size") or config.get("patch_size") or 16)

    def channels(self, config: Mapping[str, Any]) -> tuple[Channel, ...]:
        """What the channels of `forward` hold, in order."""
        return ("values",)

    def metres_per_unit(self, camera: PinholeCamera, size: tuple[int, int], focal: Focal | None) -> float:
        """Metres of `camera` per unit of a metric network that sees its image at `size` (columns, rows).

        `focal` is that of the checkpoint, None where its metres are taken as they are.
        """
        return 1.0 if focal is None else focal.scale(camera, size)

    def metres(self, values: Depth, per_unit: float) -> Depth:
        """Depth (H, W) float32 in metres, positive, from the network's values, which may be overwritten."""
        values *= np.float32(per_unit)
        return np.maximum(values, np.float32(NEAREST_M))

    def focal_text(self, focal: Focal | None) -> str:
        """How a metric model's metres follow from the camera's focal length, for tables."""
        assert focal is not None, "a metric row names the camera that it was trained on"
        seen = f"in an image of {focal.short_side_px} px" if focal.short_side_px else "at the network's input"
        return f"{focal.focal_px:g} px {seen}: metres are scaled by the camera's own over it"

    def architecture(self) -> Callable[[Mapping[str, Any]], Any] | None:
        """What builds transformers' own module from a configuration; None where the installed library has none."""
        from transformers import AutoModelForDepthEstimation
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING

        if self.model_type not in CONFIG_MAPPING:
            return None
        configuration = CONFIG_MAPPING[self.model_type]
        return lambda config: AutoModelForDepthEstimation.from_config(configuration.from_dict(dict(config)))

    def prepare(self, model: Any) -> None:
        """Changes transformers' module in place where it must take more than it was published for."""

    def prepare_training(self, model: Any) -> None:
        """Removes in place what training does not reach; what is saved afterwards loads without it."""

    def forward(self, model: nn.Module, images: Tensor) -> Tensor:
        """(N, 3, rows, columns) -> (N, channels, rows', columns') float32, as `channels` lists them."""
        values: Tensor = model(pixel_values=images).predicted_depth
        return values.unsqueeze(1)

    def attentions(self, model: Any, images: Tensor) -> Sequence[Tensor]:
        """The attention of the blocks that see the image, first to last: (N, heads, tokens, keys) each."""
        model.set_attn_implementation("eager")  # the fast ones keep no attention
        return model(pixel_values=images, output_attentions=True).attentions or ()

    def is_pretrained(self, model: Any, parameter: str) -> bool:
        """Whether a parameter of this name belongs to the pretrained backbone, not to neck and head."""
        return parameter.startswith(("backbone.", f"{model.base_model_prefix}."))

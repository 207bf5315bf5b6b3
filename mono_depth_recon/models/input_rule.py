"""How an image reaches a transformers network and comes back: the published preprocessor_config.json as one rule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth, Rgb
from ..errors import ModelError
from .resampling import KERNELS, Kernel, antialiased, bilinear, bilinear_corners, normalised, restored

Kind: TypeAlias = Literal["dpt", "glpn", "zoedepth", "depth_pro"]
_PROCESSORS: dict[str, Kind] = {"DPT": "dpt", "GLPN": "glpn", "ZoeDepth": "zoedepth", "DepthPro": "depth_pro"}
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# What the published processors take where their file leaves a value out.
_DEFAULTS: dict[Kind, dict[str, Any]] = {
    "dpt": {"size": 384, "resample": 3, "ensure_multiple_of": 1, "keep_aspect_ratio": False},
    "glpn": {"size": 0, "resample": 2, "ensure_multiple_of": 32, "keep_aspect_ratio": True, "do_normalize": False},
    "zoedepth": {
        "size": {"height": 384, "width": 512},
        "resample": 2,
        "ensure_multiple_of": 32,
        "keep_aspect_ratio": True,
        "do_pad": True,
    },
    "depth_pro": {"size": 1536, "resample": 2, "ensure_multiple_of": 1, "keep_aspect_ratio": False},
}


@dataclass(frozen=True)
class InputRule:
    """Size, kernel and normalisation of a network's input.

    `height` and `width` are the published size (0 = the image's own); `multiple` is what each side is a multiple of;
    `short_side` is the user's choice in place of the published size, 0 = none. The input is (rgb * gain + bias).
    """

    kind: Kind
    height: int
    width: int
    multiple: int
    keep_aspect: bool
    kernel: Kernel
    pad: bool
    gain: tuple[float, float, float]
    bias: tuple[float, float, float]
    short_side: int = 0

    def network_size(self, width: int, height: int) -> tuple[int, int]:
        """(columns, rows) of the network's input for an image of width x height pixels."""
        if self.kind == "zoedepth" and self.pad:
            width, height = width + 2 * _zoe_pad(width), height + 2 * _zoe_pad(height)
        if self.kind == "glpn":
            scale = self.short_side / min(width, height) if self.short_side else 1.0
            return self._floored(width * scale), self._floored(height * scale)
        across, down = self._scales(width, height)
        return self._rounded(width * across), self._rounded(height * down)

    def blob(self, rgb: Rgb, size: tuple[int, int]) -> NDArray[np.float32]:
        """`rgb` (H, W, 3) uint8 as the network's input (3, rows, columns) float32, `size` = (columns, rows)."""
        if self.kind == "zoedepth":
            pixels: NDArray[Any] = bilinear_corners(self._padded(rgb), size)
        elif self.kind == "depth_pro":
            pixels = bilinear(rgb, size)
        else:
            pixels = antialiased(rgb, size, self.kernel)
        return normalised(pixels, self.gain, self.bias)

    def restored(self, values: Depth, width: int, height: int) -> Depth:
        """What the network says, (rows, columns) of its own, on the grid of the image; padding is cut away."""
        if not (self.kind == "zoedepth" and self.pad):
            return restored(values, (width, height))
        across, down = _zoe_pad(width), _zoe_pad(height)
        whole = restored(values, (width + 2 * across, height + 2 * down))
        return np.ascontiguousarray(whole[down : down + height, across : across + width])

    def _scales(self, width: int, height: int) -> tuple[float, float]:
        """Factors of width and height before rounding."""
        if self.short_side and self.keep_aspect:
            return (self.short_side / min(width, height),) * 2
        across, down = self.width / width, self.height / height
        if self.short_side:
            shrink = self.short_side / min(self.width, self.height)
            return across * shrink, down * shrink
        if not self.keep_aspect:
            return across, down
        return (across, across) if abs(1 - across) < abs(1 - down) else (down, down)  # as little as possible

    def _rounded(self, side: float) -> int:
        return max(1, round(side / self.multiple)) * self.multiple

    def _floored(self, side: float) -> int:
        return max(1, int(side + 1e-6) // self.multiple) * self.multiple

    def _padded(self, rgb: Rgb) -> Rgb:
        import cv2

        if not self.pad:
            return rgb
        down, across = _zoe_pad(rgb.shape[0]), _zoe_pad(rgb.shape[1])
        return np.asarray(cv2.copyMakeBorder(rgb, down, down, across, across, cv2.BORDER_REFLECT_101), np.uint8)


def read_rule(settings: Mapping[str, Any], where: str) -> InputRule:
    """The rule of a preprocessor_config.json; `where` names it in messages.

    ModelError where the processor is of an unknown kind or asks for what is not supported.
    """
    name = str(settings.get("image_processor_type") or settings.get("feature_extractor_type") or "")
    kind = next((kind for start, kind in _PROCESSORS.items() if name.startswith(start)), None)
    if kind is None:
        raise ModelError(
            f"{where}: image processor '{name}' is not supported, expected that of "
            f"{', '.join(_PROCESSORS)}: give the preprocessor_config.json of such a model"
        )
    values = {**_DEFAULTS[kind], **settings}
    if kind == "glpn":
        values["ensure_multiple_of"] = values.get("size_divisor") or 32
    elif kind == "dpt" and values.get("do_pad") and values.get("size_divisor"):
        raise ModelError(f"{where}: padding to a multiple (do_pad, size_divisor) is not supported: set do_pad to false")
    height, width = _size(values["size"] if kind != "glpn" else 0, where)
    multiple = values["ensure_multiple_of"]
    if not isinstance(multiple, (int, float)):
        raise ModelError(f"{where}: the multiple of the input's sides must be a number, got {multiple!r}")
    kernel = KERNELS.get(values["resample"]) if isinstance(values["resample"], int) else None
    if kernel is None:
        raise ModelError(f"{where}: 'resample' must be one of {sorted(KERNELS)}, got {values['resample']!r}")
    gain, bias = _normalisation(values, where)
    return InputRule(
        kind,
        height,
        width,
        max(1, round(multiple)),
        bool(values["keep_aspect_ratio"]),
        kernel,
        bool(values.get("do_pad")),
        gain,
        bias,
    )


def with_short_side(rule: InputRule, short_side: int, network_multiple: int, name: str) -> InputRule:
    """The rule at `model.input_size`; 0 keeps the published size. ModelError where the network has one size only.

    `network_multiple` is what the network needs of each side, which the published size has anyway.
    """
    if not short_side:
        return rule
    if rule.kind == "depth_pro" and short_side != rule.height:
        raise ModelError(
            f"{name} takes images of {rule.width}x{rule.height} only: leave model.input_size at 0, or "
            "choose a smaller model"
        )
    return replace(rule, short_side=short_side, multiple=math.lcm(rule.multiple, network_multiple))


def _size(value: Any, where: str) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    if isinstance(value, Mapping) and {"height", "width"} <= value.keys():
        return int(value["height"]), int(value["width"])
    raise ModelError(f"{where}: 'size' must give height and width, got {value!r}")


def _normalisation(values: Mapping[str, Any], where: str) -> tuple[tuple[float, float, float], ...]:
    factor = float(values.get("rescale_factor", 1 / 255)) if values.get("do_rescale", True) else 1.0
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if values.get("do_normalize", True):
        mean = _three(values.get("image_mean", _IMAGENET[0]), where, "image_mean")
        std = _three(values.get("image_std", _IMAGENET[1]), where, "image_std")
    if min(std) <= 0:
        raise ModelError(f"{where}: 'image_std' must be positive, got {std}")
    gain = (factor / std[0], factor / std[1], factor / std[2])
    return gain, (-mean[0] / std[0], -mean[1] / std[1], -mean[2] / std[2])


def _three(value: Any, where: str, key: str) -> tuple[float, float, float]:
    if isinstance(value, (int, float)):
        value = (value,) * 3
    if isinstance(value, (list, tuple)) and len(value) == 3 and all(isinstance(v, (int, float)) for v in value):
        return float(value[0]), float(value[1]), float(value[2])
    raise ModelError(f"{where}: '{key}' must be three numbers, got {value!r}")


def _zoe_pad(side: int) -> int:
    """ZoeDepth's reflected margin (Bhat et al. 2023): its network is unreliable at the border."""
    return int(math.sqrt(side / 2) * 3)

"""How an image reaches a transformers network and comes back: the published preprocessor_config.json as one rule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...arrays import Depth, Rgb
from ...config import shown
from ...errors import ModelError
from ..base import BIGGEST_SIDE, possible_input
from ..resampling import (
    KERNELS,
    Kernel,
    Separable,
    antialiased,
    antialiased_matrices,
    normalised,
    restored,
    restoring_matrices,
)
from ..runtimes.image_way import ImageWay, Size

_LARGEST_NUMBER = 1e6
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class InputRule:
    """Size, kernel and normalisation of a network's input: the rule of DPT's processor, on which the others build.

    `height` and `width` are the published size (0 = the image's own); `multiple` is what each side is a multiple of;
    `short_side` is the user's choice in place of the published size, 0 = none. The input is (rgb * gain + bias).
    """

    processor: ClassVar[str] = "DPT"  # what the name of the published image processor begins with
    # what that processor takes where the file leaves an entry out
    defaults: ClassVar[Mapping[str, Any]] = {
        "size": 384,
        "resample": 3,
        "ensure_multiple_of": 1,
        "keep_aspect_ratio": False,
    }

    height: int
    width: int
    multiple: int
    keep_aspect: bool
    kernel: Kernel
    pad: bool
    gain: tuple[float, float, float]
    bias: tuple[float, float, float]
    short_side: int = 0

    @classmethod
    def read(cls, settings: Mapping[str, Any], where: str) -> InputRule:
        """The rule of a preprocessor_config.json; ModelError, which names `where`, for what is not supported."""
        values = cls.entries(settings, where)
        height, width = _size(values["size"], where)
        multiple = _number(values["ensure_multiple_of"], where, "ensure_multiple_of")
        if not 0 <= multiple <= BIGGEST_SIDE:
            raise ModelError(f"{where}: 'ensure_multiple_of' must be 0 to {BIGGEST_SIDE}, got {multiple:g}")
        kernel = KERNELS.get(values["resample"]) if isinstance(values["resample"], int) else None
        if kernel is None:
            raise ModelError(f"{where}: 'resample' must be one of {sorted(KERNELS)}, got {values['resample']!r}")
        gain, bias = _normalisation(values, where)
        keep_aspect, pad = bool(values["keep_aspect_ratio"]), bool(values.get("do_pad"))
        return cls(height, width, max(1, round(multiple)), keep_aspect, kernel, pad, gain, bias)

    @classmethod
    def entries(cls, settings: Mapping[str, Any], where: str) -> dict[str, Any]:
        """The file's entries over the defaults. ModelError where they ask for what is not supported."""
        if settings.get("do_pad") and settings.get("size_divisor"):
            raise ModelError(
                f"{where}: padding to a multiple (do_pad, size_divisor) is not supported: set do_pad to false"
            )
        return {**cls.defaults, **settings}

    def network_size(self, width: int, height: int) -> tuple[int, int]:
        """(columns, rows) of the network's input for an image of width x height pixels. DataError: it is too large."""
        across, down = self._scales(width, height)
        return possible_input((self._rounded(width * across), self._rounded(height * down)), (width, height))

    def resampled(self, rgb: Rgb, size: tuple[int, int]) -> NDArray[Any]:
        """(rows, columns, 3), grey levels from 0 to 255, at `size` = (columns, rows)."""
        return antialiased(rgb, size, self.kernel)

    def blob(self, rgb: Rgb, size: tuple[int, int]) -> NDArray[np.float32]:
        """`rgb` (H, W, 3) uint8 as the network's input (3, rows, columns) float32, `size` = (columns, rows)."""
        return normalised(self.resampled(rgb, size), self.gain, self.bias)

    def restored(self, values: Depth, width: int, height: int) -> Depth:
        """A map of the network, (rows, columns) of its own, on the grid of the image."""
        return restored(values, (width, height))

    def way(self, width: int, height: int) -> ImageWay:
        """`blob` and `restored` for images of width x height pixels, as a device does them."""
        image, network = (width, height), self.network_size(width, height)
        return ImageWay(
            image,
            network,
            partial(self.matrices, image, network),
            self.gain,
            self.bias,
            partial(self.matrices_back, image=image),
        )

    def matrices(self, image: Size, network: Size) -> Separable:
        """`resampled` as matrices."""
        return antialiased_matrices(image, network, self.kernel)

    def matrices_back(self, size: Size, image: Size) -> tuple[Separable, Separable]:
        """`restored` as matrices, from maps of `size`: of values, and of what is known."""
        return restoring_matrices(size, image)

    def with_short_side(self, short_side: int, network_multiple: int, name: str) -> InputRule:
        """The rule at `model.input_size`; 0 keeps the published size. ModelError where the network has one size only.

        `network_multiple` is what the network needs of each side, which the published size has anyway; `name` is the
        model's, for messages.
        """
        if not short_side:
            return self
        return replace(self, short_side=short_side, multiple=math.lcm(self.multiple, network_multiple))

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


def _size(value: Any, where: str) -> tuple[int, int]:
    sides = [value[key] for key in ("height", "width") if key in value] if isinstance(value, Mapping) else [value] * 2
    if len(sides) != 2 or not all(isinstance(side, int) and 0 <= side <= BIGGEST_SIDE for side in sides):
        raise ModelError(
            f"{where}: 'size' must give height and width, {BIGGEST_SIDE} pixels at most, got {shown(value)}"
        )
    return sides[0], sides[1]


def _normalisation(values: Mapping[str, Any], where: str) -> tuple[tuple[float, float, float], ...]:
    rescales = values.get("do_rescale", True)
    factor = _number(values.get("rescale_factor", 1 / 255), where, "rescale_factor") if rescales else 1.0
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
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise ModelError(f"{where}: '{key}' must be three numbers, got {shown(value)}")
    return _number(value[0], where, key), _number(value[1], where, key), _number(value[2], where, key)


def _number(value: Any, where: str, key: str) -> float:
    if isinstance(value, (int, float)) and abs(value) <= _LARGEST_NUMBER:  # NaN is not
        return float(value)
    raise ModelError(f"{where}: '{key}' must be of numbers up to {_LARGEST_NUMBER:g}, got {shown(value)}")

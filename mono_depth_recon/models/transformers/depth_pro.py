"""Depth Pro (Bochkovskii et al., 2024): inverse depth for a focal length, and its own estimate of the field of view."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...arrays import Depth, Rgb
from ...camera import PinholeCamera
from ...errors import ModelError
from ..base import Output
from ..resampling import Separable, bilinear, bilinear_matrices
from ..runtimes.image_way import Size
from .family import Channel, Family, Focal
from .input_rule import InputRule

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

_FIELD_OF_VIEW_DEG = (1.0, 170.0)  # what a PinholeCamera can have


class DepthProRule(InputRule):
    """One square size, plain bilinear."""

    processor = "DepthPro"
    defaults: ClassVar[Mapping[str, Any]] = {
        "size": 1536,
        "resample": 2,
        "ensure_multiple_of": 1,
        "keep_aspect_ratio": False,
    }

    def resampled(self, rgb: Rgb, size: tuple[int, int]) -> NDArray[np.float32]:
        """(rows, columns, 3) float32, 0 to 255, at `size` = (columns, rows)."""
        return bilinear(rgb, size)

    def matrices(self, image: Size, network: Size) -> Separable:
        """`resampled` as matrices."""
        return bilinear_matrices(image, network)

    def with_short_side(self, short_side: int, network_multiple: int, name: str) -> InputRule:
        """Refuses every other size."""
        if short_side not in (0, self.height):
            raise ModelError(
                f"{name} takes images of {self.width}x{self.height} only: leave model.input_size at 0, or "
                "choose a smaller model"
            )
        return super().with_short_side(short_side, network_multiple, name)


class DepthPro(Family):
    """Inverse depth in units of 1 / (focal length over the image's width): the camera's own focal length gives metres.

    The network also estimates the field of view, where the configuration has that part. It runs
    one encoder over one small image, where depth runs one over 35 patches and another over the whole.
    """

    rule = DepthProRule
    inverse = True

    def output(self, config: Mapping[str, Any]) -> Output | None:
        """Always metres."""
        return "metric_depth"

    def multiple(self, config: Mapping[str, Any]) -> int:
        """1: the rule's own size holds."""
        return 1

    def channels(self, config: Mapping[str, Any]) -> tuple[Channel, ...]:
        """Inverse depth; the focal length where the configuration has the part that estimates it."""
        return ("values", "focal") if config.get("use_fov_model") else ("values",)

    def metres_per_unit(self, camera: PinholeCamera, size: tuple[int, int], focal: Focal | None) -> float:
        """The camera's focal length over the width of its image."""
        return camera.fx / camera.width

    def metres(self, values: Depth, per_unit: float) -> Depth:
        """Within the limits of the published processor: 0.1 mm to 10 km."""
        inverse = np.clip(values * np.float32(1 / per_unit), 1e-4, 1e4)
        return np.divide(1, inverse, dtype=np.float32)

    def focal_text(self, focal: Focal | None) -> str:
        """The same for all checkpoints."""
        return "none: predicts inverse depth per focal length, the camera's own gives metres"

    def prepare_training(self, model: Any) -> None:
        """The field of view has no truth in training: that part is left out, in the saved model too."""
        model.use_fov_model = model.config.use_fov_model = False
        model.fov_model = None

    def forward(self, model: nn.Module, images: Tensor) -> Tensor:
        """Inverse depth and, where the module has that part, the focal length over the width."""
        import torch

        answer = model(pixel_values=images)
        inverse: Tensor = answer.predicted_depth.unsqueeze(1)
        if answer.field_of_view is None:
            return inverse
        half = answer.field_of_view.float().clamp(*_FIELD_OF_VIEW_DEG) * math.radians(0.5)
        focal = 0.5 / torch.tan(half)
        return torch.cat([inverse, focal.reshape(-1, 1, 1, 1).expand_as(inverse)], dim=1)

"""Prompt Depth Anything (Lin et al., CVPR 2025): metres from an image and coarse depth of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..base import Output
from .family import Family, Focal
from .input_rule import InputRule
from .prompted import prompt_size

if TYPE_CHECKING:
    from torch import Tensor, nn


class PromptDepthAnythingRule(InputRule):
    """As DPT's."""

    processor = "PromptDepthAnything"


class PromptDepthAnything(Family):
    """Depth Anything V2 whose decoder sees the prompt; it predicts the share of the prompt's range."""

    rule = PromptDepthAnythingRule
    prompted = True

    def output(self, config: Mapping[str, Any]) -> Output | None:
        """Metres, as the prompt is in metres."""
        return "metric_depth"

    def focal_text(self, focal: Focal | None) -> str:
        """The same for all checkpoints."""
        return "none: metric where the prompt is (reference_depth)"

    def forward(self, model: nn.Module, images: Tensor) -> Tensor:
        """The share of the prompt's range: the module's own range is that of its prompt, 0 to 1."""
        rows, columns = prompt_size(*images.shape[-2:])
        values: Tensor = model(pixel_values=images[:, :3], prompt_depth=images[:, 3:, :rows, :columns]).predicted_depth
        return values.unsqueeze(1)

"""transformers' own pipeline on a published model, as one would run it without this package: for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...config import ModelConfig
from ...errors import ModelError
from ...frames import Prediction
from ...paths import expanded
from ..base import View
from ..hub import obtain
from .checkpoint import Checkpoint, check_licence

_TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


class PublishedPipeline:
    """`pipeline("depth-estimation")` with the weights, device and precision of `settings` (auto: f32).

    Its values are transformers' own: metres are not scaled by the camera's focal length. Raises ModelError.
    """

    def __init__(self, checkpoint: Checkpoint, settings: ModelConfig) -> None:
        import transformers

        check_licence(checkpoint, settings)
        if settings.precision == "int8":
            raise ModelError("transformers' pipeline has no int8: choose other precisions")
        self.name, self.output = checkpoint.name, checkpoint.output
        place = expanded(settings.checkpoint) if settings.checkpoint else obtain(checkpoint.hub, checkpoint.name)
        precision = "f32" if settings.precision == "auto" else settings.precision
        on_gpu = settings.device != "cpu" and torch.cuda.is_available()
        self._pipeline: Any = transformers.pipeline(
            "depth-estimation", model=str(place), dtype=_TYPES[precision], device=0 if on_gpu else -1
        )
        self.device = f"transformers' pipeline {torch.cuda.get_device_name() if on_gpu else 'CPU'} {precision}"

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        """One Prediction per view, from an image of Pillow each."""
        from PIL import Image

        values = [self._pipeline(Image.fromarray(rgb))["predicted_depth"].float().cpu().numpy() for rgb, _ in batch]
        field = "disparity" if self.output == "relative_disparity" else "depth"
        return [Prediction(**{field: each}) for each in values]

    def release_memory(self) -> None:
        """Nothing is kept between runs."""

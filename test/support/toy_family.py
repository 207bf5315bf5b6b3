"""A transformers family unknown to the package: one convolution that predicts every field of a Prediction."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mono_depth_recon.models import MODELS
from mono_depth_recon.models.base import Output
from mono_depth_recon.models.hub import HubSource
from mono_depth_recon.models.table import CHECKPOINTS, hub_spec
from mono_depth_recon.models.transformers import checkpoint
from mono_depth_recon.models.transformers.checkpoint import Checkpoint
from mono_depth_recon.models.transformers.families import FAMILIES
from mono_depth_recon.models.transformers.family import Channel, Family, Focal
from mono_depth_recon.models.transformers.input_rule import InputRule

TOY = "toy_small"
FOCAL_WIDTHS = 0.8  # its predicted focal length, over the width of the image
_CONFIG = {"model_type": "toy", "max_depth": 5}
_PROCESSOR = {"image_processor_type": "ToyImageProcessor"}


class ToyRule(InputRule):
    """64 pixels on the longer or shorter side, whichever changes the image less, in multiples of 8."""

    processor = "Toy"
    defaults: Mapping[str, Any] = {  # type: ignore[misc]
        "size": 64,
        "resample": 2,
        "ensure_multiple_of": 8,
        "keep_aspect_ratio": True,
        "do_normalize": False,
    }


class ToyFamily(Family):
    """Red is valid, blue is sky, green is confidence."""

    rule = ToyRule

    def output(self, config: Mapping[str, Any]) -> Output | None:
        return "metric_depth"

    def channels(self, config: Mapping[str, Any]) -> tuple[Channel, ...]:
        return ("values", "valid", "sky", "confidence", "focal")

    def architecture(self) -> Callable[[Mapping[str, Any]], Any] | None:
        return _toy_module

    def forward(self, model: Any, images: Any) -> Any:
        import torch

        values = torch.nn.functional.softplus(model.head(images)) + 0.5
        red, green, blue = images.split(1, dim=1)
        return torch.cat([values, red, blue, green, torch.full_like(values, FOCAL_WIDTHS)], dim=1)


def _toy_module(config: Mapping[str, Any]) -> Any:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

    class ToyConfig(PretrainedConfig):
        model_type = "toy"

    class ToyModel(PreTrainedModel):
        config_class = ToyConfig
        base_model_prefix = "toy"

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.head = torch.nn.Conv2d(3, 1, 3, padding=1)
            self.post_init()

        def _init_weights(self, module: Any) -> None:
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.normal_(module.weight, std=0.5)
                torch.nn.init.zeros_(module.bias)

    return ToyModel(ToyConfig(**config))


@contextmanager
def registered(folder: Path) -> Iterator[Checkpoint]:
    """The family and one model of it in the tables, with its committed configuration in `folder`."""
    configs = Path(shutil.copytree(checkpoint.CONFIGS, folder / "hub_configs"))
    (configs / f"{TOY}.json").write_text(json.dumps({"config": _CONFIG, "preprocessor": _PROCESSOR}))
    family = ToyFamily("toy")
    row = Checkpoint(TOY, HubSource("some/toy", "main", 2.0), family, "metric_depth", "none", True, Focal(100, None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "CONFIGS", configs)
        patch.setitem(FAMILIES, "toy", family)
        patch.setitem(CHECKPOINTS, TOY, row)
        patch.setitem(MODELS, TOY, hub_spec(row))
        yield row

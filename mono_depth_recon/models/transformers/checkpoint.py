"""One published model of a family: where its weights are, what its numbers mean, and its licence."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ...config import ModelConfig
from ...errors import ModelError
from ..base import Output
from ..hub import CONFIG, PROCESSOR, HubSource, read_json
from .family import Family, Focal

CONFIGS = Path(__file__).parents[1] / "hub_configs"


@dataclass(frozen=True)
class Checkpoint:
    """A row of the table: the weights on the hub and the family that they must be of.

    `focal` is the training camera's, None for relative models and where only the camera's own matters.
    """

    name: str
    hub: HubSource
    family: Family
    output: Output
    licence: str
    noncommercial: bool = False
    focal: Focal | None = None

    @property
    def committed(self) -> Path:
        """The published configuration and input rule, kept with their source."""
        return CONFIGS / f"{self.name}.json"

    @property
    def focal_text(self) -> str:
        """Which focal length the network assumes and how the camera's own comes in, for tables."""
        return "none: relative" if self.output == "relative_disparity" else self.family.focal_text(self.focal)


def check_licence(checkpoint: Checkpoint, settings: ModelConfig) -> None:
    """ModelError for weights that forbid commercial use, unless `model.accept_noncommercial`."""
    if checkpoint.noncommercial and not settings.accept_noncommercial:
        raise ModelError(
            f"the weights of {checkpoint.name} ({checkpoint.hub.repo}) are under {checkpoint.licence}, "
            "which forbids commercial use: set model.accept_noncommercial to true where that is right, "
            "or choose another model"
        )


def write_random_weights(checkpoint: Checkpoint, folder: Path) -> Path:
    """Writes random weights in the published architecture into `folder`, which it returns. Needs transformers."""
    import torch

    from .network import new_module

    committed = read_json(checkpoint.committed)
    torch.manual_seed(0)
    new_module(checkpoint.family, committed["config"], checkpoint.name).save_pretrained(folder)
    for file, text in ((CONFIG, committed["config"]), (PROCESSOR, committed["preprocessor"])):
        (folder / file).write_text(json.dumps(text), encoding="utf-8")
    return folder

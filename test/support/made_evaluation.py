"""An artificial evaluation for tests: models that derive depth from image colours, and plans over small recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from made_recordings import CAMERA
from numpy.typing import NDArray

from mono_depth_recon.cli import evaluate
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.datasets.opening import OpenOptions
from mono_depth_recon.errors import DataError, ModelError
from mono_depth_recon.evaluation import predictions as evaluation_predictions
from mono_depth_recon.evaluation.run import EvaluationPlan
from mono_depth_recon.frames import Prediction

BENT = CAMERA + " 0.2 -0.1 0.001 0.002"


class Model:
    """Derives depth from the colours of the image, so that equal images have equal predictions."""

    def __init__(self, name: str, tells_sigma: bool = False) -> None:
        self.name, self.asked, self.tells_sigma = name, 0, tells_sigma

    def predict(self, batch: Sequence[Any]) -> list[Prediction]:
        self.asked += 1
        depth = 1 + cv2.blur(batch[0][0].astype(np.float32), (5, 5)).mean(axis=2) / 100
        if self.name == "relative":
            return [Prediction(disparity=1 / depth, sigma=self.sigma(1 / depth))]
        if self.name == "broken" and self.asked == 2:
            depth[:] = np.nan
        if self.name == "broken" and self.asked == 3:
            raise DataError("the network gives depth that is not positive")
        return [Prediction(depth=depth, sigma=self.sigma(depth))]

    def sigma(self, values: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Grows with brightness; None unless requested."""
        return values / 10 if self.tells_sigma else None


def stand_in(monkeypatch: pytest.MonkeyPatch) -> dict[str, Model]:
    """Replaces the table of models by stand-ins (`absent` cannot be loaded); returns the loaded models by name."""
    made: dict[str, Model] = {}

    def load(settings: ModelConfig, threads: int) -> Model:
        if settings.name == "absent":
            raise ModelError("weights of absent are missing: give model.checkpoint")
        if settings.uncertainty != "none":
            return Model(settings.name, tells_sigma=True)
        return made.setdefault(settings.name, Model(settings.name))

    monkeypatch.setattr(evaluation_predictions, "load_model", load)
    monkeypatch.setattr(evaluate, "check_name", lambda name: None)
    return made


def plan(data: Path | list[Path], output: Path, *names: str, **changes: Any) -> EvaluationPlan:
    paths = data if isinstance(data, list) else [data]
    return EvaluationPlan(paths, names, output, **{"options": OpenOptions(camera=BENT), **changes})

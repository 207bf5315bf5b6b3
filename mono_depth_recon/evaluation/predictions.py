"""Where predictions come from: a model loaded on demand, or files that an earlier run kept."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..atomic import write_atomically
from ..config import Config
from ..decoding import MAX_MEGAPIXELS
from ..errors import DAMAGED_NPZ, DataError, ModelError, MonoDepthError
from ..frames import Prediction, Sample
from ..models import DepthModel, load_model
from ..models.base import PromptedView, View
from ..models.runtimes.images import image_runtime
from ..npz import names_of, read_array
from ..paths import regular_file
from .plan import ModelChoice, folder_of, prompt_size
from .simulated_sensors import coarse_depth

_MODEL_MS = "model_ms"
_BATCH = 8
_KEPT = {field.name for field in fields(Prediction)} - {"finished", "held"}  # the rest are arrays
_LARGEST = int(MAX_MEGAPIXELS * 4e6)  # bytes of a map


class Predictor(Protocol):
    """Predicts frames: a model or a baseline. Baselines ignore the image and are not kept on disk."""

    label: str
    baseline: bool

    def prepare(self) -> None:
        """Loads what the first prediction needs, so that it is not timed. Raises a MonoDepthError."""

    def unload(self) -> None:
        """Frees memory until the next prediction."""

    def predict(self, sample: Sample) -> Prediction:
        """The prediction of one rectified frame. Raises a MonoDepthError."""

    @property
    def batch(self) -> int:
        """How many frames are predicted fastest in one run, as far as it is known."""

    def predict_batch(self, samples: Sequence[Sample]) -> list[Prediction]:
        """The predictions of rectified frames in one run. Raises a MonoDepthError."""


class LazyModel:
    """A model that loads when the first missing prediction is needed; if that fails, every frame raises the error.

    `config` is shared by all models; `uncertainty` replaces its kind of sigma.
    """

    baseline = False

    def __init__(self, config: Config, choice: ModelChoice, uncertainty: str = "") -> None:
        self.label = choice.label
        self._prompt = prompt_size(choice.prompt) if choice.prompt else None
        self.config = choice.config(config)
        if uncertainty:
            self.config = replace(self.config, model=replace(self.config.model, uncertainty=uncertainty))
        self._model: DepthModel | None = None
        self._failure: MonoDepthError | None = None

    def loaded(self) -> DepthModel:
        """The model. Raises a MonoDepthError."""
        if self._failure is not None:
            raise self._failure
        if self._model is None:
            try:
                self._model = load_model(self.config.model, self.config.cpu_threads)
            except MonoDepthError as error:
                self._failure = error
                raise
        return self._model

    def prepare(self) -> None:
        """Loads the model. Raises a MonoDepthError."""
        self.loaded()

    def unload(self) -> None:
        """Drops the model until it is needed again: several large ones may not fit in memory together."""
        self._model = None

    def predict(self, sample: Sample) -> Prediction:
        """The prediction of one rectified frame. ModelError also for errors of a runtime (memory, a kernel)."""
        return self._predicted([sample])[0]

    @property
    def batch(self) -> int:
        """Several where the loaded model's runtime takes images, as on a GPU; else one."""
        return 1 if image_runtime(getattr(self._model, "runtime", None)) is None else _BATCH

    def predict_batch(self, samples: Sequence[Sample]) -> list[Prediction]:
        """As `predict`, of several frames in one run."""
        return self._predicted(samples)

    def _predicted(self, samples: Sequence[Sample]) -> list[Prediction]:
        model = self.loaded()
        try:
            return model.predict([self._view(sample) for sample in samples])
        except (RuntimeError, MemoryError) as error:  # of torch, OpenVINO and ONNX Runtime
            raise ModelError(f"{self.label} failed on this frame: {' '.join(str(error).split())[:300]}") from error

    def _view(self, sample: Sample) -> View:
        view: View = (sample.rgb, sample.camera)
        return view if self._prompt is None else PromptedView.of(view, coarse_depth(sample, *self._prompt))


def prediction_path(output: Path, recording: str, model: str, frame: str) -> Path:
    """The file of the prediction of a frame (named as in per_frame.csv); baselines have none."""
    return output / "predictions" / recording / folder_of(model) / f"{frame}.npz"


def write_prediction(path: Path, prediction: Prediction, milliseconds: float = 0.0) -> None:
    """Writes the fields of a prediction that are not None to an .npz file, atomically, with the time it took."""
    maps: dict[str, Any] = {name: value for name, value in vars(prediction).items() if value is not None}
    stream = io.BytesIO()
    maps[_MODEL_MS] = np.float64(milliseconds)
    np.savez(stream, **maps)
    write_atomically(path, [stream.getvalue()])


def read_prediction(path: Path) -> Prediction:
    """A kept prediction. DataError if the file is not one."""
    return read_kept(path)[0]


def read_kept(path: Path) -> tuple[Prediction, float]:
    """A kept prediction and the ms that it took. DataError if the file is not one."""
    try:
        with zipfile.ZipFile(regular_file(path)) as archive:
            names = names_of(archive)
            if unknown := sorted(set(names) - {_MODEL_MS, *_KEPT}):
                raise ValueError(f"a prediction has no {unknown[0]}")
            maps: dict[str, Any] = {name: read_array(archive, name, _LARGEST) for name in names}
            milliseconds = float(maps.pop(_MODEL_MS, 0.0))
            return Prediction(**maps), milliseconds
    except (OSError, *DAMAGED_NPZ) as error:
        raise DataError(f"{path}: expected a kept prediction ({error}): delete it to compute it again") from error

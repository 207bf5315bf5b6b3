"""Models x recordings -> scores: predictions kept on disk, a row per frame, means per model and protocol.

What is in `predictions/` is not computed again: a run that was killed goes on where it stopped, and scoring can be
repeated without a model. A recording, model or frame that fails is a row with its reason.
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from .arrays import Depth
from .atomic import writable_folder, write_atomically
from .config import Config, with_values
from .datasets.opening import OpenOptions, open_dataset
from .datasets.recording import Recording
from .errors import ConfigError, DataError, MonoDepthError
from .frames import Prediction, Sample
from .metrics_protocols import PROTOCOLS, score
from .metrics_sequence import SequenceErrors, SequenceMeter
from .models import DepthModel, load_model


@dataclass(frozen=True)
class EvaluationPlan:
    """What is evaluated: every model on every recording, into the folder `output`.

    `first` to `last` choose frames by position in the recording (-1: to the end), `stride` every n-th of them. Frames
    are rectified before the model sees them and truth is moved by the same map, whatever `options.rectified` says.
    """

    data: Sequence[Path]
    models: Sequence[str]
    output: Path
    protocols: Sequence[str] = tuple(PROTOCOLS)
    options: OpenOptions = field(default_factory=OpenOptions)
    config: Config = field(default_factory=Config)
    first: int = 0
    last: int = -1
    stride: int = 1

    def __post_init__(self) -> None:
        unknown = [name for name in self.protocols if name not in PROTOCOLS]
        if unknown:
            raise ConfigError(f"protocols must be of {', '.join(PROTOCOLS)}, got '{unknown[0]}'")
        if not self.data or not self.models or not self.protocols or self.stride < 1:
            raise ConfigError("expected recordings, models, protocols and a stride of at least 1")
        names = [recording_name(path) for path in self.data]
        if len(set(names)) < len(names):
            raise ConfigError(f"recordings must differ in their names, got {', '.join(names)}")


@dataclass(frozen=True)
class FrameRow:
    """One frame of one model under one protocol; `reason` is empty unless it failed. Times in ms, 0 where kept."""

    recording: str
    model: str
    protocol: str
    frame: str
    stamp: float
    figures: dict[str, float]
    coverage: float = 0.0
    model_ms: float = 0.0
    score_ms: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Progress:
    """How far it is: frames done of all, frames per second, seconds left at this rate."""

    done: int
    of: int
    rate: float
    remaining_s: float
    recording: str
    model: str


@dataclass(frozen=True)
class Evaluation:
    """All rows, the figures over each sequence by (recording, model, protocol), and remarks of the recordings."""

    rows: list[FrameRow]
    sequences: dict[tuple[str, str, str], SequenceErrors]
    notes: list[str]


def recording_name(path: Path) -> str:
    """The name of a recording in tables and folders: its file without the ending."""
    return path.name.split(".")[0] or path.name


def evaluate(plan: EvaluationPlan, progress: Callable[[Progress], None] = lambda _: None) -> Evaluation:
    """Evaluates all of the plan. Raises ConfigError where `output` holds results of other settings, DataError where it
    cannot be written.
    """
    folder = writable_folder(plan.output)
    _remember(folder / "config.yaml", plan)
    evaluation = Evaluation([], {}, [])
    opened = [_open(path, plan, evaluation) for path in plan.data]
    meter = _Meter(progress, len(plan.models) * sum(len(_chosen(r, plan)) for r in opened if r is not None))
    try:
        for name in plan.models:
            model = _LazyModel(plan.config, name)
            for path, recording in zip(plan.data, opened, strict=True):
                if recording is not None:
                    _evaluate_one(plan, recording_name(path), recording, model, evaluation, meter)
    finally:
        for recording in opened:
            if recording is not None:
                recording.close()
    return evaluation


class _LazyModel:
    """A model that loads when the first prediction is missing; what is wrong with it is said for every frame."""

    def __init__(self, config: Config, name: str) -> None:
        self.name = name
        self._config = with_values(config, {"model.name": name})
        self._model: DepthModel | None = None
        self._failure: MonoDepthError | None = None

    def predict(self, sample: Sample) -> Prediction:
        """The prediction of one rectified frame. Raises a MonoDepthError."""
        if self._failure is not None:
            raise self._failure
        if self._model is None:
            try:
                self._model = load_model(self._config.model, self._config.cpu_threads)
            except MonoDepthError as error:
                self._failure = error
                raise
        return self._model.predict([(sample.rgb, sample.camera)])[0]


class _Meter:
    def __init__(self, tell: Callable[[Progress], None], of: int) -> None:
        self._tell, self._of, self._done, self._begin = tell, of, 0, time.monotonic()

    def step(self, recording: str, model: str) -> None:
        """One frame more."""
        self._done += 1
        rate = self._done / max(time.monotonic() - self._begin, 1e-9)
        self._tell(Progress(self._done, self._of, rate, (self._of - self._done) / rate, recording, model))


def _open(path: Path, plan: EvaluationPlan, evaluation: Evaluation) -> Recording | None:
    try:
        recording = open_dataset(path, replace(plan.options, rectified=True, need_depth=True))
    except MonoDepthError as error:
        evaluation.rows.extend(FrameRow(recording_name(path), model, protocol, "", 0.0, {}, reason=str(error))
                               for model in plan.models for protocol in plan.protocols)
        return None
    evaluation.notes.extend(recording.notes)
    return recording


def _chosen(recording: Recording, plan: EvaluationPlan) -> list[int]:
    positions = recording.positions
    last = plan.last if plan.last >= 0 else positions[-1]
    return [i for i, position in enumerate(positions) if plan.first <= position <= last][:: plan.stride]


def _evaluate_one(plan: EvaluationPlan, name: str, recording: Recording, model: _LazyModel, evaluation: Evaluation,
                  meter: _Meter) -> None:
    folder = writable_folder(plan.output / "predictions" / name / model.name.replace("/", "_"))
    sequences = {protocol: SequenceMeter() for protocol in plan.protocols if protocol != "paper"}
    for i in _chosen(recording, plan):
        stamp = recording.stamps[i]
        try:
            sample = recording[i]
            prediction, seconds = _predicted(folder / f"{stamp:.6f}.npz", sample, model)
        except MonoDepthError as error:
            evaluation.rows.extend(FrameRow(name, model.name, protocol, f"{stamp:.6f}", stamp, {}, reason=str(error))
                                   for protocol in plan.protocols)
        else:
            evaluation.rows.extend(_scored(plan, name, model.name, sample, prediction, 1e3 * seconds, sequences))
        meter.step(name, model.name)
    evaluation.sequences.update({(name, model.name, protocol): each.result() for protocol, each in sequences.items()})


def _scored(plan: EvaluationPlan, name: str, model: str, sample: Sample, prediction: Prediction, model_ms: float,
            sequences: dict[str, SequenceMeter]) -> Iterator[FrameRow]:
    frame = f"{sample.stamp:.6f}"
    assert sample.depth is not None  # recordings are opened with need_depth
    for protocol in plan.protocols:
        begin = time.perf_counter()
        try:
            made = score(prediction, sample.depth, PROTOCOLS[protocol])
        except DataError as error:
            yield FrameRow(name, model, protocol, frame, sample.stamp, {}, model_ms=model_ms, reason=str(error))
            continue
        if protocol in sequences:
            sequences[protocol].add(made.aligned, sample.depth, made.mask, sample.stamp)
        yield FrameRow(name, model, protocol, frame, sample.stamp, made.figures, made.coverage, model_ms,
                       1e3 * (time.perf_counter() - begin))


def _predicted(path: Path, sample: Sample, model: _LazyModel) -> tuple[Prediction, float]:
    """The kept prediction of a frame, else the model's, which is kept; and the seconds that the model took."""
    if path.is_file():
        return read_prediction(path), 0.0
    begin = time.perf_counter()
    prediction = model.predict(sample)
    seconds = time.perf_counter() - begin
    write_prediction(path, prediction)
    return prediction, seconds


def write_prediction(path: Path, prediction: Prediction) -> None:
    """Keeps a prediction as .npz with those of depth, disparity and sigma (H, W) float32 that it has; whole or not."""
    maps: dict[str, Depth] = {name: value for name, value in vars(prediction).items() if value is not None}
    stream = io.BytesIO()
    np.savez(stream, **maps)  # type: ignore[arg-type]
    write_atomically(path, [stream.getvalue()])


def read_prediction(path: Path) -> Prediction:
    """A kept prediction. DataError where the file is none."""
    try:
        with np.load(path) as maps:
            return Prediction(**{name: maps[name] for name in maps.files})
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: expected a kept prediction ({error}): delete it to compute it again") from error


def _remember(path: Path, plan: EvaluationPlan) -> None:
    """Writes what the predictions depend on, or checks that it is the same: they may be kept from another run."""
    import yaml

    settings = {"options": asdict(plan.options), "config": asdict(plan.config)}
    told = {"data": [str(p) for p in plan.data], "models": list(plan.models), "protocols": list(plan.protocols),
            "first": plan.first, "last": plan.last, "stride": plan.stride}
    if path.is_file():
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
        known = {recording_name(Path(p)): p for p in before["data"]}
        moved = [p for p in map(str, plan.data) if known.get(recording_name(Path(p)), p) != p]
        if {name: before[name] for name in settings} != settings or moved:
            raise ConfigError(f"{path.parent} holds predictions of other settings or data (see {path.name}): choose "
                              "another folder")
    text = yaml.safe_dump({**told, **settings}, sort_keys=False, allow_unicode=True)
    write_atomically(path, [text.encode()])

"""Models x recordings -> scores: predictions kept on disk, a row per frame, means per model and protocol.

What is in `predictions/` is not computed again: a run that was killed goes on where it stopped, and scoring can be
repeated without a model. A recording, model or frame that fails is a row with its reason.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from ..atomic import writable_folder, write_atomically
from ..datasets.dataset import Dataset
from ..datasets.opening import OpenOptions, open_dataset
from ..errors import ConfigError, DataError, MonoDepthError
from ..frames import Prediction, Sample
from ..metrics.sequence import SequenceErrors, SequenceMeter
from ..text import read_text
from .baselines import baselines_of
from .plan import EvaluationPlan, recording_name
from .predictions import LazyModel, Predictor, prediction_path, read_kept, read_prediction, write_prediction
from .scoring import CHUNK, Chunk, ChunkScores, FrameRow, OrderedPool, ToScore, score_chunk

__all__ = [
    "Evaluation",
    "EvaluationPlan",
    "EvaluationRun",
    "FrameRow",
    "Progress",
    "evaluate",
    "prediction_path",
    "read_prediction",
    "recording_name",
    "score_run",
    "write_prediction",
]

Key = tuple[str, str, str]  # recording, model, protocol

_RECENT = 21  # times that the shown rate is of


@dataclass(frozen=True)
class Progress:
    """How far it is: frames done of all, frames per second, seconds left at this rate; `part` of the evaluation."""

    done: int
    of: int
    rate: float
    remaining_s: float
    recording: str
    model: str
    part: str = ""


@dataclass
class Seconds:
    """Wall time in seconds: `predicting` by models, `preparing` them, `whole` with reading, scoring and keeping."""

    predicting: float = 0.0
    preparing: float = 0.0
    whole: float = 0.0

    def text(self) -> str:
        """One line for people, empty where no model ran."""
        if not self.predicting:
            return ""
        share = (self.whole - self.preparing - self.predicting) / self.predicting
        return (
            f"{self.whole:.1f} s, of which the models took {self.predicting:.1f} s and loading them "
            f"{self.preparing:.1f} s: evaluation adds {100 * share:.1f} % to inference"
        )


@dataclass(frozen=True)
class Evaluation:
    """All rows, the figures over each sequence, remarks of the recordings, and which of the models are baselines."""

    rows: list[FrameRow] = field(default_factory=list)
    sequences: dict[Key, SequenceErrors] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    baselines: tuple[str, ...] = ()
    seconds: Seconds = field(default_factory=Seconds)


class Meter:
    """Tells progress through steps of one part of an evaluation; the rate is that of the last steps, because those
    that an earlier run has kept take no time.
    """

    def __init__(self, tell: Callable[[Progress], None], of: int, part: str = "") -> None:
        self._tell, self._of, self._part, self._done = tell, of, part, 0
        self._times = deque([time.monotonic()], maxlen=_RECENT)

    def step(self, recording: str, model: str) -> None:
        """One frame more."""
        self._done += 1
        self._times.append(time.monotonic())
        rate = (len(self._times) - 1) / max(self._times[-1] - self._times[0], 1e-9)
        self._tell(Progress(self._done, self._of, rate, (self._of - self._done) / rate, recording, model, self._part))


class EvaluationRun:
    """Recordings and models of a plan, opened together; `evaluate` and the studies work on it. Use it by `with`.

    Raises ConfigError where the output folder holds results of other settings, DataError where it cannot be written or
    the baselines cannot be made. What is wrong with a recording is in `failures`.
    """

    def __init__(self, plan: EvaluationPlan, tell: Callable[[Progress], None] = lambda _: None) -> None:
        self.plan = plan
        self.folder = writable_folder(plan.output)
        _remember(self.folder / "config.yaml", plan)
        self.failures: dict[str, str] = {}
        self.notes: list[str] = []
        self.models = [LazyModel(plan.config, choice) for choice in plan.choices]
        known = [] if plan.baselines is None else baselines_of(plan.baselines, plan.options)
        self.predictors: list[Predictor] = [*known, *self.models]
        self._tell = tell
        self.seconds = Seconds()
        self.recordings: dict[str, Dataset] = {}
        with ThreadPoolExecutor(plan.workers) as threads:
            for path, opened in zip(plan.data, threads.map(self._opened, plan.data), strict=True):
                self._enter(path, opened)
        if not self.recordings and not self.failures:
            raise ConfigError(f"no recording has a frame of stamp {plan.frame}")

    def __enter__(self) -> EvaluationRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the recordings back."""
        for recording in self.recordings.values():
            recording.close()

    def _opened(self, path: Path) -> Dataset | MonoDepthError:
        try:
            return open_dataset(path, replace(self.plan.options, rectified=True, need_depth=True))
        except MonoDepthError as error:
            return error

    def _enter(self, path: Path, opened: Dataset | MonoDepthError) -> None:
        if isinstance(opened, MonoDepthError):
            self.failures[recording_name(path)] = str(opened)
            return
        self.notes.extend(opened.notes)
        if "." in self.plan.frame and not self.plan.chosen(opened):  # a stamp is that of one recording
            self.notes.append(f"{path}: left out, it has no frame of stamp {self.plan.frame}")
            opened.close()
            return
        if not self.plan.chosen(opened):
            self.failures[recording_name(path)] = (
                f"{path}: no frame is chosen of positions {opened.positions[0]} to "
                f"{opened.positions[-1]}{_span(opened)}"
            )
            opened.close()
            return
        self.recordings[recording_name(path)] = opened

    def meter(self, of: int, part: str = "") -> Meter:
        """Progress of a part of `of` steps."""
        return Meter(self._tell, of, part)

    def prediction(self, recording: str, frame: str, sample: Sample, predictor: Predictor) -> tuple[Prediction, float]:
        """The kept or new prediction of a frame of a recording, and the ms it took when it was made."""
        path = prediction_path(self.folder, recording, predictor.label, frame)
        if predictor.baseline:
            return predictor.predict(sample), 0.0
        if path.is_file():
            return read_kept(path)
        writable_folder(path.parent)
        begin = time.perf_counter()
        predictor.prepare()
        prepared = time.perf_counter()
        prediction = predictor.predict(sample)
        done = time.perf_counter()
        self.seconds.preparing += prepared - begin
        self.seconds.predicting += done - prepared
        write_prediction(path, prediction, 1e3 * (done - prepared))
        return prediction, 1e3 * (done - prepared)

    def failed_rows(self) -> list[FrameRow]:
        """A row for every recording that cannot be opened."""
        return [
            FrameRow(name, predictor.label, protocol, "", {}, reason=reason)
            for name, reason in self.failures.items()
            for predictor in self.predictors
            for protocol in self.plan.protocols_of(None)
        ]


def evaluate(plan: EvaluationPlan, progress: Callable[[Progress], None] = lambda _: None) -> Evaluation:
    """Evaluates all of the plan. Raises as EvaluationRun does."""
    with EvaluationRun(plan, progress) as run:
        return score_run(run)


def score_run(run: EvaluationRun) -> Evaluation:
    """The 2D scores of every frame, model and protocol."""
    evaluation = Evaluation(
        run.failed_rows(),
        notes=run.notes,
        baselines=tuple(each.label for each in run.predictors if each.baseline),
        seconds=run.seconds,
    )
    begin = time.perf_counter()
    meters: dict[Key, SequenceMeter] = {}
    steps = len(run.predictors) * sum(len(run.plan.chosen(each)) for each in run.recordings.values())
    meter = run.meter(steps)
    with OrderedPool(run.plan.workers) as pool:
        for predictor in run.predictors:
            for name in run.recordings:
                for chunk in _chunks(run, name, predictor, meter):
                    _collect(pool.submit(score_chunk, chunk), evaluation, meters)
            predictor.unload()
        _collect(pool.finish(), evaluation, meters)
    run.seconds.whole += time.perf_counter() - begin
    evaluation.sequences.update({key: each.result() for key, each in meters.items()})
    return evaluation


def _collect(scores: Sequence[ChunkScores], evaluation: Evaluation, meters: dict[Key, SequenceMeter]) -> None:
    for made in scores:
        evaluation.rows.extend(made.rows)
        for protocol, meter in made.meters.items():
            meters.setdefault((made.recording, made.model, protocol), SequenceMeter()).extend(meter)


def _chunks(run: EvaluationRun, name: str, predictor: Predictor, meter: Meter) -> Iterator[Chunk]:
    """The frames of a recording with their predictions, a few at a time."""
    recording, frames = run.recordings[name], list[ToScore]()
    chosen, names, stamps = run.plan.chosen(recording), recording.frame_names(), recording.stamps
    protocols = run.plan.protocols_of(recording)
    for i, sample in zip(chosen, recording.samples(chosen), strict=True):
        unscored = ToScore(names[i], None if stamps is None else stamps[i])
        frames.append(_to_score(run, name, unscored, sample, predictor))
        meter.step(name, predictor.label)
        if len(frames) == CHUNK or i == chosen[-1]:
            yield Chunk(name, predictor.label, protocols, frames, flat=predictor.baseline)
            frames = []


def _to_score(
    run: EvaluationRun, name: str, unscored: ToScore, sample: Sample | MonoDepthError, predictor: Predictor
) -> ToScore:
    if isinstance(sample, MonoDepthError):
        return replace(unscored, reason=str(sample))
    try:
        prediction, milliseconds = run.prediction(name, unscored.frame, sample, predictor)
    except MonoDepthError as error:
        return replace(unscored, reason=str(error))
    return replace(unscored, prediction=prediction, truth=sample.depth, model_ms=milliseconds)


def _span(dataset: Dataset) -> str:
    """The first and the last stamp, for messages."""
    stamps = dataset.stamps
    return "" if stamps is None else f", stamps {stamps[0]:.6f} to {stamps[-1]:.6f}"


def _remember(path: Path, plan: EvaluationPlan) -> None:
    """Writes what the predictions depend on, or checks that it is the same: they may be kept from another run."""
    import yaml

    own = ("name", "checkpoint", "output")  # of each model
    settings = {
        "options": asdict(plan.options),
        "model": {name: value for name, value in asdict(plan.config.model).items() if name not in own},
    }
    asked = {
        "data": [str(p) for p in plan.data],
        "models": list(plan.models),
        "protocols": list(plan.protocols),
        "first": plan.first,
        "last": plan.last,
        "stride": plan.stride,
        "frame": plan.frame,
        "ranges": {name: list(ends) for name, ends in plan.ranges.items()},
        "study_frames": plan.study_frames,
        "baselines": None if plan.baselines is None else {**asdict(plan.baselines), "path": str(plan.baselines.path)},
    }
    kept: dict[str, dict[str, Any]] = {
        "recordings": {recording_name(p): str(p) for p in plan.data},
        "models": {
            each.label: {
                "name": each.name,
                "output": each.config(plan.config).model.output,
                "weights": each.fingerprint(plan.config),
            }
            for each in plan.choices
        },
    }
    kept = _with_earlier(path, settings, kept)
    text = yaml.safe_dump({**asked, **settings, "kept": kept}, sort_keys=False, allow_unicode=True)
    write_atomically(path, [text.encode()])


def _with_earlier(
    path: Path, settings: dict[str, dict[str, Any]], kept: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """`kept` and what an earlier run has kept beside it. Raises ConfigError where that depends on something else."""
    import yaml

    if not path.is_file():
        return kept
    try:
        before = yaml.safe_load(read_text(path))
    except (OSError, ValueError, yaml.YAMLError) as error:
        text = " ".join(str(error).split())
        raise DataError(
            f"{path} cannot be read as the settings of an earlier run ({text}): choose another folder"
        ) from error
    earlier = before.get("kept", {}) if isinstance(before, dict) else {}
    had = {}
    if earlier:
        options = {**asdict(OpenOptions()), **before.get("options", {})}  # an earlier version has fewer
        had = {"options": options, "model": before.get("model")}
    clashes = [
        name
        for group, known in kept.items()
        for name, value in known.items()
        if earlier.get(group, {}).get(name, value) != value
    ]
    if had != settings or clashes:
        what = f" ({', '.join(clashes)} changed)" if clashes else ""
        raise ConfigError(
            f"{path.parent} holds predictions of other settings or data{what} (see {path.name}): choose another folder"
        )
    return {group: {**earlier.get(group, {}), **known} for group, known in kept.items()}

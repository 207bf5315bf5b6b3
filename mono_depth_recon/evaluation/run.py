"""Models x recordings -> scores: predictions kept on disk, a row per frame, means per model and protocol.

Predictions found in `predictions/` are not computed again: a killed run resumes where it stopped, and scoring can be
repeated without a model. A recording, model or frame that fails becomes a row with the reason.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from ..atomic import writable_folder, write_atomically
from ..config import read_yaml
from ..datasets.dataset import Dataset, Part
from ..datasets.opening import OpenOptions, open_dataset
from ..errors import ConfigError, DataError, MonoDepthError
from ..frames import Prediction, Sample
from ..metrics.sequence import SequenceErrors, SequenceMeter
from .baselines import baselines_of
from .plan import EvaluationPlan, recording_name
from .predictions import LazyModel, Predictor, prediction_path, read_kept, read_prediction, write_prediction
from .scoring import CHUNK, Chunk, ChunkScores, FrameRow, OrderedPool, UnscoredFrame, score_chunk

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

_PROMPTED = "{} is given the true depth at that size: its figures say nothing beside those of models without"
_RECENT = 21  # steps over which the shown rate is averaged


@dataclass(frozen=True)
class Progress:
    """Frames done and in total, frames per second, seconds left at this rate, and the `part` of the evaluation."""

    done: int
    of: int
    rate: float
    remaining_s: float
    recording: str
    model: str
    part: str = ""


@dataclass
class Seconds:
    """Wall time in seconds: `predicting`, `preparing` (loading models), `whole` with reading, scoring, saving."""

    predicting: float = 0.0
    preparing: float = 0.0
    whole: float = 0.0

    def text(self) -> str:
        """One line for the screen, empty if no model ran."""
        if not self.predicting:
            return ""
        share = (self.whole - self.preparing - self.predicting) / self.predicting
        return (
            f"{self.whole:.1f} s, of which the models took {self.predicting:.1f} s and loading them "
            f"{self.preparing:.1f} s: evaluation adds {100 * share:.1f} % to inference"
        )


@dataclass(frozen=True)
class Evaluation:
    """All rows, the figures over each sequence, notes about the recordings, and the names of the baselines.

    `benchmarks` names the published figures (`metrics.published`) of those recordings that are a test part.
    """

    rows: list[FrameRow] = field(default_factory=list)
    sequences: dict[Key, SequenceErrors] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    baselines: tuple[str, ...] = ()
    benchmarks: dict[str, str] = field(default_factory=dict)
    seconds: Seconds = field(default_factory=Seconds)


class Meter:
    """Reports progress through the steps of one part of an evaluation.

    The rate is that of the last steps, because frames kept by an earlier run take no time.
    """

    def __init__(self, report: Callable[[Progress], None], of: int, part: str = "") -> None:
        self._report, self._of, self._part, self._done = report, of, part, 0
        self._times = deque([time.monotonic()], maxlen=_RECENT)

    def step(self, recording: str, model: str) -> None:
        """One more frame is done."""
        self._done += 1
        self._times.append(time.monotonic())
        rate = (len(self._times) - 1) / max(self._times[-1] - self._times[0], 1e-9)
        self._report(Progress(self._done, self._of, rate, (self._of - self._done) / rate, recording, model, self._part))


class EvaluationRun:
    """The opened recordings and the models of a plan, for `evaluate` and the studies. A context manager.

    Raises ConfigError if the output folder holds results of other settings, DataError if it cannot be written or
    the baselines cannot be made. `failures` has the errors of recordings by name.
    """

    def __init__(self, plan: EvaluationPlan, progress: Callable[[Progress], None] = lambda _: None) -> None:
        self.plan = plan
        self.folder = writable_folder(plan.output)
        _record_settings(self.folder / "config.yaml", plan)
        self.failures: dict[str, str] = {}
        self.notes: list[str] = []
        self.models = [LazyModel(plan.config, choice) for choice in plan.choices]
        self.notes += [_PROMPTED.format(each.label) for each in plan.choices if each.prompt]
        known = [] if plan.baselines is None else baselines_of(plan.baselines, plan.options)
        self.predictors: list[Predictor] = [*known, *self.models]
        self._progress = progress
        self.seconds = Seconds()
        self.recordings: dict[str, Dataset] = {}
        with ThreadPoolExecutor(plan.workers) as threads:
            for path, opened in zip(plan.data, threads.map(self._opened, plan.data), strict=True):
                self._add(path, opened)
        if not self.recordings and not self.failures:
            raise ConfigError(f"no recording has a frame of stamp {plan.frame}")

    def __enter__(self) -> EvaluationRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the recordings."""
        for recording in self.recordings.values():
            recording.close()

    def _opened(self, path: Path) -> Dataset | MonoDepthError:
        try:
            return open_dataset(path, replace(self.plan.options, rectified=True, need_depth=True))
        except MonoDepthError as error:
            return error

    def _add(self, path: Path, opened: Dataset | MonoDepthError) -> None:
        if isinstance(opened, MonoDepthError):
            self.failures[recording_name(path)] = str(opened)
            return
        self.notes.extend(opened.notes)
        if "." in self.plan.frame and not self.plan.chosen(opened):  # a stamp belongs to one recording
            self.notes.append(f"{path}: left out, it has no frame of stamp {self.plan.frame}")
            opened.close()
            return
        if not self.plan.chosen(opened):
            self.failures[recording_name(path)] = (
                f"{path}: no frame is selected from positions {opened.positions[0]} to "
                f"{opened.positions[-1]}{_span(opened)}"
            )
            opened.close()
            return
        self.recordings[recording_name(path)] = opened

    def meter(self, of: int, part: str = "") -> Meter:
        """Progress of a part of `of` steps."""
        return Meter(self._progress, of, part)

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

    def predict_ahead(self, recording: str, samples: Mapping[str, Sample], predictor: Predictor) -> None:
        """Keeps the predictions of those frames that have none, made in one run.

        Where that fails, as for lack of memory, a note says so, and `prediction` takes them one by one.
        """
        paths = {frame: prediction_path(self.folder, recording, predictor.label, frame) for frame in samples}
        missing = [frame for frame, path in paths.items() if not path.is_file()]
        if len(missing) < 2:
            return
        begin = time.perf_counter()
        try:
            made = predictor.predict_batch([samples[frame] for frame in missing])
        except MonoDepthError as error:
            note = f"{predictor.label}: {len(missing)} frames in one run failed, they are predicted one by one: {error}"
            if note not in self.notes:
                self.notes.append(note)
            return
        seconds = time.perf_counter() - begin
        self.seconds.predicting += seconds
        for frame, prediction in zip(missing, made, strict=True):
            write_prediction(paths[frame], prediction, 1e3 * seconds / len(missing))

    def failed_rows(self) -> list[FrameRow]:
        """A row for every recording that cannot be opened."""
        return [
            FrameRow(name, predictor.label, protocol, "", {}, reason=reason)
            for name, reason in self.failures.items()
            for predictor in self.predictors
            for protocol in self.plan.protocols_of(None)
        ]


def evaluate(plan: EvaluationPlan, progress: Callable[[Progress], None] = lambda _: None) -> Evaluation:
    """Runs the whole plan. Raises as EvaluationRun does."""
    with EvaluationRun(plan, progress) as run:
        return score_run(run)


def score_run(run: EvaluationRun) -> Evaluation:
    """The 2D scores of every frame, model and protocol."""
    evaluation = Evaluation(
        run.failed_rows(),
        notes=run.notes,
        baselines=tuple(each.label for each in run.predictors if each.baseline),
        benchmarks={
            name: each.benchmark
            for name, each in run.recordings.items()
            if isinstance(each, Part) and each.benchmark  # a whole set holds training frames
        },
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
    recording, frames = run.recordings[name], list[UnscoredFrame]()
    chosen, names, stamps = run.plan.chosen(recording), recording.frame_names(), recording.stamps
    protocols = run.plan.protocols_of(recording)
    samples = zip(chosen, recording.samples(chosen), strict=True)
    while part := list(islice(samples, min(predictor.batch, CHUNK - len(frames)))):
        if len(part) > 1:
            good = {names[i]: sample for i, sample in part if not isinstance(sample, MonoDepthError)}
            run.predict_ahead(name, good, predictor)
        for i, sample in part:
            unscored = UnscoredFrame(names[i], None if stamps is None else stamps[i])
            frames.append(_with_prediction(run, name, unscored, sample, predictor))
            meter.step(name, predictor.label)
        if len(frames) == CHUNK:
            yield Chunk(name, predictor.label, protocols, frames, flat=predictor.baseline)
            frames = []
    if frames:
        yield Chunk(name, predictor.label, protocols, frames, flat=predictor.baseline)


def _with_prediction(
    run: EvaluationRun, name: str, unscored: UnscoredFrame, sample: Sample | MonoDepthError, predictor: Predictor
) -> UnscoredFrame:
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


def _record_settings(path: Path, plan: EvaluationPlan) -> None:
    """Writes the settings on which predictions depend, after checking that those of an earlier run are the same."""
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
        **plan.selection,
        "prompt": plan.prompt,
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
    """`kept` merged with that of an earlier run. Raises ConfigError if that depends on other settings."""
    if not path.is_file():
        return kept
    earlier, had = _read_earlier(path)
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


def _read_earlier(path: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """What an earlier run kept, by group, and the settings it depended on; nothing where it kept nothing."""
    try:
        before = read_yaml(path, "settings")
        if not isinstance(before, dict) or not before.get("kept"):
            return {}, {}
        kept, options = (_mapping(before.get(name, {}), name) for name in ("kept", "options"))
        groups = {name: _mapping(group, f"kept.{name}") for name, group in kept.items()}
    except ConfigError as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path} cannot be read as the settings of an earlier run ({reason}): choose another folder"
        ) from error
    return groups, {"options": {**asdict(OpenOptions()), **options}, "model": before.get("model")}  # had fewer options


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{name} must be a mapping, got {type(value).__name__}")
    return value

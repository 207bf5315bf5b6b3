"""The frames shown in a report: chosen by a stated rule, read again from recording and kept predictions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth
from ..datasets.dataset import MAX_DEPTH_M, Dataset
from ..datasets.opening import open_dataset
from ..errors import DataError, MonoDepthError
from ..evaluation.run import prediction_path, read_prediction, recording_name
from ..frames import Prediction, Sample
from ..metrics.depth import affine_fit, depth_of_affine
from ..metrics.image import min_max_scaled
from ..pictures.comparison import relative_error
from .parts import opening_options
from .results import Results, lacks_metres

_ORDER_BY = (
    *((protocol, "abs_rel") for protocol in ("affine", "nyu", "kitti", "median", "metric")),
    ("paper", "rmse"),
)
_AVERAGED = 40  # frames in the mean errors
_SCATTERED = 500


@dataclass(frozen=True)
class Choice:
    """Frames to show, name to reason ('best', 'frame 3 of 20'), and the rule that chose them, in words."""

    reasons: dict[str, str]
    rule: str


@dataclass(frozen=True)
class ShownFrame:
    """A chosen frame: metres (H, W) of each model as compared, up to `max_range`, or the reason why there are none."""

    name: str
    reason: str
    sample: Sample
    truth: Depth
    depths: dict[str, Depth]
    missing: dict[str, str]
    max_range: float = MAX_DEPTH_M

    @property
    def caption(self) -> str:
        """The stamp, or the frame's position and name in a data set without stamps."""
        return f"stamp {self.name} s" if "." in self.name else f"frame {int(self.name)}: {self.sample.name}"


@dataclass
class Scatter:
    """Pixels (N,) of one frame: true metres, disparity scaled to [0, 1], and metres after alignment.

    `r2` are means over `frames` frames: 'paper' as in the paper, 'affine' the same predictions after alignment.
    """

    truth: NDArray[np.float64]
    output: NDArray[np.float64]
    aligned: NDArray[np.float64]
    r2: dict[str, float] = field(default_factory=dict)
    frames: int = 0


@dataclass
class RecordingFrames:
    """The frames, mean errors and scatter plots of one recording; `failure` is the reason if there are none."""

    recording: str
    shown: list[ShownFrame] = field(default_factory=list)
    rule: str = ""
    heats: dict[str, Depth] = field(default_factory=dict)
    heat_frames: int = 0
    scatters: dict[str, Scatter] = field(default_factory=dict)
    failure: str = ""


def choose_frames(results: Results, recording: str, count: int = 5) -> Choice:
    """The best, median and worst frame by the mean over the models, and evenly spaced ones up to `count`."""
    every = list(dict.fromkeys(row.frame for row in results.frames if row.recording == recording and row.frame))
    for protocol, figure in _ORDER_BY:
        values = _mean_per_frame(results, recording, protocol, figure)
        if values:
            break
    else:
        return Choice({frame: _place(frame, every) for frame in _evenly(every, count)}, "evenly spaced frames")
    ordered = sorted(values, key=lambda frame: values[frame])
    reasons: dict[str, str] = {}
    if len(ordered) > 1:
        for reason, frame in (("best", ordered[0]), ("worst", ordered[-1]), ("median", ordered[len(ordered) // 2])):
            reasons.setdefault(frame, reason)
    for frame in _evenly([frame for frame in every if frame in values], count):
        if len(reasons) < count:
            reasons.setdefault(frame, _place(frame, every))
    order = {frame: i for i, frame in enumerate(every)}
    label = {"abs_rel": "AbsRel", "rmse": "RMSE"}[figure]
    rule = (
        f"the best, the median and the worst frame by {label} under {protocol}, averaged over the models, and "
        f"evenly spaced ones, {count} at most"
    )
    return Choice(dict(sorted(reasons.items(), key=lambda item: order[item[0]])), rule)


def _place(frame: str, every: Sequence[str]) -> str:
    return f"frame {every.index(frame) + 1} of {len(every)}"


def _mean_per_frame(results: Results, recording: str, protocol: str, figure: str) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for row in results.frames:
        if (row.recording, row.protocol) == (recording, protocol) and row.model in results.models:
            values.setdefault(row.frame, []).append(row.figures.get(figure, math.nan))
    known = {frame: [value for value in each if math.isfinite(value)] for frame, each in values.items()}
    return {frame: fmean(each) for frame, each in known.items() if each}


def _evenly(frames: Sequence[str], count: int) -> list[str]:
    if not frames:
        return []
    return [frames[round(place)] for place in np.linspace(0, len(frames) - 1, min(count, len(frames)))]


def frames_of(results: Results, recording: str, count: int = 5) -> RecordingFrames:
    """Reads a recording's frames and predictions again; `failure` is the reason if it cannot be opened."""
    made = RecordingFrames(recording)
    path = recording_path(results, recording)
    if path is None:
        made.failure = "config.yaml has no path of the recording"
        return made
    options = opening_options(results.settings)
    try:
        opened = open_dataset(path, options)
    except MonoDepthError as error:
        made.failure = str(error)
        return made
    with closing(opened):
        choice = choose_frames(results, recording, count)
        made.rule = choice.rule
        made.shown = list(_shown(results, recording, opened, choice))
        _average(results, made, opened)
    return made


def recording_path(results: Results, recording: str) -> Path | None:
    """The path of a recording when it was evaluated, None if it is not in config.yaml.

    In results of earlier versions a name ends at its first dot.
    """
    kept = results.settings.get("kept", {}).get("recordings", {})
    data = [Path(path) for path in results.settings.get("data", [])]
    known = {
        **{path.name.split(".")[0]: path for path in data},
        **{recording_name(path): path for path in data},
        **kept,
    }
    return Path(known[recording]) if recording in known else None


def _shown(results: Results, recording: str, opened: Dataset, choice: Choice) -> Iterator[ShownFrame]:
    index = {frame: i for i, frame in enumerate(opened.frame_names())}
    for frame, reason in choice.reasons.items():
        if frame not in index:
            continue
        try:
            sample = opened[index[frame]]
        except DataError:
            continue
        assert sample.depth is not None  # opened with need_depth
        truth = _within(sample.depth, opened.max_depth)
        depths, missing = {}, {}
        for model in results.models:
            try:
                depths[model] = metres(read_kept(results, recording, model, frame), truth, opened.max_depth)
            except DataError as error:
                missing[model] = _failure(results, recording, model, frame) or str(error)
        yield ShownFrame(frame, reason, sample, truth, depths, missing, opened.max_depth)


def _within(depth: Depth, max_range: float) -> Depth:
    return np.where((depth > 0) & (depth <= max_range), depth, np.float32(np.nan))


def _failure(results: Results, recording: str, model: str, frame: str) -> str:
    """Why the model has no prediction of a frame, as the evaluation recorded it."""
    return next(
        (
            row.reason
            for row in results.frames
            if (row.recording, row.model, row.frame) == (recording, model, frame)
            and row.reason
            and not lacks_metres(row.reason)
        ),
        "",
    )


def read_kept(results: Results, recording: str, model: str, frame: str) -> Prediction:
    """The kept prediction of a frame. Raises DataError if there is none."""
    path = prediction_path(results.folder, recording, model, frame)
    if not path.is_file():
        raise DataError("no prediction was kept")
    return read_prediction(path)


def metres(prediction: Prediction, truth: Depth, max_range: float = MAX_DEPTH_M) -> Depth:
    """(H, W) float32 metres as compared: as predicted, or aligned to truth in disparity by least squares.

    Raises DataError if there is nothing to fit or sizes differ.
    """
    values = prediction.values
    if values.shape != truth.shape:
        raise DataError(f"expected a prediction of the truth's size {truth.shape}")
    if prediction.depth is not None:
        return prediction.depth
    mask = np.isfinite(truth) & np.isfinite(values) & (values > 0)
    fitted = depth_of_affine(values, *affine_fit(values[mask], truth[mask]))
    return np.minimum(fitted, max_range).astype(np.float32)


def _average(results: Results, made: RecordingFrames, opened: Dataset) -> None:
    """Mean |error| of each pixel over evenly spaced frames, and the scatter plots of relative models."""
    good = {row.frame for row in results.frames if row.recording == made.recording and not row.reason}
    names = opened.frame_names()
    places = [i for i, name in enumerate(names) if name in good]
    chosen = [places[round(i)] for i in np.linspace(0, len(places) - 1, min(_AVERAGED, len(places)))] if places else []
    sums: dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]] = {}
    for i in chosen:
        try:
            sample = opened[i]
        except DataError:
            continue
        assert sample.depth is not None
        truth = _within(sample.depth, opened.max_depth)
        made.heat_frames += 1
        for model in results.models:
            _add_frame(results, made, sums, model, names[i], truth, opened.max_depth)
    for model, (total, count) in sums.items():
        made.heats[model] = np.where(count, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _add_frame(
    results: Results,
    made: RecordingFrames,
    sums: dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]],
    model: str,
    frame: str,
    truth: Depth,
    max_range: float,
) -> None:
    try:
        kept = read_kept(results, made.recording, model, frame)
        depth = metres(kept, truth, max_range)
    except DataError:
        return  # its row in the tables has the reason
    error = np.abs(relative_error(depth, truth))
    known = np.isfinite(error)
    total, count = sums.setdefault(model, (np.zeros(truth.shape), np.zeros(truth.shape, np.int64)))
    if total.shape == error.shape:
        total[known] += error[known]
        count += known
    if kept.disparity is not None:
        _add_scatter(made, model, kept.disparity, depth, truth)


def _add_scatter(made: RecordingFrames, model: str, disparity: Depth, depth: Depth, truth: Depth) -> None:
    mask = np.isfinite(truth) & np.isfinite(disparity)
    scaled = min_max_scaled(disparity, mask)
    found = {"paper": _r2(scaled[mask], min_max_scaled(truth, mask)[mask]), "affine": _r2(depth[mask], truth[mask])}
    if model not in made.scatters:
        step = max(1, int(mask.sum()) // _SCATTERED)
        made.scatters[model] = Scatter(
            truth[mask][::step].astype(np.float64), scaled[mask][::step], depth[mask][::step].astype(np.float64)
        )
    scatter = made.scatters[model]
    scatter.frames += 1
    for name, value in found.items():
        scatter.r2[name] = scatter.r2.get(name, 0.0) + (value - scatter.r2.get(name, 0.0)) / scatter.frames


def _r2(values: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """1 - squared errors / squared deviations of the truth (N,) from its mean, as `metrics.image` defines it."""
    t = truth.astype(np.float64)
    return float(1 - np.mean((values - t) ** 2) / max(float(np.var(t)), 1e-12))

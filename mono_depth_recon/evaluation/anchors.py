"""The scale of depth over a recording, as predicted and by each scale source that the recording supports."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from ..alignment import depth_from_disparity, fit_scale
from ..arrays import Depth, Matrix
from ..config import Config
from ..errors import DataError
from ..frames import Prediction, Sample, Scale
from ..models import DepthModel
from ..registration import project_points
from ..scale.base import RelativeView, ScaleSource
from ..scale.evidence import Evidence
from ..scale.ground_plane import GROUND, Ground
from ..scale.odometry import CAMERA_POSE
from ..scale.points import REFERENCE_POINTS, PointsScale
from ..scale.settings import ScaleSettings
from ..scale.table import SCALE_SOURCES
from .simulated_sensors import Poster, hang_poster, lidar_points, posed, true_depth

ANCHORS = ("points", "ground_plane", "odometry", "marker")
_MARKER = "marker"
_SEED = 1
_DRIFT, _JUMPS, _JUMP, _FARTHEST = 0.02, 0.04, 0.2, 0.35  # of the logarithm of the factor

Progress = Callable[[int, int], None]
Points = Callable[[Sample, np.random.Generator], Matrix]


@dataclass
class ScaleTracks:
    """For each frame: its `stamps` (s), and by source the median of the depth over the true one (NaN without metres).

    `errors`: likewise the mean of |depth - true| / true over the pixels that are no anchors of `points`, with depth
    limited to the range. The first source is `none`, the metres as predicted; of a relative model `fixed`, the exact
    fit of the first frame. By `scale.varying` a source that it applies to comes twice, then as `NAME varying`.
    `reasons`: by source how often there were no metres, and why; `held`: how often an earlier fit was held, as there
    was no new one.
    """

    stamps: list[float] = field(default_factory=list)
    ratios: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, list[float]] = field(default_factory=dict)
    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    held: Counter[str] = field(default_factory=Counter)

    def note(self, name: str, figures: tuple[float, float], reason: str = "") -> None:
        """Adds ratio and error of the next frame of a source."""
        for kept, figure in zip((self.ratios, self.errors), figures, strict=True):
            kept.setdefault(name, []).append(figure)
        if reason:
            self.reasons.setdefault(name, Counter())[reason] += 1

    def summary(self, name: str) -> tuple[int, float, float, float]:
        """Frames with metres, the middle ratio, and the 5th and 95th percentile of all."""
        known = [ratio for ratio in self.ratios[name] if math.isfinite(ratio)]
        if not known:
            return 0, math.nan, math.nan, math.nan
        middle, low, high = np.percentile(known, (50, 5, 95)).tolist()
        return len(known), middle, low, high

    def error(self, name: str) -> float:
        """The mean error of the frames with metres, NaN without any."""
        known = [error for error in self.errors[name] if math.isfinite(error)]
        return float(np.mean(known)) if known else math.nan


Predict = Callable[[Sample], Prediction]


def by_model(model: DepthModel) -> Predict:
    """What a model predicts for the image of a sample."""
    return lambda sample: model.predict([(sample.rgb, sample.camera)])[0]


class Drifting:
    """In place of a model: the true depth times a factor that drifts from sample to sample and sometimes jumps."""

    def __init__(self) -> None:
        self._rng, self._log, self._last = np.random.default_rng(_SEED), 0.0, ""

    def __call__(self, sample: Sample) -> Prediction:
        """Depth (H, W), NaN where the true one is not known; the same factor for the same sample."""
        if sample.name != self._last:
            self._last = sample.name
            step = self._rng.normal(0, _DRIFT) + (self._rng.random() < _JUMPS) * self._rng.choice((-_JUMP, _JUMP))
            self._log = float(np.clip(self._log + step, -_FARTHEST, _FARTHEST))
        return Prediction(depth=true_depth(sample) * np.float32(np.exp(self._log)))


def track_scale(
    samples: Sequence[Sample],
    predict: Predict,
    config: Config,
    anchors: Sequence[str] = ANCHORS,
    floor: float = 0.0,
    points: Points = lidar_points,
    progress: Progress = lambda done, of: None,
) -> ScaleTracks:
    """Scales what `predict` gives for rectified samples by each of `anchors` on its own.

    Evidence is made from the true depth and poses: `points` (a LiDAR of 16 lines with noise and outliers), the height
    above `floor` (m, z of the world) and gravity, the poses, and a marker that is drawn onto a flat place in view. A
    metric model is corrected as `scale.correct_metric` says, by a factor where that is off.
    """
    settings = config.scale
    if settings.correct_metric == "off":
        settings = replace(settings, correct_metric="factor")
    runs, tracks = _runs(settings, anchors), ScaleTracks()
    rng, poster = np.random.default_rng(_SEED), _Hanging(samples, settings) if _MARKER in anchors else None
    first: Scale | None = None
    for number in range(len(samples)):
        sample = samples[number]
        view = _view(predict, sample)
        first = first or (Scale(1.0, 0.0) if view.metric else _exact(view, sample))
        beside = Evidence(
            {
                REFERENCE_POINTS: partial(points, sample, rng),
                GROUND: partial(_ground, sample, floor),
                CAMERA_POSE: partial(posed, sample),
            }
        )
        truth = _compared(sample, beside if PointsScale.name in anchors else None, config.filter.max_range)
        tracks.stamps.append(sample.stamp)
        tracks.note("none" if view.metric else "fixed", _figures(view, truth, first, config.filter.max_range))
        for label, run in runs.items():
            try:
                seen = (
                    view if run.settings.source != _MARKER or poster is None else _view(predict, poster.seen_by(sample))
                )
                fit = run.source.fit(seen, beside, run.settings)
            except DataError as error:
                tracks.note(label, (math.nan, math.nan), str(error))
            else:
                tracks.note(label, _figures(seen, truth, fit, config.filter.max_range))
                tracks.held[label] += fit.held > 0
        progress(number + 1, len(samples))
    return tracks


@dataclass(frozen=True)
class _Run:
    """A source with its state and its settings."""

    source: ScaleSource
    settings: ScaleSettings


def _runs(settings: ScaleSettings, names: Sequence[str]) -> dict[str, _Run]:
    """Each source by its label; by `scale.varying` also without a field before it."""
    runs = {}
    for name in names:
        kind = SCALE_SOURCES[name]
        plain = replace(settings, source=name, varying=False)
        runs[name] = _Run(kind(), plain)
        if settings.varying and kind.varies:
            runs[f"{name} varying"] = _Run(kind(), replace(plain, varying=True))
    return runs


class _Hanging:
    """The marker, looked for once."""

    def __init__(self, samples: Sequence[Sample], settings: ScaleSettings) -> None:
        self._poster: Poster | DataError
        try:
            self._poster = hang_poster(samples, settings)
        except DataError as error:
            self._poster = error

    def seen_by(self, sample: Sample) -> Sample:
        """The sample with the marker. Raises DataError where it hangs nowhere."""
        if isinstance(self._poster, DataError):
            raise self._poster
        return self._poster.seen_by(sample)


def _view(predict: Predict, sample: Sample) -> RelativeView:
    prediction = predict(sample)
    metric = prediction.depth is not None
    disparity = np.reciprocal(prediction.values) if metric else prediction.values
    return RelativeView(sample.rgb, disparity, sample.camera, sample.stamp, metric)


def _exact(view: RelativeView, sample: Sample) -> Scale | None:
    """The fit to the true depth; None where there is none."""
    try:
        return fit_scale(view.disparity, true_depth(sample))
    except DataError:
        return None


def _compared(sample: Sample, beside: Evidence | None, far: float) -> Depth | None:
    """True depth (H, W) that figures are of: up to `far`, NaN also at the anchors; None where none is known."""
    if sample.depth is None:
        return None
    truth = true_depth(sample)
    truth[truth > far] = np.nan
    if beside is not None:
        truth[np.isfinite(project_points(beside.get(REFERENCE_POINTS), sample.camera))] = np.nan
    return truth if np.isfinite(truth).any() else None


def _figures(view: RelativeView, truth: Depth | None, scale: Scale | None, far: float) -> tuple[float, float]:
    """The median of the depth over that of the true one, and the mean relative error; NaN without one of them."""
    if scale is None or truth is None:
        return math.nan, math.nan
    known = np.isfinite(truth)
    made, true = depth_from_disparity(view.disparity, scale, far)[known], truth[known]
    return float(np.median(made) / np.median(true)), float(np.mean(np.abs(np.minimum(made, far) / true - 1)))


def _ground(sample: Sample, floor: float) -> Ground:
    T = posed(sample)
    return Ground(-T[2, :3], float(T[2, 3]) - floor)

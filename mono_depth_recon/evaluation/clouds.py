"""Scores of each frame's point cloud against that of the true depth, unchanged and cleaned as in the paper."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth
from ..camera import PinholeCamera
from ..cloud.back_projection import back_project
from ..cloud.clean_up import clean_cloud
from ..cloud.cloud import Cloud
from ..config import MeshConfig
from ..errors import DataError, MonoDepthError
from ..frames import Prediction, Sample
from ..metrics.cloud import DEFINITIONS, cloud_figures, cloud_texture
from ..metrics.depth_map import truth_mask
from ..metrics.protocols import PROTOCOLS, FrameScorer
from .ledger import Ledger, Row
from .predictions import Predictor
from .run import EvaluationRun, Meter
from .scoring import OrderedPool
from .tables import mean_of_known

PART = "scores_3d.json"
TRUE_DEPTH = "true depth"
_STRIDE = 2  # every second row and column
_CLEANED = (False, True)

_Points = NDArray[np.float32]
_PREAMBLE = {
    "clouds": "pixels with true depth (0.001 to 10 m), every second row and column; the predicted cloud where "
    "they have a prediction; metric models without alignment (protocol metric), relative ones after scale and shift "
    "(affine)",
    "cleaned": "the cloud after Open3D's voxel grid of 2 cm and statistical outlier removal (20 neighbours, 2 standard "
    "deviations); the true cloud is left unchanged",
}


@dataclass(frozen=True, eq=False)
class CloudJob:
    """A frame to score; without a prediction the true depth itself is measured."""

    prediction: Prediction | None
    truth: Depth
    camera: PinholeCamera
    flat: bool = False


@dataclass(frozen=True)
class CloudScore:
    """The figures of a frame by whether its cloud was cleaned; `reason` if there are none."""

    figures: dict[bool, dict[str, float]] = field(default_factory=dict)
    protocol: str = ""
    reason: str = ""


def score_cloud(job: CloudJob) -> CloudScore:
    """Both clouds of one frame against the true one."""
    relative = job.prediction is not None and job.prediction.depth is None
    name = "" if job.prediction is None else "affine" if relative else "metric"
    try:
        depth, truth = job.truth, job.truth
        if job.prediction is not None:
            made = FrameScorer(job.prediction, job.truth, job.flat).score(PROTOCOLS[name])
            # The truth also where the prediction is missing
            known = truth_mask(job.truth, PROTOCOLS[name].min_range, PROTOCOLS[name].max_range)
            depth, truth = made.aligned.astype(np.float32), np.where(known, job.truth, np.float32(np.nan))
        points, true_points = _points(depth, job.camera), _points(truth, job.camera)
        clouds = {False: points, True: _cleaned(points)}
        if job.prediction is None:
            return CloudScore({cleaned: vars(cloud_texture(each)) for cleaned, each in clouds.items()})
        return CloudScore({cleaned: cloud_figures(each, true_points) for cleaned, each in clouds.items()}, name)
    except DataError as error:
        return CloudScore(protocol=name, reason=str(error))


def _points(depth: Depth, camera: PinholeCamera) -> _Points:
    organised = back_project(depth, camera, np.zeros((*depth.shape, 3), np.uint8), _STRIDE)[..., :3].reshape(-1, 3)
    return organised[np.isfinite(organised).all(axis=1)]


def _cleaned(points: _Points) -> _Points:
    return clean_cloud(Cloud(points, np.zeros(points.shape, np.uint8)), MeshConfig()).points


def scores_3d(run: EvaluationRun) -> list[Row]:
    """The rows of scores_3d.json: means over the studied frames by recording, model and cleaning."""
    ledger = Ledger(
        run, PART, ("recording", "model", "cleaned"), {"definitions": {**_PREAMBLE, **DEFINITIONS}}, (TRUE_DEPTH,)
    )
    wanted: list[tuple[str, Predictor | None]] = [
        (name, predictor) for predictor in (None, *run.predictors) for name in run.recordings
    ]
    todo = [
        (name, each)
        for name, each in wanted
        if not all(ledger.has(recording=name, model=_label(each), cleaned=cleaned) for cleaned in _CLEANED)
    ]
    meter = run.meter(sum(len(run.plan.studied(run.recordings[name])) for name, _ in todo), "clouds")
    waiting = deque[tuple[str, Predictor | None, int]]()
    scores: list[CloudScore] = []

    def take(made: Sequence[CloudScore]) -> None:
        scores.extend(made)
        while waiting and len(scores) >= waiting[0][2]:
            name, predictor, count = waiting.popleft()
            _add_rows(ledger, name, predictor, scores[:count])
            del scores[:count]

    with OrderedPool(run.plan.workers) as pool:
        for name, predictor in todo:
            waiting.append((name, predictor, len(run.plan.studied(run.recordings[name]))))
            for job in _jobs(run, name, predictor, meter):
                take(pool.submit(_score, job))
        take(pool.finish())
    ledger.write()
    return ledger.rows


def _score(job: CloudJob | str) -> CloudScore:
    return CloudScore(reason=job) if isinstance(job, str) else score_cloud(job)


def _label(predictor: Predictor | None) -> str:
    return TRUE_DEPTH if predictor is None else predictor.label


def _jobs(run: EvaluationRun, name: str, predictor: Predictor | None, meter: Meter) -> Any:
    recording = run.recordings[name]
    studied, names = run.plan.studied(recording), recording.frame_names()
    for i, sample in zip(studied, recording.samples(studied), strict=True):
        yield _job(run, name, names[i], sample, predictor)
        meter.step(name, _label(predictor))
    if predictor is not None:
        predictor.unload()


def _job(
    run: EvaluationRun, name: str, frame: str, sample: Sample | MonoDepthError, predictor: Predictor | None
) -> CloudJob | str:
    if isinstance(sample, MonoDepthError):
        return str(sample)
    assert sample.depth is not None  # recordings are opened with need_depth
    try:
        prediction = None if predictor is None else run.prediction(name, frame, sample, predictor)[0]
    except MonoDepthError as error:
        return str(error)
    if prediction is not None:
        prediction = replace(prediction, sigma=None)
    return CloudJob(prediction, sample.depth, sample.camera, predictor is not None and predictor.baseline)


def _add_rows(ledger: Ledger, name: str, predictor: Predictor | None, scores: Sequence[CloudScore]) -> None:
    good = [score for score in scores if not score.reason]
    for cleaned in _CLEANED:
        names = good[0].figures[cleaned] if good else {}
        figures = {key: mean_of_known([score.figures[cleaned][key] for score in good]) for key in names}
        ledger.add(
            {
                "recording": name,
                "model": _label(predictor),
                "cleaned": cleaned,
                "protocol": next((score.protocol for score in scores if score.protocol), ""),
                "baseline": predictor is not None and predictor.baseline,
                "frames": len(good),
                "failed": len(scores) - len(good),
                "reason": next((score.reason for score in scores if score.reason), ""),
                "figures": figures,
            }
        )

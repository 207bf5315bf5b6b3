"""The quality of a model's sigma: calibration, sparsification, and detection of input unlike the training data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth
from ..errors import DataError, ModelError, MonoDepthError
from ..frames import Prediction, Sample
from ..metrics.depth import affine_fit
from ..metrics.depth_map import truth_mask
from ..metrics.sigma import NOMINAL, calibration_curve, roc_auc, sigma_errors, sparsification, spearman
from ..models.uncertainty import seed_dropout, sigma_kinds
from .corruptions import unseen_domains, with_noise_patch, with_occluder
from .ledger import Ledger, Row
from .plan import ModelChoice
from .predictions import LazyModel
from .run import EvaluationRun, Meter
from .tables import mean_of_known

PART = "uncertainty.json"
_RANGE_M = (1e-3, 10.0)
_PLANTED = {"occluder": with_occluder, "noise_patch": with_noise_patch}
_DEFINITIONS = {
    "error": "|depth - truth| in metres without alignment; of relative models |scale * disparity + shift - 1 / truth| "
    "after least squares, with sigma times scale",
    "calibration": "share of errors within the central interval of a normal distribution of sigma, by nominal share",
    "sparsification": "mean error of the remaining pixels when a fraction is removed, largest sigma first (by_sigma), "
    "largest error first (oracle) or at random (random), as a multiple of the mean of all",
    "ause": "area between by_sigma and oracle; 0 is best",
    "anomaly": "area under the ROC curve of sigma; 0.5 is chance. occluder, noise_patch: pixels of a planted disc or "
    "square of noise against the others of the frame, mean over frames; unseen_domain: mean sigma of the "
    "frames' negatives, false colours and of coloured noise against that of the frames",
}


@dataclass
class _Gathered:
    """The measurements of one row, one entry per frame."""

    observed: list[NDArray[np.float64]] = field(default_factory=list)
    by_sigma: list[NDArray[np.float64]] = field(default_factory=list)
    oracle: list[NDArray[np.float64]] = field(default_factory=list)
    ause: list[float] = field(default_factory=list)
    rank: list[float] = field(default_factory=list)
    planted: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in _PLANTED})
    known: list[float] = field(default_factory=list)
    strange: list[float] = field(default_factory=list)
    removed: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    reasons: list[str] = field(default_factory=list)


def uncertainty(run: EvaluationRun) -> list[Row]:
    """The rows of uncertainty.json, by recording, model and kind of sigma. Baselines have none."""
    ledger = Ledger(run, PART, ("recording", "model", "kind"), {"definitions": _DEFINITIONS})
    kinds = {model.label: _kinds(model) for model in run.models}
    frames = sum(len(run.plan.studied(recording)) for recording in run.recordings.values())
    meter = run.meter(frames * sum(len(each[0]) for each in kinds.values()), "uncertainty")
    for choice in run.plan.choices:
        found, reason = kinds[choice.label]
        for kind in found:
            model = LazyModel(run.plan.config, choice, kind)
            for name in run.recordings:
                if not ledger.has(recording=name, model=choice.label, kind=kind):
                    ledger.add(_row(run, name, choice, model, kind, meter))
        if not found:
            for name in run.recordings:
                ledger.add({"recording": name, "model": choice.label, "kind": "none", "reason": reason})
    ledger.write()
    return ledger.rows


def _kinds(model: LazyModel) -> tuple[tuple[str, ...], str]:
    """The kinds of sigma of a model, or the reason why it has none."""
    try:
        return sigma_kinds(model.loaded()), ""
    except MonoDepthError as error:
        return (), str(error)
    finally:
        model.unload()


def _row(run: EvaluationRun, name: str, choice: ModelChoice, model: LazyModel, kind: str, meter: Meter) -> Row:
    recording, gathered = run.recordings[name], _Gathered()
    indices = run.plan.studied(recording)
    for i, sample in zip(indices, recording.samples(indices), strict=True):
        try:
            if isinstance(sample, MonoDepthError):
                raise sample
            _gather(gathered, sample, model, i)
        except MonoDepthError as error:
            gathered.reasons.append(str(error))
        meter.step(name, f"{choice.label}, {kind}")
    row: Row = {
        "recording": name,
        "model": choice.label,
        "kind": kind,
        "frames": len(gathered.ause),
        "failed": len(gathered.reasons),
        "reason": gathered.reasons[0] if gathered.reasons else "",
    }
    return {**row, **_figures(gathered)} if gathered.ause else row


def _figures(gathered: _Gathered) -> Row:
    labels = np.arange(len(gathered.known) + len(gathered.strange)) >= len(gathered.known)
    anomaly = {name: mean_of_known(values) for name, values in gathered.planted.items()}
    anomaly["unseen_domain"] = roc_auc(np.array(gathered.known + gathered.strange), labels)
    return {
        "calibration": {"nominal": list(NOMINAL), "observed": np.mean(gathered.observed, axis=0).tolist()},
        "sparsification": {
            "fraction": gathered.removed.tolist(),
            "by_sigma": np.mean(gathered.by_sigma, axis=0).tolist(),
            "oracle": np.mean(gathered.oracle, axis=0).tolist(),
            "random": [1.0] * len(gathered.removed),
        },
        "ause": mean_of_known(gathered.ause),
        "rank_correlation": mean_of_known(gathered.rank),
        "anomaly": anomaly,
    }


def _gather(gathered: _Gathered, sample: Sample, model: LazyModel, seed: int) -> None:
    """Adds the measurements of one frame, all or none of them."""
    assert sample.depth is not None  # recordings are opened with need_depth
    clean = _predicted(model, sample, seed)
    error, sigma = frame_errors(clean, sample.depth)
    planted = {}
    for name, plant in _PLANTED.items():
        rgb, inside = plant(sample.rgb, seed)
        planted[name] = roc_auc(_sigma(_predicted(model, replace(sample, rgb=rgb), seed)), inside)
    strange = [_predicted(model, replace(sample, rgb=rgb), seed) for rgb in unseen_domains(sample.rgb, seed)]
    gathered.known.append(float(_sigma(clean).mean()))
    gathered.strange += [float(_sigma(each).mean()) for each in strange]
    for name, area in planted.items():
        gathered.planted[name].append(area)
    curve = sparsification(error, sigma)
    gathered.removed = curve.removed
    for values, value in (
        (gathered.observed, calibration_curve(error, sigma)),
        (gathered.by_sigma, curve.by_sigma),
        (gathered.oracle, curve.oracle),
    ):
        values.append(value)
    gathered.ause.append(curve.ause)
    gathered.rank.append(spearman(sigma, error))


def _predicted(model: LazyModel, sample: Sample, seed: int) -> Prediction:
    """A prediction with sigma; dropout uses a fixed seed."""
    if model.config.model.uncertainty == "mc_dropout":
        seed_dropout(seed)
    return model.predict(sample)


def _sigma(prediction: Prediction) -> Depth:
    if prediction.sigma is None:
        raise ModelError("expected a prediction with sigma, got one without")
    return prediction.sigma


def frame_errors(prediction: Prediction, truth: Depth) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Errors and sigma (N,) where truth lies between 0.001 and 10 m: metres, or of relative models 1 / metres.

    Raises DataError if there is no such pixel or no fit, ModelError if there is no sigma.
    """
    sigma, mask = _sigma(prediction), truth_mask(truth, *_RANGE_M)
    if prediction.depth is not None:
        return sigma_errors(prediction.depth, sigma, truth, mask)
    assert prediction.disparity is not None  # Prediction holds one of them
    mask = mask & np.isfinite(prediction.disparity) & np.isfinite(sigma)
    if not mask.any():
        raise DataError("no pixel to compare: none has truth, a finite disparity and sigma")
    disparity = prediction.disparity[mask].astype(np.float64)
    scale, shift = affine_fit(disparity, truth[mask])
    errors: NDArray[np.float64] = np.abs(scale * disparity + shift - 1 / truth[mask].astype(np.float64))
    return errors, abs(scale) * sigma[mask].astype(np.float64)

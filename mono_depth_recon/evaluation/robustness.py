"""How much the figures degrade with the image: noise, blur, JPEG, darkness and low resolution, at growing severity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ..arrays import Rgb
from ..errors import MonoDepthError
from ..frames import Sample
from .corruptions import CORRUPTIONS, Corruption
from .ledger import Ledger, Row
from .predictions import LazyModel
from .run import EvaluationRun, Meter
from .scoring import Chunk, ChunkScores, OrderedPool, UnscoredFrame, score_chunk
from .tables import mean_of_known

PART = "robustness.json"
_FIGURES = ("abs_rel", "rmse", "silog", "delta1", "delta2", "delta3", "edge_completeness")
_DEFINITION = {
    "frames": "the studied frames; a relative model under affine, others under metric",
    **{each.name: "; ".join(each.text(severity) for severity in range(len(each.levels) + 1)) for each in CORRUPTIONS},
}


def robustness(run: EvaluationRun) -> list[Row]:
    """The rows of robustness.json, by recording, model, corruption and severity. Baselines have none."""
    ledger = Ledger(run, PART, ("recording", "model", "corruption", "severity"), {"definitions": _DEFINITION})
    cases = [(corruption, severity) for corruption in CORRUPTIONS for severity in range(len(corruption.levels) + 1)]
    todo = [
        (model, name, corruption, severity)
        for model in run.models
        for name in run.recordings
        for corruption, severity in cases
        if not ledger.has(recording=name, model=model.label, corruption=corruption.name, severity=severity)
    ]
    meter = run.meter(sum(len(run.plan.studied(run.recordings[name])) for _, name, _, _ in todo), "robustness")
    keys: list[tuple[str, str, Corruption, int]] = []
    with OrderedPool(run.plan.workers) as pool:
        for place, (model, name, corruption, severity) in enumerate(todo):
            chunk = _chunk(run, model, name, corruption, severity, meter)
            keys.append((model.label, name, corruption, severity))
            for made in pool.submit(score_chunk, chunk):
                ledger.add(_row(*keys.pop(0), made))
            if place + 1 == len(todo) or todo[place + 1][0] is not model:
                model.unload()
        for made in pool.finish():
            ledger.add(_row(*keys.pop(0), made))
    ledger.write()
    return ledger.rows


def _chunk(
    run: EvaluationRun,
    model: LazyModel,
    name: str,
    corruption: Corruption,
    severity: int,
    meter: Meter,
) -> Chunk:
    recording = run.recordings[name]
    indices = run.plan.studied(recording)
    frames = []
    names, stamps = recording.frame_names(), recording.stamps
    for i, sample in zip(indices, recording.samples(indices), strict=True):
        unscored = UnscoredFrame(names[i], None if stamps is None else stamps[i])
        corrupt = partial(corruption.apply, severity=severity, seed=i) if severity else None
        frames.append(_with_prediction(run, model, name, sample, unscored, corrupt))
        meter.step(name, f"{model.label}, {corruption.name} {corruption.text(severity)}")
    relative = any(frame.prediction is not None and frame.prediction.depth is None for frame in frames)
    return Chunk(name, model.label, ("affine" if relative else "metric",), frames)


def _with_prediction(
    run: EvaluationRun,
    model: LazyModel,
    name: str,
    sample: Sample | MonoDepthError,
    unscored: UnscoredFrame,
    corrupt: Callable[[Rgb], Rgb] | None,
) -> UnscoredFrame:
    if isinstance(sample, MonoDepthError):
        return replace(unscored, reason=str(sample))
    try:
        if corrupt is None:
            prediction = run.prediction(name, unscored.frame, sample, model)[0]
        else:
            prediction = model.predict(replace(sample, rgb=corrupt(sample.rgb)))
    except MonoDepthError as error:
        return replace(unscored, reason=str(error))
    return replace(unscored, prediction=prediction, truth=sample.depth)


def _row(model: str, recording: str, corruption: Corruption, severity: int, made: ChunkScores) -> Row:
    good = [row for row in made.rows if not row.reason]
    figures = {name: mean_of_known([row.figures[name] for row in good]) for name in _FIGURES if good}
    return {
        "recording": recording,
        "model": model,
        "corruption": corruption.name,
        "severity": severity,
        "level": corruption.text(severity),
        "protocol": made.rows[0].protocol if made.rows else "",
        "frames": len(good),
        "failed": len(made.rows) - len(good),
        "reason": next((row.reason for row in made.rows if row.reason), ""),
        "figures": figures,
    }

"""The results in plain words: sentences derived from them by fixed rules."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from .charts import number
from .results import Results, ScoreRow


def title_of(recording: str) -> str:
    """A recording's name without the prefix of the TUM benchmark."""
    return recording.removeprefix("rgbd_dataset_")


_CREDITS = {
    "freiburg": "TUM RGB-D benchmark (Sturm et al., IROS 2012), CC BY 4.0",
    "nyu": "NYU Depth V2 (Silberman et al., ECCV 2012)",
    "kitti": "KITTI (Geiger et al., IJRR 2013)",
}


def attribution_of(recordings: Sequence[str]) -> str:
    """The attribution of the images, if the names of the recordings show that one is due."""
    names = " ".join(recordings).lower()
    credits = [text for word, text in _CREDITS.items() if word in names]
    return f"Images and depth: {'; '.join(credits)}" if credits else ""


def headline(results: Results) -> str:
    """The headline of the report."""
    for protocol, words in (
        ("metric", "in metres"),
        ("affine", "with scale and shift fitted"),
        ("nyu", "under the NYU protocol"),
        ("kitti", "under the KITTI protocol"),
        ("median", "with its scale fitted"),
    ):
        means = _means(results, protocol)
        if not means:
            continue
        best = min(means, key=lambda model: means[model])
        verb = "comes closest" if len(means) > 1 else "was scored"
        return (
            f"{results.names[best]} {verb} {words}: {100 * means[best]:.0f} % off on average"
            f"{_beside(means[best], _means(results, protocol, baseline=True), results)}."
        )
    return "No model gave depth that could be compared."


def _beside(value: float, others: Mapping[str, float], results: Results) -> str:
    """An AbsRel compared with that of the best baseline; empty if there is none."""
    if not others:
        return ""
    base = min(others, key=lambda name: others[name])
    ratio, name = value / max(others[base], 1e-12), f"the baseline ‘{results.names[base]}’"
    if ratio > 1.02:
        return f", which is worse than {name} ({number(others[base])})"
    text = "no better than" if ratio > 0.98 else f"{100 * (1 - ratio):.0f} % less error than"
    return f", {text} {name} ({number(others[base])})"


def _means(results: Results, protocol: str, baseline: bool = False) -> dict[str, float]:
    """AbsRel of each model that has one on all recordings, averaged over them."""
    values: dict[str, list[float]] = {}
    for recording in results.recordings:
        for row in good_rows(results, recording, protocol, baseline):
            values.setdefault(row.model, []).append(row.figures["abs_rel"])
    most = max(map(len, values.values()), default=0)
    return {model: fmean(each) for model, each in values.items() if len(each) == most}


def good_rows(results: Results, recording: str, protocol: str, baseline: bool = False) -> list[ScoreRow]:
    """The rows of models, or of baselines, that have an AbsRel."""
    return [
        row
        for row in results.of(recording, protocol)
        if row.baseline is baseline and math.isfinite(row.figures.get("abs_rel", math.nan))
    ]


def statements(results: Results) -> list[str]:
    """The other findings, most important first."""
    return [
        *(text for recording in results.recordings for text in _of_recording(results, recording)),
        *_paper(results),
        *_three_d(results),
        *_robustness(results),
        *_failures(results),
    ]


def _of_recording(results: Results, recording: str) -> Iterator[str]:
    """One paragraph: the best model in metres, and the best after alignment."""
    sentences = []
    metric, affine = good_rows(results, recording, "metric"), good_rows(results, recording, "affine")
    if metric:
        best = min(metric, key=_abs_rel)
        sentences.append(
            f"{results.names[best.model]} has AbsRel {number(_abs_rel(best))} in metres and "
            f"{100 * best.figures.get('delta1', math.nan):.0f} % of the pixels within 25 % of the truth"
            f"{_against_baseline(results, recording, 'metric', best)}."
        )
    if affine:
        best = min(affine, key=_abs_rel)
        sentences.append(
            f"With scale and shift fitted, {results.names[best.model]} has AbsRel {number(_abs_rel(best))}"
            f"{_against_baseline(results, recording, 'affine', best)}."
        )
    if sentences:
        yield f"{title_of(recording)}: {' '.join(sentences)}"


def _abs_rel(row: ScoreRow) -> float:
    return row.figures["abs_rel"]


def _against_baseline(results: Results, recording: str, protocol: str, row: ScoreRow) -> str:
    others = {other.model: _abs_rel(other) for other in good_rows(results, recording, protocol, baseline=True)}
    return _beside(_abs_rel(row), others, results)


def _paper(results: Results) -> Iterator[str]:
    worst: tuple[float, str] | None = None
    for row in results.rows:
        r2 = row.figures.get("r2", math.nan)
        if row.protocol == "paper" and not row.baseline and r2 < 0 and results.relative(row.model):
            worst = min(worst or (r2, row.model), (r2, row.model))
    if worst:
        yield (
            f"Under the paper's protocol {results.names[worst[1]]} has R² {number(worst[0])}: it predicts disparity, "
            "which grows as depth shrinks, and is compared without conversion. That is not an error of the model; see "
            "the paper's numbers below."
        )


def _three_d(results: Results) -> Iterator[str]:
    scores = []
    for recording in results.recordings:
        scored = [
            (row["figures"].get("fscore_5cm"), row["model"])
            for row in results.part_rows("scores_3d", recording)
            if not row.get("cleaned") and row["model"] in results.models and row.get("figures")
        ]
        known = [(float(score), model) for score, model in scored if score is not None]
        if known:
            score, model = max(known)
            scores.append(f"{100 * score:.0f} % by {results.names[model]} on {title_of(recording)}")
    if scores:
        yield f"In 3D, the best F-score at 5 cm against the true cloud: {', '.join(scores)}."


def _robustness(results: Results) -> Iterator[str]:
    worst: tuple[float, str] | None = None
    for recording in results.recordings:
        rows = results.part_rows("robustness", recording)
        clean = {row["model"]: row["figures"].get("abs_rel") for row in rows if row.get("severity") == 0}
        for row in rows:
            value, before = row["figures"].get("abs_rel"), clean.get(row["model"])
            if value is None or not before or row["model"] not in results.models:
                continue
            text = (
                f"Most sensitive: {results.names[row['model']]} to {row['corruption']} ({row.get('level', '')}), "
                f"AbsRel grows from {number(float(before))} to {number(float(value))} on {title_of(recording)}."
            )
            worst = max(worst or (value / before, text), (value / before, text))
    if worst and worst[0] > 1:
        yield worst[1]


def _failures(results: Results) -> Iterator[str]:
    without = models_without_figures(results)
    if without:
        yield f"No figures for {', '.join(results.names[model] for model in without)}; the reasons are below."
    partly = {row.model for row in results.rows if row.failed and row.frames} - set(without)
    if partly:
        yield f"Failed on some frames: {', '.join(sorted(results.names[model] for model in partly))}; see below."


def models_without_figures(results: Results) -> list[str]:
    """Models without a single figure."""
    return [model for model in results.models if not any(row.frames for row in results.rows if row.model == model)]

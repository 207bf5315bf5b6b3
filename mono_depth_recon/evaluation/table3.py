"""The paper's Table 3, which describes models in words, by measured values and stated rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..atomic import write_atomically
from ..config import Config
from ..errors import ConfigError
from ..models import declared_output
from ..models.ensemble import PREFIX
from ..models.explain import methods_of
from ..printing import encoded
from .ledger import Ledger, Row
from .plan import EvaluationPlan
from .run import EvaluationRun
from .tables import Summary, markdown_table, mean_of_known, write_json

PART, COSTS = "table3.json", "costs.json"
COLUMNS = {
    "protocol": "of AbsRel, delta1 and clouds below: metric (no alignment) if the model predicts metres, else affine "
    "(scale and shift of each frame, in disparity); crop none, truth 0.001 to 10 m, mean of the frames' "
    "values",
    "speed": "median time per 640x480 frame in a fresh process on this machine",
    "memory": "peak memory of that process; GPU memory if it runs there",
    "noise_resilience": "AbsRel under Gaussian noise of sigma 20 over AbsRel of the original frames; 1 is unaffected; "
    "in brackets the second severity of every corruption",
    "generalisation": "worst AbsRel over best AbsRel among the recordings; 1 is equally good everywhere",
    "3d_quality": "F-score at 5 cm of the cleaned clouds, mean over the recordings",
    "uncertainty": "AUSE of its best kind of sigma; 0 orders pixels exactly by their errors, and it is also small if "
    "all errors are alike: see the rank correlation",
    "anomaly_detection": "area under the ROC curve of that sigma, mean of occluders, noise patches and unseen domains; "
    "0.5 is chance",
    "interpretability": "methods of `mono-depth-recon explain` that apply to it",
    "fine_tuning": "relative change of AbsRel from the weights before fine-tuning to those after; below 0 is better",
    "best_use": "live: at most 100 ms per frame, interactive: 500 ms, else offline; to measure: delta1 of 0.8 in "
    "the worst recording, for rough distances: 0.5; otherwise, or if a baseline reaches the same on some "
    "recording, only to look at; relative models need reference depth; and for models that are good for more: "
    "bad light and bad links if no corruption makes AbsRel more than 1.2 times as large, filtering by sigma if "
    "AUSE is at most 0.3 and the rank correlation above 0, warning of unknown input if anomaly detection is at "
    "least 0.75",
}
_LIVE_MS, _INTERACTIVE_MS = 100.0, 500.0
_TO_MEASURE, _ROUGH = 0.8, 0.5
_UNMOVED, _FILTERS, _WARNS = 1.2, 0.3, 0.75

Cell = dict[str, object]


@dataclass(frozen=True)
class Costs:
    """Cost of one frame of a model: median seconds, peak bytes of host and GPU; or the `reason` why unknown."""

    seconds: float = math.nan
    host_bytes: int = 0
    gpu_bytes: int = 0
    device: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Findings:
    """The results of the other parts, for all models."""

    summaries: Sequence[Summary]
    clouds: Sequence[Row]
    robustness: Sequence[Row]
    uncertainty: Sequence[Row]
    fine_tuned: Sequence[Sequence[str]] = ()


def table3(run: EvaluationRun, findings: Findings, costs_of: Callable[[Config], Costs]) -> list[Row]:
    """The rows of table3.json, one per model; also writes table3.md. ConfigError for unknown fine-tuned models."""
    labels = [choice.label for choice in run.plan.choices]
    check_fine_tuned(run.plan, findings.fine_tuned)
    costs = _costs(run, costs_of)
    rows = [_row(run, label, findings, costs[label]) for label in labels]
    write_json(run.folder / PART, {"columns": COLUMNS, "rows": rows})
    write_atomically(run.folder / "table3.md", [encoded(markdown(rows))])
    return rows


def check_fine_tuned(plan: EvaluationPlan, pairs: Sequence[Sequence[str]]) -> None:
    """Raises ConfigError unless every pair names two models of the plan."""
    labels = [choice.label for choice in plan.choices]
    for pair in pairs:
        if unknown := [name for name in pair if name not in labels]:
            raise ConfigError(f"fine-tuned pairs must name two of the models {', '.join(labels)}, got '{unknown[0]}'")
        if len(set(pair)) < len(pair):
            raise ConfigError(f"a fine-tuned pair must name two models, got '{pair[0]}' twice")


def _costs(run: EvaluationRun, costs_of: Callable[[Config], Costs]) -> dict[str, Costs]:
    """Costs by model, measured once per folder of results."""
    ledger = Ledger(run, COSTS, ("model",))
    meter = run.meter(len(run.models), "speed and memory")
    for model in run.models:
        if not ledger.has(model=model.label):
            ledger.add({"model": model.label, **vars(costs_of(model.config))})
        meter.step("640x480", model.label)
    return {
        row["model"]: Costs(
            math.nan if row["seconds"] is None else row["seconds"],
            row["host_bytes"],
            row["gpu_bytes"],
            row["device"],
            row["reason"],
        )
        for row in ledger.rows
    }


def _row(run: EvaluationRun, label: str, findings: Findings, costs: Costs) -> Row:
    choice = next(each for each in run.plan.choices if each.label == label)
    protocol = _protocol(label, findings.summaries)
    uncertainty, anomaly = _sigma_cells([row for row in findings.uncertainty if row["model"] == label])
    row: Row = {
        "model": label,
        "protocol": _cell(math.nan, "", protocol),
        "speed": _cell(1e3 * costs.seconds, "ms", costs.device, costs.reason),
        "memory": _cell(
            (costs.gpu_bytes or costs.host_bytes) / 2**20 or math.nan,
            "MiB",
            "GPU" if costs.gpu_bytes else "host",
            costs.reason,
        ),
        "noise_resilience": _noise([each for each in findings.robustness if each["model"] == label]),
        "generalisation": _generalisation(label, protocol, findings.summaries),
        "3d_quality": _clouds([each for each in findings.clouds if each["model"] == label and each["cleaned"]]),
        "uncertainty": uncertainty,
        "anomaly_detection": anomaly,
        "interpretability": _interpretability(choice.name),
        "fine_tuning": _fine_tuning(label, protocol, findings),
    }
    relative = protocol == "affine" or declared_output(choice.config(run.plan.config).model) == "relative_disparity"
    worst = [each.figures.get("delta1", math.nan) for each in _of(label, protocol, findings.summaries)]
    row["best_use"] = _cell(
        math.nan,
        "",
        _best_use(row, relative, min(worst, default=math.nan), _no_worse_baseline(label, protocol, findings.summaries)),
    )
    return row


def _cell(value: float, unit: str, text: str = "", reason: str = "") -> Cell:
    known = not reason and math.isfinite(value)
    return {"value": value if known else None, "unit": unit, "text": reason or text}


def _protocol(label: str, summaries: Sequence[Summary]) -> str:
    """metric if the model has figures under it, else affine."""
    return "metric" if any(each.frames for each in _of(label, "metric", summaries)) else "affine"


def _of(label: str, protocol: str, summaries: Sequence[Summary]) -> list[Summary]:
    return [each for each in summaries if each.model == label and each.protocol == protocol and each.frames]


def _noise(rows: Sequence[Row]) -> Cell:
    ratios = {}
    for kind in dict.fromkeys(row["corruption"] for row in rows):
        by = {
            (row["recording"], row["severity"]): row["figures"].get("abs_rel", math.nan)
            for row in rows
            if row["corruption"] == kind
        }
        ratios[kind] = mean_of_known(
            [by[name, 2] / by[name, 0] for name, severity in by if severity == 0 and (name, 2) in by and by[name, 0]]
        )
    known = {kind: value for kind, value in ratios.items() if math.isfinite(value)}
    text = ", ".join(f"{kind} x{value:.2f}" for kind, value in known.items())
    cell = _cell(ratios.get("noise", math.nan), "x", text, "" if ratios else "not measured")
    return {**cell, "worst": max(known.values(), default=None)}


def _generalisation(label: str, protocol: str, summaries: Sequence[Summary]) -> Cell:
    found = {each.recording: each.figures["abs_rel"] for each in _of(label, protocol, summaries)}
    text = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
    if len(found) < 2:
        return _cell(math.nan, "x", f"needs several recordings; {protocol} AbsRel: {text or 'none'}")
    return _cell(max(found.values()) / min(found.values()), "x", f"{protocol} AbsRel: {text}")


def _clouds(rows: Sequence[Row]) -> Cell:
    scores = {row["recording"]: row["figures"]["fscore_5cm"] for row in rows if row["figures"]}
    reason = next((row["reason"] for row in rows if row["reason"]), "not measured")
    return _cell(
        mean_of_known(list(scores.values())),
        "1",
        ", ".join(f"{name} {value:.3f}" for name, value in scores.items()),
        "" if scores else reason,
    )


def _sigma_cells(rows: Sequence[Row]) -> tuple[Cell, Cell]:
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        if "ause" in row:
            kinds.setdefault(row["kind"], []).append(row)
    if not kinds:
        reason = next((row["reason"] for row in rows if row["reason"]), "not measured")
        return _cell(math.nan, "1", "", reason), _cell(math.nan, "1", "", reason)
    ause = {kind: _mean(row["ause"] for row in found) for kind, found in kinds.items()}
    best = min(ause, key=lambda kind: ause[kind])
    found = kinds[best]
    at = found[0]["calibration"]["nominal"].index(0.7)
    covered = _mean(row["calibration"]["observed"][at] for row in found)
    areas = {name: _mean(row["anomaly"][name] for row in found) for name in found[0]["anomaly"]}
    rank = _mean(row["rank_correlation"] for row in found)
    summary = (
        f"{best}: rank correlation with the error {rank:.2f}, covers {covered:.2f} of the errors at nominal 0.70; "
        f"kinds: {', '.join(kinds)}"
    )
    by_kind = ", ".join(f"{name} {area:.2f}" for name, area in areas.items())
    orders = {**_cell(ause[best], "1", summary), "orders": rank > 0}
    return orders, _cell(mean_of_known(list(areas.values())), "1", by_kind)


def _mean(values: Iterable[float | None]) -> float:
    """mean_of_known; None stands for NaN in rows that were kept as JSON."""
    return mean_of_known([math.nan if value is None else value for value in values])


def _interpretability(name: str) -> Cell:
    methods = methods_of(name)
    if name.startswith(PREFIX):
        return _cell(0, "methods", "those of its members")
    return _cell(len(methods), "methods", ", ".join(methods))


def _fine_tuning(label: str, protocol: str, findings: Findings) -> Cell:
    pair = next((pair for pair in findings.fine_tuned if label in pair), None)
    if pair is None:
        return _cell(math.nan, "1", "not measured: give the weights before and after as --fine-tuned BEFORE AFTER")
    before, after = (
        {each.recording: each.figures["abs_rel"] for each in _of(name, protocol, findings.summaries)} for name in pair
    )
    common = [name for name in before if name in after]
    text = ", ".join(f"{name} {before[name]:.3f} -> {after[name]:.3f}" for name in common)
    return _cell(mean_of_known([after[name] / before[name] - 1 for name in common]), "1", f"{protocol} AbsRel: {text}")


def _no_worse_baseline(label: str, protocol: str, summaries: Sequence[Summary]) -> str:
    """A baseline (and its recording) whose delta1 is at least that of the model; empty if there is none."""
    own = {each.recording: each.figures.get("delta1", 0.0) for each in _of(label, protocol, summaries)}
    return next(
        (
            f"{each.model} on {each.recording}"
            for each in summaries
            if each.baseline
            and each.protocol == protocol
            and each.figures.get("delta1", 0.0) >= own.get(each.recording, math.inf)
        ),
        "",
    )


def _best_use(row: Row, relative: bool, delta1: float, baseline: str) -> str:
    """The recommendation in words, by the rules of COLUMNS."""
    words = []
    if (speed := row["speed"]["value"]) is not None:
        words.append("live" if speed <= _LIVE_MS else "interactive" if speed <= _INTERACTIVE_MS else "offline")
    useful = delta1 >= _ROUGH and not baseline
    if math.isfinite(delta1):
        words.append("to look at" if not useful else "to measure" if delta1 >= _TO_MEASURE else "for rough distances")
    if baseline:
        words.append(f"no better than the baseline {baseline}")
    if relative:
        words.append("with reference depth")
    if useful:
        words += [
            text
            for value, holds, text in (
                (row["noise_resilience"]["worst"], lambda value: value <= _UNMOVED, "in bad light and over bad links"),
                (
                    row["uncertainty"]["value"],
                    lambda value: value <= _FILTERS and row["uncertainty"]["orders"],
                    "filtering by its sigma",
                ),
                (row["anomaly_detection"]["value"], lambda value: value >= _WARNS, "warning of unknown input"),
            )
            if value is not None and holds(value)
        ]
    return ", ".join(words) or "unknown: nothing was measured"


def markdown(rows: Sequence[Row]) -> str:
    """Markdown: models side by side, a line per property, then the definitions."""
    lines = [["property", *(row["model"] for row in rows)]]
    for key in COLUMNS:
        lines.append([key.replace("_", " "), *(_text(row[key]) for row in rows)])
    notes = "".join(f"- *{key.replace('_', ' ')}*: {text}.\n" for key, text in COLUMNS.items())
    return f"{markdown_table(lines)}\n{notes}"


def _text(cell: Cell) -> str:
    value, unit, text = cell["value"], cell["unit"], str(cell["text"]).replace("|", "/")
    if value is None:
        return text
    number = f"{value:.4g}{'' if unit == '1' else f' {unit}'}"
    return f"{number} ({text})" if text else number

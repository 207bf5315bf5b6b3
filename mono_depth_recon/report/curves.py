"""Curves of the report: errors over a recording, robustness, uncertainty, training, and the paper's R2."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from markupsafe import Markup

from .charts import COLORS, Axis, Series, legend, line_chart, number, readable_end, scatter_chart
from .frames import RecordingFrames, Scatter
from .message import title_of
from .results import Results, Tree, known
from .tables import COLUMNS, Column, Line, by_protocol, data_table, definitions
from .templates import breakable, joined, render

_METRICS = ("loss", "abs_rel", "rmse", "ssim", "psnr", "mse", "r2", "delta1", "silog")
_UNCERTAINTY = (
    "Sparsification removes the pixels with the largest sigma first: the closer its line to the dashed one, which "
    "removes them by the error itself, the better sigma orders pixels. Grey is a random order, and the ideal "
    "calibration."
)
_ANOMALIES = {"occluder": "Planted occluder", "noise_patch": "Noise patch", "unseen_domain": "Unseen domain"}


def styles(results: Results) -> dict[str, str]:
    """The CSS class of each model in every chart."""
    colored = {model: f"s{i % COLORS}" for i, model in enumerate(results.models)}
    return {**colored, **{name: ("plain", "oracle")[i % 2] for i, name in enumerate(results.baselines)}}


def model_legend(results: Results, models: Sequence[str]) -> Markup:
    """Names and colours of the models in a row of charts."""
    style = styles(results)
    return legend([(results.label(model), style.get(model, "plain")) for model in models])


def _charts(charts: Sequence[Markup], legend: Markup | str = "", rule: str = "") -> Markup:
    """A row of charts, with an explanation and a legend above."""
    return render("charts", rule=rule, legend=legend, charts=charts)


def over_recordings(results: Results) -> Markup:
    """AbsRel of every frame by position: a chart for each recording, in metres and after alignment."""
    charts, shown = [], []
    for recording in results.recordings:
        for protocol in ("metric", "affine"):
            lines = _frame_lines(results, recording, protocol)
            if lines:
                shown += [line.name for line in lines]
                charts.append(
                    line_chart(
                        f"{title_of(recording)}, {protocol}",
                        _named(results, lines),
                        Axis("frame"),
                        Axis("AbsRel", least=0.0, most=readable_end(lines)),
                    )
                )
    return _charts(charts, model_legend(results, list(dict.fromkeys(shown)))) if charts else Markup("")


def _frame_lines(results: Results, recording: str, protocol: str) -> list[Series]:
    rows = [row for row in results.frames if (row.recording, row.protocol) == (recording, protocol)]
    place = {frame: i for i, frame in enumerate(dict.fromkeys(row.frame for row in rows if row.frame), 1)}
    style, lines = styles(results), []
    for model in [*results.models, *results.baselines]:
        mine = [row for row in rows if row.model == model and row.frame]
        values = [row.figures.get("abs_rel", math.nan) for row in mine]
        if len(values) > 1 and any(map(math.isfinite, values)):
            lines.append(Series(model, [place[row.frame] for row in mine], values, style[model], len(values) <= 60))
    return lines


def _named(results: Results, lines: Sequence[Series]) -> list[Series]:
    return [Series(results.label(line.name), line.x, line.y, line.style, line.points) for line in lines]


def robustness(results: Results) -> Markup:
    """A chart per recording and corruption: AbsRel over severity."""
    made = []
    for recording in results.recordings:
        rows = sorted(results.part_rows("robustness", recording), key=lambda row: str(row["corruption"]))
        charts = [
            _robustness_chart(results, kind, list(of))
            for kind, of in groupby(rows, key=lambda row: str(row["corruption"]))
        ]
        if any(charts):
            models = list(dict.fromkeys(row["model"] for row in rows))
            frames = max(int(row.get("frames") or 0) for row in rows)
            rule = breakable(f"Mean of {frames} frames; {by_protocol(results, rows)}.")
            body = _charts(charts, model_legend(results, models), rule)
            made.append(render("recording", title=title_of(recording), body=body))
    return joined([*made, _defined(results, "robustness")]) if made else Markup("")


def _defined(results: Results, part: str) -> Markup | None:
    texts = (results.parts.get(part) or {}).get("definitions")
    return definitions(texts, "Definitions") if texts else None


def _robustness_chart(results: Results, kind: str, rows: Sequence[Tree]) -> Markup:
    style = styles(results)
    levels = {int(row["severity"]): _level(row) for row in rows}
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = sorted((row for row in rows if row["model"] == model), key=lambda row: int(row["severity"]))
        lines.append(
            Series(
                results.label(model),
                [int(row["severity"]) for row in mine],
                known([(row.get("figures") or {}).get("abs_rel") for row in mine]),
                style.get(model, "plain"),
            )
        )
    ticks = [(float(place), text) for place, text in sorted(levels.items())]
    title = "JPEG" if kind == "jpeg" else kind.replace("_", " ").capitalize()
    words = next((str(row["level"]).rpartition(" ")[0] for row in rows if row.get("level") and row["severity"]), "")
    return line_chart(
        title, lines, Axis(words or "severity", ticks), Axis("AbsRel", least=0.0, most=readable_end(lines))
    )


def _level(row: Tree) -> str:
    words = str(row.get("level") or row["severity"]).split()
    return "none" if int(row["severity"]) == 0 else words[-1]


def uncertainty(results: Results) -> Markup:
    """Calibration, sparsification and anomaly detection of models with sigma; the reason for those without."""
    made = []
    for recording in results.recordings:
        rows = results.part_rows("uncertainty", recording)
        charts = [_calibration(results, rows), *(_sparsification(results, row) for row in rows)]
        if not rows:
            continue
        lines = [_uncertainty_line(results, row) for row in rows]
        frames = max(int(row.get("frames") or 0) for row in rows)
        table = data_table(
            lines,
            _uncertainty_columns(lines),
            "Uncertainty: area between the sparsification curves "
            "(AUSE), and area under the ROC of sigma for anomalies (0.5 is chance). Errors without "
            "alignment in metres, of relative models in disparity after scale and shift of each frame; "
            f"crop none; averaging mean of the frames' values, of {frames}",
        )
        models = [row["model"] for row in rows if row.get("calibration") or row.get("sparsification")]
        drawn = _charts(charts, model_legend(results, models), _UNCERTAINTY) if any(charts) else None
        made.append(render("recording", title=title_of(recording), body=joined([drawn, table])))
    return joined([*made, _defined(results, "uncertainty")]) if made else Markup("")


def _calibration(results: Results, rows: Sequence[Tree]) -> Markup:
    style = styles(results)
    lines = [Series("ideal", (0.0, 1.0), (0.0, 1.0), "plain", False)]
    for row in rows:
        curve = row.get("calibration")
        if curve:
            lines.append(
                Series(
                    results.label(row["model"]),
                    known(curve["nominal"]),
                    known(curve["observed"]),
                    style.get(row["model"], "s0"),
                )
            )
    if len(lines) == 1:
        return Markup("")
    return line_chart(
        "Calibration: share of errors inside the interval",
        lines,
        Axis("nominal (normal distribution)", least=0.0, most=1.0),
        Axis("observed", least=0.0, most=1.0),
    )


def _sparsification(results: Results, row: Tree) -> Markup:
    curves = row.get("sparsification")
    if not curves:
        return Markup("")
    name = results.label(row["model"])
    style = styles(results).get(row["model"], "s0")
    removed = known(curves["fraction"])
    lines = [
        Series(text, removed, known(curves[key]), drawn, False)
        for key, text, drawn in (
            ("random", "in random order", "plain"),
            ("oracle", "by the error itself", "oracle"),
            ("by_sigma", "by sigma", style),
        )
        if curves.get(key)
    ]
    return line_chart(
        f"Sparsification, {name}",
        lines,
        Axis("share of pixels removed", least=0.0, most=1.0),
        Axis("remaining error", least=0.0),
    )


def _uncertainty_line(results: Results, row: Tree) -> Line:
    anomaly = row.get("anomaly") or {}
    pairs = [
        *((key, row.get(key)) for key in ("ause", "rank_correlation")),
        *((key, anomaly.get(key)) for key in _ANOMALIES),
    ]
    values = {key: float(value) for key, value in pairs if value is not None}
    note = row.get("reason") or ("no uncertainty" if row.get("kind") in (None, "none") else "")
    kind = row.get("kind") or "none"
    name = results.label(row["model"])
    return Line(name if kind == "none" else f"{name}, {kind.replace('_', ' ')}", values, False, note, row["model"])


def _uncertainty_columns(lines: Sequence[Line]) -> Mapping[str, Column]:
    columns = {
        "ause": Column("AUSE", "area between the sparsification curves by sigma and by the error", "low"),
        "rank_correlation": Column("Rank corr.", "Spearman's, of sigma and error; 0 is chance", "high"),
        **{
            key: Column(text, f"area under the ROC of sigma: {text.lower()}", "high")
            for key, text in _ANOMALIES.items()
        },
    }
    return {key: column for key, column in columns.items() if any(key in line.values for line in lines)}


def training(results: Results) -> Markup:
    """Curves of every training log: one chart per metric, with training and validation in it."""
    made = []
    for name, columns in results.logs.items():
        axis = next((key for key in ("epoch", "step") if key in columns), "")
        x = columns[axis] if axis else list(range(1, 1 + len(next(iter(columns.values())))))
        groups: dict[str, list[str]] = {}
        for key in columns:
            if key != axis:
                groups.setdefault(_metric(key), []).append(key)
        charts = []
        for metric, keys in groups.items():
            lines = [
                Series(_words(key, metric), x, columns[key], f"s{i % COLORS}", len(x) <= 60)
                for i, key in enumerate(keys)
            ]
            label = COLUMNS[metric].label if metric in COLUMNS else metric.replace("_", " ")
            chart = line_chart(
                label.capitalize() if metric == "loss" else label, lines, Axis(axis or "row"), Axis(label)
            )
            shown = legend([(line.name, line.style) for line in lines])
            charts.append(Markup("<div>{}{}</div>").format(chart, shown) if len(keys) > 1 else chart)
        made.append(render("recording", title=name, body=_charts(charts)))
    return joined(made)


def _metric(key: str) -> str:
    return next((metric for metric in _METRICS if key == metric or key.endswith(f"_{metric}")), key)


def _words(key: str, metric: str) -> str:
    return (key.removesuffix(metric).strip("_") or metric).replace("_", " ")


def paper_figures(results: Results, made: Sequence[RecordingFrames]) -> Markup:
    """Why relative models have a negative R2 under `paper`: pixels of one frame, before and after alignment."""
    found = [(each.recording, model, scatter) for each in made for model, scatter in each.scatters.items()]
    if not found:
        return Markup("")
    rows = [
        Line(f"{results.names[model]}, {title_of(recording)}", scatter.r2, False, f"{scatter.frames} frames", model)
        for recording, model, scatter in found
    ]
    columns = {
        "paper": Column("R² as in the paper", "disparity scaled to [0, 1] against depth scaled to [0, 1]"),
        "affine": Column("R² after alignment", "metres after scale and shift in disparity, against metres"),
    }
    table = data_table(rows, columns, "The same predictions of the same frames, compared twice", "Model and recording")
    recording, model, scatter = max(found, key=lambda each: each[2].r2.get("affine", -math.inf))
    rule = f"Pixels of the first of these frames of {title_of(recording)}; they should lie on the line."
    charts = _charts(_scatters(results.names[model], scatter))
    return joined([table, charts, Markup('<p class="rule">{}</p>').format(rule)])


def _scatters(name: str, scatter: Scatter) -> list[Markup]:
    near, far = float(scatter.truth.min()), float(scatter.truth.max())
    return [
        scatter_chart(
            f"{name}, as in the paper",
            scatter.truth.tolist(),
            scatter.output.tolist(),
            Axis("true depth, m"),
            Axis("output scaled to [0, 1]", least=0.0, most=1.0),
            Series("ideal", (near, far), (0.0, 1.0), "plain", False),
            f"R² {number(scatter.r2['paper'])}: near pixels have large outputs",
        ),
        scatter_chart(
            f"{name}, after alignment (affine)",
            scatter.truth.tolist(),
            scatter.aligned.tolist(),
            Axis("true depth, m"),
            Axis(
                "predicted depth, m",
                least=min(near, float(scatter.aligned.min())),
                most=max(far, float(np.quantile(scatter.aligned, 0.99))),
            ),
            Series("ideal", (near, far), (near, far), "plain", False),
            f"R² {number(scatter.r2['affine'])}",
        ),
    ]

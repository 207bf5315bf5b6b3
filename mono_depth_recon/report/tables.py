"""Tables of the report: scores by recording and protocol, the paper's beside ours, 3D figures, characteristics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..metrics.protocols import PROTOCOLS
from .charts import number
from .html import Html, breakable, element, joined
from .results import Results, ScoreRow, Tree, known_figures


@dataclass(frozen=True)
class Column:
    """A figure: its name for people, what it means, which end is better ('low', 'high', '' for neither)."""

    label: str
    help: str
    better: str = ""
    percent: bool = False


COLUMNS = {
    "ssim": Column("SSIM", "structural similarity, windows of 7 x 7 pixels", "high"),
    "mse": Column("MSE", "mean squared error of the scaled maps", "low"),
    "psnr": Column("PSNR dB", "peak signal-to-noise ratio for a data range of 1", "high"),
    "r2": Column("R²", "1 − squared errors / squared deviations from the mean", "high"),
    "abs_rel": Column("AbsRel", "mean of |d − t| / t", "low"),
    "sq_rel": Column("SqRel m", "mean of (d − t)² / t, metres", "low"),
    "rmse": Column("RMSE", "root of the mean squared error, metres (paper: of the scaled maps)", "low"),
    "rmse_log": Column("RMSE log", "root of the mean of (ln d − ln t)²", "low"),
    "log10": Column("log10", "mean of |log10 d − log10 t|", "low"),
    "silog": Column("SILog", "100 times the standard deviation of ln d − ln t", "low"),
    "delta1": Column("δ < 1.25", "share of pixels within a factor of 1.25", "high", True),
    "delta2": Column("δ < 1.25²", "share of pixels within a factor of 1.25²", "high", True),
    "delta3": Column("δ < 1.25³", "share of pixels within a factor of 1.25³", "high", True),
    "edge_accuracy": Column("Edge acc. px", "mean distance of predicted boundaries to true ones, pixels", "low"),
    "edge_completeness": Column("Edge compl. px", "mean distance of true boundaries to predicted ones, pixels", "low"),
    "scale_drift": Column("Scale drift", "standard deviation over the frames of ln(median of t / d)", "low"),
    "flicker": Column("Flicker", "mean |change of ln d − change of ln t| between consecutive frames", "low"),
}
COLUMNS_3D = {
    "density": Column("Density /m²", "points per square metre of surface", ""),
    "completeness": Column("Completeness", "share of the true surface that has a point nearby", "high", True),
    "smoothness": Column(
        "Roughness m",
        "the paper's surface smoothness: distance to the plane through the points within 5 cm, metres",
        "low",
    ),
    "accuracy": Column("Accuracy m", "mean distance of made points to the true cloud", "low"),
    "completeness_distance": Column("Compl. m", "mean distance of true points to the made cloud", "low"),
    "chamfer": Column("Chamfer m", "mean of accuracy and completeness distance", "low"),
    "fscore_2cm": Column("F 2 cm", "F-score at 2 cm", "high"),
    "fscore_5cm": Column("F 5 cm", "F-score at 5 cm", "high"),
    "fscore_10cm": Column("F 10 cm", "F-score at 10 cm", "high"),
    "normal_consistency": Column("Normals", "mean |cosine| between made and true normals", "high"),
}
_HIDDEN = {"pixels", "frames", "scale_trend"}

# The paper's Tables 1 and 2 (Pananthula and Sebastian, IJSREM 9(4), 2025): one TUM image, depth scaled to [0, 1].
PAPER = (
    ("MiDaS", ("midas",), (0.6678, 0.1453, 8.3763, -2.2077)),
    ("Depth Anything V2", ("depth_anything",), (0.6652, 0.1354, 8.6822, -1.9895)),
    ("GLPN", ("glpn",), (0.8295, 0.0094, 20.2776, 0.7930)),
    ("U-Net++", ("unetpp",), (0.7053, 0.0244, 16.1293, 0.4619)),
)
_ALIGNED = {"metric": " (no alignment)", "affine": " (scale and shift of each frame, in disparity)"}
_PAPER_FIGURES = ("ssim", "mse", "psnr", "r2")


@dataclass(frozen=True)
class Line:
    """A row of a table: values by column, or why there are none; `note` stands after what values there are."""

    name: str
    values: Mapping[str, float]
    baseline: bool = False
    note: str = ""
    full_name: str = ""
    failed: bool = False


def score_table(results: Results, recording: str, protocol: str) -> Html:
    """The table of one recording under one protocol, headed by alignment, space, crop, range and averaging."""
    rows = results.of(recording, protocol)
    lines = [
        Line(results.names[row.model], _shown(row), row.baseline, _failure(row), row.model, row.failed > 0)
        for row in rows
    ]
    columns = _columns(lines)
    shown = {**columns, "coverage": Column("Coverage", "share of the pixels with truth that were compared", "", True)}
    return data_table(lines, shown, results.protocols.get(protocol, protocol))


def _shown(row: ScoreRow) -> dict[str, float]:
    values = {**row.figures, **row.sequence, "coverage": row.coverage} if row.frames else {}
    return {name: value for name, value in values.items() if name not in _HIDDEN}


def _columns(lines: Sequence[Line]) -> dict[str, Column]:
    present = {name for line in lines for name in line.values} - {"coverage"}
    named = {name: column for name, column in COLUMNS.items() if name in present}
    return {**named, **{name: Column(name, name) for name in sorted(present - named.keys())}}


def _failure(row: ScoreRow) -> str:
    if not row.failed:
        return row.reason
    return f"{row.failed} of {row.frames + row.failed} frames failed: {row.reason}"


def data_table(
    lines: Sequence[Line], columns: Mapping[str, Column], caption: str, head: str = "Model", apart: str = "Baselines"
) -> Html:
    """A sortable table: models first, baselines apart, the best of the models marked where there is a choice."""
    models, baselines = ([line for line in lines if line.baseline is each] for each in (False, True))
    best = {name: _best(models, name, column) for name, column in columns.items()}
    header = element(
        "tr",
        element("th", _sort_button(head), scope="col", aria_sort="none"),
        [
            element("th", _sort_button(column.label, column), scope="col", aria_sort="none")
            for column in columns.values()
        ],
    )
    bodies = [element("tbody", [_row(line, columns, best) for line in models])]
    if baselines:
        title = element("tr", element("th", apart, colspan=len(columns) + 1, scope="rowgroup"), class_="group")
        bodies.append(element("tbody", title, [_row(line, columns, {}) for line in baselines], class_="baselines"))
    made = element("table", captioned(caption), element("thead", header), bodies, class_="sortable")
    return scrolling(made, caption)


def captioned(text: str) -> Html:
    """A caption that stays in sight and wraps where its box ends, however wide the table is."""
    return element("caption", element("span", text))


def scrolling(table: Html, name: str) -> Html:
    """A table in a box that scrolls by itself, by keyboard too."""
    return element("div", table, class_="scroll", tabindex=0, role="region", aria_label=name)


def _sort_button(label: str, column: Column | None = None) -> Html:
    arrow = {"low": "↓", "high": "↑"}.get(column.better if column else "", "")
    meaning = {"low": " (lower is better)", "high": " (higher is better)"}.get(column.better if column else "", "")
    return element(
        "button",
        label,
        element("span", arrow, class_="better", aria_hidden="true") if arrow else None,
        type="button",
        title=f"{column.help}{meaning}" if column else None,
    )


def _best(lines: Sequence[Line], name: str, column: Column) -> float:
    values = [line.values[name] for line in lines if math.isfinite(line.values.get(name, math.nan))]
    if len(values) < 2 or not column.better:
        return math.nan
    return min(values) if column.better == "low" else max(values)


def _row(line: Line, columns: Mapping[str, Column], best: Mapping[str, float]) -> Html:
    title = line.full_name if line.full_name != line.name else None
    name = breakable(line.name)
    head = element("th", name, scope="row", title=title or None)
    if not any(math.isfinite(value) for value in line.values.values()):
        reason = line.note or "no figures"
        kind = "reason bad" if line.failed else "reason"
        return element("tr", head, element("td", element("span", reason), colspan=len(columns), class_=kind))
    cells = [
        _cell(line.values.get(name, math.nan), column, best.get(name, math.nan)) for name, column in columns.items()
    ]
    if line.note:
        head = element("th", name, element("small", line.note), scope="row", title=title or None)
    return element("tr", head, cells)


def _cell(value: float, column: Column, best: float) -> Html:
    text = f"{100 * value:.1f} %" if column.percent and math.isfinite(value) else number(value)
    chosen = value == best
    return element(
        "td",
        element("strong", text, element("span", " best", class_="unseen")) if chosen else text,
        class_="best" if chosen else None,
        data_value=repr(value) if math.isfinite(value) else None,
    )


def paper_table(results: Results, recording: str) -> Html:
    """The paper's figures beside ours of the same families, all under `paper`."""
    ours = {row.model: row for row in results.of(recording, "paper") if not row.baseline}
    head = element(
        "tr",
        element("th", "Family", scope="col"),
        element("th", "Source", scope="col"),
        [element("th", COLUMNS[name].label, scope="col") for name in _PAPER_FIGURES],
    )
    bodies = []
    for family, stems, values in PAPER:
        found = [row for model, row in ours.items() if any(stem in results.names[model] for stem in stems)]
        lines = [
            element(
                "tr",
                element("th", family, scope="rowgroup", rowspan=1 + len(found)),
                element("td", "the paper, one TUM image"),
                [element("td", f"{value:.4f}".replace("-", "−")) for value in values],
                class_="theirs",
            )
        ]
        for row in found:
            figures = [row.figures.get(name, math.nan) for name in _PAPER_FIGURES]
            text = f"{results.names[row.model]}, {row.frames} frames"
            cells = [
                element("td", f"{value:.4f}".replace("-", "−") if math.isfinite(value) else "–") for value in figures
            ]
            lines.append(element("tr", element("td", text), cells))
        bodies.append(element("tbody", lines))
    caption = (
        "The paper's Tables 1 and 2 beside this evaluation: for orientation, not a comparison. "
        f"{results.protocols.get('paper', '')}"
    )
    return scrolling(element("table", captioned(caption), element("thead", head), bodies, class_="paper"), caption)


def table_3d(results: Results, recording: str) -> list[Html]:
    """3D figures before and after clean-up, a table each."""
    rows = results.part_rows("scores_3d", recording)
    made = []
    for cleaned, text in ((False, "As predicted"), (True, "After Open3D's outlier removal and voxel grid")):
        lines = [_line_3d(results, row) for row in rows if bool(row.get("cleaned")) is cleaned]
        present = {name for line in lines for name in line.values}
        columns = {name: column for name, column in COLUMNS_3D.items() if name in present}
        columns |= {name: Column(name, name) for name in sorted(present - columns.keys())}
        if lines:
            caption = f"{text}, against the cloud of the true depth; {_compared(results, rows)}"
            made.append(data_table(lines, columns, caption, apart="For comparison"))
    return made


def _compared(results: Results, rows: Sequence[Tree]) -> str:
    """Protocol, crop, range and averaging of 3D figures, in words."""
    frames = max((int(row.get("frames") or 0) for row in rows), default=0)
    told = PROTOCOLS["metric"]
    return "; ".join(
        filter(
            None,
            (
                by_protocol(results, rows),
                f"crop {told.crop}",
                f"truth {told.min_range:g} to {told.max_range:g} m",
                f"averaging {told.averaging}, of {frames}",
            ),
        )
    )


def by_protocol(results: Results, rows: Sequence[Tree]) -> str:
    """Which models were compared under which protocol, in words; empty where no row says it."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row.get("protocol") and (name := results.label(row["model"])) not in groups.setdefault(row["protocol"], []):
            groups[row["protocol"]].append(name)
    return "; ".join(
        f"{', '.join(models)} under {protocol}{_ALIGNED.get(protocol, '')}" for protocol, models in groups.items()
    )


def _line_3d(results: Results, row: Tree) -> Line:
    note = f"{row['failed']} frames failed: {row.get('reason', '')}" if row.get("failed") else row.get("reason") or ""
    return Line(
        results.label(row["model"]),
        known_figures(row.get("figures")),
        row["model"] not in results.models,
        note,
        row["model"],
        bool(row.get("failed")),
    )


def characteristics(results: Results, tree: Tree) -> Html:
    """Table 3: a row for each characteristic, a column for each model."""
    columns: Mapping[str, str] = tree.get("columns", {})
    rows: Sequence[Tree] = tree.get("rows", [])
    head = element(
        "tr",
        element("th", "Characteristic", scope="col"),
        [element("th", breakable(results.label(row["model"])), scope="col", title=row["model"]) for row in rows],
    )
    body = [
        element(
            "tr",
            element("th", _title(key), scope="row", title=text),
            [element("td", _characteristic(row.get(key))) for row in rows],
        )
        for key, text in columns.items()
    ]
    caption = "The paper's Table 3, by measurement"
    table = element("table", captioned(caption), element("thead", head), element("tbody", body), class_="words")
    return joined(scrolling(table, caption), definitions(columns, "How each was measured"))


def _title(key: str) -> str:
    words = key.replace("_", " ").replace("3d", "3D")
    return words[:1].upper() + words[1:]


def definitions(texts: Mapping[str, str], summary: str) -> Html:
    """What names mean, folded away."""
    terms = [joined(element("dt", name.replace("_", " ")), element("dd", text)) for name, text in texts.items()]
    return element("details", element("summary", summary), element("dl", terms), class_="defined")


def _counted(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else number(value)


def _characteristic(cell: Tree | str | None) -> Html:
    if cell is None:
        return Html("–")
    if not isinstance(cell, dict):
        return joined(str(cell))
    value, unit, text = cell.get("value"), (cell.get("unit") or "").removeprefix("1"), cell.get("text") or ""
    figure = "" if value is None else _counted(value) if isinstance(value, int | float) else str(value)
    shown = element("strong", f"{figure} {unit}".strip()) if figure else None
    return joined(shown, element("small", text) if text and shown else text) if shown or text else Html("–")

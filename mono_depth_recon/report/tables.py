"""Tables of the report: scores by recording and protocol, the paper's figures, 3D figures, characteristics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ..metrics.figure import Figure, figures_of
from ..metrics.protocols import DEPTH_FIGURES, PAPER_FIGURES, PROTOCOLS, figures_under
from ..metrics.published import published_under
from ..metrics.sequence import SequenceErrors
from .charts import number
from .results import Results, ScoreRow, Tree, known_figures
from .templates import joined, render


class Column(Figure):
    """A column of figures, as the report heads it."""

    @property
    def arrow(self) -> str:
        """An arrow in the better direction."""
        return {"low": "↓", "high": "↑"}.get(self.better, "")

    @property
    def title(self) -> str:
        """The meaning of the column, and the better direction in words."""
        return self.help + {"low": " (lower is better)", "high": " (higher is better)"}.get(self.better, "")


def columns_of(figures: Mapping[str, Figure]) -> dict[str, Column]:
    """The columns of figures by name."""
    return {name: Column(**vars(figure)) for name, figure in figures.items()}


COLUMNS = columns_of({**PAPER_FIGURES, **DEPTH_FIGURES, **figures_of(SequenceErrors)})
COLUMNS_3D = {
    "density": Column("Density /m²", "points per square metre of surface", ""),
    "completeness": Column("Completeness", "share of the true points with a predicted point within 5 cm", "high", True),
    "smoothness": Column(
        "Roughness m",
        "the paper's surface smoothness: distance to the plane through the points within 5 cm, metres",
        "low",
    ),
    "accuracy": Column("Accuracy m", "mean distance of predicted points to the true cloud", "low"),
    "completeness_distance": Column("Compl. m", "mean distance of true points to the predicted cloud", "low"),
    "chamfer": Column("Chamfer m", "mean of accuracy and completeness distance", "low"),
    "fscore_2cm": Column("F 2 cm", "F-score at 2 cm", "high"),
    "fscore_5cm": Column("F 5 cm", "F-score at 5 cm", "high"),
    "fscore_10cm": Column("F 10 cm", "F-score at 10 cm", "high"),
    "normal_consistency": Column("Normals", "mean |cosine| between predicted and true normals", "high"),
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
    """A row of a table: values by column, or a `note` why there are none; with values, the note follows the name."""

    name: str
    values: Mapping[str, float]
    baseline: bool = False
    note: str = ""
    full_name: str = ""
    failed: bool = False


def score_table(results: Results, recording: str, protocol: str) -> Markup:
    """The table of one recording under one protocol, headed by alignment, space, crop, range and averaging."""
    rows = results.of(recording, protocol)
    lines = [
        Line(results.names[row.model], _shown(row), row.baseline, _failure(row), row.model, row.failed > 0)
        for row in rows
    ]
    columns = _columns(lines, protocol)
    shown = {**columns, "coverage": Column("Coverage", "share of the pixels with truth that were compared", "", True)}
    published = published_under(results.benchmarks.get(recording, ""), protocol)
    others = [Line(row.model, row.figures, note=row.source) for row in published.rows] if published else []
    further = (published.title if published else "", others)
    return data_table(lines, shown, results.protocols.get(protocol, protocol), further=further)


def _shown(row: ScoreRow) -> dict[str, float]:
    values = {**row.figures, **row.sequence, "coverage": row.coverage} if row.frames else {}
    return {name: value for name, value in values.items() if name not in _HIDDEN}


def _columns(lines: Sequence[Line], protocol: str) -> dict[str, Column]:
    present = {name for line in lines for name in line.values} - {"coverage"}
    known = columns_of({**figures_under(protocol), **figures_of(SequenceErrors)})
    named = {name: column for name, column in known.items() if name in present}
    return {**named, **{name: Column(name, name) for name in sorted(present - named.keys())}}


def _failure(row: ScoreRow) -> str:
    if not row.failed:
        return row.reason
    return f"{row.failed} of {row.frames + row.failed} frames failed: {row.reason}"


def data_table(
    lines: Sequence[Line],
    columns: Mapping[str, Column],
    caption: str,
    head: str = "Model",
    apart: str = "Baselines",
    further: tuple[str, Sequence[Line]] = ("", ()),
) -> Markup:
    """A sortable table: models, baselines apart, `further` lines below a title; the best of several is marked."""
    models, baselines = ([line for line in lines if line.baseline is each] for each in (False, True))
    best = {name: _best(models, name, column) for name, column in columns.items()}
    bodies = [{"title": "", "rows": [_row(line, columns, best) for line in models]}]
    if baselines:
        bodies.append({"title": apart, "rows": [_row(line, columns, {}) for line in baselines]})
    title, others = further
    if others:
        bodies.append({"title": title, "rows": [_row(line, columns, {}) for line in others]})
    return render("data_table", caption=caption, head=head, columns=list(columns.values()), bodies=bodies)


def _best(lines: Sequence[Line], name: str, column: Column) -> float:
    values = [line.values[name] for line in lines if math.isfinite(line.values.get(name, math.nan))]
    if len(values) < 2 or not column.better:
        return math.nan
    return min(values) if column.better == "low" else max(values)


def _row(line: Line, columns: Mapping[str, Column], best: Mapping[str, float]) -> Tree:
    """The template's values for a line; no cells if no figure is known."""
    known = any(math.isfinite(value) for value in line.values.values())
    cells = [
        _cell(line.values.get(name, math.nan), column, best.get(name, math.nan)) for name, column in columns.items()
    ]
    return {
        "name": line.name,
        "title": line.full_name if line.full_name != line.name else "",
        "note": line.note,
        "failed": line.failed,
        "cells": cells if known else [],
    }


def _cell(value: float, column: Column, best: float) -> Tree:
    known = math.isfinite(value)
    return {
        "text": f"{100 * value:.1f} %" if column.percent and known else number(value),
        "best": value == best,
        "value": repr(value) if known else None,
    }


def paper_table(results: Results, recording: str) -> Markup:
    """The paper's figures and ours of the same families, all under `paper`."""
    ours = {row.model: row for row in results.of(recording, "paper") if not row.baseline}
    families = []
    for family, stems, values in PAPER:
        found = [row for model, row in ours.items() if any(stem in results.names[model] for stem in stems)]
        rows = [
            (
                f"{results.names[row.model]}, {row.frames} frames",
                _decimals(row.figures.get(n, math.nan) for n in _PAPER_FIGURES),
            )
            for row in found
        ]
        families.append({"name": family, "figures": _decimals(values), "ours": rows})
    caption = (
        "The paper's Tables 1 and 2 and this evaluation: for orientation, not a comparison. "
        f"{results.protocols.get('paper', '')}"
    )
    labels = [COLUMNS[name].label for name in _PAPER_FIGURES]
    return render("paper_table", caption=caption, labels=labels, families=families)


def _decimals(values: Iterable[float]) -> list[str]:
    """Four decimals, as the paper prints them."""
    return [f"{value:.4f}".replace("-", "−") if math.isfinite(value) else "–" for value in values]


def table_3d(results: Results, recording: str) -> list[Markup]:
    """3D figures before and after clean-up, one table each."""
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
    protocol = PROTOCOLS["metric"]
    parts = (
        by_protocol(results, rows),
        f"crop {protocol.crop}",
        f"truth {protocol.min_range:g} to {protocol.max_range:g} m",
        f"averaging {protocol.averaging}, of {frames}",
    )
    return "; ".join(filter(None, parts))


def by_protocol(results: Results, rows: Sequence[Tree]) -> str:
    """Which models were compared under which protocol, in words; empty if no row has a protocol."""
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


def characteristics(results: Results, tree: Tree) -> Markup:
    """Table 3: a row for each characteristic, a column for each model."""
    columns: Mapping[str, str] = tree.get("columns", {})
    of_models: Sequence[Tree] = tree.get("rows", [])
    models = [{"name": results.label(each["model"]), "full_name": each["model"]} for each in of_models]
    rows = [
        {"title": _title(key), "help": text, "cells": [_characteristic(each.get(key)) for each in of_models]}
        for key, text in columns.items()
    ]
    table = render("characteristics", models=models, rows=rows)
    return joined([table, definitions(columns, "How each is measured")])


def _title(key: str) -> str:
    words = key.replace("_", " ").replace("3d", "3D")
    return words[:1].upper() + words[1:]


def definitions(texts: Mapping[str, str], summary: str) -> Markup:
    """A collapsed list of definitions."""
    return render("definitions", texts=texts, summary=summary)


def _counted(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else number(value)


def _characteristic(cell: Tree | str | None) -> tuple[str, str]:
    """A figure with its unit, and its text."""
    if not isinstance(cell, dict):
        return "", str(cell or "")
    value, unit, text = cell.get("value"), (cell.get("unit") or "").removeprefix("1"), cell.get("text") or ""
    figure = "" if value is None else _counted(value) if isinstance(value, int | float) else str(value)
    return f"{figure} {unit}".strip() if figure else "", text

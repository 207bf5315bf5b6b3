"""The sections of the report apart from images and curves: head, tables, failures, missing parts, origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from markupsafe import Markup

from .charts import number
from .message import attribution_of, good_rows, headline, models_without_figures, statements, title_of
from .results import Results, ScoreRow, Tree, needs_metres
from .tables import characteristics, definitions, paper_table, score_table, table_3d
from .templates import joined, render

# Optional parts of the report, with the command that produces each.
FLAGS = {
    "scores_3d": ("3D figures", "evaluate --with 3d"),
    "robustness": ("Robustness curves", "evaluate --with robustness"),
    "uncertainty": ("Uncertainty, calibration and anomaly detection", "evaluate --with uncertainty"),
    "table3": ("Table 3", "evaluate --with table3"),
    "logs": ("Training curves", "report RESULTS --training-log LOG.csv"),
}
_HEADS = {
    "metric": "no alignment",
    "median": "median scale",
    "affine": "scale and shift",
    "nyu": "Eigen crop",
    "kitti": "Garg crop",
    "paper": "as the paper",
}


@dataclass(frozen=True)
class Section:
    """A part of the page: anchor, name in the navigation, heading, a line of explanation, content."""

    anchor: str
    short: str
    heading: str
    lead: str
    body: Markup


def head(results: Results) -> Markup:
    """Title, the main message, what was evaluated, and the errors at a glance."""
    origin = results.parts.get("origin") or {}
    meta = [
        origin.get("date", "")[:10],
        origin.get("commit") or origin.get("version"),
        origin.get("device"),
        attribution_of(results.recordings),
    ]
    return render(
        "head",
        name=results.folder.resolve().name,
        headline=_kept_together(headline(results)),
        meta=" · ".join(str(part) for part in meta if part),
        cards=_cards(results),
        statements=[_kept_together(text) for text in statements(results)],
        facts=_facts(results),
        command=origin.get("command"),
        glances=[_glance(results, name) for name in results.recordings],
    )


def _kept_together(text: str) -> str:
    return text.replace(" %", "\u00a0%")


def _cards(results: Results) -> list[Tree]:
    counts = [
        (len(results.models), "models"),
        (len(results.recordings), "recordings"),
        (sum(_frames(results, recording) for recording in results.recordings), "frames"),
    ]
    cards: list[Tree] = [
        {"value": value, "text": text if value != 1 else text.removesuffix("s"), "bad": False} for value, text in counts
    ]
    without = len(models_without_figures(results))
    return [*cards, {"value": without, "text": "without figures", "bad": True}] if without else cards


def _frames(results: Results, recording: str) -> int:
    return max(row.frames + row.failed for row in results.rows if row.recording == recording)


def _glance(results: Results, recording: str) -> Tree:
    """AbsRel of models and baselines as bars, in metres and after alignment."""
    groups = []
    for protocol, words in (
        ("metric", "in metres"),
        ("affine", "scale and shift fitted"),
        ("kitti", "under the KITTI protocol"),
    ):
        rows = [*good_rows(results, recording, protocol), *good_rows(results, recording, protocol, baseline=True)]
        rows.sort(key=lambda row: row.figures["abs_rel"])
        if rows:
            end = max(value for row in rows if (value := row.figures["abs_rel"]) <= 4 * rows[0].figures["abs_rel"])
            groups.append((words, [_bar(results, row, end) for row in rows]))
    return {"title": title_of(recording), "frames": _frames(results, recording), "groups": groups}


def _bar(results: Results, row: ScoreRow, end: float) -> Tree:
    value = row.figures["abs_rel"]
    return {
        "model": row.model,
        "name": results.names[row.model],
        "percent": f"{min(100 * value / end, 100) if end else 0:.1f}",
        "style": "beyond" if value > end else "base" if row.baseline else "",
        "value": number(value),
        "baseline": row.baseline,
    }


def scores(results: Results) -> Section:
    """Tables: a group per recording with the protocols as tabs (one below the other in print)."""
    recordings = []
    for recording in results.recordings:
        protocols = [name for name in results.protocols if results.of(recording, name)]
        panels = [
            {"name": name, "hint": _HEADS.get(name), "table": score_table(results, recording, name)}
            for name in _ordered(protocols)
        ]
        recordings.append({"title": title_of(recording), "panels": panels})
    return Section(
        "scores",
        "Scores",
        "Scores",
        "Figures under different protocols cannot be compared: each table states its alignment, space, crop, range and "
        "averaging. Click a heading to sort; the best model of a column is marked.",
        render("scores", recordings=recordings),
    )


def _ordered(protocols: Sequence[str]) -> list[str]:
    """The most common protocols first; the paper's last, since it has its own section."""
    first = [name for name in ("metric", "affine", "median", "nyu", "kitti") if name in protocols]
    return [*first, *(name for name in protocols if name not in first)]


def paper(results: Results, figures: Markup) -> Section | None:
    """The paper's tables with ours, and an explanation of its figures."""
    tables = [
        Markup("<h3>{}</h3>{}").format(title_of(recording), paper_table(results, recording))
        for recording in results.recordings
        if results.of(recording, "paper")
    ]
    if not tables:
        return None
    text = (
        "The paper scores one unnamed TUM image, with depth scaled to [0, 1]. MiDaS and Depth Anything predict "
        "disparity, which is large where depth is small: scaled to [0, 1] and compared directly with depth, even an "
        "exact disparity is worse than a constant image, whose R² is 0. That explains the R² of −2.2 and −2.0. With "
        "scale and shift fitted in disparity (affine), the same predictions show their actual accuracy."
    )
    return Section("paper", "Paper", "The paper’s numbers", text, joined([*tables, figures]))


def three_d(results: Results, views: Mapping[str, Markup]) -> Section | None:
    """Figures and views of clouds and meshes, by recording."""
    groups = []
    for recording in results.recordings:
        made = joined([views.get(recording), *table_3d(results, recording)])
        if made:
            groups.append(render("recording", title=title_of(recording), body=made))
    if not groups:
        return None
    texts = (results.parts.get("scores_3d") or {}).get("definitions")
    defined = definitions(texts, "Definitions") if texts else None
    return Section("three-d", "3D", "In three dimensions", "", joined([*groups, defined]))


def table_3(results: Results) -> Section | None:
    """The characteristics of the paper's Table 3."""
    tree = results.parts.get("table3")
    if not tree:
        return None
    return Section(
        "table-3",
        "Characteristics",
        "Characteristics",
        "The paper's Table 3, which is in words, by measurement.",
        characteristics(results, tree),
    )


def notes(results: Results) -> Section | None:
    """Failures, notes about the recordings, and missing parts with the command that produces each."""
    body = render("notes", failures=_failures(results), notes=results.notes, missing=_missing(results))
    return Section("notes", "Notes", "Notes", "", body) if body else None


def _facts(results: Results) -> list[tuple[str, str]]:
    """The facts about the evaluation: data, models, version, machine."""
    origin = results.parts.get("origin") or {}
    data = ", ".join(f"{title_of(name)} ({_frames(results, name)} frames)" for name in results.recordings)
    facts = [
        ("Data", data),
        ("Frames", _range(results.settings, results.recordings)),
        ("Models", ", ".join(_model_fact(results, name) for name in results.models)),
        ("Baselines", ", ".join(results.baselines)),
        ("Protocols", ", ".join(results.protocols)),
        ("Version", _version(origin)),
        ("Device", origin.get("device")),
        ("Libraries", origin.get("libraries")),
        ("Date", origin.get("date")),
    ]
    return [(name, value) for name, value in facts if value]


def _version(origin: Tree) -> str:
    return ", ".join(part for part in (origin.get("version"), origin.get("commit")) if part)


def _range(settings: Tree, recordings: Sequence[str]) -> str:
    if not settings:
        return ""
    ends = {name: (settings.get("first", 0), settings.get("last", -1)) for name in recordings}
    ends |= {name: tuple(chosen) for name, chosen in settings.get("ranges", {}).items() if name in ends}
    parts = [f"{title_of(name)} {first} to {'the end' if last == -1 else last}" for name, (first, last) in ends.items()]
    stride = settings.get("stride", 1)
    return f"by position: {', '.join(parts)}" + (f"; one of every {stride}" if stride != 1 else "")


def _model_fact(results: Results, model: str) -> str:
    times = [row.model_ms for row in results.frames if row.model == model and row.model_ms]
    metres = any(row.frames for row in results.rows if row.model == model and row.protocol in ("metric", "median"))
    kind = "relative disparity" if results.relative(model) else "metres" if metres else ""
    spent = f"median {number(median(times))} ms per frame" if times else ""
    known = ", ".join(filter(None, (kind, spent)))
    return f"{model} ({known})" if known else model


def _failures(results: Results) -> list[Tree]:
    """Every failure once: model, recordings, counts, reason. Missing metres of a relative model are not a failure."""
    groups: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}
    for row in results.rows:
        if row.failed and not needs_metres(row):
            groups.setdefault((row.model, row.reason), {})[row.recording] = (row.failed, row.failed + row.frames)
    return [
        {
            "name": results.names[model],
            "where": "; ".join(
                f"{failed} of {every} frames of {title_of(recording)}" for recording, (failed, every) in where.items()
            ),
            "reason": reason,
        }
        for (model, reason), where in groups.items()
    ]


def _missing(results: Results) -> list[tuple[str, str]]:
    """Missing parts of the report, and the command that produces each."""
    parts = {**results.parts, "logs": results.logs or None}
    return [words for part, words in FLAGS.items() if not parts.get(part)]

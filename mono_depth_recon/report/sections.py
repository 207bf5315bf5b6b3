"""The sections of the report around its pictures and curves: head, tables, failures, what is missing, origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from .charts import number
from .html import Html, breakable, element, joined
from .message import attribution_of, good_rows, headline, lost_models, statements, title_of
from .results import Results, ScoreRow, Tree, needs_metres
from .tables import characteristics, definitions, paper_table, score_table, table_3d

# What a part needs to be in the report, by the flag that makes it.
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
    """A part of the page: anchor, name in the navigation, heading, how to read it in a line, what stands in it."""

    anchor: str
    short: str
    heading: str
    lead: str
    body: Html

    def html(self) -> Html:
        """The section with its heading."""
        return element(
            "section",
            element("h2", self.heading, id=f"{self.anchor}-heading"),
            element("p", self.lead, class_="lead") if self.lead else None,
            self.body,
            id=self.anchor,
            aria_labelledby=f"{self.anchor}-heading",
        )


def head(results: Results) -> Html:
    """Title, the main message, what was evaluated, and the errors at a glance."""
    told = results.parts.get("origin") or {}
    meta = [
        told.get("date", "")[:10],
        told.get("commit") or told.get("version"),
        told.get("device"),
        attribution_of(results.recordings),
    ]
    said = [element("li", breakable(_kept_together(text))) for text in statements(results)]
    words = element(
        "div",
        element("p", f"Depth evaluation: {results.folder.resolve().name}", class_="kicker"),
        element("h1", breakable(_kept_together(headline(results)))),
        element("p", " · ".join(str(part) for part in meta if part), class_="meta"),
        _cards(results),
        element("ul", said, class_="message"),
        _facts(results),
    )
    return element(
        "header",
        words,
        element("div", [_glance(results, name) for name in results.recordings], class_="glance"),
        class_="wide" if len(results.recordings) > 2 else None,
    )


def _kept_together(text: str) -> str:
    return text.replace(" %", "\u00a0%")


def _cards(results: Results) -> Html:
    counts = [
        (len(results.models), "models"),
        (len(results.recordings), "recordings"),
        (sum(_frames(results, recording) for recording in results.recordings), "frames"),
    ]
    cards = [
        element("div", element("b", value), element("span", text if value != 1 else text.removesuffix("s")))
        for value, text in counts
    ]
    lost = len(lost_models(results))
    if lost:
        cards.append(element("div", element("b", lost), element("span", "without figures"), class_="bad"))
    return element("div", cards, class_="cards")


def _frames(results: Results, recording: str) -> int:
    return max(row.frames + row.failed for row in results.rows if row.recording == recording)


def _glance(results: Results, recording: str) -> Html:
    """AbsRel of models and baselines as bars, in metres and after the fit."""
    parts = []
    for protocol, words in (
        ("metric", "in metres"),
        ("affine", "scale and shift fitted"),
        ("kitti", "under the KITTI protocol"),
    ):
        rows = [*good_rows(results, recording, protocol), *good_rows(results, recording, protocol, baseline=True)]
        rows.sort(key=lambda row: row.figures["abs_rel"])
        if rows:
            end = max(value for row in rows if (value := row.figures["abs_rel"]) <= 4 * rows[0].figures["abs_rel"])
            parts += [element("h3", f"AbsRel, {words}"), element("ol", [_bar(results, row, end) for row in rows])]
    if not parts:
        return Html("")
    return element(
        "div",
        element("h2", title_of(recording)),
        element("p", f"{_frames(results, recording)} frames"),
        parts,
        class_="glance-card",
    )


def _bar(results: Results, row: ScoreRow, end: float) -> Html:
    value = row.figures["abs_rel"]
    share = min(100 * value / end, 100) if end else 0
    style = "beyond" if value > end else "base" if row.baseline else None
    return element(
        "li",
        element("span", results.names[row.model], title=row.model),
        element("i", element("u", style=f"width:{share:.1f}%", class_=style), aria_hidden="true"),
        element("b", number(value)),
        class_="baseline" if row.baseline else None,
    )


def scores(results: Results) -> Section:
    """Tables: a group per recording, the protocols as tabs (all of them below each other on paper)."""
    groups = []
    for number_of, recording in enumerate(results.recordings):
        protocols = [name for name in results.protocols if results.of(recording, name)]
        panels = [
            element(
                "div",
                element("h4", name),
                score_table(results, recording, name),
                class_="panel",
                id=f"scores-{number_of}-{name}",
                data_tab=name,
                data_hint=_HEADS.get(name),
            )
            for name in _ordered(protocols)
        ]
        groups.append(
            element(
                "div", element("h3", title_of(recording)), element("div", panels, data_tabs=True), class_="recording"
            )
        )
    return Section(
        "scores",
        "Scores",
        "Scores",
        "Figures of different protocols do not compare: each table says its "
        "alignment, space, crop, range and averaging. Click a heading to sort; the best model of a column "
        "is marked.",
        joined(groups),
    )


def _ordered(protocols: Sequence[str]) -> list[str]:
    """The protocols experts look at first; the paper's last, it has a section of its own."""
    first = [name for name in ("metric", "affine", "median", "nyu", "kitti") if name in protocols]
    return [*first, *(name for name in protocols if name not in first)]


def paper(results: Results, figures: Html) -> Section | None:
    """The paper's tables beside ours, and what its figures mean."""
    tables = [
        joined(element("h3", title_of(recording)), paper_table(results, recording))
        for recording in results.recordings
        if results.of(recording, "paper")
    ]
    if not tables:
        return None
    text = (
        "The paper scores one TUM image that it does not name, with depth scaled to [0, 1]. MiDaS and Depth "
        "Anything answer disparity, large where depth is small: scaled to [0, 1] and compared with depth as it is, "
        "even an exact disparity is worse than a constant picture, whose R² is 0. That is where R² of −2.2 and "
        "−2.0 come from. After scale and shift are fitted in disparity (affine), the same predictions show what "
        "they know."
    )
    return Section("paper", "Paper", "The paper’s numbers", text, joined(tables, figures))


def three_d(results: Results, views: Mapping[str, Html]) -> Section | None:
    """Figures and views of clouds and meshes, by recording."""
    groups = []
    for recording in results.recordings:
        made = [views.get(recording), *table_3d(results, recording)]
        if any(made):
            groups.append(element("div", element("h3", title_of(recording)), made, class_="recording"))
    if not groups:
        return None
    texts = (results.parts.get("scores_3d") or {}).get("definitions")
    defined = definitions(texts, "What the figures mean") if texts else None
    return Section("three-d", "3D", "In three dimensions", "", joined(groups, defined))


def table_3(results: Results) -> Section | None:
    """The characteristics of the paper's Table 3."""
    tree = results.parts.get("table3")
    if not tree:
        return None
    return Section(
        "table-3",
        "Characteristics",
        "Characteristics",
        "What the paper's Table 3 says in words, measured.",
        characteristics(results, tree),
    )


def notes(results: Results) -> Section | None:
    """Failures, remarks of the recordings, and what is missing with the flag that makes it."""
    body = joined(_failures(results), _notes(results), _missing(results))
    return Section("notes", "Notes", "Notes", "", body) if body else None


def _facts(results: Results) -> Html:
    """What was evaluated, by what, and the command, folded away."""
    told = results.parts.get("origin") or {}
    data = ", ".join(f"{title_of(name)} ({_frames(results, name)} frames)" for name in results.recordings)
    facts = [
        ("Data", data),
        ("Frames", _range(results.settings, results.recordings)),
        ("Models", ", ".join(_model_fact(results, name) for name in results.models)),
        ("Baselines", ", ".join(results.baselines)),
        ("Protocols", ", ".join(results.protocols)),
        ("Version", _version(told)),
        ("Device", told.get("device")),
        ("Libraries", told.get("libraries")),
        ("Date", told.get("date")),
    ]
    rows = [joined(element("dt", name), element("dd", breakable(value))) for name, value in facts if value]
    command = told.get("command")
    shown = element("pre", element("code", command)) if command else None
    return element(
        "details",
        element("summary", "What was evaluated, by which command"),
        element("dl", rows, class_="facts"),
        shown,
        class_="about",
    )


def _version(told: dict[str, str]) -> str:
    return ", ".join(part for part in (told.get("version"), told.get("commit")) if part)


def _range(settings: Tree, recordings: Sequence[str]) -> str:
    if not settings:
        return ""
    ends = {name: (settings.get("first", 0), settings.get("last", -1)) for name in recordings}
    ends |= {name: tuple(chosen) for name, chosen in settings.get("ranges", {}).items() if name in ends}
    told = [f"{title_of(name)} {first} to {'the end' if last == -1 else last}" for name, (first, last) in ends.items()]
    stride = settings.get("stride", 1)
    return f"by position: {', '.join(told)}" + (f"; one of every {stride}" if stride != 1 else "")


def _model_fact(results: Results, model: str) -> str:
    times = [row.model_ms for row in results.frames if row.model == model and row.model_ms]
    metres = any(row.frames for row in results.rows if row.model == model and row.protocol in ("metric", "median"))
    kind = "relative disparity" if results.relative(model) else "metres" if metres else ""
    spent = f"{number(median(times))} ms per frame, the median" if times else ""
    known = ", ".join(filter(None, (kind, spent)))
    return f"{model} ({known})" if known else model


def _failures(results: Results) -> Html | None:
    """Every failure once: what failed, where, how often, why. That relative models have no metres is none."""
    groups: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}
    for row in results.rows:
        if row.failed and not needs_metres(row):
            groups.setdefault((row.model, row.reason), {})[row.recording] = (row.failed, row.failed + row.frames)
    if not groups:
        return None
    rows = [
        element(
            "li",
            element("b", breakable(results.names[model])),
            element(
                "span",
                "; ".join(
                    f"{failed} of {every} frames of {title_of(recording)}"
                    for recording, (failed, every) in where.items()
                ),
            ),
            element("p", reason),
        )
        for (model, reason), where in groups.items()
    ]
    return joined(element("h3", "Without figures"), element("ul", rows, class_="failures"))


def _notes(results: Results) -> Html | None:
    if not results.notes:
        return None
    return joined(
        element("h3", "Notes of the recordings"), element("ul", [element("li", note) for note in results.notes])
    )


def _missing(results: Results) -> Html | None:
    parts = {**results.parts, "logs": results.logs or None}
    lacking = [(text, flag) for part, (text, flag) in FLAGS.items() if not parts.get(part)]
    if not lacking:
        return None
    return joined(
        element("h3", "Not in this report"),
        element(
            "ul", [element("li", f"{text}: ", element("code", f"mono-depth-recon {flag}")) for text, flag in lacking]
        ),
    )

"""The files of an evaluation: per_frame.csv, summary.json and tables in Markdown, each naming its protocol."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ..atomic import write_atomically
from ..metrics.figure import figures_of
from ..metrics.protocols import DEPTH_FIGURES, PAPER_FIGURES, PROTOCOLS, figures_under
from ..metrics.published import published_under
from ..metrics.sequence import SequenceErrors
from ..printing import encoded, encoded_json, one_line
from .run import Evaluation, FrameRow

HEAD = ("recording", "model", "protocol", "frame", "coverage", "model_ms", "score_ms", "reason")
FIGURES = tuple({**DEPTH_FIGURES, **PAPER_FIGURES})
_OVERVIEW = (
    ("paper", "ssim"),
    ("paper", "r2"),
    ("metric", "abs_rel"),
    ("metric", "delta1"),
    ("median", "abs_rel"),
    ("median", "delta1"),
    ("affine", "abs_rel"),
    ("affine", "delta1"),
    ("kitti", "abs_rel"),
    ("kitti", "delta1"),
)


@dataclass(frozen=True)
class Summary:
    """Means over the frames of one model on one recording under one protocol.

    `figures` skip frames whose value is NaN (no edge, no window); `failed` frames have no figures. `reason` is that of
    the first frame without figures; a protocol that is not meant for the model is not a failure. `model_ms` is the mean
    time of the predictions when they were made, 0 for baselines.
    """

    recording: str
    model: str
    protocol: str
    frames: int
    failed: int
    coverage: float
    figures: dict[str, float]
    sequence: dict[str, float]
    model_ms: float
    score_ms: float
    reason: str
    baseline: bool = False


def summaries(evaluation: Evaluation) -> list[Summary]:
    """One for every recording, model and protocol, in the order of the rows."""
    groups: dict[tuple[str, str, str], list[FrameRow]] = {}
    for row in evaluation.rows:
        groups.setdefault((row.recording, row.model, row.protocol), []).append(row)
    return [_summary(key, rows, evaluation) for key, rows in groups.items()]


def _summary(key: tuple[str, str, str], rows: Sequence[FrameRow], evaluation: Evaluation) -> Summary:
    good = [row for row in rows if not row.reason]
    names = dict.fromkeys(name for row in good for name in row.figures)
    figures = {name: mean_of_known([row.figures[name] for row in good]) for name in names}
    sequence = evaluation.sequences.get(key)
    computed = [row.model_ms for row in good if row.model_ms]
    return Summary(
        *key,
        frames=len(good),
        failed=sum(bool(row.reason) and row.applies for row in rows),
        coverage=mean_of_known([row.coverage for row in good]),
        figures=figures,
        sequence=asdict(sequence) if sequence is not None else {},
        model_ms=fmean(computed) if computed else 0.0,
        score_ms=mean_of_known([row.score_ms for row in good]),
        reason=next((row.reason for row in rows if row.reason), ""),
        baseline=key[1] in evaluation.baselines,
    )


def mean_of_known(values: Sequence[float]) -> float:
    """The mean of the values that are not NaN; NaN if there are none."""
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else math.nan


def tables(made: Sequence[Summary], benchmarks: Mapping[str, str]) -> str:
    """Markdown: an overview, then a table per recording and protocol, headed by the protocol.

    `benchmarks` are those of an Evaluation: their published figures stand below.
    """
    parts = [overview(made)]
    for recording in dict.fromkeys(each.recording for each in made):
        for protocol in dict.fromkeys(each.protocol for each in made):
            rows = [each for each in made if (each.recording, each.protocol) == (recording, protocol)]
            if not rows:
                continue
            parts.append(f"### {recording}\n\n*{PROTOCOLS[protocol].text()}*\n\n{_table(rows, protocol)}")
            parts.extend(_published(benchmarks.get(recording, ""), protocol))
    return "\n".join(parts)


def _published(benchmark: str, protocol: str) -> list[str]:
    """A title and a table, nothing where nothing comparable is known."""
    found = published_under(benchmark, protocol)
    if found is None:
        return []
    names = list(dict.fromkeys(name for row in found.rows for name in row.figures))
    lines = [
        ("model", *names, "source"),
        *((row.model, *(_number(row.figures.get(name, math.nan)) for name in names), row.source) for row in found.rows),
    ]
    return [f"{found.title}:\n\n{markdown_table(lines)}"]


def overview(made: Sequence[Summary]) -> str:
    """Markdown: a line per recording and model with the most common figures, each with its protocol."""
    columns = [(protocol, name) for protocol, name in _OVERVIEW if any(each.protocol == protocol for each in made)]
    by = {(each.recording, each.model, each.protocol): each for each in made}
    lines = [("recording", "model", "frames", *(f"{protocol} {name}" for protocol, name in columns))]
    recordings = list(dict.fromkeys(each.recording for each in made))
    pairs = dict.fromkeys((each.recording, each.model) for each in made)
    for pair in sorted(pairs, key=lambda pair: recordings.index(pair[0])):
        frames = max(each.frames for each in made if (each.recording, each.model) == pair)
        known = {protocol: by[(*pair, protocol)].figures for protocol, _ in columns if (*pair, protocol) in by}
        cells = [_number(known.get(protocol, {}).get(name, math.nan)) for protocol, name in columns]
        lines.append((*pair, str(frames), *cells))
    return markdown_table(lines)


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """A table from lines of cells; the first line is the header. A | within a cell is escaped."""
    rule = ("---",) * len(lines[0])
    rows = ([one_line(cell).replace("|", r"\|") for cell in line] for line in (lines[0], rule, *lines[1:]))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _table(rows: Sequence[Summary], protocol: str) -> str:
    shown = figures_under(protocol)
    sequence = () if protocol == "paper" else figures_of(SequenceErrors)
    lines = [("model", "frames", "coverage", *shown, *sequence, "failed")]
    for each in rows:
        failed = f"{each.failed}: {each.reason}" if each.failed else each.reason
        cells = [each.figures.get(name, math.nan) for name in shown] + [
            each.sequence.get(name, math.nan) for name in sequence
        ]
        lines.append((each.model, str(each.frames), _number(each.coverage), *map(_number, cells), failed))
    return markdown_table(lines)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"


def write_results(folder: Path, evaluation: Evaluation) -> list[Summary]:
    """Writes per_frame.csv, summary.json and tables.md into `folder`; returns the summaries. Raises DataError."""
    made = summaries(evaluation)
    write_atomically(folder / "per_frame.csv", [encoded(_csv(evaluation.rows))])
    summary = {
        "protocols": {name: PROTOCOLS[name].text() for name in dict.fromkeys(each.protocol for each in made)},
        "notes": evaluation.notes,
        "benchmarks": evaluation.benchmarks,
        "results": [asdict(each) for each in made],
    }
    write_json(folder / "summary.json", summary)
    write_atomically(folder / "tables.md", [encoded(tables(made, evaluation.benchmarks))])
    return made


def _csv(rows: Sequence[FrameRow]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow([*HEAD, *names])
    for row in rows:
        writer.writerow([*(getattr(row, name) for name in HEAD), *(row.figures.get(name, "") for name in names)])
    return stream.getvalue()


def write_json(path: Path, value: Any) -> None:
    """Writes JSON, with null for NaN and infinity, which it lacks. DataError if the file cannot be written."""
    write_atomically(path, [encoded_json(json.dumps(_without_nan(value), indent=1, ensure_ascii=False))])


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

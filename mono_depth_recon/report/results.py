"""Reads a folder of results: missing parts are None, errors name damaged files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..config import read_json, read_yaml, shown
from ..errors import ConfigError, DataError
from ..paths import names_entry
from ..text import csv_rows
from .parts import PARTS, check_part, check_settings

Tree = dict[str, Any]


@dataclass(frozen=True)
class ScoreRow:
    """Means of one model on one recording under one protocol; NaN for unknown figures. `reason` of a failure."""

    recording: str
    model: str
    protocol: str
    frames: int
    failed: int
    figures: dict[str, float]
    sequence: dict[str, float]
    coverage: float = math.nan
    model_ms: float = 0.0
    reason: str = ""
    baseline: bool = False


@dataclass(frozen=True)
class FrameFigure:
    """The figures of one frame, for curves over a recording and the choice of frames."""

    recording: str
    model: str
    protocol: str
    frame: str
    figures: dict[str, float]
    reason: str
    model_ms: float = 0.0


@dataclass(frozen=True)
class Results:
    """The contents of a folder of results. `parts` are the optional JSON files, None if missing.

    `benchmarks` names the published figures of recordings that are a test part (`metrics.published`), `logs` are
    training logs by name: columns of numbers by heading.
    """

    folder: Path
    rows: list[ScoreRow]
    protocols: dict[str, str]
    notes: list[str]
    settings: Tree
    frames: list[FrameFigure]
    parts: dict[str, Tree | None] = field(default_factory=dict)
    benchmarks: dict[str, str] = field(default_factory=dict)
    logs: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    @cached_property
    def recordings(self) -> list[str]:
        """Names of the recordings, in the order of the results."""
        return list(dict.fromkeys(row.recording for row in self.rows))

    @cached_property
    def models(self) -> list[str]:
        """Names of the models without the baselines."""
        return list(dict.fromkeys(row.model for row in self.rows if not row.baseline))

    @cached_property
    def baselines(self) -> list[str]:
        """Names of the baselines."""
        return list(dict.fromkeys(row.model for row in self.rows if row.baseline))

    def label(self, model: str) -> str:
        """The short name of any model, also of one that occurs in a part of the results only."""
        return self.names.get(model, model)

    @cached_property
    def names(self) -> dict[str, str]:
        """Short names of models: 'c' for 'hf:a/b/c' if no other has that name."""
        every = [*self.models, *self.baselines]
        short = {
            name: name.rstrip("/").rpartition("/")[2] if name.startswith(("hf:", "onnx:")) else name for name in every
        }
        taken = list(short.values())
        return {name: brief if taken.count(brief) == 1 else name for name, brief in short.items()}

    def of(self, recording: str, protocol: str) -> list[ScoreRow]:
        """The rows of one table."""
        return [row for row in self.rows if (row.recording, row.protocol) == (recording, protocol)]

    def relative(self, model: str) -> bool:
        """Whether the model predicts disparity only, judged by its row under the protocol `metric`."""
        return any(needs_metres(row) for row in self.rows if row.model == model)

    def part_rows(self, part: str, recording: str) -> list[Tree]:
        """Rows of an optional part for one recording; empty if the part is missing."""
        tree = self.parts.get(part) or {}
        return [row for row in tree.get("rows", []) if row.get("recording", recording) == recording]


def read_results(folder: Path) -> Results:
    """The results of `mono-depth-recon evaluate` in `folder`. Raises DataError for none or damaged files."""
    if not (folder / "summary.json").is_file():
        raise DataError(f"{folder} has no results: expected summary.json, as written by `mono-depth-recon evaluate`")
    summary = _json(folder / "summary.json")
    try:
        rows = [_score_row(row) for row in summary["results"]]
        return Results(
            folder,
            rows,
            {_text(name): _text(text) for name, text in dict(summary.get("protocols", {})).items()},
            [_text(note) for note in summary.get("notes", [])],
            _settings(folder / "config.yaml"),
            _per_frame(folder / "per_frame.csv"),
            {name: _optional(folder / f"{name}.json") for name in PARTS},
            {_text(name): _text(text) for name, text in dict(summary.get("benchmarks", {})).items()},
            _logs(folder),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, ConfigError) as error:
        raise DataError(
            f"{folder}: expected results of `mono-depth-recon evaluate`, but they are damaged "
            f"({type(error).__name__}: {error}): evaluate again"
        ) from error


def _settings(path: Path) -> Tree:
    tree: Tree = read_yaml(path, "settings") if path.is_file() else {}
    check_settings(tree, str(path))
    return tree


def needs_metres(row: ScoreRow) -> bool:
    """Whether a row has no figures because its model predicts disparity and the protocol compares metres."""
    return not row.frames and lacks_metres(row.reason)


def lacks_metres(reason: str) -> bool:
    """Whether the reason of a row is that its model predicts no metres (`metrics.protocols.InapplicableError`)."""
    return "needs metres" in reason


def known(values: Sequence[Any]) -> list[float]:
    """Numbers, with NaN for None, which replaces it in JSON."""
    return [math.nan if value is None else float(value) for value in values]


def known_figures(figures: Mapping[str, Any] | None) -> dict[str, float]:
    """Figures, with NaN for null."""
    return {name: math.nan if value is None else float(value) for name, value in (figures or {}).items()}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a name or text must be text, got {shown(value)}")
    return value


def _recording(value: object) -> str:
    """The name of a recording, of which names of files are made."""
    name = _text(value)
    if not names_entry(name):
        raise ValueError(f"a recording must have the name of one file or folder, got {shown(name)}")
    return name


def _score_row(row: Tree) -> ScoreRow:
    coverage = row.get("coverage")
    return ScoreRow(
        _recording(row["recording"]),
        _text(row["model"]),
        _text(row["protocol"]),
        int(row["frames"]),
        int(row["failed"]),
        known_figures(row["figures"]),
        known_figures(row.get("sequence")),
        math.nan if coverage is None else float(coverage),
        float(row.get("model_ms") or 0.0),
        _text(row.get("reason") or ""),
        bool(row.get("baseline")),
    )


def _optional(path: Path) -> Tree | None:
    return _part(path) if path.is_file() else None


def _part(path: Path) -> Tree:
    """An optional part. DataError unless it is of the form that `evaluate` writes."""
    tree = _json(path)
    try:
        check_part(path.stem, tree, str(path))
    except ConfigError as error:
        raise DataError(f"{error}: evaluate again") from error
    return tree


def _json(path: Path) -> Tree:
    try:
        tree = read_json(path, "results")
    except ConfigError as error:
        raise DataError(f"{error}: evaluate again") from error
    if not isinstance(tree, dict):
        raise DataError(f"{path}: expected an object, got {type(tree).__name__}: evaluate again")
    return tree


def _per_frame(path: Path) -> list[FrameFigure]:
    if not path.is_file():
        return []
    heads = ("recording", "model", "protocol", "frame", "reason")
    apart = {*heads, "coverage", "model_ms", "score_ms", "baseline", "pixels"}
    try:
        return [
            FrameFigure(
                _recording(row["recording"]),
                row["model"],
                row["protocol"],
                row["frame"],
                {name: float(value) for name, value in row.items() if name not in apart and value},
                row["reason"],
                float(row.get("model_ms") or 0),
            )
            for row in csv_rows(path, heads)
        ]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected the rows of an evaluation ({error}): evaluate again") from error


def _logs(folder: Path) -> dict[str, dict[str, list[float]]]:
    return {path.stem: read_log(path) for path in sorted((folder / "training_logs").glob("*.csv"))}


def read_log(path: Path) -> dict[str, list[float]]:
    """A training log in CSV: numbers by heading, NaN for an empty cell. DataError if it is not one."""
    try:
        rows = csv_rows(path)
        if not rows:
            raise ValueError("no rows")
        return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected a training log, CSV with a heading and numbers ({error})") from error

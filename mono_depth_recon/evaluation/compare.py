"""Comparison of two results: differences of figures with confidence intervals, from their per_frame.csv."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..atomic import writable_folder, write_atomically
from ..errors import ConfigError, DataError
from ..printing import encoded
from ..text import csv_rows
from .tables import FIGURES, HEAD, markdown_table, write_json

RESAMPLES = 2000
_INTERVAL = (2.5, 97.5)  # percentiles
_LEAST_FRAMES = 3

_Frames = dict[float, dict[str, float]]  # frame -> figure -> value
_Key = tuple[str, str, str]  # recording, protocol, model


@dataclass(frozen=True)
class Difference:
    """One figure of a model on a recording under a protocol in two results, over the frames that both have.

    `a` and `b` are the means, `difference` is b - a, `low` to `high` its 95 % interval: NaN where there are too few
    frames to estimate it.
    """

    recording: str
    protocol: str
    model: str
    figure: str
    frames: int
    a: float
    b: float
    difference: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Comparison:
    """All differences between the results in folders `a` and `b`; `block` is the bootstrap's block length in frames."""

    a: Path
    b: Path
    block: int
    rows: list[Difference]


def compare(a: Path, b: Path, block: int = 10) -> Comparison:
    """Compares two results: models of the same name, or the two models if each result has only one (baselines aside).

    Raises ConfigError for a block below 1, DataError if a folder has no per_frame.csv or the two share no frame.
    """
    if block < 1:
        raise ConfigError(f"a bootstrap block needs at least 1 frame, got {block}")
    first, second = _read(a), _read(b)
    rows = []
    for key, other, label in _pairs(first, second):
        common = sorted(first[key].keys() & second[other].keys())
        names = [name for name in FIGURES if any(name in first[key][frame] for frame in common)]
        for name in names:
            pairs = np.array(
                [(first[key][f].get(name, math.nan), second[other][f].get(name, math.nan)) for f in common]
            )
            pairs = pairs[np.isfinite(pairs).all(axis=1)]
            if len(pairs):
                rows.append(_difference((*key[:2], label), name, pairs, block))
    if not rows:
        raise DataError(f"{a} and {b} have no frame of one recording, protocol and model in common")
    return Comparison(a, b, block, rows)


def _pairs(first: dict[_Key, _Frames], second: dict[_Key, _Frames]) -> list[tuple[_Key, _Key, str]]:
    """Keys of both results that correspond, and the label of the model."""
    same = [(key, key, key[2]) for key in first if key in second]
    models = [sorted({key[2] for key in each}) for each in (first, second)]
    own = [[name for name in names if name not in models[1 - i]] for i, names in enumerate(models)]
    if any(len(names) != 1 for names in own):
        return same
    label = f"{own[0][0]} -> {own[1][0]}"
    return same + [
        (key, (*key[:2], own[1][0]), label) for key in first if key[2] == own[0][0] and (*key[:2], own[1][0]) in second
    ]


def _difference(key: _Key, figure: str, pairs: NDArray[np.float64], block: int) -> Difference:
    change = pairs[:, 1] - pairs[:, 0]
    low, high = block_interval(change, block)
    return Difference(
        *key, figure, len(pairs), float(pairs[:, 0].mean()), float(pairs[:, 1].mean()), float(change.mean()), low, high
    )


def block_interval(values: NDArray[np.float64], block: int) -> tuple[float, float]:
    """95 % interval of the mean of values (N,) of consecutive frames, which are correlated: whole blocks are drawn.

    The circular block bootstrap (Politis and Romano, 1992): percentiles of 2000 resamples with a fixed seed. A block
    has `block` frames, at most a third of all; NaN for fewer than 3 frames, which have no spread to estimate.
    """
    count = len(values)
    if count < _LEAST_FRAMES:
        return math.nan, math.nan
    length = max(1, min(block, count // 3))
    starts = np.random.default_rng(0).integers(0, count, (RESAMPLES, -(-count // length)))
    drawn = (starts[:, :, None] + np.arange(length)).reshape(RESAMPLES, -1)[:, :count] % count
    low, high = np.percentile(values[drawn].mean(axis=1), _INTERVAL)
    return float(low), float(high)


def _read(folder: Path) -> dict[_Key, _Frames]:
    path = folder / "per_frame.csv"
    try:
        rows = csv_rows(path, HEAD)
        found: dict[_Key, _Frames] = {}
        for row in rows:
            if not row["reason"]:
                figures = {name: float(value) for name, value in row.items() if name not in HEAD and value}
                found.setdefault((row["recording"], row["protocol"], row["model"]), {})[float(row["frame"])] = figures
    except OSError as error:
        raise DataError(f"{folder} has no results: {path.name} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{path}: expected the rows of an evaluation ({error})") from error
    return found


def write_comparison(folder: Path, made: Comparison) -> str:
    """Writes comparison.json and comparison.md into `folder` and returns the latter's text."""
    writable_folder(folder)
    write_json(
        folder / "comparison.json",
        {
            "a": str(made.a),
            "b": str(made.b),
            "block": made.block,
            "resamples": RESAMPLES,
            "rows": [asdict(row) for row in made.rows],
        },
    )
    text = _markdown(made)
    write_atomically(folder / "comparison.md", [encoded(text)])
    return text


def _markdown(made: Comparison) -> str:
    head = ("recording", "protocol", "model", "figure", "frames", "A", "B", "B - A", "95 % interval", "clear")
    lines: list[Sequence[str]] = [head]
    for row in made.rows:
        numbers = [f"{value:.4g}" for value in (row.a, row.b, row.difference)]
        lines.append(
            (
                row.recording,
                row.protocol,
                row.model,
                row.figure,
                str(row.frames),
                *numbers,
                "too few frames" if math.isnan(row.low) else f"{row.low:.3g} to {row.high:.3g}",
                "yes" if row.is_clear else "no",
            )
        )
    return (
        f"A: {made.a}, B: {made.b}. Means over the frames that both have; intervals by the circular block "
        f"bootstrap ({RESAMPLES} resamples, blocks of {made.block} frames, a third of the frames at most); clear: "
        f"the interval excludes 0.\n\n{markdown_table(lines)}"
    )

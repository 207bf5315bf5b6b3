"""The results of `models` as Markdown and CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

from ..atomic import writable_folder, write_atomically
from ..config import ModelConfig
from ..printing import encoded
from .machine import commit, device, versions
from .models import Result
from .whole_frames import BATCH

COLUMNS = (
    "model",
    "runtime",
    "precision",
    "input",
    "p50 ms",
    "p95 ms",
    "frames/s",
    "prepare ms",
    "network ms",
    "restore ms",
    "host MiB",
    "GPU MiB",
    "largest difference",
    "mean difference",
    "times faster",
    "sigma by",
    "device or reason",
)
WHOLE_FRAMES = ("cloud ms", f"of {BATCH} frames/s")  # columns of `Plan.frames`


def cells(result: Result) -> tuple[str, ...]:
    """The cells of the Markdown table below COLUMNS."""
    settings = result.settings
    runtime = "transformers" if result.pipeline else settings.runtime
    head = (settings.name, runtime, settings.precision, result.input_px or _size_text(settings))
    if result.reason:
        return (*head, *[""] * (len(COLUMNS) - len(head) - 1), result.reason)
    stages = (result.prepare, result.network, result.restore)
    return (
        *head,
        f"{1e3 * result.p50:.1f}",
        f"{1e3 * result.p95:.1f}",
        f"{1 / result.p50:.3g}",
        *(f"{1e3 * stage:.2f}" if result.network else "" for stage in stages),
        f"{result.host_bytes / 2**20:.0f}",
        f"{result.gpu_bytes / 2**20:.0f}" if result.gpu_bytes else "",
        "" if result.difference is None else f"{result.difference:.1e}",
        "" if result.mean_difference is None else f"{result.mean_difference:.1e}",
        "" if result.faster is None else f"{result.faster:.2f}",
        result.sigma,
        result.device,
    )


def line(result: Result) -> str:
    """One line for a terminal: the case, then each figure behind its name, then device or reason."""
    texts = cells(result)
    named = [f"{title} {text}" for title, text in zip(COLUMNS[4:-1], texts[4:-1], strict=True) if text]
    if result.batched:
        named += [f"{title} {text}" for title, text in zip(WHOLE_FRAMES, _whole_frames(result), strict=True)]
    return "  ".join((*texts[:4], *named, texts[-1]))


def _whole_frames(result: Result) -> tuple[str, str]:
    """The cells below WHOLE_FRAMES."""
    return f"{1e3 * result.cloud:.1f}" if result.cloud else "", f"{result.batched:.3g}" if result.batched else ""


def markdown(results: Sequence[Result], note: str = "") -> str:
    """The results as a Markdown table below a line about machine, libraries and commit."""
    whole = any(result.batched for result in results)
    titles = COLUMNS + WHOLE_FRAMES * whole
    rows = [f"| {' | '.join(titles)} |", "| --- " * len(titles) + "|"]
    rows += [_row(cells(result) + _whole_frames(result) * whole) for result in results]
    for result in results:
        rows += _operations(result)
    return f"{device()}; {versions()}; {commit()}.{' ' + note if note else ''}\n\n" + "\n".join(rows) + "\n"


def _operations(result: Result) -> list[str]:
    """A table of the longest operations of a result that has them."""
    if not result.operations:
        return []
    title = f"{result.settings.name}, {result.device}, {result.input_px}: the longest operations of a prediction"
    rows = [
        _row((f"`{each.name}`", f"{each.calls:g}", f"{each.ms:.3f}", f"{each.share:.1%}")) for each in result.operations
    ]
    return ["", title, "", "| operation | calls | ms | share |", "| --- | --- | --- | --- |", *rows]


def _row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def csv_text(results: Sequence[Result]) -> str:
    """The results with full figures (SI units), machine, libraries and commit on every line."""
    text = io.StringIO()
    names = [f.name for f in dataclasses.fields(Result) if f.name not in ("settings", "operations")]
    settings = [f.name for f in dataclasses.fields(ModelConfig)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(f"model.{name}" for name in settings), *names, "machine", "versions", "commit"])
    for result in results:
        writer.writerow(
            [
                *(getattr(result.settings, name) for name in settings),
                *(getattr(result, name) for name in names),
                device(),
                versions(),
                commit(),
            ]
        )
    return text.getvalue()


def write_tables(folder: Path, results: Sequence[Result], note: str = "") -> tuple[Path, Path]:
    """Writes models.md and models.csv and returns their paths. Raises DataError."""
    folder = writable_folder(folder)
    texts = {folder / "models.md": markdown(results, note), folder / "models.csv": csv_text(results)}
    for path, text in texts.items():
        write_atomically(path, [encoded(text)])
    report, table = texts
    return report, table


def _size_text(settings: ModelConfig) -> str:
    return str(settings.input_size) if settings.input_size else "published"

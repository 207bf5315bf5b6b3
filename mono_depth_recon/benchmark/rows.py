"""The rows of a benchmark and the files they are written to."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..atomic import writable_folder, write_atomically
from ..printing import encoded
from .machine import device, versions


@dataclass(frozen=True)
class Row:
    """One figure. `value` None: the measurement failed, for the reason in `note`."""

    name: str
    value: float | None
    unit: str = ""
    limit: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """failed, or ok / over for figures with a limit."""
        if self.value is None:
            return "failed"
        return "" if self.limit is None else "ok" if self.value <= self.limit else "over"

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """name, value with unit, limit, verdict, note."""
        return self.name, _number(self.value, self.unit), _number(self.limit, self.unit), self.verdict, self.note


def write_report(folder: Path, rows: Sequence[Row]) -> tuple[Path, Path]:
    """Writes benchmark.md and benchmark.csv and returns their paths. Raises DataError."""
    folder = writable_folder(folder)
    texts = {folder / "benchmark.md": markdown(rows), folder / "benchmark.csv": csv_text(rows)}
    for path, text in texts.items():
        write_atomically(path, [encoded(text)])
    report, table = texts
    return report, table


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, headed by machine and libraries."""
    lines = ["| measurement | median | limit | verdict | note |", "| --- | --- | --- | --- | --- |"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row.cells) + " |" for row in rows]
    return f"{device()}; {versions()}.\n\n" + "\n".join(lines) + "\n"


def csv_text(rows: Sequence[Row]) -> str:
    """The rows with full precision, each with machine and libraries."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("measurement", "value", "unit", "limit", "verdict", "note", "device", "versions"))
    for row in rows:
        writer.writerow((row.name, row.value, row.unit, row.limit, row.verdict, row.note, device(), versions()))
    return text.getvalue()


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:.0f} {unit}".strip() if abs(value) >= 1000 else f"{value:.3g} {unit}".strip()

"""The parts of an evaluation beyond the 2D scores, each with its file of results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..config import Config
from .clouds import scores_3d
from .ledger import Row
from .robustness import robustness
from .run import EvaluationRun
from .table3 import Costs, Findings, table3
from .tables import Summary
from .uncertainty import uncertainty

PARTS: dict[str, Callable[[EvaluationRun], list[Row]]] = {
    "3d": scores_3d,
    "robustness": robustness,
    "uncertainty": uncertainty,
    "table3": lambda _: [],
}


def run_studies(
    run: EvaluationRun,
    parts: Sequence[str],
    summaries: Sequence[Summary],
    fine_tuned: Sequence[Sequence[str]],
    costs_of: Callable[[Config], Costs],
) -> list[str]:
    """Runs the parts (table3 needs all others); returns a line for each row of a model that failed."""
    wanted = list(PARTS) if "table3" in parts else [name for name in PARTS if name in parts]
    found = {name: PARTS[name](run) for name in wanted}
    if "table3" in wanted:
        findings = Findings(summaries, found["3d"], found["robustness"], found["uncertainty"], fine_tuned)
        table3(run, findings, costs_of)
    return [line for name, rows in found.items() for line in _failures(name, rows)]


def _failures(part: str, rows: Iterable[Row]) -> list[str]:
    lines = [
        f"{part}: {row['model']} on {row['recording']}: {row['reason']}"
        for row in rows
        if row.get("reason") and not row.get("baseline")
    ]
    return list(dict.fromkeys(lines))

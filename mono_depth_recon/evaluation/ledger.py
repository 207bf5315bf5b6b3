"""The rows of one part of an evaluation, kept in its file as they are made: a killed run goes on behind them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import DataError
from .run import EvaluationRun
from .tables import write_json

Row: TypeAlias = dict[str, Any]


class Ledger:
    """Rows of `folder/name`, told apart by their fields `keys`; `head` stands before them in the file.

    `also` names what stands among the models without being one.

    Rows of an earlier run count where it asked for the same frames, and where recording and model still take part;
    those with a reason are made again. Raises DataError where the file is something else.
    """

    def __init__(
        self,
        run: EvaluationRun,
        name: str,
        keys: tuple[str, ...],
        head: Mapping[str, Any] | None = None,
        also: tuple[str, ...] = (),
    ) -> None:
        plan = run.plan
        self.path = run.folder / name
        self._keys = keys
        asked = {
            "first": plan.first,
            "last": plan.last,
            "stride": plan.stride,
            "frame": plan.frame,
            "ranges": {name: list(ends) for name, ends in plan.ranges.items()},
            "study_frames": plan.study_frames,
            "baselines": str(plan.baselines),
        }
        self._head = {**(head or {}), "asked": asked}
        self._rows: dict[tuple[Any, ...], Row] = {}
        models = {*also, *(predictor.label for predictor in run.predictors)}
        for row in _kept(self.path, asked):
            if row.get("recording", "") in {*run.recordings, ""} and row["model"] in models and not row.get("reason"):
                self._rows[self._key(row)] = row

    @property
    def rows(self) -> list[Row]:
        """All rows."""
        return list(self._rows.values())

    def has(self, **key: Any) -> bool:
        """Whether the row is there."""
        return self._key(key) in self._rows

    def add(self, row: Row) -> None:
        """Puts a row in, in place of one of the same key, and writes the file."""
        self._rows[self._key(row)] = row
        self.write()

    def write(self) -> None:
        """Writes the file. Raises DataError where it cannot."""
        write_json(self.path, {**self._head, "rows": self.rows})

    def _key(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in self._keys)


def _kept(path: Path, asked: Mapping[str, Any]) -> list[Row]:
    if not path.is_file():
        return []
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        rows: list[Row] = tree["rows"] if tree.get("asked") == asked else []
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path}: expected the rows of an earlier run ({error}): delete it to make them again"
        ) from error
    return rows

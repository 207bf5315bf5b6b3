"""The rows of one part of an evaluation, saved as they are made, so that a killed run resumes after them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ..config import read_json
from ..errors import ConfigError, DataError
from .run import EvaluationRun
from .tables import write_json

Row: TypeAlias = dict[str, Any]


class Ledger:
    """Rows of `folder/name`, identified by their fields `keys`; `head` precedes them in the file.

    `also` names entries of the column `model` that are not models.

    Rows of an earlier run are reused if it had the same frames and their recording and model still take part; failed
    rows are made again. Raises DataError if the file has other content.
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
        asked = {**plan.selection, "baselines": str(plan.baselines)}
        self._head = {**(head or {}), "asked": asked}
        self._rows: dict[tuple[Any, ...], Row] = {}
        models = {*also, *(predictor.label for predictor in run.predictors)}
        for row in _kept(self.path, asked):
            if row.get("recording", "") in {*run.recordings, ""} and row["model"] in models and not row.get("reason"):
                self._rows[self._key(row)] = row

    @property
    def rows(self) -> list[Row]:
        """The rows read and written so far, in the order of writing."""
        return list(self._rows.values())

    def has(self, **key: Any) -> bool:
        """Whether there is such a row."""
        return self._key(key) in self._rows

    def add(self, row: Row) -> None:
        """Adds a row, replacing one of the same key, and writes the file."""
        self._rows[self._key(row)] = row
        self.write()

    def write(self) -> None:
        """Writes the file. Raises DataError if that fails."""
        write_json(self.path, {**self._head, "rows": self.rows})

    def _key(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in self._keys)


def _kept(path: Path, asked: Mapping[str, Any]) -> list[Row]:
    if not path.is_file():
        return []
    try:
        tree = read_json(path, "rows")
        rows: list[Row] = tree["rows"] if tree.get("asked") == asked else []
    except (ConfigError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path}: expected the rows of an earlier run ({error}): delete it to make them again"
        ) from error
    return rows

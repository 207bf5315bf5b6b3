"""How a parameter is declared: a field of a settings dataclass with its help, unit, range and choices."""

from __future__ import annotations

from dataclasses import field
from typing import Any, TypeAlias

Value: TypeAlias = bool | int | float | str


def param(
    default: Value,
    help: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = True,
) -> Any:
    """A field of a settings dataclass; the metadata become the rest of its `Parameter`."""
    return field(
        default=default,
        metadata={"help": help, "unit": unit, "low": low, "high": high, "choices": choices, "live": live},
    )

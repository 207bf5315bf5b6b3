"""How a setting is declared and checked: a field of a frozen dataclass with its help, unit, range and choices."""

from __future__ import annotations

import builtins
import dataclasses
import difflib
import reprlib
import sys
import typing
from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from typing import Any, TypeAlias

from .errors import ConfigError

Value: TypeAlias = bool | int | float | str


def param(
    default: Any = MISSING,
    help: str = "",
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    length: int = 0,
    words: bool = False,
    live: bool = True,
) -> Any:
    """A field of a settings dataclass; without a default its key must be given.

    `low` and `high` are part of the range. For a list, range and choices apply to every item, and `length` is the
    number of items required (0: one or more). `words`: a list of texts is accepted too, and joined by commas (an empty
    list has no type in ROS). `live` parameters of a node may change while it runs.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "help": help,
            "unit": unit,
            "low": low,
            "high": high,
            "choices": choices,
            "length": length,
            "words": words,
            "live": live,
        },
    )


@dataclass(frozen=True)
class Parameter:
    """One declared setting; `type` is that of its field, `default` MISSING where a value must be given."""

    name: str
    type: builtins.type[Any]
    default: Any
    help: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    length: int = 0
    words: bool = False
    live: bool = True

    @property
    def range_text(self) -> str:
        """The valid values as text, without the unit; empty where every value of the type is valid."""
        if self.choices:
            return " | ".join(self.choices)
        return "" if self.low is None else f"{self.low:g} to {self.high:g}"

    @property
    def default_text(self) -> str:
        """The default as YAML writes it, but without quotes: 'true', '0.5', 'auto'; 'empty' for an empty text."""
        return str(self.default).lower() if self.type is bool else str(self.default) or "empty"

    def check(self, value: object) -> Value:
        """Returns `value` in the parameter's own type; raises ConfigError that lists what is valid."""
        if self.words and isinstance(value, list | tuple) and all(isinstance(word, str) for word in value):
            value = ",".join(value)
        if type(value) is not self.type and not (self.type is float and type(value) is int):
            raise self._error(f"of type {self.type.__name__}", value)
        if self.choices and value not in self.choices:
            raise self._error(f"one of {', '.join(self.choices)}", value, nearest(str(value), self.choices))
        if isinstance(value, int | float) and not self._in_range(value):
            raise self._error(f"{self.range_text} {self.unit}".strip() or "a finite number", value)
        return self.type(value)

    def _in_range(self, value: float) -> bool:
        """Integers of any size are compared as they are: a float cannot represent all of them."""
        low = -sys.float_info.max if self.low is None else self.low
        high = sys.float_info.max if self.high is None else self.high
        return low <= value <= high

    def _error(self, expected: str, value: object, hint: str = "") -> ConfigError:
        return ConfigError(f"{self.name} must be {expected}, got {shown(value)}{hint}")


def declared(field: dataclasses.Field[Any], hint: Any, name: str) -> Parameter:
    """The row of a field whose resolved type is `hint`, under the name that errors use."""
    return Parameter(name, hint, field.default, **field.metadata)


def rows_of(settings: type[Any], prefix: str = "") -> list[Parameter]:
    """The fields of a settings dataclass that `param` made, as rows of a parameter table."""
    hints = typing.get_type_hints(settings)
    return [declared(f, hints[f.name], prefix + f.name) for f in dataclasses.fields(settings) if f.metadata]


def nearest(word: str, valid: Sequence[str]) -> str:
    """'; did you mean ...?' for a mistyped word, or nothing."""
    close = difflib.get_close_matches(word, valid, 1) or [name for name in valid if name.startswith(word.lower())]
    return f"; did you mean '{close[0]}'?" if word and close else ""


def shown(value: object) -> str:
    """A value as shown in an error: on one line, shortened if long."""
    return _SHORT.repr(value)


class _Short(reprlib.Repr):
    """Python refuses to print integers of thousands of digits, and hundreds are unreadable."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 3, 80, 80

    def repr_int(self, value: int, level: int) -> str:
        if value.bit_length() <= 128:
            return repr(value)
        return f"a whole number of about {int(value.bit_length() * 0.30103) + 1} digits"


_SHORT = _Short()

"""Command-line flags from rows of a parameter table."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import MISSING
from typing import Any

from ..errors import ConfigError
from ..param import Parameter, Value


def add_flag(parser: argparse._ActionsContainer, row: Parameter, *names: str, switch: bool = False) -> None:
    """Adds the flag of `row` under `names` (`--mesh.method`); without names a text is an optional positional argument.

    Its value is checked while the command line is parsed and stored under the parameter's name; a flag that is not
    given stores nothing. A bool is `true` or `false`, or as a `switch` the flag and its `--no-` form.
    """
    options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": _help(row)}
    if switch and row.type is bool:
        options["action"] = argparse.BooleanOptionalAction
    else:
        options |= {"type": _reader(row), "metavar": row.type.__name__.upper()}
    if names:
        parser.add_argument(*names, dest=row.name, **options)
    else:
        parser.add_argument(row.name, nargs="?", **{**options, "metavar": row.name})


def finite_number(low: float | None = None, high: float | None = None) -> Callable[[str], float]:
    """A `type` of argparse for numbers: finite, and with a range (both or none) in it, its ends included.

    Python's own `float` takes nan and inf, which pass many comparisons.
    """
    return _reader(Parameter("value", float, MISSING, low=low, high=high))


def _reader(row: Parameter) -> Callable[[str], Any]:
    def read(text: str) -> Value:
        value = {"true": True, "false": False}.get(text, text) if row.type is bool else row.type(text)
        try:
            return row.check(value)
        except ConfigError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    read.__name__ = row.type.__name__  # argparse names it: "invalid int value: 'x'"
    return read


def _help(row: Parameter) -> str:
    valid = f"{row.range_text} {row.unit}".strip()
    default = "" if row.default is MISSING else f" (default: {row.default_text})"
    return f"{row.help}{f' [{valid}]' if valid else ''}{default}".replace("%", "%%")

"""The table of all parameters, made of the settings dataclasses: name, type, default, unit, range and help.

It declares the ROS parameters (with descriptors), builds the command-line flags, writes `config/recon.yaml` and prints
the table of the docs. A parameter's name is `group.field`, or `field` alone.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError
from .fusion import FusionConfig
from .groups import Config
from .param import Value


@dataclass(frozen=True)
class Parameter:
    """One row of the table; `live` ones take effect on the next frame, the others at configure."""

    name: str
    default: Value
    help: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    live: bool

    @property
    def type(self) -> type:
        """bool, int, float or str."""
        return type(self.default)

    @property
    def range_text(self) -> str:
        """Valid values for people, empty where anything goes."""
        if self.choices:
            return " | ".join(self.choices)
        return "" if self.low is None else f"{self.low:g} to {self.high:g}"

    def check(self, value: object) -> Value:
        """Returns `value` in the parameter's own type; raises ConfigError naming what is valid."""
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not self.type:
            raise ConfigError(f"{self.name} must be of type {self.type.__name__}, got {value!r}")
        if self.choices and value not in self.choices:
            hint = nearest(str(value), self.choices)
            raise ConfigError(f"{self.name} must be one of {', '.join(self.choices)}, got '{value}'{hint}")
        if not self._in_range(value):
            raise ConfigError(
                f"{self.name} must be {self.range_text}{' ' + self.unit if self.unit else ''}, got {value}"
            )
        return value  # type: ignore[return-value]

    def _in_range(self, value: object) -> bool:
        if self.low is None or self.high is None or not isinstance(value, (int, float)):
            return True
        return math.isfinite(value) and self.low <= value <= self.high


def nearest(word: str, valid: tuple[str, ...] | list[str]) -> str:
    """', did you mean ...?' for a mistyped word, or nothing."""
    close = difflib.get_close_matches(word, valid, 1) or [name for name in valid if name.startswith(word.lower())]
    return f"; did you mean '{close[0]}'?" if close else ""


def rows_of(settings: type[Any], prefix: str = "") -> list[Parameter]:
    """The fields of a settings dataclass that `param` made, as rows of a parameter table."""
    made: list[tuple[str, Any, Mapping[str, Any]]] = [
        (f.name, f.default, f.metadata) for f in dataclasses.fields(settings)
    ]
    return [Parameter(prefix + name, default, **metadata) for name, default, metadata in made if metadata]


def _rows() -> Iterator[Parameter]:
    yield from rows_of(Config)
    for group in dataclasses.fields(Config):
        if not group.metadata:
            yield from rows_of(type(group.default), f"{group.name}.")


PARAMETERS: dict[str, Parameter] = {row.name: row for row in _rows()}
# Of the group fusion, those that make a map without a node.
OFFLINE_FUSION = tuple(row.name for row in rows_of(FusionConfig, "fusion."))


def parameter(name: str) -> Parameter:
    """The row of `name`; an unknown name is a ConfigError that names the nearest."""
    if name not in PARAMETERS:
        raise ConfigError(f"unknown parameter '{name}'{nearest(name, list(PARAMETERS))}")
    return PARAMETERS[name]


def with_values(config: Config, values: Mapping[str, object]) -> Config:
    """`config` with flat `{"group.field": value}` put in, each checked; raises ConfigError."""
    top: dict[str, Any] = {}
    groups: dict[str, dict[str, Value]] = {}
    for name, value in values.items():
        checked = parameter(name).check(value)
        group, _, key = name.rpartition(".")
        (groups.setdefault(group, {}) if group else top)[key] = checked
    for group, changes in groups.items():
        top[group] = dataclasses.replace(getattr(config, group), **changes)
    return dataclasses.replace(config, **top)


def value_of(config: Config, name: str) -> Value:
    """The value of the parameter `name` in `config`."""
    target: Any = config
    for part in name.split("."):
        target = getattr(target, part)
    return target


def yaml_text() -> str:
    """The text of config/recon.yaml: every parameter with its default and a comment."""
    lines = [
        "# Parameters of recon_node, at their defaults. Written by `mono-depth-recon parameters --yaml`.",
        "/**:",
        "  ros__parameters:",
    ]
    group = ""
    for row in PARAMETERS.values():
        head, _, key = row.name.rpartition(".")
        if head and head != group:
            lines.append(f"    {head}:")
        group = head
        indent = "      " if head else "    "
        lines += [f"{indent}# {_comment(row)}", f"{indent}{key}: {_yaml_scalar(row.default)}"]
    return "\n".join(lines) + "\n"


def table_text() -> str:
    """The README's parameter table in Markdown."""
    lines = ["| parameter | default | valid | at run time | meaning |", "| --- | --- | --- | --- | --- |"]
    for row in PARAMETERS.values():
        valid = row.range_text.replace("|", "\\|") + (f" {row.unit}" if row.unit else "")
        when = "yes" if row.live else "restart"
        lines.append(f"| `{row.name}` | `{_yaml_scalar(row.default)}` | {valid} | {when} | {row.help} |")
    return "\n".join(lines) + "\n"


def _comment(row: Parameter) -> str:
    notes = [text for text in (row.range_text, row.unit, "" if row.live else "restart") if text]
    return row.help + (f" [{', '.join(notes)}]" if notes else "")


def _yaml_scalar(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)

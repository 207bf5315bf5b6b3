"""The table of all parameters, made from the settings dataclasses: name, type, default, unit, range and help.

ROS parameters (with their descriptors), command-line flags, `config/recon.yaml` and the table of the docs all come
from it. The name of a parameter is `group.field`, or just `field`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import ConfigError
from ..param import Parameter, Value, nearest, rows_of, shown
from .fusion import FusionConfig
from .groups import Config


def _rows() -> Iterator[Parameter]:
    yield from rows_of(Config)
    for group in dataclasses.fields(Config):
        if not group.metadata:
            yield from rows_of(type(group.default), f"{group.name}.")


PARAMETERS: dict[str, Parameter] = {row.name: row for row in _rows()}
# The parameters of the group fusion that also hold without a node.
OFFLINE_FUSION = tuple(row.name for row in rows_of(FusionConfig, "fusion."))


def parameter(name: str) -> Parameter:
    """The row of `name`. Raises ConfigError for an unknown name, with the nearest known one."""
    if name not in PARAMETERS:
        raise ConfigError(f"unknown parameter {shown(name)}{nearest(name, list(PARAMETERS))}")
    return PARAMETERS[name]


def with_values(config: Config, values: Mapping[str, object]) -> Config:
    """A copy of `config` with the values of a flat `{"group.field": value}`, each checked. Raises ConfigError."""
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
        lines += [f"{indent}# {_comment(row)}", f"{indent}{key}: {_yaml_scalar(row)}"]
    return "\n".join(lines) + "\n"


def table_text() -> str:
    """The parameter table of the docs, in Markdown."""
    lines = ["| parameter | default | valid | at run time | meaning |", "| --- | --- | --- | --- | --- |"]
    for row in PARAMETERS.values():
        valid = row.range_text.replace("|", "\\|") + (f" {row.unit}" if row.unit else "")
        when = "yes" if row.live else "restart"
        lines.append(f"| `{row.name}` | `{_yaml_scalar(row)}` | {valid} | {when} | {row.help} |")
    return "\n".join(lines) + "\n"


def _comment(row: Parameter) -> str:
    notes = [text for text in (row.range_text, row.unit, "" if row.live else "restart") if text]
    return row.help + (f" [{', '.join(notes)}]" if notes else "")


def _yaml_scalar(row: Parameter) -> str:
    return f'"{row.default}"' if row.type is str else row.default_text

"""`mono-depth-recon parameters`, and the parameter flags of the other commands."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..config import (
    PARAMETERS,
    Config,
    Value,
    add_flag,
    camera_of,
    names_in,
    read_yaml,
    row_of,
    shown,
    table_text,
    with_values,
    yaml_text,
)
from ..errors import ConfigError

_NODE = "recon_node"
_ROS_OWN = ("use_sim_time", "start_type_description_service", "qos_overrides")
_DEEPEST = 4  # dots in a name, more than any parameter has: through an anchor a YAML table can hold itself


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser(
        "parameters",
        help="print all parameters",
        allow_abbrev=False,
        description="Prints every parameter with default, range and meaning.",
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument(
        "--yaml",
        dest="text",
        action="store_const",
        const=yaml_text,
        default=yaml_text,
        help="as the parameter file of recon_node (the default)",
    )
    shape.add_argument("--table", dest="text", action="store_const", const=table_text, help="as a Markdown table")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the parameters in the chosen form."""
    print(arguments.text(), end="")
    return 0


def add_flags(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Adds `--params-file` and one flag for each parameter of `names`: `--mesh.method grid`."""
    group = parser.add_argument_group("parameters", "those of the ROS node; a flag overrides the file")
    group.add_argument("--params-file", type=Path, metavar="YAML", help="a parameter file of recon_node")
    for name in names:
        add_flag(group, PARAMETERS[name], f"--{name}")


def config_of(arguments: argparse.Namespace, defaults: Config | None = None) -> Config:
    """`defaults`, else those of Config, overridden by the parameter file and then the flags. Raises ConfigError."""
    flags = {name: value for name, value in vars(arguments).items() if name in PARAMETERS}
    in_file = read_params_file(arguments.params_file) if arguments.params_file else {}
    return with_values(defaults or Config(), {**in_file, **flags})


def read_params_file(path: Path) -> dict[str, Value]:
    """Flat `{"group.field": value}` of a ROS 2 parameter file, each checked: its sections `/**` and `recon_node`.

    Names that ROS itself declares are skipped, and what is set for single cameras of several. Raises ConfigError.
    """
    tree = read_yaml(path, "parameter file")
    values: dict[str, object] = {}
    for node, section in tree.items() if isinstance(tree, dict) else ():
        if node == "/**" or str(node).rpartition("/")[2] == _NODE:
            values |= _flat(section.get("ros__parameters") if isinstance(section, dict) else None, path)
    if not values:
        raise ConfigError(
            f"parameter file {path} must have parameters below '/**:' or '{_NODE}:' and "
            "'ros__parameters:' (mono-depth-recon parameters prints one)"
        )
    given = {name: value for name, value in values.items() if name.split(".")[0] not in _ROS_OWN}
    cameras = names_in(_checked("cameras", given["cameras"], path, ())) if "cameras" in given else ()
    checked = {name: _checked(name, value, path, cameras) for name, value in given.items()}
    return {name: value for name, value in checked.items() if not camera_of(name, cameras)}


def _checked(name: str, value: object, path: Path, cameras: tuple[str, ...]) -> Value:
    try:
        return row_of(name, cameras).check(value)
    except ConfigError as error:
        raise ConfigError(f"parameter file {path}: {error}") from error


def _flat(tree: object, path: Path, prefix: str = "") -> dict[str, object]:
    if not isinstance(tree, Mapping):
        raise ConfigError(f"parameter file {path}: 'ros__parameters' must hold names and values, got {shown(tree)}")
    values: dict[str, object] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        deeper = isinstance(value, Mapping) and name.count(".") < _DEEPEST
        values |= _flat(value, path, f"{name}.") if deeper else {name: value}
    return values

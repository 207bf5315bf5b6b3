"""The flags that say how a data set is read, for every command that opens one, and the frame path over it."""

from __future__ import annotations

import argparse
from typing import Any

from ..config import PARAMETERS, Config, finite_number
from ..datasets.kind import OpenOptions
from ..datasets.limits import MAX_CHUNK_HELP, MAX_UNPACKED_HELP
from ..errors import ConfigError, ModelError
from ..models.table import is_prompted
from ..pipeline import DepthReconstructor
from ..scale.table import idle_varying, no_metres, not_needed, source_in_effect, source_of
from ..sequence import RECORDED

_HELP = {
    "camera": "'fx fy cx cy [k1 k2 p1 p2 [k3]]' or freiburg1 to 3, of image folders also a file; default: found",
    "colour_topic": "colour topic of bags; default: found",
    "depth_topic": "depth topic of bags; default: found",
    "pose_topic": "topic of a bag that gives the poses; default: chosen",
    "depth_factor": "depth units per metre; default: 5000 in TUM folders, 1 in 32FC1 of bags, else 1000",
    "max_difference": "seconds between colour and depth; default: %(default)s",
    "max_chunk_bytes": MAX_CHUNK_HELP,
    "max_unpacked_bytes": MAX_UNPACKED_HELP,
    "colour_pattern": "image folders: colour images, as '{scene}/rgb/{frame}.png'; default: found",
    "depth_pattern": "image folders: depth images, likewise; default: found",
}


def add_data_flags(group: Any, without: tuple[str, ...] = ()) -> None:
    """Adds a flag for each field of OpenOptions that users set, at its default."""
    for name, text in _HELP.items():
        if name in without:
            continue
        default = getattr(OpenOptions(), name)
        metavar = "STR" if isinstance(default, str) else type(default).__name__.upper()
        flag = "--" + name.replace("_", "-")
        kind = finite_number() if isinstance(default, float) else type(default)
        group.add_argument(flag, type=kind, default=default, metavar=metavar, help=text)


def add_floor_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --floor for commands that know heights above the floor by the poses."""
    parser.add_argument(
        "--floor",
        type=finite_number(-10_000, 10_000),
        default=0.0,
        metavar="M",
        help="height of the floor in the poses' world (default: 0)",
    )


def refuse_unused(arguments: argparse.Namespace, unused: tuple[str, ...]) -> None:
    """ConfigError where --true-depth is given beside flags of parameters (or whole groups, `model.`) that it ignores.

    A parameter file may set them: it is one for many commands.
    """
    given = [name for name in PARAMETERS if name.startswith(unused) and hasattr(arguments, name)]
    if arguments.true_depth and given:
        raise ConfigError(
            f"--true-depth takes the recording's own depth, without a model: leave out --{', --'.join(given)}"
        )


def model_text(config: Config) -> str:
    """The model that `config` names, for reports; with where its prompt is from."""
    given = ", which was given the recording's own depth" if is_prompted(config.model.name) else ""
    return config.model.name + given


def options_of(arguments: argparse.Namespace, **fixed: Any) -> OpenOptions:
    """The options that the flags of `add_data_flags` give, and those that the command sets itself."""
    given = {name: getattr(arguments, name) for name in _HELP if hasattr(arguments, name)}
    return OpenOptions(**{**given, **fixed})


def recording_reconstructor(config: Config) -> DepthReconstructor:
    """The frame path over a recording. Raises ModelError, ConfigError where its scale needs what no recording has."""
    if idle := idle_varying(config.scale):
        raise ConfigError(idle)
    reconstructor = DepthReconstructor.from_config(config)
    source = source_in_effect(config.scale, reconstructor.model.output == "metric_depth")
    if source is None:
        if source_of(config.scale).gives_metres:
            raise ConfigError(not_needed(reconstructor.model.name, config.scale.source))
        return reconstructor
    if not source.gives_metres:
        raise ModelError(no_metres(reconstructor.model.name))
    for kind in source.needed(config.scale):
        if kind not in RECORDED:
            raise ConfigError(f"scale.source={source.name} needs {kind.text}, which no recording has")
    return reconstructor

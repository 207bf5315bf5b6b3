"""What `reconstruct` is given beside its images to scale depth to: depth images, points."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..arrays import Matrix
from ..cloud.points_file import read_points
from ..config import Config, finite_number, with_values
from ..errors import ConfigError
from ..models.table import is_prompted
from ..photo import read_depth
from ..scale.evidence import NOTHING, Evidence, Kind
from ..scale.points import REFERENCE_POINTS, extrinsic_pose
from ..scale.reference import REFERENCE_DEPTH
from ..scale.settings import ScaleSettings
from ..scale.table import source_fitted_to, source_of

# What can be given beside the images, by kind, and the flag that gives it.
_GIVEN: dict[Kind[Any], str] = {
    REFERENCE_DEPTH: "--reference FILE for each image",
    REFERENCE_POINTS: "--points FILE for each image",
}


def add_scale_flags(parser: Any) -> None:
    """Adds the flags that name files."""
    parser.add_argument(
        "--reference",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="depth image that a relative model is scaled to (16-bit PNG or float TIFF in metres); "
        "once for each IMAGE, in their order",
    )
    parser.add_argument(
        "--points",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="points that a relative model is scaled to (PLY, or text with x y z in a line, metres); as --reference",
    )
    parser.add_argument(
        "--reference-per-metre",
        type=finite_number(),
        default=1000.0,
        metavar="N",
        help="units a metre of 16-bit reference files: 1000 for millimetres, 5000 for TUM RGB-D (default: 1000)",
    )


def scaled(config: Config, arguments: argparse.Namespace) -> Config:
    """`config` with the scale.source that --reference or --points stands for. Raises ConfigError."""
    images, source = arguments.images, source_of(config.scale)
    files: dict[Kind[Any], list[Path]] = {REFERENCE_DEPTH: arguments.reference, REFERENCE_POINTS: arguments.points}
    given = [kind for kind, names in files.items() if names]
    _check_given(config.scale, given)
    if not given:
        return config
    if len(given) > 1:
        raise ConfigError("--reference and --points both give the scale: leave one of them out")
    (kind,), flag = given, _GIVEN[given[0]].split()[0]
    prompt = kind is REFERENCE_DEPTH and is_prompted(config.model.name)
    chosen = prompt or source.gives_metres or hasattr(arguments, "scale.source")
    if chosen and kind not in source.needs and not prompt:
        raise ConfigError(f"{flag} is for a fitted scale, and scale.source is {source.name}: leave one of them out")
    if len(files[kind]) != len(images):
        raise ConfigError(
            f"{flag} is given once for each image, in their order: got {len(files[kind])} for {len(images)} images"
        )
    if not arguments.reference_per_metre > 0:
        raise ConfigError(f"--reference-per-metre must be positive, got {arguments.reference_per_metre:g}")
    return config if chosen else with_values(config, {"scale.source": source_fitted_to(kind).name})


def _check_given(settings: ScaleSettings, given: Sequence[Kind[Any]]) -> None:
    source = source_of(settings)
    for kind in source.needed(settings):
        if kind not in _GIVEN:
            raise ConfigError(f"scale.source={source.name} needs {kind.text}, which image files do not have")
        if kind not in given:
            raise ConfigError(f"scale.source={source.name} needs {kind.noun} to fit on: give {_GIVEN[kind]}")


def evidence_of(arguments: argparse.Namespace, place: int, settings: ScaleSettings) -> Evidence:
    """What is given beside an image; its file is read when it is needed."""
    if arguments.reference:
        return Evidence(
            {REFERENCE_DEPTH: partial(read_depth, arguments.reference[place], arguments.reference_per_metre)}
        )
    if arguments.points:
        return Evidence({REFERENCE_POINTS: partial(_read_points, arguments.points[place], settings.extrinsic)})
    return NOTHING


def _read_points(path: Path, extrinsic: str) -> Matrix:
    """The points (N, 3) of a file in the camera's frame."""
    points, T = read_points(path), extrinsic_pose(extrinsic)
    return points if T is None else points @ T[:3, :3].T + T[:3, 3]

"""`mono-depth-recon costmap`: the obstacles of a recording as a 2D map, and whether the true depth has them there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Rgb
from ..atomic import writable_folder, write_atomically
from ..config import PARAMETERS, finite_number
from ..errors import ConfigError, DataError
from ..evaluation.costmap import FREE, OCCUPIED, UNKNOWN, CostMap, CostMapper, agreement, common_maps
from ..pictures.panels import Panel, compose, write_png
from ..printing import encoded, one_line
from ..sequence import measured, pose_of, predicted
from .parameters import add_flags, config_of
from .recordings import add_data_flags, add_floor_flag, model_text, options_of, recording_reconstructor, refuse_unused

_OWN = ("safe.base_frame", "safe.ground", "safe.ground_height")  # the poses and --floor say these
PARAMETER_FLAGS = (
    *(name for name in PARAMETERS if name.startswith("model.")),
    "cpu_threads",
    *(name for name in PARAMETERS if name.startswith(("scale.", "filter.", "safe.")) and name not in _OWN),
)
_COLOURS = {UNKNOWN: (205, 208, 212), FREE: (255, 255, 255), OCCUPIED: (30, 32, 36)}
_UNUSED = ("model.", "scale.", "filter.border", "filter.max_sigma", "filter.min_confidence")  # by --true-depth
# Of which depth a cell is an obstacle: name and value of its colour, distinct for colour-blind readers.
COMPARED = {
    "both": ("green", (0, 158, 115)),
    "of depth": ("orange", (213, 94, 0)),
    "of true depth": ("blue", (0, 114, 178)),
}
_OUTPUTS = """\
DATA is a TUM RGB-D folder or its .tgz, a bag, or room:SEED[:FRAMES], with poses (z up) and true depth. Writes
  costmap.pgm, costmap.yaml  obstacles, free and unknown cells, as nav2's map_server loads them
  costmap.png                the map, that of the true depth, and both compared"""


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser(
        "costmap",
        help="the obstacles of a recording as a 2D map, compared with those of its true depth",
        description="Runs a recording through the model and the choice of obstacles of points_safe into one 2D map.",
        epilog=_OUTPUTS,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", metavar="DATA", help="recording or synthetic room, see below")
    parser.add_argument("--output", type=Path, default=Path("costmap"), metavar="DIR", help="default: costmap")
    parser.add_argument("--true-depth", action="store_true", help="map the recording's own depth, without a model")
    parser.add_argument("--step", type=int, default=1, metavar="N", help="every n-th frame (default: 1)")
    add_floor_flag(parser)
    parser.add_argument(
        "--resolution", type=finite_number(0.005, 1), default=0.05, metavar="M", help="size of a cell (default: 0.05)"
    )
    add_data_flags(parser.add_argument_group("data"))
    add_flags(parser, PARAMETER_FLAGS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes the map and prints how it agrees with that of the true depth. Returns 0."""
    from ..datasets.opening import open_dataset

    if arguments.step < 1:
        raise ConfigError(f"--step must be at least 1, got {arguments.step}")
    refuse_unused(arguments, _UNUSED)
    config = config_of(arguments)
    dataset = open_dataset(arguments.data, options_of(arguments, rectified=True, need_depth=True))
    folder = writable_folder(arguments.output)
    true_of = measured(config)
    raw = getattr(dataset, "camera", None)
    frame_of = true_of if arguments.true_depth else predicted(recording_reconstructor(config), raw)
    mappers = [CostMapper(config, arguments.resolution, arguments.floor) for _ in range(2)]
    places, left_out = range(0, len(dataset), arguments.step), ""
    used = 0
    for place in places:
        try:
            sample = dataset[place]
            pose = pose_of(sample)
            made, true = frame_of(sample), true_of(sample)
        except DataError as error:
            left_out = str(error)
            continue
        for mapper, frame in zip(mappers, (made, true), strict=True):
            mapper.add(frame, pose)
        used += 1
    if not used:
        raise DataError(f"expected frames for a map, got none: {left_out}")
    own, truth = common_maps(mappers)
    report = agreement(own, truth)
    if left_out:
        print(f"{len(places) - used} frames left out: {one_line(left_out)}", file=sys.stderr)
    name = "the true depth" if arguments.true_depth else model_text(config)
    _write(folder, own, truth, f"{one_line(Path(arguments.data).name)}: obstacles by {name}", report.text())
    print(f"{arguments.data}: {used} frames, map of {own.cells.shape[1]}x{own.cells.shape[0]} cells")
    print(f"{report.text()}\nwritten to {folder}")
    return 0


def _write(folder: Path, own: CostMap, truth: CostMap, title: str, note: str) -> None:
    write_atomically(folder / "costmap.pgm", [own.pgm()])
    write_atomically(folder / "costmap.yaml", [encoded(own.yaml("costmap.pgm"))])
    found = ", ".join(f"{colour}: {what}" for what, (colour, _) in COMPARED.items())
    panels = [
        Panel(_shown(own), "Obstacles", "black; white: free, grey: unknown"),
        Panel(_shown(truth), "By true depth"),
        Panel(compared(own, truth), "Compared", found),
    ]
    write_png(folder / "costmap.png", compose(panels, title, note))


def _shown(made: CostMap) -> Rgb:
    picture = np.zeros((*made.cells.shape, 3), np.uint8)
    for value, colour in _COLOURS.items():
        picture[made.cells == value] = colour
    return _enlarged(picture)


def compared(own: CostMap, truth: CostMap) -> Rgb:
    """Obstacles of both maps and of each alone, where both know the cell."""
    both = (own.cells != UNKNOWN) & (truth.cells != UNKNOWN)
    made, real = own.cells == OCCUPIED, truth.cells == OCCUPIED
    picture = np.full((*own.cells.shape, 3), _COLOURS[UNKNOWN], np.uint8)
    picture[both] = _COLOURS[FREE]
    cells = (made & real, made & ~real & both, real & ~made & both)
    for where, (_, colour) in zip(cells, COMPARED.values(), strict=True):
        picture[where] = colour
    return _enlarged(picture)


def _enlarged(picture: Rgb) -> Rgb:
    """Whole pixels for each cell."""
    factor = max(1, 480 // max(picture.shape[:2]))
    return np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1)

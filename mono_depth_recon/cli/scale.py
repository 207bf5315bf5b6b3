"""`mono-depth-recon scale`: what each scale source does to the scale of depth over a recording."""

from __future__ import annotations

import argparse
import csv
import io
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..atomic import writable_folder, write_atomically
from ..config import PARAMETERS
from ..datasets.dataset import Dataset
from ..errors import ConfigError
from ..evaluation.anchors import ANCHORS, Drifting, ScaleTracks, by_model, track_scale
from ..evaluation.plan import PartOfRecording, names_part
from ..evaluation.simulated_sensors import lidar_points, random_points
from ..frames import Sample
from ..models import load_model
from ..models.base import needs_prompt
from ..pictures.lines import draw_lines
from ..pictures.panels import write_png
from ..printing import encoded, one_line
from ..scale.points import PointsScale
from ..scale.table import idle_varying
from .parameters import add_flags, config_of
from .recordings import add_data_flags, add_floor_flag, options_of, refuse_unused

PARAMETER_FLAGS = (
    *(name for name in PARAMETERS if name.startswith("model.")),
    "cpu_threads",
    *(name for name in PARAMETERS if name.startswith("scale.") and name not in ("scale.source", "scale.extrinsic")),
    "filter.max_range",
)
_LIMITS = (0.5, 1.5)
_DESCRIPTION = """\
Compares the scale of depth with the true one, frame by frame: as predicted, and by each scale source that the recording
supports. The sensors are made from its true depth and poses: a LiDAR of 16 lines (2 % noise, 10 % outliers) for points,
the camera's height and gravity for ground_plane, its poses for odometry, and a marker drawn onto a flat place in view.
A metric model is corrected by a factor, unless --scale.correct_metric is affine. With --scale.varying true each source
that takes it is compared with itself without it. AbsRel is the mean of |depth - true| / true over the pixels that are
no anchors."""
_OUTPUTS = """\
DATA is a TUM RGB-D folder or its .tgz, a bag, another data set with depth, or room:SEED[:FRAMES], a synthetic room;
with :FIRST:LAST at its end the frames between these positions. Writes for each of them
  NAME.png  the median of the depth over that of the true depth, over time
  NAME.csv  the same numbers: stamp, then a column per source, then the AbsRel of each, empty without metres"""


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser(
        "scale",
        help="the scale of depth over a recording, with and without each scale source",
        description=_DESCRIPTION,
        epilog=_OUTPUTS,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", metavar="DATA[:FIRST:LAST]", nargs="+", help="recordings or synthetic rooms, see below")
    parser.add_argument("--output", type=Path, default=Path("scale"), metavar="DIR", help="default: scale")
    parser.add_argument(
        "--sources", nargs="+", choices=ANCHORS, default=ANCHORS, metavar="NAME", help=f"of {', '.join(ANCHORS)}"
    )
    parser.add_argument(
        "--true-depth",
        action="store_true",
        help="in place of a model: the true depth times a factor that drifts and jumps, which shows the sources alone",
    )
    parser.add_argument(
        "--random-points",
        type=int,
        default=0,
        metavar="N",
        help="points: N random pixels of the true depth, without noise, in place of the LiDAR",
    )
    parser.add_argument("--step", type=int, default=1, metavar="N", help="every n-th frame (default: 1)")
    add_floor_flag(parser)
    add_data_flags(parser.add_argument_group("data"))
    add_flags(parser, PARAMETER_FLAGS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes a chart and a table for each recording and prints a summary. Returns 0."""
    from ..datasets.opening import open_dataset

    if arguments.step < 1 or arguments.random_points < 0:
        raise ConfigError(
            "--step must be at least 1 and --random-points 0 or more, got "
            f"{arguments.step} and {arguments.random_points}"
        )
    if arguments.random_points and PointsScale.name not in arguments.sources:
        raise ConfigError(f"--random-points is for the source {PointsScale.name}: add it to --sources")
    refuse_unused(arguments, ("model.",))
    parts = [PartOfRecording.parse(text) if names_part(text) else None for text in arguments.data]
    paths = [Path(text) if part is None else part.path for text, part in zip(arguments.data, parts, strict=True)]
    names = [re.sub(r"[^\w.-]+", "_", path.resolve().name) for path in paths]
    spans = ["" if part is None else f"_{part.first}_{part.last}" for part in parts]
    names = [name + span for name, span in zip(names, spans, strict=True)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"files are named by their recording, and several are called '{twice[0]}': rename them, "
            "or run them one by one with another --output"
        )
    config, options = config_of(arguments), options_of(arguments, rectified=True, need_depth=True)
    idle = [idle_varying(replace(config.scale, source=name)) for name in arguments.sources]
    if all(idle):
        raise ConfigError(idle[0])
    folder = writable_folder(arguments.output)
    chosen = [
        _Chosen(open_dataset(path, options), part, arguments.step) for path, part in zip(paths, parts, strict=True)
    ]
    count = arguments.random_points
    points = partial(random_points, count=count) if count else lidar_points
    model = None if arguments.true_depth else load_model(config.model, config.cpu_threads)
    if model is not None and needs_prompt(model):
        raise ConfigError(f"{model.name} takes its metres from depth beside the image, not from a scale source")
    shown = "the true depth with drift" if model is None else f"depth by {model.name}"
    for text, name, samples in zip(arguments.data, names, chosen, strict=True):
        predict = Drifting() if model is None else by_model(model)
        tracks = track_scale(samples, predict, config, arguments.sources, arguments.floor, points, _show)
        base = folder / name
        title = f"{one_line(Path(text).name)}: scale of {shown}"
        write_png(base.with_name(f"{base.name}.png"), _chart(tracks, title))
        write_atomically(base.with_name(f"{base.name}.csv"), [encoded(_table(tracks))])
        print(
            "\n".join(
                [f"{one_line(text)}: {len(tracks.stamps)} frames, written to {base}.png and .csv", *_lines(tracks)]
            )
        )
    return 0


class _Chosen(Sequence[Sample]):
    """Every n-th sample of a data set or of a part of it, read when indexed."""

    def __init__(self, samples: Dataset, part: PartOfRecording | None, step: int) -> None:
        first, last = (0, math.inf) if part is None else (part.first, part.last)
        places = [i for i, position in enumerate(samples.positions) if first <= position <= last]
        if not places:
            raise ConfigError(f"{samples.path}: no frame is at the positions from {first} to {last}")
        self._samples, self._places = samples, places[::step]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        return self._samples[self._places[index]]


def _times(tracks: ScaleTracks) -> list[float]:
    """Seconds since the first frame; frames without stamps are counted."""
    stamps = tracks.stamps
    return [at - stamps[0] for at in stamps] if stamps[-1] > stamps[0] else [float(i) for i in range(len(stamps))]


def _chart(tracks: ScaleTracks, title: str) -> Any:
    labels = "seconds" if tracks.stamps[-1] > tracks.stamps[0] else "frames", "depth / true depth, medians"
    return draw_lines(_times(tracks), tracks.ratios, _LIMITS, title, labels, level=1.0)


def _table(tracks: ScaleTracks) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("stamp", *tracks.ratios, *(f"{name} AbsRel" for name in tracks.errors)))
    for number, stamp in enumerate(tracks.stamps):
        figures = [values[number] for values in (*tracks.ratios.values(), *tracks.errors.values())]
        writer.writerow((stamp, *("" if math.isnan(figure) else f"{figure:.5f}" for figure in figures)))
    return text.getvalue()


def _lines(tracks: ScaleTracks) -> list[str]:
    lines = []
    for name in tracks.ratios:
        count, middle, low, high = tracks.summary(name)
        figures = f"median {middle:.3f}, 90 % of the frames {low:.3f} to {high:.3f}" if count else ""
        figures += f", AbsRel {tracks.error(name):.4f}" if count else ""
        held = f" ({tracks.held[name]} by a held fit)" if tracks.held[name] else ""
        line = f"  {name:16} {count:5} frames with metres{held}  {figures}".rstrip()
        if reasons := tracks.reasons.get(name):
            line += f"; without: {one_line(reasons.most_common(1)[0][0])}"
        lines.append(line)
    return lines


def _show(done: int, of: int) -> None:
    """A progress bar on stderr, if that is a terminal."""
    if sys.stderr.isatty():
        bar = ("#" * round(20 * done / of)).ljust(20, ".")
        print(f"\r[{bar}] {done}/{of}", end="\n" if done == of else "\r", file=sys.stderr, flush=True)

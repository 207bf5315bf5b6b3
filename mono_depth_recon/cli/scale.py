"""`mono-depth-recon scale`: what each scale source does to the scale of depth over a recording."""

from __future__ import annotations

import argparse
import csv
import io
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..atomic import writable_folder, write_atomically
from ..config import PARAMETERS
from ..datasets.dataset import Dataset
from ..errors import ConfigError
from ..evaluation.anchors import ANCHORS, Drifting, ScaleTracks, by_model, track_scale
from ..frames import Sample
from ..models import load_model
from ..models.base import needs_prompt
from ..pictures.lines import draw_lines
from ..pictures.panels import write_png
from ..printing import encoded, one_line
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
A metric model is corrected by a factor, unless --scale.correct_metric is affine."""
_OUTPUTS = """\
DATA is a TUM RGB-D folder or its .tgz, a bag, or room:SEED[:FRAMES], a synthetic room. Writes for each of them
  NAME.png  the median of the depth over that of the true depth, over time
  NAME.csv  the same numbers: stamp, then a column per source, empty without metres"""


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
    parser.add_argument("data", metavar="DATA", nargs="+", help="recordings or synthetic rooms, see below")
    parser.add_argument("--output", type=Path, default=Path("scale"), metavar="DIR", help="default: scale")
    parser.add_argument(
        "--sources", nargs="+", choices=ANCHORS, default=ANCHORS, metavar="NAME", help=f"of {', '.join(ANCHORS)}"
    )
    parser.add_argument(
        "--true-depth",
        action="store_true",
        help="in place of a model: the true depth times a factor that drifts and jumps, which shows the sources alone",
    )
    parser.add_argument("--step", type=int, default=1, metavar="N", help="every n-th frame (default: 1)")
    add_floor_flag(parser)
    add_data_flags(parser.add_argument_group("data"))
    add_flags(parser, PARAMETER_FLAGS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes a chart and a table for each recording and prints a summary. Returns 0."""
    from ..datasets.opening import open_dataset

    if arguments.step < 1:
        raise ConfigError(f"--step must be at least 1, got {arguments.step}")
    refuse_unused(arguments, ("model.",))
    names = [re.sub(r"[^\w.-]+", "_", Path(text).resolve().name) for text in arguments.data]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"files are named by their recording, and several are called '{twice[0]}': rename them, "
            "or run them one by one with another --output"
        )
    config, options = config_of(arguments), options_of(arguments, rectified=True, need_depth=True)
    folder = writable_folder(arguments.output)
    datasets = [open_dataset(data, options) for data in arguments.data]
    model = None if arguments.true_depth else load_model(config.model, config.cpu_threads)
    if model is not None and needs_prompt(model):
        raise ConfigError(f"{model.name} takes its metres from depth beside the image, not from a scale source")
    shown = "the true depth with drift" if model is None else f"depth by {model.name}"
    for text, name, dataset in zip(arguments.data, names, datasets, strict=True):
        predict = Drifting() if model is None else by_model(model)
        tracks = track_scale(
            _Every(dataset, arguments.step), predict, config, arguments.sources, arguments.floor, _show
        )
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


class _Every(Sequence[Sample]):
    """Every n-th sample, read when indexed."""

    def __init__(self, samples: Dataset, step: int) -> None:
        self._samples, self._places = samples, range(0, len(samples), step)

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
    writer.writerow(("stamp", *tracks.ratios))
    for number, stamp in enumerate(tracks.stamps):
        ratios = [values[number] for values in tracks.ratios.values()]
        writer.writerow((stamp, *("" if math.isnan(ratio) else f"{ratio:.5f}" for ratio in ratios)))
    return text.getvalue()


def _lines(tracks: ScaleTracks) -> list[str]:
    lines = []
    for name in tracks.ratios:
        count, middle, low, high = tracks.summary(name)
        figures = f"median {middle:.3f}, 90 % of the frames {low:.3f} to {high:.3f}" if count else ""
        line = f"  {name:13} {count:5} frames with metres  {figures}".rstrip()
        if reasons := tracks.reasons.get(name):
            line += f"; without: {one_line(reasons.most_common(1)[0][0])}"
        lines.append(line)
    return lines


def _show(done: int, of: int) -> None:
    """A progress bar on stderr, if that is a terminal."""
    if sys.stderr.isatty():
        bar = ("#" * round(20 * done / of)).ljust(20, ".")
        print(f"\r[{bar}] {done}/{of}", end="\n" if done == of else "\r", file=sys.stderr, flush=True)

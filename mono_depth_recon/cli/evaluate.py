"""`mono-depth-recon evaluate`: models against recordings with depth, under named protocols."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from ..config import parameter
from ..datasets.opening import OpenOptions
from ..evaluation import EvaluationPlan, Progress, evaluate
from ..evaluation_tables import tables, write_results
from ..metrics_protocols import PROTOCOLS
from .parameters import add_flags, config_of

_DESCRIPTION = """Scores models on TUM folders, their .tgz, ROS 1 and ROS 2 bags: predictions/, per_frame.csv,
summary.json and tables.md in the output folder. What is already in predictions/ is not computed again: run the same
command to go on after an interruption, or to score again."""


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser("evaluate", help="score models on recordings with depth", allow_abbrev=False,
                                 description=_DESCRIPTION)
    parser.add_argument("data", nargs="+", type=Path, metavar="RECORDING", help="TUM folder, .tgz, ROS 1 or ROS 2 bag")
    parser.add_argument("--models", nargs="+", default=[parameter("model.name").default], metavar="NAME",
                        help="models of the table, or ensembles (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("results/evaluation"), metavar="FOLDER",
                        help="where the results go (default: %(default)s)")
    parser.add_argument("--protocols", nargs="+", default=list(PROTOCOLS), choices=list(PROTOCOLS), metavar="NAME",
                        help=f"some of {', '.join(PROTOCOLS)} (default: all)")
    frames = parser.add_argument_group("frames")
    frames.add_argument("--first", type=int, default=0, metavar="N", help="first frame by position (default: 0)")
    frames.add_argument("--last", type=int, default=-1, metavar="N", help="last frame; -1 is the end (default: -1)")
    frames.add_argument("--stride", type=int, default=1, metavar="N", help="every n-th frame (default: 1)")
    data = parser.add_argument_group("recordings")
    for name, kind, text in (
        ("camera", str, "'fx fy cx cy [k1 k2 p1 p2 [k3]]' or freiburg1 to 3; default: as the recording says"),
        ("colour_topic", str, "colour topic of bags; default: found"),
        ("depth_topic", str, "depth topic of bags; default: found"),
        ("depth_factor", float, "integer depth per metre; default: 5000 in TUM folders, 1000 in bags"),
        ("max_difference", float, "seconds between colour and depth; default: %(default)s"),
    ):
        data.add_argument("--" + name.replace("_", "-"), type=kind, default=getattr(OpenOptions(), name),
                          metavar=kind.__name__.upper(), help=text)
    add_flags(parser, ("model.checkpoint", "model.output", "model.runtime", "model.precision", "model.device",
                       "model.input_size", "model.accept_noncommercial", "cpu_threads"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the tables. Returns 1 where a frame, model or recording failed."""
    options = OpenOptions(arguments.camera, arguments.colour_topic, arguments.depth_topic, arguments.depth_factor,
                          arguments.max_difference, poses="none")
    plan = EvaluationPlan(arguments.data, arguments.models, arguments.output, arguments.protocols, options,
                          config_of(arguments), arguments.first, arguments.last, arguments.stride)
    evaluation = evaluate(plan, _Announcer())
    made = write_results(plan.output, evaluation)
    for note in evaluation.notes:
        print(f"mono-depth-recon: {note}", file=sys.stderr)
    print(tables(made))
    print(f"written to {plan.output}")
    return 1 if any(each.failed for each in made) else 0


class _Announcer:
    """Rate and remaining time on stderr: a line that is rewritten on a terminal, else one line every ten seconds."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, at: Progress) -> None:
        now = time.monotonic()
        terminal = sys.stderr.isatty()
        if now - self._last < (0.2 if terminal else 10.0) and at.done < at.of:
            return
        self._last = now
        text = (f"{at.done}/{at.of} frames, {at.rate:.2f}/s, {at.remaining_s:.0f} s left: {at.model} on {at.recording}")
        print(f"\r{text:100}" if terminal else text, end="" if terminal and at.done < at.of else "\n", file=sys.stderr,
              flush=True)

"""`mono-depth-recon evaluate`: models against data sets with depth, under named protocols."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config import parameter
from ..datasets.dataset import SPLITS
from ..datasets.opening import kind_of
from ..errors import ConfigError
from ..evaluation.compare import compare, write_comparison
from ..evaluation.plan import PartOfRecording, names_part, recording_name, recording_path
from ..evaluation.run import EvaluationPlan, EvaluationRun, Progress, score_run
from ..evaluation.studies import PARTS, run_studies
from ..evaluation.table3 import check_fine_tuned
from ..evaluation.tables import Summary, tables, write_results
from ..metrics.protocols import PROTOCOLS
from ..models import check_name
from ..printing import readable
from ..report.origin import write_origin
from ..report.page import write_report
from ..report.results import read_log
from .parameters import add_flags, config_of
from .recordings import add_data_flags, options_of
from .table3_costs import costs_of

_DESCRIPTION = """Scores models on TUM folders, their .tgz, ROS 1 and ROS 2 bags, NYU Depth V2 (.mat or csv layout),
KITTI and folders of image pairs: predictions/, per_frame.csv, summary.json and tables.md in the output folder; with
--with also scores of clouds, robustness, uncertainty and the paper's Table 3 by measurement. Finished work is kept:
run the same command to continue after an interruption, or to score again. docs/evaluation.md defines every
figure."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command as an executable of its own, `evaluate_tum`."""
    from . import main as command_line  # it imports this module

    return command_line(["evaluate", *(sys.argv[1:] if argv is None else argv)])


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser(
        "evaluate", help="score models on data sets with depth", allow_abbrev=False, description=_DESCRIPTION
    )
    parser.add_argument(
        "data",
        nargs="*",
        metavar="DATA[:FIRST:LAST]",
        help="TUM folder, .tgz, ROS 1 or ROS 2 bag, NYU Depth V2, KITTI, folder of image pairs; of which the frames "
        "from FIRST to LAST by position",
    )
    parser.add_argument(
        "--models",
        nargs="+",
        default=[parameter("model.name").default],
        metavar="NAME[=WEIGHTS]",
        help="models of the table, ensembles, each with weights of its own if wanted (folder, card or "
        "file); hf:FOLDER=metric_depth or hf:FOLDER=relative_disparity (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where the results go (default: results/evaluation, with --compare results/comparison)",
    )
    _add_scoring(parser)
    _add_report(parser)
    _add_comparison(parser)
    _add_frames(parser.add_argument_group("frames"))
    add_data_flags(parser.add_argument_group("data"), without=("pose_topic",))
    add_flags(
        parser,
        (
            "model.checkpoint",
            "model.output",
            "model.runtime",
            "model.precision",
            "model.device",
            "model.input_size",
            "model.accept_noncommercial",
            "cpu_threads",
        ),
    )
    parser.set_defaults(run=run)


def _add_scoring(parser: Any) -> None:
    parser.add_argument(
        "--protocols",
        nargs="+",
        default=[],
        choices=list(PROTOCOLS),
        metavar="NAME",
        help=f"some of {', '.join(PROTOCOLS)} (default: kitti on KITTI, all others elsewhere)",
    )
    parser.add_argument(
        "--with",
        dest="parts",
        nargs="+",
        default=[],
        choices=list(PARTS),
        metavar="PART",
        help=f"also some of {', '.join(PARTS)}; table3 includes the others (default: none)",
    )
    parser.add_argument(
        "--baseline-frames",
        metavar="DATA:FIRST:LAST",
        help="also score the baselines 'constant' and 'mean map', made from the true depth of these "
        "frames, by position (in the training part where there is an official split)",
    )
    parser.add_argument(
        "--fine-tuned",
        nargs=2,
        action="append",
        default=[],
        metavar=("BEFORE", "AFTER"),
        help="two of --models, the second fine-tuned from the first: table3 reports their difference",
    )
    parser.add_argument(
        "--prompt",
        default="",
        metavar="true:COLUMNSxROWS",
        help="what prompted models are given beside the image: the true depth at that size (true:256x192), which their "
        "names in the results say",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=2,
        metavar="N",
        help="processes that score beside the model; 1 = none (default: %(default)s)",
    )


def _add_report(parser: Any) -> None:
    parser.add_argument(
        "--training-log",
        type=Path,
        nargs="+",
        default=[],
        metavar="CSV",
        help="logs of training, as train_unetpp writes them: their curves stand in the report",
    )
    parser.add_argument("--no-report", action="store_true", help="leave out report.html and its pictures")


def _add_comparison(parser: Any) -> None:
    parser.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar=("RESULTS_A", "RESULTS_B"),
        help="instead of scoring: differences between two results, with confidence intervals",
    )
    parser.add_argument(
        "--block",
        type=int,
        default=10,
        metavar="N",
        help="--compare: frames of a block of the bootstrap (default: %(default)s)",
    )


def _add_frames(frames: Any) -> None:
    frames.add_argument(
        "--split",
        choices=(*SPLITS, "all"),
        default="",
        help="part of the official split of a data set (default: test where there is one, else all frames)",
    )
    frames.add_argument(
        "--first",
        type=int,
        default=0,
        metavar="N",
        help="first frame by position, of recordings without FIRST:LAST (default: %(default)s)",
    )
    frames.add_argument(
        "--last", type=int, default=-1, metavar="N", help="last frame, likewise; -1 is the end (default: %(default)s)"
    )
    frames.add_argument("--stride", type=int, default=1, metavar="N", help="every n-th frame (default: 1)")
    frames.add_argument(
        "--frame",
        default="",
        metavar="N|STAMP",
        help="one frame alone, by position or stamp, as the paper's tables have it",
    )
    frames.add_argument(
        "--study-frames",
        type=int,
        default=10,
        metavar="N",
        help="frames of each recording, evenly, that the parts of --with take (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the tables. Returns 1 where a frame, model or recording failed."""
    if arguments.compare:
        return _compare(arguments)
    if not arguments.data:
        raise ConfigError(
            "expected recordings or other data sets to score models on, or --compare with two folders of results"
        )
    plan = _plan(arguments)
    _check(arguments, plan)
    with EvaluationRun(plan, _Announcer()) as opened:
        for note in opened.notes:
            print(f"mono-depth-recon: {readable(note)}", file=sys.stderr)
        evaluation = score_run(opened)
        made = write_results(plan.output, evaluation)
        print(tables(made, evaluation.benchmarks) + evaluation.seconds.text(), flush=True)
        failures = [*_failed(made), *run_studies(opened, arguments.parts, made, arguments.fine_tuned, costs_of)]
    for failure in failures:
        print(f"mono-depth-recon: {failure}", file=sys.stderr)
    write_origin(plan.output, sys.argv)
    where = f"written to {plan.output}"
    if not arguments.no_report:
        where += f": open {write_report(plan.output, arguments.training_log)} in a browser"
    print(where)
    return 1 if failures else 0


def _check(arguments: argparse.Namespace, plan: EvaluationPlan) -> None:
    """Checks first what would fail or have no effect after hours.

    Raises ConfigError, ModelError for a name that no model has, DataError for a log or data that are none.
    """
    for choice in plan.choices:
        check_name(choice.name)
    for path in plan.data:
        kind_of(path, plan.options)
    if arguments.fine_tuned and "table3" not in arguments.parts:
        raise ConfigError("--fine-tuned is a line of table3: add --with table3")
    check_fine_tuned(plan, arguments.fine_tuned)
    if arguments.training_log and arguments.no_report:
        raise ConfigError("--training-log draws curves in the report: leave out --no-report")
    for log in arguments.training_log:
        read_log(log)


def _failed(made: Sequence[Summary]) -> list[str]:
    """A line for each model and recording with frames that have no figures; baselines aside."""
    return list(
        dict.fromkeys(
            f"{each.model} on {each.recording}: {each.failed} of {each.failed + each.frames} failed: {each.reason}"
            for each in made
            if each.failed and not each.baseline
        )
    )


def _plan(arguments: argparse.Namespace) -> EvaluationPlan:
    options = options_of(arguments, poses="none", split=arguments.split)
    baselines = PartOfRecording.parse(arguments.baseline_frames) if arguments.baseline_frames else None
    parts = {text: PartOfRecording.parse(text) if names_part(text) else None for text in arguments.data}
    data = [part.path if part else recording_path(text) for text, part in parts.items()]
    ranges = {recording_name(part.path): (part.first, part.last) for part in parts.values() if part}
    return EvaluationPlan(
        data,
        arguments.models,
        arguments.output or Path("results/evaluation"),
        arguments.protocols,
        options,
        config_of(arguments),
        arguments.first,
        arguments.last,
        arguments.stride,
        arguments.frame,
        baselines,
        arguments.workers,
        arguments.study_frames,
        ranges,
        arguments.prompt,
    )


def _compare(arguments: argparse.Namespace) -> int:
    if arguments.data:
        raise ConfigError("--compare takes two folders of results and no recordings")
    folder = arguments.output or Path("results/comparison")
    first, second = arguments.compare
    print(write_comparison(folder, compare(first, second, arguments.block)))
    print(f"written to {folder}")
    return 0


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
        part = f"{at.part}: " if at.part else ""
        text = (
            f"{part}{at.done}/{at.of} frames, {at.rate:.2f}/s, {at.remaining_s:.0f} s left: {at.model} on "
            f"{at.recording}"
        )
        print(
            f"\r{text:100}" if terminal else text,
            end="" if terminal and at.done < at.of else "\n",
            file=sys.stderr,
            flush=True,
        )

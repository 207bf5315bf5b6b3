"""`mono-depth-recon report`: report.html and pictures of a folder of results, again or with training curves."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..report.page import write_report

_DESCRIPTION = """Writes report.html and pictures/ of what `mono-depth-recon evaluate` left in a folder. evaluate does
that itself at its end; this is for results that were copied or changed, or get the curves of a training. The page is
one file that opens offline. Pictures need the recordings where they lay, and predictions/."""


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser(
        "report", help="the HTML report of a folder of results", allow_abbrev=False, description=_DESCRIPTION
    )
    parser.add_argument("results", type=Path, metavar="RESULTS", help="folder that evaluate wrote")
    parser.add_argument(
        "--training-log",
        type=Path,
        nargs="+",
        default=[],
        metavar="CSV",
        help="logs of training, as train_unetpp writes them: curves over a column 'epoch' or 'step'",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints where the report is."""
    print(f"written to {write_report(arguments.results, arguments.training_log)}")
    return 0

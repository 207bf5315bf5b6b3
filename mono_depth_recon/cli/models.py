"""`mono-depth-recon models`: the table of depth models."""

from __future__ import annotations

import argparse
from typing import Any

from ..config import Config
from ..models import MODELS


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser("models", help="list the depth models", allow_abbrev=False,
                                 description="Depth models: name, output, licence and source of the weights.")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the table in aligned columns; the default model is marked."""
    default = Config().model.name
    rows = [("name", "output", "licence", "source")]
    rows += [(spec.name + (" *" if spec.name == default else ""), spec.output, spec.licence, spec.source)
             for spec in MODELS.values()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print("* the default; --model.name or the parameter model.name chooses another")
    return 0

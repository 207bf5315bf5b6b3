"""`mono-depth-recon models`: the table of depth models."""

from __future__ import annotations

import argparse
from typing import Any

from ..config import Config
from ..models import MODELS, ModelSpec
from ..models.table import weights_state

_HEAD = ("name", "output", "licence", "size", "weights")


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser(
        "models",
        help="list the depth models",
        allow_abbrev=False,
        description="Depth models: name, output, licence, size of the weights, and whether they are on this machine.",
    )
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="also the source, the focal length that a model assumes, and the command that gets its weights",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the table in aligned columns; the default model is marked."""
    verbose = bool(arguments.verbose)
    rows = [_HEAD + (("source", "focal length assumed", "weights by") if verbose else ())]
    rows += [_row(spec, verbose) for spec in MODELS.values()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print("* the default; --model.name or the parameter model.name chooses another")
    print("! needs model.accept_noncommercial")
    print("also hf:<id or folder> with model.output, onnx:<file or card>, and ensemble:<a>+<b>")
    return 0


def _row(spec: ModelSpec, verbose: bool) -> tuple[str, ...]:
    default = " *" if spec.name == Config().model.name else ""
    row = (
        spec.name + default,
        spec.output,
        spec.licence + (" !" if spec.noncommercial else ""),
        _size_text(spec.size_mb),
        weights_state(spec),
    )
    return row + ((spec.source, spec.focal, spec.obtained_by) if verbose else ())


def _size_text(size_mb: float) -> str:
    if not size_mb:
        return "-"
    return f"{size_mb / 1000:.2f} GB" if size_mb >= 1000 else f"{size_mb:.3g} MB"

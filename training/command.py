"""What the training commands share: their flags, the check of the data, and one-line errors."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mono_depth_recon.atomic import write_atomically
from mono_depth_recon.config import read_json
from mono_depth_recon.datasets.mixture.checking import check_data
from mono_depth_recon.errors import MonoDepthError

from .settings import RunSettings
from .settings_text import assignments

CONFIGS = Path(__file__).parent / "configs"
RESUME = "continue the run in --output where it stopped"  # help of the flag


def exit_code(run: Callable[[], object]) -> int:
    """The exit code of `run`, which returns it or a text to print; an expected failure is one line on stderr and 1."""
    try:
        made = run()
    except MonoDepthError as error:
        print(error, file=sys.stderr)
        return 1
    if isinstance(made, int):
        return made
    print(made)
    return 0


def change_card(card: Path, **keys: Any) -> None:
    """Replaces keys of a card (.json), atomically. Raises MonoDepthError where it cannot be read or written."""
    text = {**read_json(card, "model card"), **keys}
    write_atomically(card, [(json.dumps(text, indent=2) + "\n").encode()])


def add_data_flags(parser: argparse.ArgumentParser, config: Path) -> None:
    """The flags of every command that takes settings and data."""
    data = os.environ.get("MONO_DEPTH_RECON_DATA", "")
    parser.add_argument("--config", type=Path, default=config, help=f"settings (default: {config.name})")
    parser.add_argument(
        "changes", nargs="*", metavar="KEY=VALUE", help="change one setting, such as optimizer.lr=0.001"
    )
    parser.add_argument(
        "--data",
        default=data,
        help="folder that relative paths start from, unless data.root is set (default: $MONO_DEPTH_RECON_DATA)",
    )


def add_run_flags(parser: argparse.ArgumentParser, config: Path, output: Path) -> None:
    """The flags of every command that trains."""
    add_data_flags(parser, config)
    parser.add_argument("--output", type=Path, default=output, help=f"folder of this run (default: {output})")
    parser.add_argument("--check", action="store_true", help="read all data, report what is wrong with it, and stop")


def changes_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The KEY=VALUE words, with --data as data.root where they do not set it. ConfigError."""
    changes = assignments(arguments.changes)
    return {**({"data.root": json.dumps(str(arguments.data))} if arguments.data else {}), **changes}


def check(settings: RunSettings) -> int:
    """Reads every frame and prints what is wrong; returns the exit code."""
    report = check_data(settings.data, settings.seed, progress=_show_progress)
    print("\n".join(report.lines()))
    return 0 if report.ok else 1


def _show_progress(done: int, total: int, name: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{name}: {done} of {total} frames", end="\n" if done == total else "", file=sys.stderr)

"""`mono-depth-recon benchmark`: the figures of the frame path on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .. import benchmark
from ..errors import ConfigError
from .parameters import add_flags, config_of


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser("benchmark", help="measure the frame path on this machine", allow_abbrev=False,
                                 description="Measures within one process; results are checked before they are timed.")
    parser.add_argument("--output", type=Path, default=Path("bench_output"), metavar="FOLDER",
                        help="where benchmark.md and benchmark.csv go (default: bench_output)")
    parser.add_argument("--only", nargs="+", default=(), choices=tuple(benchmark.MEASUREMENTS), metavar="NAME",
                        help=f"some of {', '.join(benchmark.MEASUREMENTS)} (default: all)")
    parser.add_argument("--repeats", type=int, default=50, metavar="N", help="runs of each timing (default: 50)")
    add_flags(parser, ("model.name", "model.checkpoint", "cpu_threads"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints each figure as it comes and writes the report. Returns 1 where one failed or is over its limit."""
    if arguments.repeats < 1:
        raise ConfigError(f"--repeats must be at least 1, got {arguments.repeats}")
    rows = []
    for row in benchmark.measure(benchmark.Settings(config_of(arguments), arguments.repeats), arguments.only):
        name, value, limit, verdict, note = row.cells
        print(f"{name:55} {value:>14}  {verdict:6}  {f'limit {limit}  ' if limit else ''}{note}".rstrip(), flush=True)
        rows.append(row)
    report, table = benchmark.write_report(arguments.output, rows)
    print(f"written to {report} and {table}")
    return 1 if any(row.verdict in ("failed", "over") for row in rows) else 0

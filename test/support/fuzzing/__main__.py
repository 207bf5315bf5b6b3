"""`python -m fuzzing`: tries every kind of file and message, prints the table, and ends with 1 where one failed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import TARGETS
from .pool import REFUSED, RESULT, Tally, run


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the tries of a command line."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    wanted = [target for target in TARGETS if arguments.only.lower() in target.name.lower()]
    if not wanted:
        parser.error(f"no kind has '{arguments.only}' in its name: {', '.join(target.name for target in TARGETS)}")
    tallies = run(wanted, arguments.tries, arguments.seed, arguments.first, arguments.jobs)
    print(table(tallies))
    for tally in tallies:
        for what, number in sorted(tally.failures.items(), key=lambda item: item[1]):
            print(f"{tally.target}, try {number} of seed {arguments.seed}, {tally.counts[what]} times: {what}")
    return int(any(tally.failed for tally in tallies))


def table(tallies: Sequence[Tally]) -> str:
    """What was tried, how often, what happened, as a table in Markdown."""
    rows = ["| tried | times | result | our error | anything else |", "|---|---|---|---|---|"]
    for each in tallies:
        rows.append(
            f"| {each.target} | {each.tried} | {each.counts[RESULT]} | {each.counts[REFUSED]} | {each.failed} |"
        )
    counted = [(each.tried, each.counts[RESULT], each.counts[REFUSED], each.failed) for each in tallies]
    counts = [sum(column) for column in zip(*counted, strict=True)]
    return "\n".join([*rows, f"| all | {' | '.join(map(str, counts))} |"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("fuzzing", description=__doc__)
    parser.add_argument("--tries", type=int, default=500, help="of every kind (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="kinds whose name has this in it")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first try (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""`python -m faults`: kills every writer at random moments, prints a table, and ends with 1 where a file was broken."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .kills import Kills, kill_writer
from .writers import WRITERS


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the kills of a command line."""
    parser = argparse.ArgumentParser("faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=40, help="of every kind of file (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="kinds whose name has this in it")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments (default: %(default)s)")
    arguments = parser.parse_args(argv)
    wanted = [writer.name for writer in WRITERS if arguments.only.lower() in writer.name.lower()]
    if not wanted:
        parser.error(f"no kind has '{arguments.only}' in its name: {', '.join(writer.name for writer in WRITERS)}")
    made = [kill_writer(name, arguments.kills, arguments.seed) for name in wanted]
    print(table(made))
    for each in made:
        for what in dict.fromkeys(each.broken):
            print(f"{each.writer}, {each.broken.count(what)} times: {what}")
    return int(any(each.failed for each in made))


def table(made: Sequence[Kills]) -> str:
    """How often writers were killed and what was left, as a table in Markdown."""
    rows = [
        "| written | kills | in the middle of a file | broken files | unfinished files left |",
        "|---|---|---|---|---|",
    ]
    counted = [(each.kills, each.midway, len(each.broken), each.left_behind) for each in made]
    for each, counts in zip(made, counted, strict=True):
        rows.append(f"| {each.writer} | {' | '.join(map(str, counts))} |")
    return "\n".join([*rows, f"| all | {' | '.join(str(sum(column)) for column in zip(*counted, strict=True))} |"])


if __name__ == "__main__":
    sys.exit(main())

"""`python -m faults`: kills every writer at random moments, and lets it write to a full disk.

It prints two tables, and ends with 1 where a file was broken.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .full_disk import Fills, fill_disk, why_not
from .kills import Kills, kill_writer
from .writers import WRITERS


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the kills of a command line."""
    parser = argparse.ArgumentParser("faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=40, help="of every kind of file (default: %(default)s)")
    parser.add_argument("--fills", type=int, default=20, help="full disks for every kind (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="kinds whose name has this in it")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments (default: %(default)s)")
    arguments = parser.parse_args(argv)
    wanted = [writer.name for writer in WRITERS if arguments.only.lower() in writer.name.lower()]
    if not wanted:
        parser.error(f"no kind has '{arguments.only}' in its name: {', '.join(writer.name for writer in WRITERS)}")
    killed = [kill_writer(name, arguments.kills, arguments.seed) for name in wanted]
    print(table(killed))
    if reason := why_not():
        print(f"no full disks: {reason}")
    full = [] if reason else [fill_disk(name, arguments.fills, arguments.seed) for name in wanted]
    if full:
        print(table_of_full_disks(full))
    made: list[Kills | Fills] = [*killed, *full]
    for each in made:
        for what in dict.fromkeys(each.broken):
            print(f"{each.writer}, {each.broken.count(what)} times: {what}")
    return int(any(each.failed for each in made))


def table(made: Sequence[Kills]) -> str:
    """How often writers were killed and what was left, as a table in Markdown."""
    heads = ("written", "kills", "in the middle of a file", "broken files", "unfinished files left")
    return _table(heads, [(each.writer, each.kills, each.midway, len(each.broken), each.left_behind) for each in made])


def table_of_full_disks(made: Sequence[Fills]) -> str:
    """How often the disk was full, how often that was said in one line, and what was left."""
    heads = ("written", "full disks", "refused in one line", "broken files, other errors", "unfinished files left")
    return _table(heads, [(each.writer, each.tries, each.refused, len(each.broken), each.left_behind) for each in made])


def _table(heads: Sequence[str], rows: Sequence[tuple[str, int, int, int, int]]) -> str:
    sums = ("all", *(sum(column) for column in list(zip(*rows, strict=True))[1:]))
    lines = [heads, ("---",) * len(heads), *rows, sums]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())

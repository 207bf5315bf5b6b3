"""`python -m mutation`: changes the code in many places, one at a time, and counts the changes that a test notices."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from processes import ROOT

from .parts import PARTS, Part
from .tree import make_tree


@dataclass(frozen=True)
class Outcome:
    """The verdict (killed, survived, timeout) on every mutant tried, by name; survivors' changes; `of` how many."""

    part: str
    verdicts: dict[str, str]
    survivors: dict[str, str]
    of: int

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        """Of all mutants: tried, killed, survived, ended by the limit of time."""
        found = Counter(self.verdicts.values())
        return self.of, len(self.verdicts), found["killed"], found["survived"], found["timeout"]


def main(argv: Sequence[str] | None = None) -> int:
    """Tries the mutants of a command line."""
    parser = argparse.ArgumentParser("mutation", description=__doc__)
    parser.add_argument("--sample", type=int, default=80, help="mutants of every part, 0 all (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="parts whose name has this in it")
    parser.add_argument("--seed", type=int, default=1, help="of the sample (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side (default: %(default)s)")
    arguments = parser.parse_args(argv)
    wanted = [part for part in PARTS if arguments.only in part.name]
    if not wanted:
        parser.error(f"no part has '{arguments.only}' in its name: {', '.join(part.name for part in PARTS)}")
    outcomes = [mutate(part, arguments.sample, arguments.seed, arguments.jobs) for part in wanted]
    for outcome in outcomes:
        for name, change in outcome.survivors.items():
            print(f"{name}\n{change}\n")
    print(table(outcomes))
    return 0


def mutate(part: Part, sample: int, seed: int, jobs: int) -> Outcome:
    """Tries mutants of one part in a copy of the sources."""
    others = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    path = [str(ROOT / "test" / "support"), *(place for place in others if Path(place).resolve() != ROOT)]
    with tempfile.TemporaryDirectory(prefix="mutation_") as folder:
        tree, output = Path(folder) / "tree", Path(folder) / "verdicts.json"
        make_tree(part, tree)
        subprocess.run(
            [sys.executable, "-m", "mutation.inside", *map(str, (sample, seed, jobs, output))],
            cwd=tree,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
            stdout=sys.stderr,
            check=True,
        )
        found = json.loads(output.read_text(encoding="utf-8"))
    verdicts = {name: verdict for name, (verdict, _) in found["verdicts"].items()}
    survivors = {name: change for name, (verdict, change) in found["verdicts"].items() if verdict == "survived"}
    return Outcome(part.name, verdicts, survivors, found["of"])


def table(outcomes: Sequence[Outcome]) -> str:
    """How many mutants the tests noticed, as a table in Markdown; a test that no longer ends has noticed one too."""
    rows = ["| part | mutants | tried | killed | survived | timeout | score |", "|---|---|---|---|---|---|---|"]
    for outcome in outcomes:
        _, tried, _, survived, _ = outcome.counts
        score = f"{100 * (tried - survived) / tried:.0f} %"
        rows.append(f"| {outcome.part} | {' | '.join(map(str, outcome.counts))} | {score} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())

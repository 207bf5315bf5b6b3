"""`python -m mutation.inside NAMES SAMPLE SEED JOBS OUTPUT`: runs mutmut in a tree of `make_tree`, the current folder.

Its own process: mutmut reads its configuration from the current folder, once, and forks after the tests were imported.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from mutmut import __main__ as mutmut
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir

_KILLED = (1, 3, -11, -6, -8)  # a failed test, an internal error of pytest, a crash
_TIMEOUT = (36, 24, -24, 152, 255, -9)  # signals of mutmut's limit of time


def main() -> None:
    """Makes all mutants, tries a sample of them, and writes the verdict and, of survivors, the change as JSON."""
    sample, seed, jobs, output = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    names = _generated(jobs)
    chosen = sorted(random.Random(seed).sample(names, min(sample, len(names)))) if sample else names
    mutmut._run(chosen, jobs)
    found = {name: _verdict(code) for name, code in _codes().items() if name in chosen}
    changes = {name: [verdict, _change(name) if verdict == "survived" else ""] for name, verdict in found.items()}
    output.write_text(json.dumps({"of": len(names), "verdicts": changes}), encoding="utf-8")


def _generated(jobs: int) -> list[str]:
    set_mutant_under_test("mutant_generation")
    Path("mutants").mkdir()
    copy_src_dir()
    copy_also_copy_files()
    mutmut.create_mutants(jobs)
    return sorted(_codes())


def _codes() -> dict[str, int | None]:
    found = mutmut.collect_source_file_mutation_data(mutant_names=[])[0]
    return {name: code for _, name, code in found}


def _verdict(code: int | None) -> str:
    if code in _KILLED:
        return "killed"
    return "timeout" if code in _TIMEOUT else "survived"


def _change(name: str) -> str:
    lines = get_diff_for_mutant(name).splitlines()[2:]
    return "\n".join(line for line in lines if line.startswith(("-", "+")))


if __name__ == "__main__":
    main()

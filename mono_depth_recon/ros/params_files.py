"""Files of parameters that set nothing: ROS takes the sections whose name is the node's, and ignores the others."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..config import read_yaml

_VALUES = "ros__parameters"


def unmatched_files(arguments: Sequence[str], node: str) -> Iterator[str]:
    """One line for every --params-file in `arguments` without a section for `node` (fully qualified: /front/node)."""
    for flag, file in itertools.pairwise(arguments):
        if flag != "--params-file":
            continue
        sections = list(_sections(read_yaml(Path(file), "params file")))
        if not any(_matches(section, node) for section in sections):
            yield (
                f"params file {file} sets nothing for {node}: its sections are {', '.join(sections) or 'none'}; "
                f"call the section {node}, or /** for every node"
            )


def _sections(tree: Any, prefix: str = "") -> Iterator[str]:
    """Names of nodes, which may be nested by namespace."""
    for key, below in tree.items() if isinstance(tree, dict) else ():
        if key == _VALUES:
            yield prefix
        else:
            yield from _sections(below, f"{prefix}/{str(key).strip('/')}")


def _matches(section: str, node: str) -> bool:
    """`*` is one word of a name, `**` any number of them, as rcl has it."""
    pattern = re.escape(section).replace(r"/\*\*", r"(/\w+)*").replace(r"/\*", r"/\w+")
    return re.fullmatch(pattern, node) is not None

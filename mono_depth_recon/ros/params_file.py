"""Which nodes the sections of a ROS 2 parameter file are for."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..config.text import read_yaml

_VALUES = "ros__parameters"
_DEEPEST = 16  # names above the values: through an anchor a YAML table can hold itself
_WILD = {"*": "/[^/]+", "**": "(/[^/]+)*"}  # one name; any number of names


def unmatched(arguments: Sequence[str], node: str) -> Iterator[str]:
    """`warning_of` every --params-file in `arguments` that sets nothing for `node`."""
    files = [Path(file) for flag, file in itertools.pairwise(arguments) if flag == "--params-file"]
    yield from filter(None, (warning_of(file, node) for file in files))


def warning_of(path: Path, node: str) -> str:
    """One line where no section of the file `path` is for `node` (its full name, '/front/recon_node'); else empty.

    ROS 2 itself takes such a file without a word. Raises ConfigError where it is no YAML.
    """
    found = list(sections(read_yaml(path, "parameter file")))
    if any(is_for(section, node) for section in found):
        return ""
    held = f"its sections are for {', '.join(found)}" if found else f"it has no section with '{_VALUES}:'"
    return f"params file {path} sets nothing for {node}: {held}; name the section '/**:' or '{node}:'"


def sections(tree: object, above: str = "") -> Iterator[str]:
    """The names of the sections in the plain values of a parameter file, namespaces in front."""
    for key, value in tree.items() if isinstance(tree, Mapping) and above.count("/") < _DEEPEST else ():
        name = f"{above}/{str(key).strip('/')}"
        if isinstance(value, Mapping) and _VALUES in value:
            yield name
        else:
            yield from sections(value, name)


def is_for(section: str, node: str) -> bool:
    """Whether a section of this name, perhaps with `*` and `**`, is for the node of this full name, as rcl reads it."""
    pattern = "".join(_WILD.get(name, "/" + re.escape(name)) for name in section.strip("/").split("/"))
    return re.fullmatch(pattern, node) is not None

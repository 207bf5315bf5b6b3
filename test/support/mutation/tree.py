"""A copy of the sources in which mutmut works, so that nothing is written to the repository."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

from processes import ROOT, copy_sources

from .parts import Part

_PROPERTIES = ("property", "cached_property")


def make_tree(part: Part, target: Path) -> None:
    """Copies sources and tests to `target`, with a configuration of mutmut for one part."""
    copy_sources(target)
    shutil.copytree(ROOT / "test", target / "test", ignore=shutil.ignore_patterns("__pycache__"))
    for pattern in part.files:
        for file in target.glob(pattern):
            file.write_text(plain_properties(file.read_text(encoding="utf-8")), encoding="utf-8")
    settings = {
        "source_paths": ["mono_depth_recon"],
        "only_mutate": list(part.files),
        "pytest_add_cli_args_test_selection": list(part.tests),
        "also_copy": ["config", "launch"],
    }
    table = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    with (target / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n[tool.mutmut]\n{table}")


def plain_properties(source: str) -> str:
    """The same code with `name = property(name)` below a function in place of the decorator above it.

    mutmut leaves decorated functions alone.
    """
    lines = source.split("\n")
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    for node in sorted(functions, key=lambda node: -node.lineno):
        decorators = [each.id for each in node.decorator_list if isinstance(each, ast.Name)]
        if len(node.decorator_list) == 1 and decorators and decorators[0] in _PROPERTIES:
            assert node.end_lineno is not None
            lines.insert(node.end_lineno, f"{' ' * node.col_offset}{node.name} = {decorators[0]}({node.name})")
            del lines[node.lineno - 2]
    return "\n".join(lines)

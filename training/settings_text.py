"""Training settings as text: YAML files, KEY=VALUE words, and the tree of plain values that these words change."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mono_depth_recon.config import nearest, parse_yaml, read_yaml
from mono_depth_recon.errors import ConfigError


def read_tree(path: Path) -> Any:
    """The plain values of a YAML file of settings. Raises ConfigError."""
    return read_yaml(path, "settings")


def assignments(words: Sequence[str]) -> dict[str, str]:
    """`key=value` words of a command line. ConfigError for one without a key or value."""
    pairs = dict(word.partition("=")[::2] for word in words)
    for word in words:
        if not all(word.partition("=")):
            raise ConfigError(f"expected KEY=VALUE, such as optimizer.lr=0.001, got '{word}'")
    return pairs


def section_kinds(settings: type[Any]) -> dict[str, type[Any]]:
    """The dataclass of each section of a settings dataclass; of a list of sections, that of its items."""
    items = {
        name: typing.get_args(hint)[0] if typing.get_origin(hint) is list else hint
        for name, hint in typing.get_type_hints(settings).items()
    }
    return {name: item for name, item in items.items() if isinstance(item, type) and dataclasses.is_dataclass(item)}


def override(tree: Any, key: str, text: str, sections: Mapping[str, type[Any]]) -> None:
    """Changes the value of a dotted key in `tree` to the YAML value `text`.

    A key may be new where its section (one of `sections`, or `data`) allows it; others are a ConfigError.
    """
    value = parse_yaml(text, f"{key}={text}")
    *parents, last = key.split(".")
    for parent in parents:
        if isinstance(tree, dict) and parent in sections:
            tree = tree.setdefault(parent, {})
        else:
            tree = _child(tree, parent)
    places = _places(tree) if isinstance(tree, list) else {}
    known = [*map(str, tree), *_keys(parents, sections)] if isinstance(tree, dict) else []
    if last in places:
        tree[places[last]] = _number(value)
    elif isinstance(tree, dict) and (last in known or parents[:1] == ["data"]):
        tree[last] = _number(value)
    else:
        raise ConfigError(f"setting '{key}' does not exist{nearest(last, known)}")


def _keys(parents: list[str], sections: Mapping[str, type[Any]]) -> list[str]:
    """The keys that a section, or one of the stages, may have, given or not."""
    if not parents:
        return list(sections)
    kind = sections.get(".".join(parent for parent in parents if not parent.isdecimal()))
    return [known.name for known in dataclasses.fields(kind)] if kind else []


def _child(tree: Any, name: str) -> Any:
    """The value of a key of a mapping or a place in a list; None where there is none."""
    if isinstance(tree, list):
        return tree[_places(tree)[name]] if name in _places(tree) else None
    return tree.get(name) if isinstance(tree, dict) else None


def _places(items: list[Any]) -> dict[str, int]:
    return {str(i): i for i in range(len(items))}


def _number(value: Any) -> Any:
    """The number that a text is, else the value itself: YAML reads 1e-3 as text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value

"""Training settings as text: YAML files, KEY=VALUE words, and the tree of plain values between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mono_depth_recon.errors import ConfigError


def read_tree(path: Path) -> Any:
    """The plain values of a YAML file. ConfigError where it cannot be read or is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"settings {path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"settings {path} must be a YAML text, got: {error}") from error
    return parsed(text, f"settings {path}")


def parsed(text: str, what: str) -> Any:
    """The plain values of a YAML text; `what` names it. Raises ConfigError."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{what} must be YAML, line {line}: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:  # a date that does not exist is a ValueError
        raise ConfigError(f"{what} must be YAML, got: {' '.join(str(error).split())}") from error


def assignments(words: Sequence[str]) -> dict[str, str]:
    """`key=value` words of a command line. ConfigError for one without a key or value."""
    pairs = dict(word.partition("=")[::2] for word in words)
    for word in words:
        if not all(word.partition("=")):
            raise ConfigError(f"expected KEY=VALUE, such as optimizer.lr=0.001, got '{word}'")
    return pairs


def number(text: str) -> str | float:
    """The number that a text is, or the text: YAML takes 1e-3 for a word."""
    try:
        return float(text)
    except ValueError:
        return text


def child(tree: Any, name: str) -> Any:
    """The value of a key of a mapping or a place in a list; None where there is none."""
    if isinstance(tree, list) and name.isdigit() and int(name) < len(tree):
        return tree[int(name)]
    return tree.get(name) if isinstance(tree, dict) else None

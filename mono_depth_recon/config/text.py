"""Trees of plain values from YAML and JSON text; any fault of a file is one ConfigError."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..text import read_text


def read_yaml(path: Path, what: str) -> Any:
    """The plain values of a YAML file; errors begin with `what` ('settings') and the path. Raises ConfigError."""
    return parse_yaml(_read(path, what), f"{what} {path}")


def read_json(path: Path, what: str, advice: str = "") -> Any:
    """The plain values of a JSON file; errors begin with `what` ('model card') and the path. Raises ConfigError.

    `advice` is appended if the file cannot be read.
    """
    text = _read(path, what, advice)
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ConfigError(f"{what} {path} must be JSON text, got one that is nested too deeply") from error
    except ValueError as error:  # JSONDecodeError, or a whole number of thousands of digits
        raise ConfigError(f"{what} {path} must be JSON text, got: {error}") from error


def parse_yaml(text: str, what: str) -> Any:
    """The plain values of a YAML text; errors begin with `what`. Raises ConfigError."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{what} must be YAML, line {line}: {error.problem}") from error
    except RecursionError as error:
        raise ConfigError(f"{what} must be YAML, got one that is nested too deeply") from error
    except (yaml.YAMLError, ValueError) as error:  # a ValueError: a date that does not exist, thousands of digits
        raise ConfigError(f"{what} must be YAML, got: {' '.join(str(error).split())}") from error


def _read(path: Path, what: str, advice: str = "") -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise ConfigError(f"{what} {path} cannot be read ({error.strerror}){': ' * bool(advice)}{advice}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} {path} must be UTF-8 text, got: {error}{': ' * bool(advice)}{advice}") from error

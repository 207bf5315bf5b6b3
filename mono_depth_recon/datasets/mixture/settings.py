"""The section `data` of a training configuration: which sources take part, how each is read, split and mixed.

All values are numbers, switches or texts; `docs/training_data.md` lists them, a test holds it against this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ...config import Value, nearest, param, rows_of
from ...errors import ConfigError
from ..kind import SourceSettings
from ..table import KINDS

T = TypeVar("T")


@dataclass(frozen=True)
class DataSettings:
    """The whole section; `sources` is a list of sources by kind."""

    root: str = param("", "where relative paths start; empty = the working directory")
    split_file: str = param("", "scenes of each split; empty = splits.txt in the run's folder")
    shares: str = param("80 10 10", "training, validation and test")
    epoch_frames: int = param(0, "draws of an epoch; 0 = as many as there are training frames", low=0, high=10**9)
    bad_share: float = param(0.01, "share of the draws that may be bad", low=0.0, high=1.0)
    bad_minimum: int = param(20, "bad draws that are always allowed", low=0, high=10**9)
    sources: tuple[SourceSettings, ...] = ()

    def file(self, path: str) -> Path:
        """A path of the configuration, `~` and `root` counted."""
        return Path(self.root).expanduser() / Path(path).expanduser()


def data_settings(tree: object) -> DataSettings:
    """The settings of a tree of plain values, as YAML gives it. ConfigError names the key that is wrong."""
    if not isinstance(tree, Mapping) or not isinstance(tree.get("sources"), list | tuple) or not tree["sources"]:
        raise ConfigError(
            "data must be a table with a list 'sources', each with a 'kind': "
            f"{', '.join(KINDS)}; got {str(tree)[:80]!r}"
        )
    top = _checked(DataSettings, {key: value for key, value in tree.items() if key != "sources"}, "data.")
    sources = [_source(each, f"data.sources[{number}].") for number, each in enumerate(tree["sources"])]
    names = [source.name for source in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"data.sources: two are called '{twice}': give each a name of its own")
    return DataSettings(**top, sources=tuple(sources))  # type: ignore[arg-type]


def _source(tree: object, prefix: str) -> SourceSettings:
    if not isinstance(tree, Mapping) or tree.get("kind") not in KINDS:
        kind = tree.get("kind") if isinstance(tree, Mapping) else tree
        raise ConfigError(
            f"{prefix}kind must be one of {', '.join(KINDS)}, got {kind!r}{nearest(str(kind), list(KINDS))}"
        )
    kind_of = KINDS[str(tree["kind"])].settings
    values = _checked(kind_of, {key: value for key, value in tree.items() if key != "kind"}, prefix)
    for key in ("path", "depth_path"):
        if key in {row.name for row in rows_of(kind_of)} and not values.get(key):
            raise ConfigError(f"{prefix}{key} is needed for {kind_of.kind}")
    return kind_of(**{**values, "name": values.get("name") or kind_of.kind})  # type: ignore[arg-type]


def _checked(kind: type[T], tree: Mapping[str, object], prefix: str) -> dict[str, Value]:
    rows = {row.name.removeprefix(prefix): row for row in rows_of(kind, prefix)}
    for key in tree:
        if key not in rows:
            raise ConfigError(f"unknown setting '{prefix}{key}'{nearest(str(key), list(rows))}")
    return {key: rows[key].check(value) for key, value in tree.items()}

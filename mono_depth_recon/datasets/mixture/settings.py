"""The section `data` of a training configuration: which sources take part, how each is read, split and mixed.

All values are numbers, switches or texts; `docs/training_data.md` lists them, a test holds it against this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ...config import build, nearest, param, shown
from ...errors import ConfigError
from ...paths import expanded
from ..kind import SourceSettings
from ..table import KINDS


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
        return expanded(self.root) / expanded(path)


def data_settings(tree: object) -> DataSettings:
    """The settings of a tree of plain values, as YAML gives it. ConfigError names the key that is wrong."""
    if not isinstance(tree, Mapping) or not isinstance(tree.get("sources"), list | tuple) or not tree["sources"]:
        raise ConfigError(
            f"data must be a table with a list 'sources', each with a 'kind': {', '.join(KINDS)}; got {shown(tree)}"
        )
    settings = build(DataSettings, {key: value for key, value in tree.items() if key != "sources"}, section="data")
    sources = [_source(each, f"data.sources.{number}") for number, each in enumerate(tree["sources"])]
    names = [source.name for source in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"data.sources: two are named '{twice}': give each its own name")
    return replace(settings, sources=tuple(sources))


def _source(tree: object, section: str) -> SourceSettings:
    kind = tree.get("kind") if isinstance(tree, Mapping) else tree
    if not isinstance(tree, Mapping) or str(kind) not in KINDS:
        raise ConfigError(
            f"{section}.kind must be one of {', '.join(KINDS)}, got {shown(kind)}{nearest(str(kind), list(KINDS))}"
        )
    kind_of = KINDS[str(kind)].settings
    made = build(kind_of, {key: value for key, value in tree.items() if key != "kind"}, section=section)
    for key in ("path", "depth_path"):
        if getattr(made, key, None) == "":
            raise ConfigError(f"{section}.{key} is needed for {kind_of.kind}")
    return replace(made, name=made.name or kind_of.kind)

"""The parameter group `scale`: importing it makes the rows of `table` choices, so that rows are added before."""

from __future__ import annotations

from dataclasses import dataclass

from ..param import param
from .settings import ScaleSettings
from .table import SCALE_SOURCES, parameter_help


@dataclass(frozen=True)
class _SourceChoice:
    source: str = param("none", parameter_help(), choices=tuple(SCALE_SOURCES))


@dataclass(frozen=True)
class ScaleConfig(ScaleSettings, _SourceChoice):
    """The parameter group `scale`: the source and its settings."""

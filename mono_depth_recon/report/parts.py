"""The form of the optional parts of a folder of results, which are JSON files, and of its config.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from ..config import build, shown
from ..datasets.opening import OpenOptions
from ..errors import ConfigError

Figures: TypeAlias = dict[str, float | None]
Texts: TypeAlias = dict[str, str]
Curve: TypeAlias = list[float | None]


@dataclass(frozen=True)
class _Row:
    """What a row may have in every part."""

    model: str
    recording: str = ""
    protocol: str | None = None
    reason: str | None = None
    frames: float | None = None
    failed: float | None = None


@dataclass(frozen=True)
class _Scores3d:
    @dataclass(frozen=True)
    class Row(_Row):
        figures: Figures | None = None

    definitions: Texts = field(default_factory=dict)
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class _Robustness:
    @dataclass(frozen=True, kw_only=True)
    class Row(_Row):
        corruption: str
        severity: int
        level: str | float | None = None
        figures: Figures

    definitions: Texts = field(default_factory=dict)
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class _Calibration:
    nominal: Curve
    observed: Curve

    def __post_init__(self) -> None:
        _check_lengths(self.nominal, self.observed)


@dataclass(frozen=True)
class _Sparsification:
    fraction: Curve
    by_sigma: Curve | None = None
    oracle: Curve | None = None
    random: Curve | None = None

    def __post_init__(self) -> None:
        _check_lengths(self.fraction, self.by_sigma, self.oracle, self.random)


@dataclass(frozen=True)
class _Uncertainty:
    @dataclass(frozen=True)
    class Row(_Row):
        kind: str | None = None
        calibration: _Calibration | None = None
        sparsification: _Sparsification | None = None
        ause: float | None = None
        rank_correlation: float | None = None
        anomaly: Figures | None = None

    definitions: Texts = field(default_factory=dict)
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class _Characteristic:
    value: float | str | None = None
    unit: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class _Table3:
    columns: Texts = field(default_factory=dict)
    rows: tuple[dict[str, _Characteristic | str | None], ...] = ()

    def __post_init__(self) -> None:
        for i, row in enumerate(self.rows):
            if not isinstance(row.get("model"), str):
                raise ConfigError(f"rows.{i}.model must be text, got {shown(row.get('model'))}")


@dataclass(frozen=True)
class _Origin:
    command: str | None = None
    version: str | None = None
    commit: str | None = None
    date: str = ""
    device: str | None = None
    libraries: str | None = None


@dataclass(frozen=True)
class _Kept:
    recordings: Texts = field(default_factory=dict)


@dataclass(frozen=True)
class _Settings:
    data: tuple[str, ...] = ()
    options: OpenOptions = field(default_factory=OpenOptions)
    first: int = 0
    last: int = -1
    stride: int = 1
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)
    kept: _Kept = field(default_factory=_Kept)


PARTS = {
    "scores_3d": _Scores3d,
    "robustness": _Robustness,
    "uncertainty": _Uncertainty,
    "table3": _Table3,
    "origin": _Origin,
}


def _check_lengths(*curves: Curve | None) -> None:
    lengths = [len(curve) for curve in curves if curve is not None]
    if len(set(lengths)) > 1:
        raise ConfigError(f"the curves must be of one length, got {', '.join(map(str, lengths))}")


def check_part(name: str, tree: object, where: str) -> None:
    """Raises ConfigError, which begins with `where`, unless the values of a part are as the report takes them."""
    build(PARTS[name], tree, where, noun="key", ignore_unknown=True)


def check_settings(tree: Any, where: str) -> None:
    """As `check_part`, of config.yaml."""
    build(_Settings, tree, where, noun="key", ignore_unknown=True)


def opening_options(tree: Any) -> OpenOptions:
    """How the recordings of a checked config.yaml are opened again; options that are no longer known are left out."""
    options = build(OpenOptions, tree.get("options", {}), ignore_unknown=True)
    return replace(options, rectified=True, need_depth=True)

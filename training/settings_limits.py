"""Settings from a tree of plain values: every one checked against its type and the limits beside its declaration."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from mono_depth_recon.config import Parameter, nearest
from mono_depth_recon.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """What a setting may be, written as Annotated[TYPE, Limits(...)]: from `low` to `high`, both included.

    Or one of `choices`. Of a list it holds for every item; `length` is how many there must be (0: one or more).
    """

    low: float | None = None
    high: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    length: int = 0


def build(kind: type[T], tree: object, where: str, section: str = "") -> T:
    """The dataclass `kind` of a table of plain values; keys with a default may be missing.

    ConfigError begins with `where` and names the key, dotted from `section` on, what is valid and what came.
    """
    if not isinstance(tree, dict):
        raise ConfigError(f"{where}: {section or 'settings'} must be a table of keys and values, got {tree!r}")
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    names, got = [known.name for known in fields], set(tree)
    needed = {
        known.name
        for known in fields
        if known.default is dataclasses.MISSING and known.default_factory is dataclasses.MISSING
    }
    if needed - got or got - {*names}:
        missing, unknown = (", ".join(sorted(map(str, keys))) or "none" for keys in (needed - got, got - {*names}))
        raise ConfigError(
            f"{where}: wrong keys{f' in {section}' if section else ''}; missing: {missing}; "
            f"unknown: {unknown}{nearest(unknown, names)}"
        )
    hints = typing.get_type_hints(kind, include_extras=True)
    prefix = f"{section}." if section else ""
    return kind(**{name: _value(*limits_of(hints[name]), value, where, prefix + name) for name, value in tree.items()})


def _value(kind: Any, limits: Limits, value: Any, where: str, key: str) -> Any:
    origin = typing.get_origin(kind) or kind
    if dataclasses.is_dataclass(kind):
        return build(kind, value, where, key)  # type: ignore[arg-type]
    if origin is list:
        (item,) = typing.get_args(kind)
        return [
            _value(item, limits, each, where, f"{key}.{number}")
            for number, each in enumerate(_items(value, limits, where, key))
        ]
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: {key} must be a table of keys and values, got {value!r}")
        return value
    row = Parameter(f"{where}: {key}", origin(), "", limits.unit, limits.low, limits.high, limits.choices, False)
    return row.check(value)


def limits_of(hint: Any) -> tuple[Any, Limits]:
    """The type of a setting and its limits, where its hint has some."""
    if typing.get_origin(hint) is not Annotated:
        return hint, Limits()
    kind, limits = typing.get_args(hint)
    return kind, limits


def _items(value: object, limits: Limits, where: str, key: str) -> list[Any]:
    if not isinstance(value, list) or not value or limits.length not in (0, len(value)):
        raise ConfigError(f"{where}: {key} must be a list of {limits.length or 'one or more'}, got {value!r}")
    return value

"""Settings dataclasses from trees of plain values, as YAML and JSON give them; every value is checked."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, replace
from typing import Any, TypeVar

from ..errors import ConfigError
from ..param import Parameter, declared, nearest, shown

T = TypeVar("T")


def build(
    kind: type[T],
    tree: object,
    where: str = "",
    section: str = "",
    *,
    noun: str = "setting",
    ignore_unknown: bool = False,
) -> T:
    """The dataclass `kind` of a table of plain values; keys whose fields have a default may be missing.

    A field is a bool, int, float or str, another such dataclass, a list, tuple or mapping of these, or one of several
    (`float | str | None`); of mappings to Any the values pass as they are. Unknown keys are refused, or left alone with
    `ignore_unknown`. ConfigError begins with `where` (a file, say) and names the key, dotted from `section` on, what is
    valid and what came; `noun` is what it calls a key. A ConfigError of the dataclass itself (`__post_init__`) gets the
    same beginning.
    """
    return _Builder(f"{where}: " if where else "", noun, ignore_unknown).table(kind, tree, section)


@dataclass(frozen=True)
class _Builder:
    where: str
    noun: str
    ignore_unknown: bool

    def table(self, kind: type[T], tree: object, key: str) -> T:
        given = self._mapping(tree, key or f"{self.noun}s")
        prefix = f"{key}." if key else ""
        fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
        self._check_keys(fields, given, prefix)
        hints = typing.get_type_hints(kind)
        values = {
            name: self._value(declared(field, hints[name], prefix + name), given[name])
            for name, field in fields.items()
            if name in given
        }
        try:
            return kind(**values)
        except ConfigError as error:
            raise ConfigError(f"{self.where}{prefix}{error}") from error

    def _check_keys(
        self, fields: Mapping[str, dataclasses.Field[Any]], given: Mapping[Any, object], prefix: str
    ) -> None:
        missing = [prefix + name for name, field in fields.items() if name not in given and _required(field)]
        unknown = [] if self.ignore_unknown else [key for key in given if key not in fields]
        problems = [f"missing {self.noun}{'s' * (len(missing) > 1)}: {', '.join(missing)}"] if missing else []
        if unknown:
            hint = nearest(str(unknown[0]), list(fields))
            problems.append(f"unknown {self.noun} {shown(f'{prefix}{unknown[0]}')}{hint}")
        if problems:
            raise ConfigError(self.where + "; ".join(problems))

    def _value(self, row: Parameter, value: object) -> Any:
        origin = typing.get_origin(row.type) or row.type
        if origin is Any:
            return value
        if origin is types.UnionType:
            return self._one_of(row, value)
        if dataclasses.is_dataclass(origin):
            return self.table(row.type, value, row.name)
        if origin in (list, tuple):
            return origin(self._items(row, value))
        if origin in (dict, Mapping):
            _, item = typing.get_args(row.type)
            given = self._mapping(value, row.name)
            return {key: self._value(replace(row, name=f"{row.name}.{key}", type=item), given[key]) for key in given}
        return replace(row, name=self.where + row.name).check(value)

    def _one_of(self, row: Parameter, value: object) -> Any:
        problems = []
        for kind in typing.get_args(row.type):
            if kind is types.NoneType:
                if value is None:
                    return None
                continue
            try:
                return self._value(replace(row, type=kind), value)
            except ConfigError as error:
                problems.append(error)
        raise problems[-1]

    def _items(self, row: Parameter, value: object) -> Iterable[Any]:
        kinds = typing.get_args(row.type)
        length = row.length or (len(kinds) if typing.get_origin(row.type) is tuple and ... not in kinds else 0)
        if not isinstance(value, list | tuple) or not (value or row.default == ()) or length not in (0, len(value)):
            raise self._error(row.name, f"a list of {length or 'one or more'}", value)
        return [self._value(replace(row, name=f"{row.name}.{i}", type=kinds[0]), item) for i, item in enumerate(value)]

    def _mapping(self, value: object, key: str) -> Mapping[Any, object]:
        if not isinstance(value, Mapping):
            raise self._error(key, "a table of keys and values", value)
        return value

    def _error(self, key: str, expected: str, value: object) -> ConfigError:
        return ConfigError(f"{self.where}{key} must be {expected}, got {shown(value)}")


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING

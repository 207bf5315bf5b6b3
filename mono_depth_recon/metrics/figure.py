"""How tables and reports show a figure: declared once, with the field that has its value."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A figure in tables: its label, its definition, and which end is better ('low', 'high', '' for neither).

    A field of a dataclass of figures declares it by `name: Annotated[float, Figure(...)]`.
    """

    label: str
    help: str
    better: str = ""
    percent: bool = False


def figures_of(kind: type[Any], prefix: str = "") -> dict[str, Figure]:
    """The figures that the fields of a dataclass declare, by name, in their order; other fields are left out."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {
        prefix + field.name: extra
        for field in dataclasses.fields(kind)
        for extra in getattr(hints[field.name], "__metadata__", ())
        if isinstance(extra, Figure)
    }

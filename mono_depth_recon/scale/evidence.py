"""What is known in addition to an image: a reference depth, points, the direction of gravity ..."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from ..errors import DataError
from ..once import Once

T = TypeVar("T")


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A kind of evidence, whose values are of type T.

    `name` identifies it (the node registers the input that obtains it by this name), `noun` is the word for its values
    in messages. `topic` is where the cameras of this package publish it; empty if it is no topic that can be remapped.
    """

    name: str
    noun: str
    topic: str = ""

    @property
    def text(self) -> str:
        """The name as words."""
        return self.name.replace("_", " ")


class Evidence:
    """What is known in addition to one image, by kind.

    A value is obtained once, when first needed; it is kept, and so is the DataError of a missing one.
    Threads may share it.

        Evidence({REFERENCE_DEPTH: lambda: depth})
    """

    def __init__(self, given: Mapping[Kind[Any], Callable[[], Any]] = MappingProxyType({})) -> None:
        self._given = {kind: Once(obtain) for kind, obtain in given.items()}

    def __contains__(self, kind: Kind[Any]) -> bool:
        return kind in self._given

    def get(self, kind: Kind[T]) -> T:
        """The value of `kind`. Raises DataError if it is not given or cannot be obtained for this image."""
        if kind not in self._given:
            raise DataError(f"expected {kind.text} beside the image, got none")
        value: T = self._given[kind]()
        return value


NOTHING = Evidence()

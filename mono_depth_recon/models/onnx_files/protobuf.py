"""The fields of a protobuf message (https://protobuf.dev/programming-guides/encoding), without a library."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias, TypeVar

from ...errors import ModelError
from ...paths import regular_file

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

View: TypeAlias = "memoryview[int]"
Field: TypeAlias = "tuple[int, int, View]"  # its number, its value where that is a varint, else its content
_T = TypeVar("_T")


class CutOffError(ValueError):
    """A part of the file is longer than the file."""


def parsed(path: Path, read: Callable[[View], _T]) -> _T:
    """`read` of the whole content of an ONNX file; it may raise CutOffError, and ValueError where it is something else.

    Raises ModelError, one line, where the file is missing, cut off or something else.
    """
    try:
        with regular_file(path).open("rb") as file:
            if not path.stat().st_size:
                raise ValueError("it is empty")
            return read(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): name an ONNX file or its card") from error
    except (CutOffError, IndexError) as error:
        size = path.stat().st_size
        raise ModelError(
            f"{path} is cut off: it ends after {size} bytes, in the middle: copy the file again"
        ) from error
    except ValueError as error:
        raise ModelError(f"{path} is no ONNX file ({error}): copy the file again, or name another one") from error


def fields(view: View) -> Iterator[Field]:
    """The fields of a message in order. Raises CutOffError, IndexError or ValueError where it is none."""
    place, end = 0, len(view)
    while place < end:
        key, place = _varint(view, place)
        number, kind, value, content = key >> 3, key & 7, 0, view[:0]
        if kind == _VARINT:
            value, place = _varint(view, place)
        elif kind in (_BYTES, _FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
            if kind == _BYTES:
                length, place = _varint(view, place)
            if place + length > end:
                raise CutOffError
            content, place = view[place : place + length], place + length
        else:
            raise ValueError("it is not made of protobuf fields")
        yield number, value, content


def varints(view: View) -> Iterator[int]:
    """The numbers of a packed field."""
    place = 0
    while place < len(view):
        value, place = _varint(view, place)
        yield value


def text_of(view: View) -> str:
    """A field of text."""
    return bytes(view).decode("utf-8", "replace")


def _varint(view: View, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        byte = view[place]
        value |= (byte & 127) << shift
        place += 1
        if byte < 128:
            return value, place
    raise ValueError("it is not made of protobuf fields")

"""What an ONNX file says of itself: opset, inputs, outputs, files of weights beside it; read without a library.

The format is protobuf (https://protobuf.dev/programming-guides/encoding); the numbers of the fields are those of
onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ...errors import ModelError
from ...paths import names_file, regular_file

_MODEL_IR, _MODEL_GRAPH, _MODEL_OPSET = 1, 7, 8
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 5, 11, 12
_TENSOR_NAME, _TENSOR_EXTERNAL = 8, 13
_TYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64"}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Port:
    """An input or output. `shape` has None for a free dimension and is None itself where the file does not give it."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    @property
    def text(self) -> str:
        """'image float32 [?, 3, 504, 504]'."""
        sides = "of any shape" if self.shape is None else f"[{', '.join(str(side or '?') for side in self.shape)}]"
        return f"{self.name} {self.dtype} {sides}"


@dataclass(frozen=True)
class GraphText:
    """`opset` is that of ONNX's own operators, `ir_version` that of the format."""

    ir_version: int
    opset: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


class _CutOffError(ValueError):
    """A part of the file is longer than the file."""


_View: TypeAlias = "memoryview[int]"
_Field: TypeAlias = "tuple[int, int, _View]"  # its number, its value where that is a number, else its content


def read_graph(path: Path) -> GraphText:
    """Raises ModelError where the file is missing, cut off, something else, or lacks a file of weights beside it."""
    try:
        with regular_file(path).open("rb") as file:
            text, beside = _model(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): name an ONNX file or its card") from error
    except (_CutOffError, IndexError) as error:
        size = path.stat().st_size
        raise ModelError(
            f"{path} is cut off: it ends after {size} bytes, in the middle: copy the file again"
        ) from error
    except ValueError as error:  # also of mmap, for an empty file
        raise ModelError(f"{path} is no ONNX file ({error}): copy the file again, or name another one") from error
    if missing := [name for name in beside if not names_file(path.parent / name)]:
        raise ModelError(f"{path} keeps its weights in {missing[0]}, which is not beside it: copy that file there too")
    return text


def _model(view: _View) -> tuple[GraphText, list[str]]:
    ir_version = opset = 0
    inputs: list[Port] = []
    outputs: list[Port] = []
    constants: set[str] = set()
    beside: dict[str, None] = {}
    for number, value, content in _fields(view):
        if number == _MODEL_IR:
            ir_version = value
        elif number == _MODEL_OPSET:
            opset = max(opset, _own_opset(content))
        elif number == _MODEL_GRAPH:
            for part, _, inner in _fields(content):
                if part == _GRAPH_INITIALIZER:
                    name, places = _tensor(inner)
                    constants.add(name)
                    beside |= dict.fromkeys(places)
                elif part in (_GRAPH_INPUT, _GRAPH_OUTPUT):
                    (inputs if part == _GRAPH_INPUT else outputs).append(_port(inner))
    if not outputs or not ir_version:
        raise ValueError("it holds no graph with outputs")
    free = tuple(port for port in inputs if port.name not in constants)  # old files list their weights as inputs
    return GraphText(ir_version, opset, free, tuple(outputs)), list(beside)


def _own_opset(view: _View) -> int:
    """The version of an opset of ONNX's own domain; 0 for another domain."""
    domain, version = b"", 0
    for number, value, content in _fields(view):
        if number == 1:
            domain = bytes(content)
        elif number == 2:
            version = value
    return version if domain in (b"", b"ai.onnx") else 0


def _tensor(view: _View) -> tuple[str, list[str]]:
    """Name of a tensor, and the file that holds its values where that is another one."""
    name, places = "", []
    for number, _, content in _fields(view):
        if number == _TENSOR_NAME:
            name = _text(content)
        elif number == _TENSOR_EXTERNAL:
            entry = {part: _text(inner) for part, _, inner in _fields(content)}
            if entry.get(1) == "location":
                places.append(entry.get(2, ""))
    return name, places


def _port(view: _View) -> Port:
    name, dtype, shape = "", "of another kind", None
    for number, _, content in _fields(view):
        if number == 1:
            name = _text(content)
        elif number == 2:  # TypeProto
            for part, _, tensor in _fields(content):
                if part == 1:
                    dtype, shape = _tensor_type(tensor)
    return Port(name, dtype, shape)


def _tensor_type(view: _View) -> tuple[str, tuple[int | None, ...] | None]:
    dtype, shape = "of another kind", None
    for number, value, content in _fields(view):
        if number == 1:
            dtype = _TYPES.get(value, dtype)
        elif number == 2:
            shape = tuple(_side(dimension) for _, _, dimension in _fields(content))
    return dtype, shape


def _side(view: _View) -> int | None:
    return next((value for number, value, _ in _fields(view) if number == 1 and value > 0), None)


def _fields(view: _View) -> Iterator[_Field]:
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
                raise _CutOffError
            content, place = view[place : place + length], place + length
        else:
            raise ValueError("it is not made of protobuf fields")
        yield number, value, content


def _varint(view: _View, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        byte = view[place]
        value |= (byte & 127) << shift
        place += 1
        if byte < 128:
            return value, place
    raise ValueError("it is not made of protobuf fields")


def _text(view: _View) -> str:
    return bytes(view).decode("utf-8", "replace")

"""Whether the numbers that an ONNX file computes with, and its computation, are finite; read without a library.

The numbers of the fields are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ...errors import ModelError
from ...paths import regular_file
from ..finite import not_finite, refused_weights
from .functions import check_functions
from .protobuf import View, fields, parsed, text_of, varints

_MODEL_GRAPH, _MODEL_FUNCTION = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _FUNCTION_NODE, _FUNCTION_DEFAULT = 1, 5, 7, 11
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 5, 6, 11
_DIMS, _TYPE, _FLOATS, _INTEGERS, _NAME, _RAW, _DOUBLES, _EXTERNAL = 1, 2, 4, 5, 8, 9, 10, 13
_MOST_SIDES, _CHUNK = 64, 1 << 16  # dimensions of a tensor; values at a time
_FLOAT_TYPES = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}
# What each operator must not be given. Of a number that none of these takes, NaN or infinity may be meant: a Where
# chooses it, a Clip ends at it; an infinity that is added masks.
_NAN, _INFINITY = "NaN", "infinity"
_MULTIPLYING = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Mul", "Div", "PRelu")
_NORMALISING = ("BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization")
_REFUSED: dict[str, tuple[str, ...]] = dict.fromkeys(_MULTIPLYING + _NORMALISING, (_NAN, _INFINITY))
_REFUSED |= dict.fromkeys(("Add", "Sub"), (_NAN,))

# They run as often as the file says, 2^62 times too, and no runtime can be stopped; tracing a network leaves none.
_LOOPS = ("Loop", "Scan")

_Uses: TypeAlias = "set[tuple[str, str]]"  # names of tensors, each with what it must not hold


@dataclass
class _Tensor:
    """A tensor that the file keeps, with what of it is not finite ('NaN', 'infinity' or '')."""

    name: str
    size: int
    bad: str


def check_finite(path: Path) -> None:
    """ModelError where a weight of the ONNX file, or of a file beside it, is NaN or infinite, or where it has loops
    or functions without end.
    """
    check_functions(path)
    tensors, used = parsed(path, lambda view: _contents(view, path))
    for tensor in tensors:
        if (tensor.name, tensor.bad) in used or (tensor.bad == _NAN and tensor.size > 1):
            raise refused_weights(path, tensor.name, tensor.bad)


def _contents(view: View, path: Path) -> tuple[list[_Tensor], _Uses]:
    """All tensors, and what operators must not be given."""
    tensors: list[_Tensor] = []
    used: _Uses = set()
    pending = [
        (content, _GRAPH_NODE if number == _MODEL_GRAPH else _FUNCTION_NODE)
        for number, _, content in fields(view)
        if number in (_MODEL_GRAPH, _MODEL_FUNCTION)
    ]
    while pending:  # not by recursion: graphs may lie in graphs to any depth
        graph, node_field = pending.pop()
        for number, _, content in fields(graph):
            if number == node_field:
                pending += [(inner, _GRAPH_NODE) for inner in _look_at_node(content, path, tensors, used)]
            elif number == _FUNCTION_DEFAULT and node_field == _FUNCTION_NODE:  # of an attribute
                pending += [
                    (inner, _GRAPH_NODE)
                    for part, _, inner in fields(content)
                    if part in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS)
                ]
            elif number == _GRAPH_INITIALIZER and node_field == _GRAPH_NODE:
                tensors.append(_tensor(content, path.parent))
    return tensors, used


def _look_at_node(view: View, path: Path, tensors: list[_Tensor], used: _Uses) -> Iterator[View]:
    """Adds what the node holds and takes; gives the graphs in it."""
    parts = [(number, content) for number, _, content in fields(view)]
    texts = [(number, text_of(content)) for number, content in parts if number <= _NODE_OPERATOR]
    operator = dict(texts).get(_NODE_OPERATOR, "")
    if operator in _LOOPS:
        raise ModelError(
            f"{path} has a node of the operator {operator}, which may repeat without end: depth networks need none, "
            "export it by tracing, which writes every step out"
        )
    refused = _REFUSED.get(operator, ())
    used.update((text, bad) for number, text in texts if number == _NODE_INPUT for bad in refused)
    for number, content in parts:
        for inner, _, value in fields(content) if number == _NODE_ATTRIBUTE else ():
            if inner == _ATTRIBUTE_TENSOR:  # of a Constant, whose output it is
                tensor = _tensor(value, path.parent)
                tensor.name = dict(texts).get(_NODE_OUTPUT, tensor.name)
                tensors.append(tensor)
            elif inner in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                yield value


def _tensor(view: View, folder: Path) -> _Tensor:
    name, dtype, sides = "", "", []
    external: dict[str, str] = {}
    stored: list[tuple[int, int, View]] = []
    for number, value, content in fields(view):
        if number == _DIMS:
            sides += list(islice(varints(content), _MOST_SIDES + 1)) if len(content) else [value]
            if len(sides) > _MOST_SIDES:
                raise ValueError(f"a tensor of it has more than {_MOST_SIDES} dimensions")
        elif number == _TYPE:
            dtype = _FLOAT_TYPES.get(value, "")
        elif number == _NAME:
            name = text_of(content)
        elif number in (_FLOATS, _INTEGERS, _RAW, _DOUBLES):
            stored.append((number, value, content))
        elif number == _EXTERNAL:
            entry = {part: text_of(inner) for part, _, inner in fields(content)}
            external[entry.get(1, "")] = entry.get(2, "")
    found = {not_finite(values, dtype) for values in _values(stored, dtype)} if dtype else set()
    if dtype and "location" in external:
        found.add(_external(external, folder, name, dtype, math.prod(sides)))
    return _Tensor(name, math.prod(sides), _NAN if _NAN in found else max(found, default=""))


def _values(stored: list[tuple[int, int, View]], dtype: str) -> Iterator[bytes | View]:
    """The bytes of the values; half a float stands as an integer of its bits where it is not raw."""
    for number, value, content in stored:
        if number == _INTEGERS and dtype.endswith("16"):
            left = varints(content) if len(content) else iter([value])
            while bits := list(islice(left, _CHUNK)):
                yield np.array([each & 0xFFFF for each in bits], "<u2").tobytes()
        elif number != _INTEGERS:
            yield content


def _external(entry: dict[str, str], folder: Path, name: str, dtype: str, size: int) -> str:
    """What of a tensor in a file beside the ONNX file is not finite. ModelError where that file ends before it."""
    path = folder / entry["location"]
    try:
        start = int(entry.get("offset") or 0)
        length = size * {"float32": 4, "float64": 8}.get(dtype, 2)
        with regular_file(path).open("rb") as file:
            view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[start : start + length]
    except (OSError, ValueError) as error:  # an entry that is no number, an empty file
        raise ModelError(f"{path} cannot be read ({error}): copy that file again") from error
    if len(view) < length:
        raise ModelError(f"{path} is cut off: '{name}' lies behind its end: copy that file again")
    return not_finite(view, dtype)

"""What an ONNX file says of itself: opset, inputs, outputs, files of weights beside it; read without a library.

The numbers of the fields are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import ModelError
from ...paths import names_file
from .protobuf import View, fields, parsed, text_of

_MODEL_IR, _MODEL_GRAPH, _MODEL_OPSET = 1, 7, 8
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 5, 11, 12
_TENSOR_NAME, _TENSOR_EXTERNAL = 8, 13
_TYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64"}


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


def read_graph(path: Path) -> GraphText:
    """Raises ModelError where the file is missing, cut off, something else, or lacks a file of weights beside it."""
    text, beside = parsed(path, _model)
    if missing := [name for name in beside if not names_file(path.parent / name)]:
        raise ModelError(f"{path} keeps its weights in {missing[0]}, which is not beside it: copy that file there too")
    return text


def _model(view: View) -> tuple[GraphText, list[str]]:
    ir_version = opset = 0
    inputs: list[Port] = []
    outputs: list[Port] = []
    constants: set[str] = set()
    beside: dict[str, None] = {}
    for number, value, content in fields(view):
        if number == _MODEL_IR:
            ir_version = value
        elif number == _MODEL_OPSET:
            opset = max(opset, _own_opset(content))
        elif number == _MODEL_GRAPH:
            for part, _, inner in fields(content):
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


def _own_opset(view: View) -> int:
    """The version of an opset of ONNX's own domain; 0 for another domain."""
    domain, version = b"", 0
    for number, value, content in fields(view):
        if number == 1:
            domain = bytes(content)
        elif number == 2:
            version = value
    return version if domain in (b"", b"ai.onnx") else 0


def _tensor(view: View) -> tuple[str, list[str]]:
    """Name of a tensor, and the file that holds its values where that is another one."""
    name, places = "", []
    for number, _, content in fields(view):
        if number == _TENSOR_NAME:
            name = text_of(content)
        elif number == _TENSOR_EXTERNAL:
            entry = {part: text_of(inner) for part, _, inner in fields(content)}
            if entry.get(1) == "location":
                places.append(entry.get(2, ""))
    return name, places


def _port(view: View) -> Port:
    name, dtype, shape = "", "of another kind", None
    for number, _, content in fields(view):
        if number == 1:
            name = text_of(content)
        elif number == 2:  # TypeProto
            for part, _, tensor in fields(content):
                if part == 1:
                    dtype, shape = _tensor_type(tensor)
    return Port(name, dtype, shape)


def _tensor_type(view: View) -> tuple[str, tuple[int | None, ...] | None]:
    dtype, shape = "of another kind", None
    for number, value, content in fields(view):
        if number == 1:
            dtype = _TYPES.get(value, dtype)
        elif number == 2:
            shape = tuple(_side(dimension) for _, _, dimension in fields(content))
    return dtype, shape


def _side(view: View) -> int | None:
    return next((value for number, value, _ in fields(view) if number == 1 and value > 0), None)

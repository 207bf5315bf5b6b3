"""An ONNX graph whose weights are those of a safetensors file beside it: one copy on the disk for every runtime.

ONNX keeps large tensors in other files as raw bytes at an offset (onnx.proto, `TensorProto.external_data`), and
safetensors stores raw little-endian tensors one after the other: the graph can point into it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_SHARED_BYTES = 256  # smaller tensors stay in the graph
_FOLDED_BYTES = 64  # constants of shapes and limits are folded, weights are not


def share_weights(model: Any, weights: Path) -> None:
    """Lets the initializers of an onnx_ir model that `weights` (.safetensors) has too point there, by name.

    Tensors stored as float16 get a Cast to float32 behind them, which runtimes fold when they open the file. The ONNX
    file must be saved in the folder of `weights`.
    """
    import onnx_ir as ir
    from onnxscript.optimizer import optimize_ir

    kinds = {"F16": ir.DataType.FLOAT16, "F32": ir.DataType.FLOAT}
    graph = model.graph
    for name, (kind, shape, offset, length) in _places(weights).items():
        value = graph.initializers.get(name)
        if value is None or kind not in kinds or length < _SHARED_BYTES:
            continue
        tensor = ir.ExternalTensor(
            weights.name, offset, length, kinds[kind], shape=ir.Shape(shape), name=name, base_dir=str(weights.parent)
        )
        if kind == "F32":
            value.const_value = tensor
            continue
        tensor.name = f"{name}.half"
        stored = ir.Value(name=tensor.name, type=ir.TensorType(kinds[kind]), shape=tensor.shape, const_value=tensor)
        cast = ir.Node("", "Cast", [stored], [ir.AttrInt64("to", int(ir.DataType.FLOAT))])
        cast.outputs[0].name, cast.outputs[0].shape, cast.outputs[0].type = f"{name}.single", value.shape, value.type
        value.replace_all_uses_with(cast.outputs[0])
        del graph.initializers[name]
        graph.register_initializer(stored)
        graph.insert_before(graph[0], cast)
    optimize_ir(model, input_size_limit=_FOLDED_BYTES, output_size_limit=_FOLDED_BYTES)
    for node in graph:
        for output in node.outputs:
            output.shape = output.type = None  # longer than the graph, and every runtime infers them


def _places(weights: Path) -> dict[str, tuple[str, list[int], int, int]]:
    """Kind, shape, offset and length in bytes of each tensor of a safetensors file."""
    with weights.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    start = 8 + size
    return {
        name: (entry["dtype"], entry["shape"], start + entry["data_offsets"][0], _length(entry["data_offsets"]))
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _length(offsets: list[int]) -> int:
    return offsets[1] - offsets[0]

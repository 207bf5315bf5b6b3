"""An ONNX graph whose weights are those of a safetensors file beside it: one copy on the disk for every runtime.

ONNX keeps large tensors in other files as raw bytes at an offset (onnx.proto, `TensorProto.external_data`), and
safetensors stores raw little-endian tensors one after the other: the graph can point into it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..safetensors_file import read_header

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
    start, entries = read_header(weights)
    for name, entry in entries.items():
        value, kind, (begin, end) = graph.initializers.get(name), kinds.get(entry["dtype"]), entry["data_offsets"]
        if value is None or kind is None or end - begin < _SHARED_BYTES:
            continue
        place, shape, folder = start + begin, ir.Shape(entry["shape"]), str(weights.parent)
        tensor = ir.ExternalTensor(weights.name, place, end - begin, kind, shape=shape, name=name, base_dir=folder)
        if kind == ir.DataType.FLOAT:
            value.const_value = tensor
            continue
        tensor.name = f"{name}.half"
        stored = ir.Value(name=tensor.name, type=ir.TensorType(kind), shape=tensor.shape, const_value=tensor)
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

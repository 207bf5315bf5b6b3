"""Small ONNX files of known arithmetic, with their cards: what they predict is analytic."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mono_depth_recon.models.onnx_files.loading import CARDS

Port = tuple[str, Sequence[int | str]]
Tree = dict[str, Any]
_ANY = ("n", 3, "h", "w")


def write_graph(
    path: Path,
    inputs: Sequence[Port],
    nodes: Sequence[Any],
    outputs: Sequence[Port],
    constants: Mapping[str, NDArray[Any]] | None = None,
    *,
    dtypes: Mapping[str, str] | None = None,
    opset: int = 17,
    ir_version: int = 8,
) -> Path:
    """Writes an ONNX file; inputs and outputs are float32 where `dtypes` says nothing else."""
    import onnx
    from onnx import helper, numpy_helper

    def ports(given: Sequence[Port]) -> list[Any]:
        types = {name: onnx.TensorProto.DataType.Value((dtypes or {}).get(name, "FLOAT")) for name, _ in given}
        return [helper.make_tensor_value_info(name, types[name], list(shape)) for name, shape in given]

    held = [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "made", ports(inputs), ports(outputs), held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    onnx.save(model, path)
    return path


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    """An operator with the names of its inputs and outputs, separated by blanks."""
    from onnx import helper

    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


def assert_close(found: Any, expected: Any, rtol: float = 1e-7, atol: float = 0.0, err_msg: str = "") -> None:
    """numpy's assert_allclose; also of a field of a Prediction, which may be None."""
    assert found is not None
    np.testing.assert_allclose(found, expected, rtol, atol, err_msg=err_msg)


def number(value: float) -> NDArray[np.float32]:
    return np.array(value, np.float32)


def write_linear(path: Path, factor: float = 4.0, offset: float = 1.0, shape: Sequence[int | str] = _ANY) -> Path:
    """`image` -> `depth` (N, 1, rows, columns) = factor * the mean of the colours + offset."""
    return write_graph(
        path,
        [("image", shape)],
        [
            node("ReduceMean", "image", "grey", axes=[1], keepdims=1),
            node("Mul", "grey factor", "scaled"),
            node("Add", "scaled offset", "depth"),
        ],
        [("depth", (shape[0], 1, *shape[2:]))],
        {"factor": number(factor), "offset": number(offset)},
    )


def write_colours(path: Path) -> Path:
    """`image` -> `depth` = 2 + red, `green` and `blue`, each (N, 1, rows, columns)."""
    return write_graph(
        path,
        [("image", _ANY)],
        [
            node("Split", "image", "red green blue", axis=1),
            node("Add", "red two", "depth"),
        ],
        [(name, ("n", 1, "h", "w")) for name in ("depth", "green", "blue")],
        {"two": number(2)},
    )


def write_shifted(path: Path) -> Path:
    """`image` -> `depth` = 1 + red of the pixel 6 to the right, whose mirror image differs; `confidence` = green."""
    kernel = np.zeros((1, 1, 1, 13), np.float32)
    kernel[..., -1] = 1
    return write_graph(
        path,
        [("image", _ANY)],
        [
            node("Split", "image", "red confidence blue", axis=1),
            node("Conv", "red kernel", "moved", pads=[0, 6, 0, 6]),
            node("Add", "moved one", "depth"),
        ],
        [(name, ("n", 1, "h", "w")) for name in ("depth", "confidence")],
        {"kernel": kernel, "one": number(1)},
    )


def card_of(name: str = "made", **changes: Any) -> Tree:
    """The tree of a card for `write_linear`: metres, any size."""
    return {
        "format": 1,
        "kind": "onnx",
        "name": name,
        "licence": "MIT",
        "input": {"width": 64, "height": 48, "multiple": 8, "fit": "inside"},
        "output": {"kind": "metric_depth"},
    } | changes


def write_card(path: Path, tree: Tree) -> Path:
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


def template(name: str) -> Tree:
    """The shipped card of a row."""
    tree: Tree = json.loads((CARDS / f"{name}.json").read_text(encoding="utf-8"))
    return tree


def write_row(name: str, folder: Path) -> Path:
    """A small ONNX file with the inputs and outputs of the network of a row; a value for `model.checkpoint`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    if name.startswith("depth_anything_3"):
        return write_depth_anything_3(path)
    return {"moge_2_small": write_moge, "metric3d_v2_small": write_metric3d, "unidepth_v2_small": write_unidepth}[name](
        path
    )


def write_depth_anything_3(path: Path, rows: int = 42, columns: int = 56) -> Path:
    """One size; depth = exp(mean of the normalised colours), sky = the normalised blue."""
    return write_graph(
        path,
        [("image", ("n", 3, rows, columns))],
        [
            node("ReduceMean", "image", "mean", axes=[1], keepdims=1),
            node("Exp", "mean", "depth"),
            node("Slice", "image two three one", "sky"),
        ],
        [(name, ("n", 1, rows, columns)) for name in ("depth", "sky")],
        {name: np.array([value], np.int64) for name, value in (("one", 1), ("two", 2), ("three", 3))},
    )


def write_moge(path: Path, scale_name: str = "scale") -> Path:
    """Any size; points of a wall at 1 + red, up to a shift of -0.4, seen at 60 degrees across; valid where red < 0.6.

    metric_scale is the number of tokens / 1000. Without batch: the grid follows the size of the first image.
    """
    nodes = [
        node("Shape", "image", "sides"),
        *(node("Gather", f"sides index{i}", f"side{i}") for i in (2, 3)),
        *(node("Range", f"zero side{i} one", f"whole{i}") for i in (2, 3)),
        *(node("Cast", f"whole{i}", f"place{i}", to=1) for i in (2, 3)),
        *(node("Cast", f"side{i}", f"length{i}", to=1) for i in (2, 3)),
        # (place + 0.5 - side / 2) / (width / 2) * tan(30 degrees)
        *(node("Mul", f"length{i} half", f"middle{i}") for i in (2, 3)),
        *(node("Add", f"place{i} half", f"centre{i}") for i in (2, 3)),
        *(node("Sub", f"centre{i} middle{i}", f"off{i}") for i in (2, 3)),
        *(node("Div", f"off{i} middle3", f"share{i}") for i in (2, 3)),
        *(node("Mul", f"share{i} tangent", f"ray{i}") for i in (2, 3)),
        node("Split", "image", "red green blue", axis=1),
        node("Squeeze", "red axis1", "flat"),
        node("Add", "flat onef", "z"),
        node("Unsqueeze", "ray2 axis1", "rayy"),
        node("Mul", "z ray3", "x"),
        node("Mul", "z rayy", "y"),
        node("Sub", "z shift", "shifted"),
        *(node("Unsqueeze", f"{name} axis3", f"{name}_column") for name in ("x", "y", "shifted")),
        node("Concat", "x_column y_column shifted_column", "points", axis=3),
        node("Sub", "sixty flat", "below"),
        node("Add", "below half", "mask"),
        node("Cast", "num_tokens", "tokens", to=1),
        node("Div", "tokens thousand", "share"),
        node("ReduceMean", "mask", "ones", axes=[1, 2], keepdims=0),
        node("Mul", "ones zerof", "nothing"),
        node("Add", "nothing share", scale_name),
        node("Identity", "points", "normal"),
    ]
    constants: dict[str, NDArray[Any]] = {
        **{f"index{i}": np.array(i, np.int64) for i in (2, 3)},
        **{f"axis{i}": np.array([i], np.int64) for i in (1, 3)},
        "zero": np.array(0, np.int64),
        "one": np.array(1, np.int64),
        "half": number(0.5),
        "tangent": number(np.tan(np.radians(30))),
        "onef": number(1),
        "zerof": number(0),
        "shift": number(0.4),
        "sixty": number(0.6),
        "thousand": number(1000),
    }
    return write_graph(
        path,
        [("image", _ANY), ("num_tokens", ())],
        nodes,
        [
            ("points", ("n", "h", "w", 3)),
            ("normal", ("n", "h", "w", 3)),
            ("mask", ("n", "h", "w")),
            (scale_name, ("n",)),
        ],
        constants,
        dtypes={"num_tokens": "INT64"},
    )


def write_metric3d(path: Path) -> Path:
    """Grey levels in, predicted_depth (N, rows, columns) = their mean / 10 + 1; beside it what nobody asks for."""
    return write_graph(
        path,
        [("pixel_values", _ANY)],
        [
            node("ReduceMean", "pixel_values", "grey", axes=[1], keepdims=0),
            node("Div", "grey ten", "share"),
            node("Add", "share one", "predicted_depth"),
            node("Identity", "pixel_values", "predicted_normal"),
        ],
        [("predicted_depth", ("n", "h", "w")), ("predicted_normal", _ANY)],
        {"ten": number(10), "one": number(1)},
    )


def write_unidepth(path: Path, rows: int = 42, columns: int = 56) -> Path:
    """One size; points at 4 m along the given rays, their error 0.5 m, K with a focal length of 50 pixels."""
    K = np.array([[[50, 0, columns / 2], [0, 50, rows / 2], [0, 0, 1]]], np.float32)
    return write_graph(
        path,
        [("rgbs", ("n", 3, rows, columns)), ("rays", ("n", 3, rows, columns))],
        [
            node("ReduceMean", "rgbs", "grey", axes=[1], keepdims=1),
            node("Mul", "grey zero", "nothing"),
            node("Mul", "rays four", "far"),
            node("Add", "far nothing", "pts_3d"),
            node("Add", "nothing half", "confidence"),
            node("ReduceMean", "nothing", "none", axes=[2, 3], keepdims=0),
            node("Unsqueeze", "none last", "column"),
            node("Add", "column K", "intrinsics"),
        ],
        [("pts_3d", ("n", 3, rows, columns)), ("confidence", ("n", 1, rows, columns)), ("intrinsics", ("n", 3, 3))],
        {"zero": number(0), "four": number(4), "half": number(0.5), "K": K, "last": np.array([2], np.int64)},
    )

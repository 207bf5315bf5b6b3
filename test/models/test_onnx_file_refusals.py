"""ONNX files and cards that are wrong: one line that says what was expected, what came and what to do."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_onnx import (
    Tree,
    assert_close,
    card_of,
    node,
    number,
    template,
    write_card,
    write_graph,
    write_linear,
    write_moge,
    write_row,
    write_unidepth,
)
from shrunken import refused

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.errors import DataError, ModelError
from mono_depth_recon.models import MODELS, check_name, declared_output, load_model
from mono_depth_recon.models.canonical import load_canonical
from mono_depth_recon.models.card import load_card
from mono_depth_recon.models.finite import not_finite
from mono_depth_recon.models.onnx_files.card import load_onnx_card
from mono_depth_recon.models.onnx_files.graph_file import read_graph
from mono_depth_recon.models.onnx_files.loading import CARDS
from mono_depth_recon.models.onnx_files.placement import placement_of
from mono_depth_recon.models.onnx_files.weights import check_finite
from mono_depth_recon.models.table import EMBEDDED
from mono_depth_recon.models.transformers.families import read_rule


@pytest.fixture
def made(tmp_path: Path) -> ModelConfig:
    """A file and card that load."""
    write_linear(tmp_path / "made.onnx")
    write_card(tmp_path / "made.json", card_of())
    settings = ModelConfig(name=f"onnx:{tmp_path / 'made.onnx'}", runtime="onnxruntime")
    load_model(settings, 1)
    return settings


def with_card(settings: ModelConfig, tree: Any) -> str:
    """The refusal of `made.onnx` by another card."""
    write_card(Path(settings.name.removeprefix("onnx:")).with_suffix(".json"), tree)
    return refused(settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": {"widht": 64}}, "unknown key 'input.widht'; did you mean 'width'?"),
        ({"sky": 1}, "unknown key 'sky'"),
        ({"input": {"width": 64}}, "input.width and height must both be given or both be 0, got 64 and 0"),
        ({"input": {"width": 64, "height": 50, "multiple": 16}}, "must be multiples of 16, got 64 and 50"),
        ({"input": {"fit": "crop"}}, "input.fit must be one of stretch, inside, around, area, pad, got 'crop'"),
        ({"input": {"std": [1, 0, 1]}}, "input.std.1 must be 1e-09 to 1e+06, got 0"),
        ({"input": {"mean": [1, 2]}}, "input.mean must be a list of 3, got [1, 2]"),
        ({"output": {"kind": "depth"}}, "output.kind must be one of metric_depth, canonical_depth"),
        ({"output": {"kind": "canonical_depth"}}, "canonical_focal_px must be above 0 for canonical_depth"),
        (
            {"output": {"kind": "metric_depth", "canonical_focal_px": 300}},
            "left out for the others, got 300 for metric",
        ),
        ({"outputs": {"a": {"kind": "normals"}}}, "outputs.a.kind must be one of valid, sky, confidence"),
        ({"outputs": {"a": {"kind": "sky"}, "b": {"kind": "sky"}}}, "one of each kind, got two of sky"),
        ({"outputs": {"a": {"kind": "metric_scale"}}}, "one of kind metric_scale for affine_points"),
        ({"output": {"kind": "affine_points"}}, "one of kind metric_scale for affine_points"),
        ({"outputs": {"a": {"kind": "confidence", "worst": 1}}}, "outputs.a.worst and best must differ, got 1 and 1"),
        ({"outputs": {"depth": {"kind": "sky"}}}, "must not stand in outputs or inputs again"),
        (
            {"output": {"kind": "relative_depth"}, "outputs": {"a": {"kind": "sigma"}}},
            "kind sigma for metres only, got it for relative_depth",
        ),
        ({"inputs": {"a": {"kind": "pose"}}}, "inputs.a.kind must be one of tokens, rays, number, got 'pose'"),
        ({"licence": ""}, "licence must be given"),
        ({"file": "../other.onnx"}, "file must be the name of a file beside the card, got '../other.onnx'"),
        ({"source": {"size_mb": "1 GB"}}, "source.size_mb must be of type float, got '1 GB'"),
        (
            {"format": 2},
            "must be a JSON object of format 1 and kind 'onnx' (docs/models.md has the keys), got (2, 'onnx')",
        ),
        ({"kind": "unetpp"}, "got (1, 'unetpp')"),
    ],
)
def test_a_wrong_card(made: ModelConfig, changes: Tree, message: str) -> None:
    assert message in with_card(made, card_of(**changes))


def test_a_card_that_is_none(made: ModelConfig, tmp_path: Path) -> None:
    assert "got 'list'" in with_card(made, [1])
    (tmp_path / "made.json").write_text("{")
    assert "must be JSON text" in refused(made)
    (tmp_path / "made.json").unlink()
    assert "needs a card beside it, made.json" in refused(made)
    assert str(CARDS) in refused(made)
    missing = replace(made, name=f"onnx:{tmp_path / 'nowhere.json'}")
    assert "ONNX card" in refused(missing)
    with pytest.raises(ModelError, match="cannot be read"):
        declared_output(missing)
    for name in ("onnx:", f"onnx:{tmp_path}", f"onnx:{tmp_path / 'made.pb'}"):
        assert "the path of an ONNX file (.onnx) or its card (.json)" in refused(replace(made, name=name))
    check_name("onnx:anything.onnx")
    unetpp = f"onnx:{EMBEDDED / 'unetpp_lite.json'}"
    assert "got (1, None)" in refused(replace(made, name=unetpp))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": {"name": "rgb"}}, "names the input 'rgb', the file has image float32 [?, 3, ?, ?]"),
        ({"input": {"width": 64, "height": 48, "layout": "nhwc"}}, "made.onnx"),
        (
            {"output": {"kind": "metric_depth", "name": "metres"}},
            "names the output 'metres', the file has depth float32",
        ),
        ({"outputs": {"sky": {"kind": "sky"}}}, "names the output 'sky', the file has depth"),
        (
            {"output": {"kind": "points"}},
            "points must be (N, 3, rows, columns), the file gives depth float32 [?, 1, ?, ?]",
        ),
        ({"inputs": {"rays": {"kind": "rays"}}}, "names the input 'rays', the file has image"),
        ({"input": {}}, "the card has no width, and the file takes any: image float32 [?, 3, ?, ?]"),
    ],
)
def test_a_card_that_contradicts_its_file(made: ModelConfig, changes: Tree, message: str) -> None:
    assert message in with_card(made, card_of(**changes))


def test_a_file_of_one_size(made: ModelConfig, tmp_path: Path) -> None:
    write_linear(tmp_path / "made.onnx", shape=(1, 3, 42, 56))
    assert "the card's width is 64, the file takes image float32 [1, 3, 42, 56]" in refused(made)
    rule = {"width": 56, "height": 42}
    assert "fit inside needs an input of any size" in with_card(made, card_of(input=rule | {"fit": "inside"}))
    assert "sides are multiples of 16" in with_card(made, card_of(input={"multiple": 16}))
    write_card(tmp_path / "made.json", card_of(input=rule))
    model = load_model(made)
    views = [(np.full((30, 40, 3), level, np.uint8), PinholeCamera.from_hfov(40, 30, 60)) for level in (51, 102)]
    for level, found in zip((51, 102), model.predict(views), strict=True):  # one by one: the batch is fixed
        assert_close(found.values, 4 * level / 255 + 1, rtol=1e-5)
    write_linear(tmp_path / "made.onnx", shape=(2, 3, 42, 56))
    assert "images must come one by one or in any number" in refused(made)


def test_a_file_of_a_size_that_fills_the_memory(made: ModelConfig, tmp_path: Path) -> None:
    write_linear(tmp_path / "made.onnx", shape=(1, 3, 2**31 - 64, 56))
    write_card(tmp_path / "made.json", card_of(input={}))
    message = refused(made)
    assert "takes image float32 [1, 3, 2147483584, 56], a height of 2147483584 pixels: sides may have 4096" in message


def test_an_image_so_long_that_its_input_fills_the_memory() -> None:
    """By each of the rules that keep the aspect."""
    dpt = read_rule({"image_processor_type": "DPTImageProcessor", "keep_aspect_ratio": True}, "made")
    rules: list[Callable[[int, int], object]] = [
        lambda width, height: placement_of(replace(read, fit="around"), (width, height)),
        lambda width, height: load_card(EMBEDDED / "unetpp_lite.json").input_size(width, height, 256),
        dpt.with_short_side(384, 1, "made").network_size,
        read_rule({"image_processor_type": "GLPNImageProcessor"}, "made").network_size,
    ]
    read = load_onnx_card(CARDS / "moge_2_small.json").input
    for rule in rules:
        rule(640, 480)
        with pytest.raises(DataError, match="an image of 1x200000000 pixels would be .* crop it to a less elongated"):
            rule(1, 200_000_000)


@pytest.mark.parametrize("operator", ["Loop", "Scan"])
def test_a_graph_with_loops(made: ModelConfig, tmp_path: Path, operator: str) -> None:
    """Also in a graph within a node, and in the copy beside the card of a U-Net++."""
    loop = field(1, field(4, operator.encode()))
    message = f"made.onnx has a node of the operator {operator}, which may repeat without end"
    for graph in (loop, field(1, field(5, field(6, loop)))):
        (tmp_path / "made.onnx").write_bytes(field(7, graph))
        with pytest.raises(ModelError, match=message):
            check_finite(tmp_path / "made.onnx")
    shutil.copy(EMBEDDED / "unetpp_lite.json", tmp_path / "made.json")
    with pytest.raises(ModelError, match=message):
        load_canonical(tmp_path / "made.json", ModelConfig(), 1)


def test_functions_that_come_to_too_many_nodes(tmp_path: Path) -> None:
    """Twenty that call each other twice; one that calls itself; and a harmless pair."""
    path = tmp_path / "made.onnx"

    def function(name: str, *called: str) -> bytes:
        nodes = [field(7, field(4, each.encode()) + field(7, b"f")) for each in called]
        return field(25, field(1, name.encode()) + field(10, b"f") + b"".join(nodes))

    graph = field(7, field(1, field(4, b"f0") + field(7, b"f")))
    twice = [function(f"f{n}", f"f{n + 1}", f"f{n + 1}") for n in range(20)]
    for functions in (b"".join(twice), function("f0", "f0"), function("f0", "f1") + function("f1", "f0")):
        path.write_bytes(graph + functions)
        with pytest.raises(ModelError, match="functions that call each other more than 100 deep or come to more than"):
            check_finite(path)
    path.write_bytes(graph + function("f0", "f1", "f1") + function("f1", "Relu"))
    check_finite(path)
    with_loop = field(11, field(6, field(1, field(4, b"Loop"))))  # in what an attribute is where a call gives none
    path.write_bytes(graph + field(25, field(1, b"f0") + field(10, b"f") + with_loop))
    with pytest.raises(ModelError, match="operator Loop"):
        check_finite(path)


def test_other_inputs_that_the_card_does_not_know(tmp_path: Path) -> None:
    tree = template("unidepth_v2_small") | {"inputs": {}}
    path = write_unidepth(tmp_path / "made.onnx")
    write_card(tmp_path / "made.json", tree)
    settings = ModelConfig(name=f"onnx:{path}", runtime="onnxruntime", accept_noncommercial=True)
    assert "the file also takes rays float32 [?, 3, 42, 56]" in refused(settings)
    tree["inputs"] = {"rays": {"kind": "number"}}
    write_card(tmp_path / "made.json", tree)
    assert "rays is one number, the file takes rays" in refused(settings)
    write_moge(tmp_path / "made.onnx")
    tree = template("moge_2_small")
    tree["inputs"] = {"num_tokens": {"kind": "rays"}}
    write_card(tmp_path / "made.json", tree)
    assert "rays are (N, 3, rows, columns), the file takes num_tokens int64 []" in refused(settings)
    tree = template("moge_2_small")
    tree["output"]["layout"] = "nchw"
    write_card(tmp_path / "made.json", tree)
    assert "affine_points must be (N, 3, rows, columns)" in refused(settings)


def test_an_output_of_another_shape_than_it_says(made: ModelConfig, tmp_path: Path) -> None:
    """The file leaves the shape of its output open, and gives three channels."""
    for runtime in ("onnxruntime", "openvino"):
        write_graph(
            tmp_path / "made.onnx",
            [("image", ("n", 3, "h", "w"))],
            [node("Identity", "image", "depth")],
            [("depth", ("n", "c", "h", "w"))],
        )
        message = refused(replace(made, runtime=runtime))
        assert "gave an output of shape (3, 48, 64) per image for metric_depth" in message


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.97, 0.999])
def test_a_file_that_is_cut_off(tmp_path: Path, share: float) -> None:
    whole = (EMBEDDED / "unetpp_mobile.onnx").read_bytes()
    (tmp_path / "made.onnx").write_bytes(whole[: int(share * len(whole))])
    write_card(tmp_path / "made.json", card_of())
    for runtime in ("auto", "openvino", "onnxruntime"):
        message = refused(ModelConfig(name=f"onnx:{tmp_path / 'made.onnx'}", runtime=runtime))
        assert f"{tmp_path / 'made.onnx'} is " in message
        assert "copy the file again" in message


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 64, b"version https://git-lfs.github.com/spec/v1\n", b"<html>" * 9, b"\x00"]
)
def test_a_file_that_is_something_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "made.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"made.onnx (is no ONNX file|is cut off)"):
        read_graph(tmp_path / "made.onnx")
    with pytest.raises(ModelError, match=r"cannot be read \(Is a directory\)"):
        read_graph(tmp_path)


def test_random_damage_is_one_line(tmp_path: Path) -> None:
    whole = bytearray(write_linear(tmp_path / "whole.onnx").read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / "made.onnx").write_bytes(damaged)
        try:
            read_graph(tmp_path / "made.onnx")
            check_finite(tmp_path / "made.onnx")
        except ModelError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime", "auto"])
def test_a_file_of_a_newer_opset_names_it(tmp_path: Path, runtime: str) -> None:
    write_graph(
        tmp_path / "made.onnx",
        [("image", ("n", 3, "h", "w"))],
        [node("FutureOperator", "image", "depth")],
        [("depth", ("n", 1, "h", "w"))],
        opset=99,
        ir_version=99,
    )
    write_card(tmp_path / "made.json", card_of())
    message = refused(ModelConfig(name=f"onnx:{tmp_path / 'made.onnx'}", runtime=runtime))
    assert "(the file is of opset 99, IR version 99)" in message
    assert "export it again with an opset that this version knows" in message


def test_weights_beside_the_file_that_are_missing(made: ModelConfig, tmp_path: Path) -> None:
    import onnx

    big = {"factor": np.full((1, 1, 1, 1), 4, np.float32)}
    write_graph(
        tmp_path / "made.onnx",
        [("image", ("n", 3, "h", "w"))],
        [node("ReduceMean", "image", "grey", axes=[1], keepdims=1), node("Mul", "grey factor", "depth")],
        [("depth", ("n", 1, "h", "w"))],
        big,
    )
    model = onnx.load(tmp_path / "made.onnx")
    onnx.save(model, tmp_path / "made.onnx", save_as_external_data=True, location="made.bin", size_threshold=0)
    load_model(made)
    (tmp_path / "made.bin").unlink()
    assert "keeps its weights in made.bin, which is not beside it" in refused(made)


def write_swallowing(path: Path, kernel: Any, number_format: str = "raw", **others: Any) -> Path:
    """`depth` = 1 + ReLU(convolution with `kernel`) + what a Where never takes; OpenVINO's ReLU makes 0 of NaN."""
    import onnx
    from onnx import helper

    nodes = [
        node("Conv", "image kernel", "moved"),
        node("Relu", "moved", "kept"),
        node("Where", "true kept unknown", "chosen"),
        node("Clip", "chosen lowest highest", "clipped"),
        node("Add", "clipped one", "depth"),
    ]
    constants: dict[str, Any] = {
        "one": number(1),
        "true": np.array(True),
        "unknown": number(np.nan),
        "lowest": number(0),
        "highest": number(np.inf),
    }
    sides = ("n", 3, "h", "w"), ("n", 1, "h", "w")
    write_graph(path, [("image", sides[0])], nodes, [("depth", sides[1])], constants | {"kernel": kernel} | others)
    model = onnx.load(path)
    held = next(tensor for tensor in model.graph.initializer if tensor.name == "kernel")
    if number_format == "list":
        held.CopyFrom(helper.make_tensor("kernel", onnx.TensorProto.FLOAT, kernel.shape, kernel.ravel()))
    elif number_format == "half list":
        half = helper.make_tensor("half", onnx.TensorProto.FLOAT16, kernel.shape, kernel.ravel())
        model.graph.initializer.append(half)
        model.graph.initializer.remove(held)
        model.graph.node.insert(0, node("Cast", "half", "kernel", to=1))
    elif number_format == "constant":
        model.graph.node.insert(0, helper.make_node("Constant", [], ["kernel"], value=held))
        model.graph.initializer.remove(held)
    beside: dict[str, Any] = {"save_as_external_data": True, "location": "made.bin", "size_threshold": 0}
    onnx.save(model, path, **(beside if number_format == "beside" else {}))
    return path


@pytest.mark.parametrize(
    ("number_format", "bad"),
    [
        ("raw", np.nan),
        ("raw", np.inf),
        ("list", np.nan),
        ("half list", np.nan),
        ("constant", np.inf),
        ("beside", np.nan),
    ],
)
def test_weights_that_are_not_finite(made: ModelConfig, tmp_path: Path, number_format: str, bad: float) -> None:
    kernel = np.full((1, 3, 1, 1), 0.25, np.float32)
    write_swallowing(tmp_path / "made.onnx", kernel, number_format)
    for runtime in ("openvino", "onnxruntime"):
        load_model(replace(made, runtime=runtime))
    kernel[0, 1] = bad
    write_swallowing(tmp_path / "made.onnx", kernel, number_format)
    what = "NaN" if np.isnan(bad) else "infinity"
    for runtime in ("openvino", "onnxruntime", "auto"):
        message = refused(replace(made, runtime=runtime))
        assert f"{tmp_path / 'made.onnx'} must be finite, its '" in message
        assert f"' holds {what}: the file is damaged" in message


def test_not_finite_in_every_type(tmp_path: Path) -> None:
    for dtype in ("float16", "float32", "float64"):
        for place in (0, 1 << 20, (3 << 20) - 1):
            values = np.linspace(-6e4, 6e4, 3 << 20).astype(dtype)
            assert not_finite(values.tobytes(), dtype) == ""
            values[place] = -np.inf
            assert not_finite(values.tobytes(), dtype) == "infinity"
            values[-1 - place] = -np.nan
            assert not_finite(values.tobytes(), dtype) == "NaN"
    brain = np.array([1.5, np.inf], np.float32).view(np.uint16)[1::2]  # bfloat16 is the upper half of float32
    assert not_finite(brain[:1].tobytes(), "bfloat16") == ""
    assert not_finite(brain.tobytes(), "bfloat16") == "infinity"
    assert not_finite((brain | np.uint16(1)).tobytes(), "bfloat16") == "NaN"
    assert not_finite(b"\xff\xff", "int8") == ""


def field(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes."""

    def varint(value: int) -> bytes:
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)

    return varint(number << 3 | 2) + varint(len(content)) + content


def test_graphs_in_graphs_and_tensors_of_many_dimensions(tmp_path: Path) -> None:
    """A subgraph's weights count too, however deep it lies, and neither depth nor length exhausts anything."""
    path = tmp_path / "made.onnx"
    bad = field(
        5, field(8, b"deep") + b"\x10\x01" + b"\x08\x02" + field(9, np.array([1, np.nan], np.float32).tobytes())
    )
    for _ in range(3000):
        bad = field(1, field(5, field(6, bad)))  # a node with an attribute that is a graph
    path.write_bytes(field(7, bad))
    with pytest.raises(ModelError, match="its 'deep' holds NaN"):
        check_finite(path)
    path.write_bytes(field(7, field(5, field(1, bytes(100_000)) + b"\x10\x01")))
    with pytest.raises(ModelError, match="more than 64 dimensions"):
        check_finite(path)


def test_weights_beside_the_file_that_are_cut_off(made: ModelConfig, tmp_path: Path) -> None:
    write_swallowing(tmp_path / "made.onnx", np.full((1, 3, 1, 1), 0.25, np.float32), "beside")
    load_model(made)
    (tmp_path / "made.bin").write_bytes((tmp_path / "made.bin").read_bytes()[:8])
    assert "made.bin is cut off: '" in refused(made)


def test_a_checksum(made: ModelConfig, tmp_path: Path) -> None:
    import hashlib

    digest = hashlib.sha256((tmp_path / "made.onnx").read_bytes()).hexdigest()
    write_card(tmp_path / "made.json", card_of(sha256=digest))
    load_model(made)
    write_linear(tmp_path / "made.onnx", 5)
    assert "is not the file that its card was written for" in refused(made)
    write_card(tmp_path / "made.json", card_of(sha256="abc"))
    assert "sha256 must be 64 hexadecimal digits" in refused(made)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"runtime": "torch"},
            "is an ONNX file, which model.runtime torch cannot run: set it to openvino or onnxruntime",
        ),
        (
            {"precision": "int8"},
            "model.precision int8 is not possible for an ONNX file on onnxruntime: set model.runtime to openvino, or",
        ),
        (
            {"precision": "int8", "runtime": "openvino"},
            "int8 is calibrated on images: set model.calibration to a folder",
        ),
        ({"precision": "bf16"}, "on onnxruntime: set model.runtime to openvino, or set model.precision to auto"),
        ({"precision": "f16"}, "on onnxruntime: set model.runtime to tensorrt, or set model.precision to auto"),
        ({"precision": "f16", "runtime": "auto"}, "model.precision f16 is not possible for an ONNX file on openvino"),
        ({"device": "cuda", "runtime": "openvino"}, "model.runtime openvino runs on the CPU"),
        ({"device": "cuda"}, "model.device cuda: this ONNX Runtime has no CUDA provider: pip install onnxruntime-gpu"),
        ({"device": "cuda", "runtime": "auto"}, "model.device cuda: this ONNX Runtime has no CUDA provider"),
        ({"runtime": "tensorrt"}, "model.runtime tensorrt: this ONNX Runtime has no Tensorrt provider"),
        ({"runtime": "tensorrt", "device": "cpu"}, "model.runtime tensorrt runs on a GPU: set model.device to auto"),
        ({"output": "relative_disparity"}, "says metric_depth, model.output asks for relative"),
        ({"uncertainty": "mc_dropout"}, "mc_dropout needs a network with dropout"),
        ({"checkpoint": "x.onnx"}, "names its own weights: leave model.checkpoint empty, got 'x.onnx'"),
    ],
)
def test_settings_that_do_not_fit(made: ModelConfig, settings: dict[str, Any], message: str) -> None:
    assert message in refused(replace(made, **settings))


def test_what_no_runtime_can_is_refused_without_warnings(made: ModelConfig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    message = refused(replace(made, precision="f16", runtime="auto", device="cpu"))
    assert "model.precision f16 is not possible for an ONNX file on openvino: set model.runtime to tensorrt" in message
    assert not caplog.records


def test_int8_without_its_library_or_with_images_of_another_shape(
    made: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "tiny.png"), np.zeros((5, 3, 3), np.uint8))  # cut to 3 x 2
    settings = replace(made, runtime="openvino", precision="int8", calibration=str(tmp_path / "images"))
    write_card(tmp_path / "made.json", card_of(input={"width": 640, "height": 480, "multiple": 1, "fit": "inside"}))
    message = refused(settings)
    assert "tiny.png as 640x427, but is to run at 640x480: give model.calibration images of the camera's" in message
    monkeypatch.setitem(sys.modules, "nncf", None)
    assert "model.precision int8 needs the library nncf, which is not installed" in refused(settings)


def test_runtimes_that_are_missing(made: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_model(replace(made, runtime="auto")).device == "openvino CPU f32"
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert load_model(replace(made, runtime="auto")).device == "onnxruntime CPU f32"
    assert "model.runtime openvino needs the library openvino" in refused(replace(made, runtime="openvino"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "needs OpenVINO or ONNX Runtime, neither is installed" in refused(replace(made, runtime="auto"))
    assert "model.runtime tensorrt needs the library onnxruntime" in refused(replace(made, runtime="tensorrt"))


def test_auto_leaves_out_a_runtime_that_cannot_run_the_file(
    made: ModelConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mono_depth_recon.models.runtimes import graphs

    def cannot(*_: Any) -> Any:
        raise ModelError("an operator is missing")

    caplog.set_level(logging.WARNING)  # libraries set the root's after a failed conversion
    monkeypatch.setattr(graphs, "OpenVinoGraph", cannot)
    assert load_model(replace(made, runtime="auto")).device == "onnxruntime CPU f32"
    assert "model.runtime auto leaves out openvino: an operator is missing" in caplog.text


def test_cpu_threads_reach_the_runtimes(made: ModelConfig) -> None:
    from mono_depth_recon.models.onnx_files.model import OnnxDepthModel

    model = load_model(made, 1)
    assert isinstance(model, OnnxDepthModel)
    graph: Any = model.runtime
    assert graph._opener._options.intra_op_num_threads == 1
    model = load_model(replace(made, runtime="openvino"), 1)
    assert isinstance(model, OnnxDepthModel)
    graph = model.runtime
    request = next(iter(graph._compiled.values()))
    assert request.get_compiled_model().get_property("INFERENCE_NUM_THREADS") == 1


def test_commands_that_need_torch_say_so(made: ModelConfig, tmp_path: Path) -> None:
    from mono_depth_recon.cli.export import export
    from mono_depth_recon.models.explain import METHODS, Region, explain, methods_of

    with pytest.raises(ModelError, match="is an ONNX file already: copy that"):
        export(made, tmp_path / "out.onnx", (64, 48))
    view = np.zeros((48, 64, 3), np.uint8), PinholeCamera.from_hfov(64, 48, 60)
    with pytest.raises(ModelError, match="is an ensemble, estimates sigma or is an ONNX file"):
        explain(load_model(made), view, Region(0, 0, 8, 8), METHODS[0])
    assert methods_of(made.name) == methods_of("moge_2_small") == ()
    with pytest.raises(ModelError, match="moge_2_small is an ONNX file, whose network is not known without it"):
        MODELS["moge_2_small"].random_weights(tmp_path)


def test_flip_works_with_an_onnx_file(made: ModelConfig) -> None:
    model = load_model(replace(made, uncertainty="flip"))
    found = model.predict([(np.full((48, 64, 3), 51, np.uint8), PinholeCamera.from_hfov(64, 48, 60))])[0]
    assert_close(found.sigma, np.zeros((48, 64)), atol=1e-5)


def test_a_row_takes_no_file_of_another_network(tmp_path: Path) -> None:
    path = write_row("moge_2_small", tmp_path)
    message = refused(ModelConfig(name="metric3d_v2_small", checkpoint=str(path)))
    assert "names the input 'pixel_values', the file has image" in message
    missing = refused(ModelConfig(name="moge_2_small", checkpoint=str(tmp_path / "no.onnx")))
    assert "no.onnx cannot be read (No such file or directory): name an ONNX file or its card" in missing

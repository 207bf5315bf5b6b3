"""ONNX files and cards that disagree without a word: types of numbers, another file, operators nobody knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_onnx import assert_close, card_of, node, number, write_card, write_graph, write_linear
from shrunken import refused

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.models import load_model

SHAPE = (1, 1, 48, 64)
VIEW = np.full((48, 64, 3), 102, np.uint8), PinholeCamera.from_hfov(64, 48, 60)


@pytest.fixture(params=["openvino", "onnxruntime"])
def made(tmp_path: Path, request: pytest.FixtureRequest) -> ModelConfig:
    return ModelConfig(name=f"onnx:{tmp_path / 'made.onnx'}", runtime=request.param)


def write_typed(
    folder: Path, image: str = "FLOAT", depth: str = "FLOAT", rule: dict[str, object] | None = None
) -> None:
    """`depth` = 2 + the mean of the colours, as another type; a card beside it."""
    write_graph(
        folder / "made.onnx",
        [("image", (1, 3, 48, 64))],
        [
            node("Cast", "image", "numbers", to=1),
            node("ReduceMean", "numbers", "grey", axes=[1], keepdims=1),
            node("Add", "grey two", "sum"),
            node("Cast", "sum", "depth", to={"FLOAT": 1, "INT32": 6, "BOOL": 9}[depth]),
        ],
        [("depth", SHAPE)],
        {"two": number(2)},
        dtypes={"image": image, "depth": depth},
    )
    write_card(folder / "made.json", card_of(input={"width": 64, "height": 48, **(rule or {})}))


def test_whole_grey_levels_need_a_card_that_keeps_them(made: ModelConfig, tmp_path: Path) -> None:
    write_typed(tmp_path, image="UINT8")
    assert "the card makes values of at most 1 of them: set input.scale to 1" in refused(made)
    write_typed(tmp_path, image="UINT8", rule={"scale": 1})
    assert_close(load_model(made, 1).predict([VIEW])[0].depth, np.full((48, 64), 104.0), rtol=1e-6)


def test_depth_may_be_whole_numbers_and_no_truth_values(made: ModelConfig, tmp_path: Path) -> None:
    write_typed(tmp_path, depth="INT32")
    assert_close(load_model(made, 1).predict([VIEW])[0].depth, np.full((48, 64), 2.0))
    write_typed(tmp_path, depth="BOOL")
    assert "metric_depth must be numbers, the file gives depth bool" in refused(made)


def test_a_card_of_another_file(made: ModelConfig, tmp_path: Path) -> None:
    for name in ("made.onnx", "other.onnx"):
        write_linear(tmp_path / name)
    write_card(tmp_path / "made.json", card_of(file="other.onnx"))
    assert "made.json is the card of other.onnx, made.onnx is asked for" in refused(made)
    load_model(replace(made, name=f"onnx:{tmp_path / 'made.json'}"), 1)


def test_operators_of_an_opset_that_nobody_knows(made: ModelConfig, tmp_path: Path) -> None:
    write_graph(
        tmp_path / "made.onnx",
        [("image", (1, 3, 48, 64))],
        [node("Split", "image", "depth green blue", axis=1, num_outputs=3)],
        [("depth", SHAPE)],
        opset=99,
    )
    write_card(tmp_path / "made.json", card_of(input={"width": 64, "height": 48}))
    message = refused(made)
    assert "opset 99" in message and "export it again" in message


@pytest.mark.parametrize("precision", ["auto", "f16", "f32"])
def test_tensorrt_that_is_missing_is_named_whatever_the_precision(precision: str) -> None:
    pytest.importorskip("onnxruntime")
    message = refused(ModelConfig(name="unetpp_mobile", runtime="tensorrt", precision=precision))
    assert "this ONNX Runtime has no Tensorrt provider" in message


def test_onnx_runtime_says_its_cause_alone(
    made: ModelConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_graph(
        tmp_path / "made.onnx",
        [("image", (1, 3, 48, 64))],
        [node("Unheard", "image", "depth")],
        [("depth", SHAPE)],
    )
    write_card(tmp_path / "made.json", card_of(input={"width": 64, "height": 48}))
    message = refused(made)
    assert "cannot read" in message and "Unheard" in message and "export it again" in message
    assert "[ONNXRuntimeError]" not in message and "onnxruntime_src" not in message
    assert message.count(str(tmp_path / "made.onnx")) == 1
    assert "onnxruntime" not in capfd.readouterr().err

"""The runtimes and the canonical model around them: they agree with each other, and say what is wrong with a file."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mono_depth_recon.arrays import Depth, Rgb
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.errors import ModelError
from mono_depth_recon.models import DepthModel, load_model
from mono_depth_recon.models.base import View
from mono_depth_recon.models.table import EMBEDDED

CARD = EMBEDDED / "unetpp_mobile.json"
Port = tuple[str, Sequence[int | str]]


def view(width: int, height: int, hfov_deg: float = 60, seed: int = 0) -> View:
    """A picture with large shapes and some noise."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[:height, :width]
    base = 90 + 80 * np.sin(u / width * rng.uniform(4, 9)) * np.cos(v / height * rng.uniform(3, 7))
    rgb: Rgb = np.clip(base[..., None] + rng.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)
    return rgb, PinholeCamera.from_hfov(width, height, hfov_deg)


def depths(model: DepthModel, views: Sequence[View]) -> list[Depth]:
    found = [prediction.depth for prediction in model.predict(views)]
    assert all(depth is not None for depth in found)
    return [depth for depth in found if depth is not None]


@pytest.fixture(scope="module")
def openvino_model() -> DepthModel:
    return load_model(ModelConfig(runtime="openvino"))


@pytest.mark.torch
def test_the_embedded_runtimes_agree(openvino_model: DepthModel) -> None:
    views = [view(640, 480, seed=1), view(480, 640, seed=2), view(333, 97, seed=3)]
    ours = depths(openvino_model, views)
    for runtime in ("torch", "onnxruntime"):
        for depth, theirs in zip(ours, depths(load_model(ModelConfig(runtime=runtime)), views), strict=True):
            np.testing.assert_allclose(depth, theirs, rtol=1e-3)


def test_a_batch_is_its_views_one_by_one_in_arrays_of_their_own(openvino_model: DepthModel) -> None:
    views = [view(320, 240, seed=1), view(240, 320, seed=2), view(320, 240, 80, seed=3)]
    together = depths(openvino_model, views)
    assert [depth.shape for depth in together] == [(240, 320), (320, 240), (240, 320)]
    for one, depth in zip(views, together, strict=True):
        assert depth.dtype == np.float32
        assert depth.flags.writeable
        np.testing.assert_allclose(depths(openvino_model, [one])[0], depth, rtol=1e-4)
    kept = together[0].copy()
    openvino_model.predict(views)
    np.testing.assert_array_equal(together[0], kept)


def test_another_lens_before_the_same_pixels_keeps_metres(openvino_model: DepthModel) -> None:
    """What the network sees is the same, so depth follows the focal length."""
    rgb, _ = view(320, 240)
    cameras = [PinholeCamera.from_hfov(320, 240, hfov) for hfov in (45, 60, 90)]
    found = depths(openvino_model, [(rgb, camera) for camera in cameras])
    for camera, depth in zip(cameras, found, strict=True):
        np.testing.assert_allclose(depth / camera.fx, found[0] / cameras[0].fx, rtol=1e-4)


def test_memory_can_be_released_between_frames(openvino_model: DepthModel) -> None:
    views = [view(320, 240)]
    before = depths(openvino_model, views)[0]
    openvino_model.release_memory()
    np.testing.assert_array_equal(depths(openvino_model, views)[0], before)


def write_onnx(folder: Path, inputs: Sequence[Port], operator: str, output: Port) -> ModelConfig:
    """A checkpoint with the embedded card and another network of one operator."""
    import onnx
    from onnx import helper

    def ports(given: Sequence[Port]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in given]

    node = helper.make_node(operator, [name for name, _ in inputs], [output[0]])
    graph = helper.make_graph([node], "other", ports(inputs), ports([output]))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "other.onnx")
    shutil.copy(CARD, folder / "other.json")
    return ModelConfig(checkpoint=str(folder / "other.json"), runtime="openvino")


IMAGE: Port = ("image", ("n", 3, "h", "w"))


@pytest.mark.parametrize(
    ("inputs", "operator", "output"),
    [
        ([IMAGE], "Relu", ("depth", ("n", 3, "h", "w"))),
        ([("image", ("n", 4, "h", "w"))], "Relu", ("depth", ("n", 4, "h", "w"))),
        ([("a", ("n", 3)), ("b", ("n", 3))], "Add", ("depth", ("n", 3))),
    ],
)
def test_an_onnx_file_of_another_architecture_is_refused_at_the_start(
    tmp_path: Path, inputs: Sequence[Port], operator: str, output: Port
) -> None:
    settings = write_onnx(tmp_path, inputs, operator, output)
    with pytest.raises(ModelError, match=r"other.onnx must take one batch of images .* it takes \[.*\] and gives \["):
        load_model(settings)


def test_an_onnx_file_of_one_size_says_that_it_cannot_take_another(tmp_path: Path) -> None:
    shutil.copy(CARD, tmp_path / "fixed.json")
    (tmp_path / "fixed.onnx").write_bytes(fixed_size_network())
    model = load_model(ModelConfig(checkpoint=str(tmp_path / "fixed.json"), runtime="openvino"))
    with pytest.raises(ModelError, match=r"fixed.onnx cannot take a batch of shape \(1, 3, 160, 224\) \(.*\): export"):
        model.predict([view(640, 480)])


def fixed_size_network() -> bytes:
    """Matrix products tie the columns of the image to 8."""
    import onnx
    from onnx import helper

    weights = helper.make_tensor("weights", onnx.TensorProto.FLOAT, (8, 8), np.eye(8, dtype=np.float32).ravel())
    nodes = [
        helper.make_node("MatMul", ["image", "weights"], ["product"]),
        helper.make_node("ReduceMax", ["product"], ["depth"], axes=[1]),
    ]
    ports = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (1, channels, 8, 8))
        for name, channels in (("image", 3), ("depth", 1))
    ]
    graph = helper.make_graph(nodes, "fixed", ports[:1], ports[1:], [weights])
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    return content


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_truncated_onnx_file_is_refused_at_the_start(tmp_path: Path, share: float) -> None:
    whole = CARD.with_suffix(".onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: int(share * len(whole))])
    shutil.copy(CARD, tmp_path / "cut.json")
    with pytest.raises(ModelError, match=r"cut\.onnx") as raised:
        load_model(ModelConfig(checkpoint=str(tmp_path / "cut.json"), runtime="openvino"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("runtime", ["auto", "openvino", "onnxruntime", "torch"])
def test_a_card_without_any_weights_says_what_to_do(tmp_path: Path, runtime: str) -> None:
    shutil.copy(CARD, tmp_path / "alone.json")
    with pytest.raises(ModelError, match=r"has no weights: put alone.onnx or alone.safetensors into"):
        load_model(ModelConfig(checkpoint=str(tmp_path / "alone.json"), runtime=runtime))


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime", "torch"])
def test_a_runtime_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    monkeypatch.setitem(sys.modules, runtime, None)
    message = rf"model.runtime {runtime} needs .* not installed: pip install 'mono_depth_recon\[{runtime}\]'"
    with pytest.raises(ModelError, match=message):
        load_model(ModelConfig(runtime=runtime))


def test_auto_runs_the_ready_copy_on_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_model(ModelConfig()).device == "openvino CPU f32"
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert load_model(ModelConfig()).device == "onnxruntime CPU f32"
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert load_model(ModelConfig()).device == "torch CPU f32"


def test_an_unknown_model_is_refused_with_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"unknown model 'unetpp_mobil'; did you mean 'unetpp_mobile'"):
        load_model(ModelConfig(name="unetpp_mobil"))

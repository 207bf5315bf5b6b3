"""Networks that exist as torch modules alone: each runtime converts them, keeps that, and agrees with float32 torch."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import DEADLINE_S, ROOT

from mono_depth_recon.arrays import Rgb
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.errors import ModelError
from mono_depth_recon.models.runtimes import BOUNDS, Batch, Network, fastest, open_runtime, relative_difference
from mono_depth_recon.models.runtimes.cache import cache_folder

torch = pytest.importorskip("torch")
pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

pytestmark = pytest.mark.timeout(600)  # a conversion imports and traces much
RUNTIMES = ("torch", "openvino", "onnxruntime")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_folder()


def small_module() -> Any:
    """Two convolutions and a positive depth."""
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 1, 3, padding=1),
        torch.nn.Softplus(),
    ).eval()


def preprocess(rgb: Rgb) -> Batch:
    """64x48, values to [0, 1]."""
    import cv2

    resized = cv2.resize(rgb, (64, 48), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(resized.transpose(2, 0, 1)[None], np.float32) / 255


def network_of(build: Callable[[], Any] = small_module, **changes: Any) -> Network:
    return dataclasses.replace(
        Network("small", "small-1", build, Path("small.safetensors"), preprocess=preprocess), **changes
    )


def batch_of(count: int = 1, rows: int = 48, columns: int = 64, seed: int = 0) -> Batch:
    return np.random.default_rng(seed).random((count, 3, rows, columns), np.float32)


def forbidden() -> Any:
    raise AssertionError("built again")


def expected_of(module: Any, batch: Batch) -> Batch:
    with torch.inference_mode():
        out: Batch = module(torch.from_numpy(batch)).numpy()
    return out


def dpt() -> Any:
    """A shrunken DPT-Hybrid on a BiT backbone, for 64x64."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(2)
    backbone = {
        "model_type": "bit",
        "global_padding": "same",
        "layer_type": "bottleneck",
        "depths": [1, 1, 1],
        "hidden_sizes": [32, 64, 96],
        "embedding_size": 32,
        "embedding_dynamic_padding": True,
        "num_groups": 4,
        "out_features": ["stage1", "stage2", "stage3"],
    }
    config = transformers.DPTConfig(
        is_hybrid=True,
        backbone_config=backbone,
        backbone_featmap_shape=[1, 96, 4, 4],
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=64,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_ignore_stages=[0, 1],
        neck_hidden_sizes=[32, 64, 16, 16],
        fusion_hidden_size=16,
    )
    return _Depth(transformers.DPTForDepthEstimation(config))


def glpn() -> Any:
    """A shrunken GLPN."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    config = transformers.GLPNConfig(
        hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], decoder_hidden_size=16, num_attention_heads=[1, 2, 3, 4]
    )
    return _Depth(transformers.GLPNForDepthEstimation(config))


def depth_anything() -> Any:
    """A shrunken Depth Anything on DINOv2."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(4)
    backbone = transformers.Dinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=70,
        patch_size=14,
        reshape_hidden_states=False,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=32,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        head_hidden_size=8,
    )
    return _Depth(transformers.DepthAnythingForDepthEstimation(config))


class _Depth(torch.nn.Module):
    """Image to (N, 1, rows, columns), with weights that keep the size of signals: transformers' own let them fade."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model.eval()
        for part in model.modules():
            if isinstance(part, torch.nn.Conv2d | torch.nn.ConvTranspose2d | torch.nn.Linear):
                torch.nn.init.kaiming_normal_(part.weight, nonlinearity="relu")

    def forward(self, image: Any) -> Any:
        return self.model(image).predicted_depth[:, None]


@pytest.mark.parametrize(
    ("runtime", "build", "rows", "columns"),
    [*((runtime, small_module, 37, 51) for runtime in RUNTIMES), ("onnxruntime", depth_anything, 70, 98)],
)  # more networks on OpenVINO: test_other_runtimes_say_the_same
def test_runtimes_agree_with_eager_torch(runtime: str, build: Callable[[], Any], rows: int, columns: int) -> None:
    network = network_of(build, preprocess=None)
    batch = batch_of(2, rows, columns)
    opened = open_runtime(network, ModelConfig(runtime=runtime, device="cpu"), 1)
    got = opened.run(batch)
    assert opened.device == f"{runtime} CPU f32"
    assert got.dtype == np.float32
    assert relative_difference(got, expected_of(build(), batch)) < 1e-4
    assert relative_difference(opened.run(batch[:1]), got[:1]) < 1e-4
    kept = got.copy()
    opened.run(batch_of(2, rows, columns, seed=1))
    np.testing.assert_array_equal(got, kept)
    opened.release_memory()
    np.testing.assert_array_equal(opened.run(batch), kept)


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_a_second_start_builds_nothing(runtime: str) -> None:
    settings = ModelConfig(runtime=runtime, device="cpu")
    first = open_runtime(network_of(), settings, 1).run(batch_of())
    second = open_runtime(network_of(forbidden), settings, 1).run(batch_of())
    np.testing.assert_array_equal(first, second)
    with pytest.raises(AssertionError, match="built again"):
        open_runtime(network_of(forbidden, identity="small-2"), settings, 1)


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_a_broken_conversion_is_made_again(runtime: str, cache: Path) -> None:
    settings = ModelConfig(runtime=runtime, device="cpu")
    first = open_runtime(network_of(), settings, 1).run(batch_of())
    for file in cache.glob("*/model.*"):
        file.write_bytes(file.read_bytes()[:-7])
    np.testing.assert_array_equal(open_runtime(network_of(), settings, 1).run(batch_of()), first)


SECOND_START = """
import sys; sys.modules['torch'] = None
import numpy as np
from pathlib import Path
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.models.runtimes import Network, open_runtime
network = Network("small", "small-1", lambda: 1 / 0, Path("small.safetensors"),
                  preprocess=lambda rgb: np.zeros((1, 3, 48, 64), np.float32))
print(open_runtime(network, ModelConfig(runtime="openvino"), 1).run(np.zeros((1, 3, 48, 64), np.float32)).shape)
"""


def test_a_second_start_on_openvino_needs_no_torch() -> None:
    open_runtime(network_of(), ModelConfig(runtime="openvino"), 1)
    done = subprocess.run(
        [sys.executable, "-c", SECOND_START], capture_output=True, text=True, timeout=DEADLINE_S, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(1, 1, 48, 64)"


def test_an_onnx_export_says_nothing_of_the_machine(cache: Path) -> None:
    open_runtime(network_of(), ModelConfig(runtime="onnxruntime", device="cpu"), 1)
    content = next(cache.glob("*/model.onnx")).read_bytes()
    assert not any(word in content for word in (b"site-packages", b"/home/", b"/root/", b'.py", line', b"test_"))


@pytest.mark.parametrize("precision", ["f16", "bf16"])
def test_torch_in_lower_precision_answers_float32_nearby(precision: str) -> None:
    opened = open_runtime(network_of(), ModelConfig(runtime="torch", device="cpu", precision=precision), 1)
    got = opened.run(batch_of())
    assert opened.device == f"torch CPU {precision}"
    assert got.dtype == np.float32
    assert 0 < relative_difference(got, expected_of(small_module(), batch_of())) < BOUNDS[precision]


@pytest.mark.parametrize("precision", ["f16", "bf16"])
@pytest.mark.parametrize(("build", "side"), [(dpt, 64), (glpn, 64), (depth_anything, 70)])
def test_transformers_run_in_lower_precision(build: Callable[[], Any], side: int, precision: str) -> None:
    network = network_of(build, preprocess=None)
    opened = open_runtime(network, ModelConfig(runtime="torch", device="cpu", precision=precision), 1)
    got = opened.run(batch_of(1, side, side))
    assert got.dtype == np.float32
    expected = expected_of(build(), batch_of(1, side, side))
    assert expected.mean() > 1e-3
    error = np.abs(got - expected).mean() / expected.mean()  # not the largest: random weights forgive less than trained
    assert 0 < error < 3 * BOUNDS[precision]


def test_openvino_in_bf16_answers_float32_nearby_or_says_that_the_cpu_cannot() -> None:
    settings = ModelConfig(runtime="openvino", precision="bf16")
    if not _cpu_has_bf16():
        with pytest.raises(ModelError, match="bf16 needs a CPU with bfloat16"):
            open_runtime(network_of(), settings, 1)
        return
    opened = open_runtime(network_of(), settings, 1)
    assert opened.device == "openvino CPU bf16"
    assert 0 < relative_difference(opened.run(batch_of()), expected_of(small_module(), batch_of())) < BOUNDS["bf16"]


def _cpu_has_bf16() -> bool:
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def write_images(folder: Path, width: int = 640, height: int = 480) -> Path:
    import cv2

    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(6):
        coarse = rng.integers(0, 255, (6, 8, 3), np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
    return folder


def test_int8_is_calibrated_on_the_images_and_kept(tmp_path: Path, cache: Path) -> None:
    pytest.importorskip("nncf")
    folder = write_images(tmp_path / "images")
    settings = ModelConfig(runtime="auto", precision="int8", calibration=str(folder))
    opened = open_runtime(network_of(), settings, 1)
    difference = relative_difference(opened.run(batch_of()), expected_of(small_module(), batch_of()))
    assert opened.device == "openvino CPU int8"
    assert 0 < difference < 0.1
    assert any(b"FakeQuantize" in file.read_bytes() for file in cache.glob("*int8*/model.xml"))
    open_runtime(network_of(forbidden), settings, 1)
    assert len(list(cache.glob("*int8*"))) == 1
    (folder / "5.png").unlink()
    open_runtime(network_of(forbidden), settings, 1)
    assert len(list(cache.glob("*int8*"))) == 2


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "set model.calibration to a folder"),
        ({}, "must name a folder of images .* has none"),
        ({"a.png": b"no image"}, "a.png is not a readable image"),
    ],
)
def test_int8_without_usable_images(tmp_path: Path, files: dict[str, bytes] | None, message: str) -> None:
    pytest.importorskip("nncf")
    for name, content in (files or {}).items():
        (tmp_path / name).write_bytes(content)
    settings = ModelConfig(precision="int8", calibration="" if files is None else str(tmp_path))
    with pytest.raises(ModelError, match=message):
        open_runtime(network_of(), settings, 1)


def test_compiled_torch_agrees() -> None:
    opened = open_runtime(network_of(), ModelConfig(runtime="torch", device="cpu", compile=True), 1)
    assert opened.device == "torch CPU f32 compiled"
    assert relative_difference(opened.run(batch_of()), expected_of(small_module(), batch_of())) < 1e-4


def test_auto_measures_once_and_tells_the_figures(cache: Path) -> None:
    opened = open_runtime(network_of(), ModelConfig(device="cpu"), 1)
    rows = json.loads(next(cache.glob("small-auto-*/decision.json")).read_text())
    assert {row["runtime"] for row in rows} == set(RUNTIMES)
    assert all(row["difference"] < BOUNDS["f32"] for row in rows)
    assert rows == sorted(rows, key=lambda row: float(row["ms"]))
    assert opened.device.startswith(f"{rows[0]['runtime']} CPU f32 (auto, ms: {rows[0]['runtime']} ")
    assert relative_difference(opened.run(batch_of()), expected_of(small_module(), batch_of())) < 1e-4


def test_auto_keeps_its_decision(cache: Path) -> None:
    settings = ModelConfig(device="cpu")
    open_runtime(network_of(), settings, 1)
    before = {path: path.read_bytes() for path in cache.glob("*/decision.json")}
    open_runtime(network_of(), settings, 1)
    assert {path: path.read_bytes() for path in cache.glob("*/decision.json")} == before
    open_runtime(network_of(), settings, 2)
    assert len(list(cache.glob("*/decision.json"))) == 2


def test_auto_leaves_out_what_does_not_agree(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """With a bound of nothing, only torch agrees with itself."""
    caplog.set_level(logging.WARNING)
    monkeypatch.setitem(fastest.BOUNDS, "f32", 0.0)
    opened = open_runtime(network_of(glpn, preprocess=lambda rgb: batch_of(1, 64, 64)), ModelConfig(device="cpu"), 1)
    assert opened.device.startswith("torch CPU f32 (auto, ms: torch ")
    assert "openvino left out" in opened.device
    assert "differs from float32 torch" in caplog.text


@pytest.mark.parametrize(
    ("f16", "bf16", "taken", "told"),
    [
        ((0.005, 0.001), (0.002, 0.03), "bf16", "ms: bf16 2, f16 5, f32 9"),
        ((0.005, 0.001), (0.002, 0.06), "f16", "ms: f16 5, f32 9, bf16 left out"),
        ((0.010, 0.001), (0.020, 0.01), "f32", "ms: f32 9, f16 10, bf16 20"),
        ((0.001, math.nan), (0.001, 1.0), "f32", "ms: f32 9, f16 left out, bf16 left out"),
    ],
)
def test_auto_takes_the_fastest_precision_within_its_bound(
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
    f16: tuple[float, float],
    bf16: tuple[float, float],
    taken: str,
    told: str,
) -> None:
    """As on a GPU, with (seconds, error) of each precision given."""
    clock, opened = [0.0], list[str]()
    monkeypatch.setattr("mono_depth_recon.models.runtimes.fastest.time.perf_counter", lambda: clock[0])
    figures = {"f16": f16, "bf16": bf16, "f32": (0.009, 0.0)}

    class Timed:
        def __init__(self, precision: str) -> None:
            self.device, self.figures = f"GPU {precision}", figures[precision]

        def run(self, batch: Batch) -> Batch:
            clock[0] += self.figures[0]
            return np.full((1, 1, 8, 8), 1 + self.figures[1], np.float32)

        def release_memory(self) -> None:
            pass

    def open_named(_: str, network: Network, settings: ModelConfig, threads: int) -> Timed:
        opened.append(settings.precision)
        return Timed(settings.precision)

    ways = [fastest.Way("torch", precision) for precision in ("f16", "bf16", "f32")]
    for _ in range(2):
        runtime = fastest.fastest(network_of(), ModelConfig(device="cuda"), 1, ways, open_named)
        assert runtime.device == f"GPU {taken} (auto, {told})"
    assert opened == ["f32", "f16", "bf16", "f32", taken, taken], "measured once"


def test_auto_with_torch_alone_measures_nothing(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    for name in ("openvino", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    assert open_runtime(network_of(), ModelConfig(device="cpu"), 1).device == "torch CPU f32"
    assert not cache.exists()


@pytest.mark.parametrize("runtime", ["auto", "openvino", "onnxruntime", "torch"])
def test_without_torch_a_module_names_the_extra(monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelError, match=r"pip install 'mono_depth_recon\[torch\]'"):
        open_runtime(network_of(), ModelConfig(runtime=runtime), 1)


def test_int8_without_nncf_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(ModelError, match=r"int8 needs .* nncf, .* pip install 'mono_depth_recon\[int8\]'"):
        open_runtime(network_of(), ModelConfig(precision="int8"), 1)


def test_a_stochastic_network_runs_on_torch_alone() -> None:
    def build() -> Any:
        return torch.nn.Sequential(small_module(), _AlwaysDropout())

    network = network_of(build, stochastic=True)
    opened = open_runtime(network, ModelConfig(device="cpu"), 1)
    assert opened.device == "torch CPU f32"
    assert (opened.run(batch_of()) != opened.run(batch_of())).any()
    for runtime in ("openvino", "onnxruntime"):
        with pytest.raises(ModelError, match="draws random numbers .* set model.runtime to torch"):
            open_runtime(network, ModelConfig(runtime=runtime), 1)


class _AlwaysDropout(torch.nn.Module):
    def forward(self, depth: Any) -> Any:
        return torch.nn.functional.dropout(depth, 0.5, training=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ModelConfig(runtime="torch", precision="int8"),
            "int8 is not possible on model.runtime torch: .* to openvino, or",
        ),
        (ModelConfig(runtime="onnxruntime", precision="bf16"), "bf16 is not possible .* to torch or openvino, or"),
        (ModelConfig(device="cuda", precision="int8"), "int8 on cuda is not possible"),
        (ModelConfig(device="cuda", runtime="openvino"), "openvino runs on the CPU: set model.device to cpu"),
        (ModelConfig(runtime="onnxruntime", precision="f16"), "f16 is not possible on model.runtime onnxruntime"),
    ],
)
def test_what_no_runtime_can_do(settings: ModelConfig, message: str) -> None:
    pytest.importorskip("nncf")
    with pytest.raises(ModelError, match=message):
        open_runtime(network_of(), settings, 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA GPU is here")
@pytest.mark.parametrize("runtime", ["auto", "torch", "onnxruntime"])
def test_cuda_that_is_not_there(runtime: str) -> None:
    with pytest.raises(ModelError, match=r"model.device cuda: .* or set model.device to cpu"):
        open_runtime(network_of(), ModelConfig(runtime=runtime, device="cuda"), 1)


def test_a_module_that_cannot_be_converted_is_one_line() -> None:
    class Odd(torch.nn.Module):
        def forward(self, image: Any) -> Any:
            return torch.linalg.eigvals(image[..., :3, :3]).real.mean() + image[:, :1]

    root = logging.getLogger()
    before = root.level, list(root.handlers)
    for runtime in ("openvino", "onnxruntime"):
        with pytest.raises(ModelError, match=r"set model.runtime to torch") as raised:
            open_runtime(network_of(Odd), ModelConfig(runtime=runtime, device="cpu"), 1)
        assert "\n" not in str(raised.value)
        assert (root.level, root.handlers) == before  # later messages are not lost

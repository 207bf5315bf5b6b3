"""Torch on a GPU; without one, what its errors say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mono_depth_recon.config import ModelConfig
from mono_depth_recon.errors import ModelError
from mono_depth_recon.models.runtimes import BOUNDS, Batch, Network, cuda_runtime, open_runtime, relative_difference
from mono_depth_recon.models.runtimes.cuda_runtime import CudaRuntime

torch = pytest.importorskip("torch")
HAS_GPU = torch.cuda.is_available()
needs_gpu = pytest.mark.skipif(not HAS_GPU, reason="no CUDA GPU here")


def small_module() -> Any:
    """Convolutions, normalisation and a positive depth."""
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 32, 3, padding=1),
        torch.nn.BatchNorm2d(32),
        torch.nn.ReLU(),
        torch.nn.Conv2d(32, 1, 3, padding=1),
        torch.nn.Softplus(),
    ).eval()


def network_of(build: Callable[[], Any] = small_module) -> Network:
    return Network("small", "small-1", build, Path("small.safetensors"), preprocess=lambda rgb: batch_of())


def batch_of(count: int = 1, rows: int = 48, columns: int = 64, seed: int = 0) -> Batch:
    return np.random.default_rng(seed).random((count, 3, rows, columns), np.float32)


def expected_of(batch: Batch) -> Batch:
    with torch.inference_mode():
        out: Batch = small_module()(torch.from_numpy(batch)).numpy()
    return out


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("precision", ["f32", "f16", "bf16"])
def test_agrees_with_the_cpu_at_every_shape(precision: str, graphs: bool) -> None:
    runtime = open_runtime(
        network_of(), ModelConfig(runtime="torch", device="cuda", precision=precision, cuda_graphs=graphs)
    )
    for shape in ((1, 48, 64), (2, 48, 64), (1, 37, 51), (1, 48, 64)):
        batch = batch_of(*shape)
        got = runtime.run(batch)
        assert got.dtype == np.float32
        assert relative_difference(got, expected_of(batch)) < max(BOUNDS[precision], 2e-3)  # TF32 in convolutions
        kept = got.copy()
        runtime.run(batch_of(*shape, seed=1))
        np.testing.assert_array_equal(got, kept)
    runtime.release_memory()
    assert relative_difference(runtime.run(batch_of()), expected_of(batch_of())) < max(BOUNDS[precision], 2e-3)


@pytest.mark.gpu
@needs_gpu
def test_auto_takes_the_gpu_in_f16_with_graphs() -> None:
    device = open_runtime(network_of(), ModelConfig()).device
    assert device.startswith("torch ")
    assert device.endswith("f16 graphs")


@pytest.mark.gpu
@needs_gpu
def test_waits_for_the_gpu_once() -> None:
    """Torch's own guard raises at every synchronisation that an operation makes on its own."""
    runtime = open_runtime(network_of(), ModelConfig(runtime="torch", device="cuda", cuda_graphs=False))
    runtime.run(batch_of())
    torch.cuda.set_sync_debug_mode("error")
    try:
        runtime.run(batch_of())
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@needs_gpu
def test_an_operation_that_waits_cannot_be_recorded() -> None:
    class Waits(torch.nn.Module):
        def forward(self, image: Any) -> Any:
            return image[:, :1] * image.mean().item()

    with pytest.raises(ModelError, match="cannot be recorded as a CUDA graph .* set model.cuda_graphs to false"):
        open_runtime(network_of(Waits), ModelConfig(runtime="torch", device="cuda"))


@pytest.mark.gpu
@needs_gpu
def test_too_large_a_batch_says_how_much_is_missing() -> None:
    runtime = open_runtime(network_of(), ModelConfig(runtime="torch", device="cuda", precision="f32"))
    free, _ = torch.cuda.mem_get_info()
    filler = torch.empty(free - 2**30, dtype=torch.uint8, device="cuda")  # 1 GiB is left
    with pytest.raises(ModelError, match=r"does not fit into the GPU: at least .* GiB are missing .*; model.precision"):
        runtime.run(batch_of(1, 2560, 2560))  # 0.84 GB per layer of 32 channels
    assert relative_difference(runtime.run(batch_of()), expected_of(batch_of())) < 2e-3  # the trials changed nothing
    del filler
    torch.cuda.empty_cache()


OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 3.50 GiB. GPU 0 has a total capacity of 7.79 GiB of which "
    "512.00 MiB is free. Process 1 has 1.00 GiB memory in use."
)


class _StandIn(CudaRuntime):
    """The runtime without a GPU: opening a shape fails as torch does on a small one."""

    def __init__(self, precision: str) -> None:
        self._network, self._precision, self._slots = network_of(), precision, {}
        self._module = small_module()

    def _opened(self, shape: tuple[int, ...]) -> Any:
        raise torch.cuda.OutOfMemoryError(OUT_OF_MEMORY)


@pytest.mark.parametrize(
    ("precision", "fitting", "advice"),
    [
        ("f32", [(1, 3, 518, 686)], "model.precision f16 fits"),
        ("f32", [(1, 3, 224, 224)], "model.precision f16 with model.input_size 224 fits"),
        ("f16", [(1, 3, 518, 686), (1, 3, 224, 224)], "model.precision f16 with model.input_size 224 fits"),
        ("bf16", [(1, 3, 224, 224)], "model.precision f16 with model.input_size 224 fits"),
        ("f16", [], "choose a smaller model, or set model.device to cpu"),
    ],
)
def test_what_is_missing_and_what_fits(
    monkeypatch: pytest.MonkeyPatch, precision: str, fitting: list[tuple[int, ...]], advice: str
) -> None:
    monkeypatch.setattr(cuda_runtime, "_fits", lambda module, shape: shape in fitting)
    with pytest.raises(ModelError) as raised:
        _StandIn(precision).run(batch_of(1, 518, 686))
    assert str(raised.value) == (
        f"small on batches of shape (1, 3, 518, 686) in {precision} does not fit into the "
        f"GPU: at least 3.00 GiB are missing (0.50 GiB are free); {advice}"
    )


def test_a_driver_without_torch_for_cuda_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_runtime, "cuda_is_usable", lambda: False)
    with pytest.raises(ModelError, match=r"torch finds no CUDA GPU here: install the driver and a torch with CUDA"):
        open_runtime(network_of(), ModelConfig(device="cuda"))

"""Torch on a GPU; without one, what its errors say."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from processes import ROOT

from mono_depth_recon.config import ModelConfig
from mono_depth_recon.errors import ModelError
from mono_depth_recon.models.runtimes import (
    BOUNDS,
    Batch,
    Network,
    cuda_runtime,
    open_runtime,
    opening,
    relative_difference,
)
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
def test_auto_takes_the_gpu_in_the_fastest_precision_with_graphs() -> None:
    opened = open_runtime(network_of(), ModelConfig())
    found = re.fullmatch(r"torch .* (f16|bf16|f32) graphs \(auto, ms: (f16|bf16|f32) [\d.]+, .*\)", opened.device)
    assert found and found[1] == found[2], opened.device
    assert relative_difference(opened.run(batch_of()), expected_of(batch_of())) < BOUNDS[found[1]] + 2e-3


@contextlib.contextmanager
def counted_waits() -> Iterator[list[str]]:
    """The names of the explicit waits of this process, while torch's own guard raises at any wait beside them.

    Whether the guard also counts explicit waits depends on torch's version, so it is off during these alone.
    """
    called: list[str] = []

    def counted(name: str, wait: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            called.append(name)
            torch.cuda.set_sync_debug_mode("default")
            try:
                return wait(*arguments)
            finally:
                torch.cuda.set_sync_debug_mode("error")

        return call

    with pytest.MonkeyPatch.context() as patched:
        for owner in (torch.cuda.Stream, torch.cuda.Event, torch.cuda):
            patched.setattr(owner, "synchronize", counted(owner.__name__, owner.synchronize))
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield called
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("graphs", [True, False])
def test_waits_for_the_gpu_once(graphs: bool) -> None:
    runtime = open_runtime(network_of(), ModelConfig(runtime="torch", device="cuda", cuda_graphs=graphs))
    runtime.run(batch_of())
    with counted_waits() as waits:
        runtime.run(batch_of())
    assert waits == ["Stream"]


WAITING = """
from pathlib import Path
import torch
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.errors import ModelError
from mono_depth_recon.models.runtimes import Network, open_runtime

class Waits(torch.nn.Module):
    def forward(self, image):
        return image[:, :1] * image.mean().item()

try:
    runtime = open_runtime(Network("waits", "waits", Waits, Path("none")), ModelConfig(runtime="torch", device="cuda"))
    runtime.run(torch.zeros(1, 3, 32, 32).numpy())
except ModelError as error:
    print(error)
"""


@pytest.mark.gpu
@needs_gpu
def test_an_operation_that_waits_cannot_be_recorded() -> None:
    """In a process of its own: torch frees no memory any more where a recording failed."""
    run = subprocess.run([sys.executable, "-c", WAITING], cwd=ROOT, capture_output=True, text=True, check=False)
    assert re.search("cannot be recorded as a CUDA graph .* set model.cuda_graphs to false", run.stdout), run.stderr


class Large(torch.nn.Module):
    """Its one large allocation: `numbers` per pixel, and `fixed` ones, each of the type that matrices have."""

    def __init__(self, numbers: int, fixed: int) -> None:
        super().__init__()
        self.numbers, self.fixed = numbers, fixed

    def forward(self, image: Any) -> Any:
        one = image[0, 0, :1, :1]
        count = self.fixed + self.numbers * image[:, 0].numel()
        held = torch.empty(count, dtype=(one @ one).dtype, device=image.device)  # float16 under autocast
        return image[:, :1] * 2 + held[:1].zero_()


def large_network(numbers: int, fixed: int = 0) -> Network:
    return network_of(lambda: Large(numbers, fixed).eval())


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize(
    ("numbers", "fixed", "wanted", "advice"),
    [  # of 4 GiB; the other sizes are 3 GiB or less where they fit, and 5 GiB or more where they do not
        (1.5, 0.0, 6.0, "model.precision f16 fits"),
        (3.0, 0.0, 12.0, "model.precision f16 with model.input_size 224 fits"),
        (0.0, 3.0, 12.0, "choose a smaller model, or set model.device to cpu"),
    ],
)
def test_too_large_a_batch_says_how_much_is_missing(numbers: float, fixed: float, wanted: float, advice: str) -> None:
    """One allocation decides, larger than the rest by far; `numbers` and `fixed` in 2^30 numbers of the batch."""
    side, gib = 640, 2**30
    settings = ModelConfig(runtime="torch", device="cuda", precision="f32", cuda_graphs=False)
    runtime = open_runtime(large_network(round(numbers * gib / side**2)), settings)
    runtime.release_memory()
    free, _ = torch.cuda.mem_get_info()
    if free < 5 * gib:
        pytest.skip(f"needs 5 GiB of free memory on the GPU, {free / gib:.1f} GiB are free")
    filler = torch.empty(free - 4 * gib, dtype=torch.uint8, device="cuda")
    runtime._module.fixed = round(fixed * gib)  # from here on: the first run, at opening, must fit
    with pytest.raises(ModelError) as raised:
        runtime.run(batch_of(1, side, side))
    found = re.search(r"at least ([\d.]+) GiB are missing \(([\d.]+) GiB are free\); (.*)$", str(raised.value))
    assert found is not None, raised.value
    assert float(found[1]) + float(found[2]) == pytest.approx(wanted, abs=0.03)
    assert 3 < float(found[2]) <= 4 and found[3] == advice
    runtime._module.fixed = 0
    np.testing.assert_array_equal(runtime.run(batch_of()), 2 * batch_of()[:, :1])  # the trials changed nothing
    del filler
    torch.cuda.empty_cache()


def test_the_large_module_allocates_as_the_table_of_sizes_says() -> None:
    """On the CPU, in small: 4 bytes a number in float32 and 2 under autocast, linear in the pixels."""
    sizes = []
    for side, enabled in ((64, False), (64, True), (32, True)):
        with (
            torch.autocast("cpu", torch.bfloat16, enabled=enabled),
            torch.profiler.profile(profile_memory=True) as profile,
        ):
            Large(1000, 5000)(torch.zeros(1, 3, side, side))
        sizes.append(max(event.cpu_memory_usage for event in profile.events() if event.name == "aten::empty"))
    assert sizes == [4 * (5000 + 1000 * 64**2), 2 * (5000 + 1000 * 64**2), 2 * (5000 + 1000 * 32**2)]


def test_buffers_and_results_without_a_gpu() -> None:
    """In and out on CPU tensors: what is wanted of the results, for values that change; kernels are tried at first."""
    tried = []

    def forward(first: Any, second: Any) -> tuple[Any, Any]:
        tried.append(torch.backends.cudnn.benchmark)
        return first + second, first.float().mean()[None]

    images, shift = np.full((1, 4, 5, 3), 7, np.uint8), np.ones((1, 1), np.uint8)
    images.flags.writeable = False  # as images in messages are
    before, stream = torch.backends.cudnn.benchmark, SimpleNamespace(synchronize=lambda: None)
    slot = cuda_runtime._Slot(forward, [images, shift], stream, graph=False, device="cpu")
    assert tried == [True] * 3 and torch.backends.cudnn.benchmark == before
    slot.run([images, shift], 1)
    total, mean = slot.results
    assert total.dtype == np.uint8 and (total == 8).all() and tried[3:] == [before]
    slot.run([np.full_like(images, 3), shift + 1], 2, keep=True)
    assert (total == 5).all() and mean.tolist() == [3] and slot.kept is not None
    image, kept = slot.kept
    slot.run([images, shift], 2)
    assert (image.numpy() == 3).all() and kept.tolist() == [3] and mean.tolist() == [7], "in memory of their own"
    slot = cuda_runtime._Slot(forward, [image, shift], stream, graph=False, device="cpu")
    slot.run([image, shift], 1)
    assert (slot.results[0] == 4).all(), "tensors of the device as values"


OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 3.50 GiB. GPU 0 has a total capacity of 7.79 GiB of which "
    "512.00 MiB is free. Process 1 has 1.00 GiB memory in use."
)


class _StandIn(CudaRuntime):
    """The runtime without a GPU: opening a shape fails as torch does on a small one."""

    def __init__(self, precision: str) -> None:
        self._network, self._precision, self._slots = network_of(), precision, {}
        self._module = self._forward = small_module()

    def _opened(self, forward: Any, like: Any) -> Any:
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


OLD_DRIVER = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading "
    "and installing a new version."
)


@pytest.fixture(params=["an old driver", "no CUDA", "no GPU"])
def no_cuda(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A torch that can use no GPU, as torch does it; what is to be said of it."""

    def available() -> bool:
        warnings.warn(OLD_DRIVER, stacklevel=2)
        return False

    def init() -> None:
        if request.param == "an old driver":
            raise RuntimeError(OLD_DRIVER)
        if request.param == "no CUDA":
            raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr("torch.cuda.is_available", available)
    monkeypatch.setattr("torch.cuda.init", init)
    return {
        "an old driver": "(The NVIDIA driver on your system is too old (found version 11040))",
        "no CUDA": "(Torch not compiled with CUDA enabled)",
        "no GPU": "(it finds none)",
    }[request.param]


@pytest.mark.filterwarnings("error")
def test_a_gpu_that_torch_cannot_use_is_refused_with_the_reason(no_cuda: str) -> None:
    with pytest.raises(ModelError, match=re.escape(f"torch can use no GPU here {no_cuda}: install a driver")):
        open_runtime(network_of(), ModelConfig(device="cuda"))


@pytest.mark.filterwarnings("error")
def test_by_auto_the_cpu_is_used_and_the_reason_is_told(
    no_cuda: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(opening, "driver_sees_gpu", lambda: True)
    assert open_runtime(network_of(), ModelConfig(runtime="torch")).device == "torch CPU f32"
    (said,) = caplog.messages
    assert no_cuda in said and "so the CPU is used" in said

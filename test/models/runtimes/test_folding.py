"""Batch norms and standardised weights are computed once, and nothing else changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shrunken import build_shrunken

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from mono_depth_recon.config import ModelConfig  # noqa: E402
from mono_depth_recon.models.runtimes.base import Network  # noqa: E402
from mono_depth_recon.models.runtimes.folding import fold, standardise  # noqa: E402
from mono_depth_recon.models.runtimes.torch_runtime import TorchRuntime  # noqa: E402
from mono_depth_recon.models.table import CHECKPOINTS  # noqa: E402


class Counted(TorchDispatchMode):
    """Counts the operations of torch by name."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def run(module: nn.Module, image: Any) -> tuple[Any, int]:
    """The output, and how many batch norms it took."""
    with torch.inference_mode(), Counted() as counted:
        output = module(image)
    return output, sum(count for name, count in counted.calls.items() if "batch_norm" in name)


def with_statistics(module: nn.Module) -> nn.Module:
    """In eval mode, every batch norm with numbers of its own."""
    torch.manual_seed(1)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values in (part.weight, part.bias, part.running_mean, part.running_var):
                nn.init.uniform_(values, 0.5, 1.5)
    return module.eval()


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


def unetpp(encoder: str, **others: Any) -> nn.Module:
    smp = pytest.importorskip("segmentation_models_pytorch")
    module: nn.Module = smp.UnetPlusPlus(encoder, encoder_weights=None, decoder_channels=(32, 16, 16, 16, 16), **others)
    return with_statistics(module)


@pytest.mark.parametrize(
    ("encoder", "left"),
    [
        ("tu-tf_efficientnet_lite0", 0),
        ("resnet18", 0),
        ("mobilenet_v2", 0),
        ("tu-resnetv2_50", 16),  # each of its blocks begins with one, of a sum
    ],
)
def test_a_unetpp_keeps_its_output_and_loses_its_batch_norms(encoder: str, left: int) -> None:
    module = unetpp(encoder, decoder_attention_type="scse").double()
    image = torch.rand(2, 3, 64, 96, dtype=torch.float64)
    expected, before = run(module, image)
    fold(module, (1, 3, 64, 64))
    output, after = run(module, image)
    assert (after, before > 30) == (left, True)
    torch.testing.assert_close(output, expected, rtol=1e-7, atol=1e-9 * float(expected.abs().max()))


class Doubled(nn.BatchNorm2d):
    """Does more than a batch norm."""

    def forward(self, features: Any) -> Any:
        return 2 * super().forward(features)


class Block(nn.Module):
    """A convolution and a batch norm, and something that forbids to join them."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.conv, self.norm, self.kind = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), kind
        self.stored = torch.ones(1)
        if kind == "two names":
            self.also = nn.ModuleList([self.conv, self.norm])
        if kind == "one of its own":
            self.norm = Doubled(3)

    def forward(self, image: Any) -> Any:
        features = self.conv(image)
        if self.kind == "taken twice":
            return self.norm(features) + features
        if self.kind == "convolved twice":
            return self.norm(self.conv(features))
        if self.kind == "normalised twice":
            return self.norm(self.norm(features))
        if self.kind == "something between":
            return self.norm(features.relu())
        if self.kind == "asks for a number":
            return self.norm(features) if float(features.detach().mean()) < 9 else features
        if self.kind == "keeps its input":
            self.stored = image
        return self.norm(features) * self.stored.mean()


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("nothing", 0),
        ("taken twice", 1),
        ("convolved twice", 1),
        ("normalised twice", 2),
        ("something between", 1),
        ("asks for a number", 1),
        ("two names", 0),
        ("one of its own", 1),
        ("keeps its input", 0),
    ],
)
def test_only_what_belongs_to_one_convolution_is_folded(kind: str, left: int) -> None:
    module, image = with_statistics(Block(kind)), torch.rand(1, 3, 8, 8)
    expected, _ = run(module, image)
    fold(module, image.shape)
    output, after = run(module, image)
    assert after == left
    torch.testing.assert_close(output, expected)


def test_batch_norms_that_follow_their_batch_stay() -> None:
    module, image = Block("nothing"), torch.rand(4, 3, 8, 8)
    module.norm = nn.BatchNorm2d(3, track_running_stats=False)
    expected, _ = run(module.eval(), image)
    fold(module, image.shape)
    output, after = run(module, image)
    assert after == 1
    torch.testing.assert_close(output, expected)


def test_the_standardised_convolutions_of_dpt_hybrid_keep_their_weights() -> None:
    pytest.importorskip("transformers")
    module = build_shrunken(CHECKPOINTS["midas_dpt_hybrid"]).double().to(memory_format=torch.channels_last)
    image = torch.rand(1, 3, 384, 384, dtype=torch.float64)
    expected, before = run(lambda pixels: module(pixels).predicted_depth, image)
    standardise(module)
    output, after = run(lambda pixels: module(pixels).predicted_depth, image)
    assert (before > 5, after) == (True, 0)
    torch.testing.assert_close(output, expected, rtol=1e-7, atol=1e-9)
    assert all(part.weight.is_contiguous(memory_format=torch.channels_last) for part in convolutions(module))


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_the_runtime_folds_in_float32(precision: str, tmp_path: Path) -> None:
    """And stores all kernels in its precision: no weights are converted while it runs."""
    module = unetpp("tu-tf_efficientnet_lite0")
    build: Callable[[], nn.Module] = lambda: module  # noqa: E731
    batch = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    network = Network("small", "1", build, tmp_path, preprocess=lambda _: batch, foldable=True)
    expected, _ = run(module, torch.from_numpy(batch))
    runtime = TorchRuntime(network, ModelConfig(runtime="torch", precision=precision))
    with Counted() as counted:
        output = runtime.run(batch)
    assert bool([name for name in counted.calls if "batch_norm" in name]) == (precision == "bf16")
    assert all(part.weight.is_contiguous(memory_format=torch.channels_last) for part in convolutions(module))
    kinds = {part.weight.dtype for part in convolutions(module)}
    assert kinds == {torch.float32 if precision == "f32" else torch.bfloat16}
    apart, size = np.abs(output - expected.numpy()).mean(), float(expected.abs().mean())
    assert apart < size * (1e-5 if precision == "f32" else 0.15)

"""Images to a network and back as torch operations, against what the CPU does with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from shrunken import processor_of, settings_of

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.models import load_model
from mono_depth_recon.models.canonical import CardPreparation
from mono_depth_recon.models.card import load_card
from mono_depth_recon.models.resampling import antialiased, antialiased_matrices
from mono_depth_recon.models.runtimes.cuda_runtime import why_no_cuda
from mono_depth_recon.models.runtimes.image_way import ImageWay
from mono_depth_recon.models.runtimes.images import Preparation
from mono_depth_recon.models.table import CHECKPOINTS

torch = pytest.importorskip("torch")
EMBEDDED = Path(__file__).parents[3] / "mono_depth_recon/models/embedded"
NETWORKS = ("midas_dpt_hybrid", "depth_anything_v2_small", "glpn_nyu", "zoedepth_nyu", "depth_pro")
SIZES = ((240, 180), (96, 128), (320, 180), (61, 47))


def preparation(name: str) -> Preparation:
    if name.startswith("unetpp"):
        return CardPreparation(load_card(EMBEDDED / f"{name}.json"))
    row = CHECKPOINTS[name]
    return row.family.rule.read(processor_of(name), name)


def picture(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Shapes and noise, so that kernels overshoot."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    image[height // 3 :, width // 4 : width // 2] = (250, 3, 120)
    image[: height // 2, -width // 3 :] //= 3
    return image


def device_images(way: ImageWay, forward: Callable[[Any], Any] = lambda x: x) -> Any:
    from mono_depth_recon.models.runtimes.device_images import DeviceImages

    return DeviceImages(way, forward, "cpu")


@pytest.mark.parametrize("kernel", ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"])
@pytest.mark.parametrize("size", [(96, 64), (20, 11), (106, 9), (20, 60), (53, 37), (1, 1)])
def test_every_kernel_as_matrices_is_pillows(kernel: Any, size: tuple[int, int]) -> None:
    from mono_depth_recon.models.runtimes.device_images import Resampling

    rgb = picture(53, 37)
    made = Resampling(antialiased_matrices((53, 37), size, kernel), "cpu")(
        torch.from_numpy(rgb).permute(2, 0, 1).float()
    )
    expected = antialiased(rgb, size, kernel).astype(np.float32)
    difference = np.abs(made.permute(1, 2, 0).numpy() - expected)
    assert difference.max() <= 1 and difference.mean() < 0.01


@pytest.mark.parametrize("name", [*NETWORKS, "unetpp_lite"])
@pytest.mark.parametrize("size", SIZES)
def test_the_network_sees_the_same_within_a_grey_level(name: str, size: tuple[int, int]) -> None:
    rule = preparation(name)
    images = [picture(*size), picture(*size, seed=1)]
    way = rule.way(*size)
    made = device_images(way).prepared(torch.from_numpy(np.stack(images))).numpy()
    expected = np.stack([rule.blob(rgb, rule.network_size(*size)) for rgb in images])
    assert made.shape == expected.shape and made.dtype == np.float32
    levels = np.abs(made - expected) / np.reshape(way.gain, (3, 1, 1))
    assert levels.max() < 1.01 and levels.mean() < 0.15, "OpenCV's weights have 11 bits where it enlarges"


@pytest.mark.parametrize("name", [*NETWORKS, "unetpp_lite"])
@pytest.mark.parametrize("unknown", [0.0, 0.2])
def test_maps_come_back_the_same(name: str, unknown: float) -> None:
    rule, rng = preparation(name), np.random.default_rng(2)
    maps = rng.uniform(0.5, 9, (2, 2, 36, 48)).astype(np.float32)
    maps[0][rng.random((2, 36, 48)) < unknown] = np.nan
    maps[1, 0, 3:5, 7] = np.inf if unknown else 5.0
    for size in SIZES:
        made = device_images(rule.way(*size)).restored(torch.from_numpy(maps)).numpy()
        expected = np.stack([[rule.restored(each, *size) for each in both] for both in maps])
        np.testing.assert_array_equal(np.isnan(made), np.isnan(expected))
        np.testing.assert_allclose(made, expected, rtol=2e-4)
        assert bool(np.isnan(made).any()) == bool(unknown)


def _settings(name: str, folder_of: Callable[[str], Path]) -> ModelConfig:
    if name in CHECKPOINTS:
        return settings_of(name, folder_of(name))
    return ModelConfig(name=name, runtime="torch", precision="f32")


class _OnDevice:
    """A CPU runtime that takes images as one on a GPU does."""

    def __init__(self, runtime: Any) -> None:
        self._runtime, self.device, self.batches = runtime, runtime.device, list[int]()

    def run(self, batch: Any) -> Any:
        raise AssertionError("images are resampled on the device")

    def run_images(self, images: NDArray[np.uint8], way: ImageWay) -> Any:
        self.batches.append(len(images))
        made = device_images(way, lambda batch: torch.from_numpy(self._runtime.run(batch.numpy())))
        return made(torch.from_numpy(images)).numpy()


@pytest.mark.parametrize("name", ["depth_anything_v2_small", "glpn_nyu", "unetpp_mobile"])
def test_predictions_on_a_device_are_those_of_the_cpu(folder_of: Callable[[str], Path], name: str) -> None:
    settings = (
        ModelConfig(name=name, runtime="torch") if name not in CHECKPOINTS else settings_of(name, folder_of(name))
    )
    model: Any = load_model(settings, 2)
    views = [
        (picture(*size, seed), PinholeCamera.from_hfov(*size, 60)) for seed, size in enumerate(SIZES[1:] + SIZES[1:2])
    ]
    expected = model.predict(views)
    model.runtime = device = _OnDevice(model.runtime)
    made = model.predict(views)
    assert device.batches == [2, 1, 1], "images of one size run as one batch"
    for got, want in zip(made, expected, strict=True):
        assert got.values.shape == want.values.shape and got.values.dtype == np.float32
        spread = np.percentile(want.values, 95) - np.percentile(want.values, 5)
        assert np.abs(got.values - want.values).mean() < 0.02 * spread, "a grey level in a few pixels of the input"
        assert (got.intrinsics is None) == (want.intrinsics is None)


@pytest.mark.gpu
@pytest.mark.skipif(bool(why_no_cuda()), reason="no CUDA GPU here")
@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("name", [*NETWORKS, "unetpp_lite"])
def test_a_gpu_predicts_what_the_cpu_does(folder_of: Callable[[str], Path], name: str, graphs: bool) -> None:
    settings = replace(_settings(name, folder_of), cuda_graphs=graphs)
    on_cpu, on_gpu = (load_model(replace(settings, device=device), 2) for device in ("cpu", "cuda"))
    for seed, size in enumerate((*SIZES[1:3], SIZES[1])):
        view = picture(*size, seed), PinholeCamera.from_hfov(*size, 60)
        want, got = (model.predict([view])[0].values for model in (on_cpu, on_gpu))
        spread = np.percentile(want, 95) - np.percentile(want, 5)
        assert np.abs(got - want).mean() < 0.02 * spread

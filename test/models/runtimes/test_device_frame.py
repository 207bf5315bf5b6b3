"""A whole frame as torch operations, on CPU tensors, against the filters and the back-projection of the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_models import picture, pinhole, write_mask
from numpy.typing import NDArray
from shrunken import settings_of

from mono_depth_recon.bands import Bands
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.back_projection import back_project
from mono_depth_recon.config import Config, ModelConfig, with_values
from mono_depth_recon.errors import ModelError
from mono_depth_recon.filters import filter_frame
from mono_depth_recon.frames import Finish, Frame, Prediction
from mono_depth_recon.models import load_model
from mono_depth_recon.models.base import FinishedView, View, finishes
from mono_depth_recon.models.ensemble import Ensemble
from mono_depth_recon.models.recovering import RecoveringModel
from mono_depth_recon.models.runtimes import cuda_runtime
from mono_depth_recon.models.runtimes.cuda_runtime import CudaRuntime, cuda_is_usable
from mono_depth_recon.models.runtimes.image_way import Metres
from mono_depth_recon.models.shared import SharedModel
from mono_depth_recon.models.uncertainty import FlipModel
from mono_depth_recon.pipeline import DepthReconstructor, Wanted

torch = pytest.importorskip("torch")
CAMERA = PinholeCamera.from_intrinsics(61, 47, 50, 52, 29.5, 24)
METRIC = "depth_anything_v2_metric_indoor_small"


class Unfinished:
    """The model, whose runtime finishes frames, without that."""

    def __init__(self, model: Any) -> None:
        self.name, self.output, self.device = model.name, model.output, model.device
        self.predict, self.release_memory = model.predict, model.release_memory


class Noted(CudaRuntime):
    """The runtime of GPUs on CPU tensors: all but graphs, pinned memory and streams. Counts whole frames."""

    _on = "cpu"

    def __init__(self, runtime: Any) -> None:
        self.device, self.frames = runtime.device, 0
        self._precision, self._slots = "f32", {}
        self._forward = lambda batch: torch.from_numpy(runtime.run(batch.numpy()))

    def _opened(self, forward: Any, like: Sequence[NDArray[Any]]) -> Any:
        stream = SimpleNamespace(synchronize=lambda: None)
        return cuda_runtime._Slot(forward, like, stream, graph=False, device="cpu")

    def run_frame(self, *arguments: Any) -> Any:
        self.frames += 1
        return super().run_frame(*arguments)


def scene(seed: int) -> NDArray[np.float32]:
    """Steps, slopes, and everything that is no depth."""
    rng = np.random.default_rng(seed)
    depth = np.linspace(0.05, 14, 61 * 47, dtype=np.float32).reshape(47, 61)
    depth[10:30, 20:35] = 2.5
    depth += rng.normal(0, 0.01, depth.shape).astype(np.float32)
    depth.ravel()[rng.choice(depth.size, 12, replace=False)] = [0, np.nan, np.inf, -np.inf, -1, 1e-30] * 2
    return depth


@pytest.mark.parametrize("values", [{}, {"border": 3}, {"edge_threshold": 0.0}, {"border": 40, "max_range": 3.0}])
@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("masked", [False, True])
def test_filters_and_cloud_are_those_of_the_cpu_to_the_bit(values: dict[str, Any], stride: int, masked: bool) -> None:
    from mono_depth_recon.models.runtimes.device_frame import DeviceFrame, FrameInputs

    settings = with_values(Config(), {f"filter.{name}": value for name, value in values.items()}).filter
    rgb = np.random.default_rng(3).integers(0, 256, (47, 61, 3), np.uint8)
    unknown = np.random.default_rng(4).random((47, 61)) < 0.2 if masked else None
    expected = scene(5) * np.float32(1.7)
    filter_frame(expected, None, None, unknown, None, settings, Bands())
    finish = Finish(settings, unknown, stride=stride)
    inputs = FrameInputs.of(CAMERA, finish, Metres(1.7))
    frame = DeviceFrame(lambda images: torch.from_numpy(scene(5))[None, None], stride)
    least, depth, points = frame(torch.from_numpy(rgb[None]), *(torch.from_numpy(each) for each in inputs))
    assert np.isnan(least.numpy()).all(), "as any value is"
    np.testing.assert_array_equal(depth.numpy(), expected)
    cloud = back_project(expected, CAMERA, rgb, stride)
    np.testing.assert_array_equal(points.numpy().view(np.uint32)[..., 3], cloud.view(np.uint32)[..., 3])
    np.testing.assert_array_equal(points.numpy()[..., :3], cloud[..., :3])
    assert np.isfinite(expected).any() == (values.get("border") != 40) and np.isnan(expected).any()


def loaded(name: str, folder_of: Callable[[str], Path]) -> Any:
    """The model and its runtime, which takes images and frames."""
    settings = ModelConfig(name=name, runtime="torch", precision="f32")
    model: Any = load_model(settings if name.startswith("unetpp") else settings_of(name, folder_of(name)), 2)
    model.runtime = Noted(model.runtime)
    return model


def config_of(**values: Any) -> Config:
    """Random weights see farther than a room, and edges everywhere."""
    return with_values(Config(), {"filter.max_range": 50.0, "filter.edge_threshold": 0.4, **values})


def compare(got: Frame, expected: Frame) -> None:
    """Both frames to the bit: the same operations run on both."""
    assert got.depth is not None and expected.depth is not None
    np.testing.assert_array_equal(got.depth, expected.depth)
    assert got.points is not None and expected.points is not None and got.points.shape == expected.points.shape
    np.testing.assert_array_equal(got.points.view(np.uint32), expected.points.view(np.uint32))


@pytest.mark.parametrize("name", ["unetpp_mobile", METRIC])
def test_a_frame_of_a_device_is_that_of_the_cpu(folder_of: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    """Through the node's wrappers, with a mask, and into the buffer that is given; another range needs no new graph."""
    camera, model = pinhole(), loaded(name, folder_of)
    config = config_of(**{"camera.mask": write_mask(tmp_path / "body.png", camera)})
    shared = SharedModel(RecoveringModel(lambda: model, lambda text: None), 1)
    own, plain = DepthReconstructor(shared, config), DepthReconstructor(Unfinished(model), config)
    for far in (50.0, 8.0):
        now = with_values(config, {"filter.max_range": far})
        out = np.empty((240, 320, 4), np.float32)
        got = own.process(picture(camera), camera, out=out, config=now)
        compare(got, plain.process(picture(camera), camera, config=now))
        assert got.points is out and np.isfinite(out[..., 2]).any() >= (far == 50)
    assert model.runtime.frames == 2 and len(model.runtime._slots) == 2, "one for frames, one for maps alone"
    frame = own.process(picture(camera), camera, Wanted(points=False))
    assert frame.points is None and frame.depth is not None


def test_what_a_device_cannot_do_is_done_here(folder_of: Callable[[str], Path]) -> None:
    camera, model = pinhole(), loaded("unetpp_mobile", folder_of)
    model.runtime._forward = lambda batch: 2 + batch.mean(1, keepdim=True).abs()
    for values, frames in (
        ({"cloud.stride": 2}, 2),
        ({"cloud.voxel_size": 0.1}, 2),
        ({"guard.smoothing": 0.5}, 2),
        ({"cloud.sigma": True}, 0),
        ({"scale.source": "fixed", "scale.scale": 1.5, "scale.correct_metric": "factor"}, 0),
    ):
        model.runtime.frames = 0
        config = config_of(**values)
        own, plain = DepthReconstructor(model, config), DepthReconstructor(Unfinished(model), config)
        for stamp in (1.0, 1.1):
            got, expected = (each.process(picture(camera), camera, stamp=stamp) for each in (own, plain))
            compare(got, expected)
        assert model.runtime.frames == frames, values


def test_a_broken_network_makes_no_cloud(folder_of: Callable[[str], Path]) -> None:
    model = loaded("unetpp_mobile", folder_of)
    model.runtime._forward = lambda batch: torch.full((1, 1, 32, 32), -1.0)
    with pytest.raises(ModelError, match="unetpp_mobile returned depth that is not positive: check the weights"):
        DepthReconstructor(model, config_of()).process(picture(pinhole()), pinhole())
    assert model.runtime.frames == 1


def test_who_combines_predictions_gets_them_unfiltered(folder_of: Callable[[str], Path]) -> None:
    model = loaded("unetpp_mobile", folder_of)
    assert finishes(model) and not finishes(FlipModel(model)) and not finishes(Ensemble([model, model]))
    assert not finishes(loaded("midas_dpt_hybrid", folder_of)) and not finishes(loaded("depth_pro", folder_of))
    views: list[View] = [FinishedView.of((picture(pinhole()), pinhole()), Finish(Config().filter))] * 2
    predictions: list[Prediction] = model.predict(views)
    assert all(each.finished is None for each in predictions), "a batch is left to the CPU"


@pytest.mark.gpu
@pytest.mark.skipif(not cuda_is_usable(), reason="no CUDA GPU here")
@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("name", ["unetpp_mobile", METRIC])
def test_a_frame_of_a_gpu_is_that_of_its_maps(folder_of: Callable[[str], Path], name: str, graphs: bool) -> None:
    """The same maps, filtered and projected on the GPU and on the CPU; other libraries may round the last bit."""
    settings = {"runtime": "torch", "device": "cuda", "precision": "f32", "cuda_graphs": graphs}
    if not name.startswith("unetpp"):
        settings["checkpoint"] = str(folder_of(name))
    model: Any = load_model(ModelConfig(name=name, **settings), 2)
    camera, config = pinhole(), config_of()
    own, plain = DepthReconstructor(model, config), DepthReconstructor(Unfinished(model), config)
    for _ in range(3):
        got, expected = (each.process(picture(camera), camera) for each in (own, plain))
        assert got.depth is not None and expected.depth is not None and got.points is not None
        np.testing.assert_allclose(got.depth, expected.depth, rtol=1e-5)
        np.testing.assert_allclose(got.points[..., :3], expected.points[..., :3], rtol=1e-5)
        np.testing.assert_array_equal(got.points.view(np.uint32)[..., 3], expected.points.view(np.uint32)[..., 3])

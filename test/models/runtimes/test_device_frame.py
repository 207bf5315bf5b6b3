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

from mono_depth_recon.alignment import depth_from_disparity
from mono_depth_recon.bands import Bands
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.back_projection import back_project
from mono_depth_recon.config import Config, ModelConfig, with_values
from mono_depth_recon.errors import ModelError
from mono_depth_recon.filters import filter_frame
from mono_depth_recon.frames import Finish, Frame, Held, Prediction, Scale
from mono_depth_recon.models import load_model
from mono_depth_recon.models.base import FinishedView, ScaledView, View, finishes
from mono_depth_recon.models.ensemble import Ensemble
from mono_depth_recon.models.recovering import RecoveringModel
from mono_depth_recon.models.runtimes import cuda_runtime
from mono_depth_recon.models.runtimes.cuda_runtime import CudaRuntime, why_no_cuda
from mono_depth_recon.models.runtimes.image_way import Metres
from mono_depth_recon.models.shared import SharedModel
from mono_depth_recon.models.uncertainty import FlipModel
from mono_depth_recon.pipeline import DepthReconstructor, Wanted
from mono_depth_recon.scale.evidence import Evidence
from mono_depth_recon.scale.reference import REFERENCE_DEPTH

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
        self.device, self.frames, self.scaled = runtime.device, 0, 0
        self._precision, self._slots = "f32", {}
        self._forward = lambda batch: torch.from_numpy(runtime.run(batch.numpy()))

    def _opened(self, forward: Any, like: Sequence[NDArray[Any]]) -> Any:
        stream = SimpleNamespace(synchronize=lambda: None)
        return cuda_runtime._Slot(forward, like, stream, graph=False, device="cpu")

    def run_frame(self, *arguments: Any) -> Any:
        self.frames += 1
        return super().run_frame(*arguments)

    def run_scaled(self, *arguments: Any) -> Any:
        self.scaled += 1
        return super().run_scaled(*arguments)


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


FACTORS = np.random.default_rng(8).uniform(0.7, 1.4, (6, 8)).astype(np.float32)


@pytest.mark.parametrize("factors", [None, FACTORS])
@pytest.mark.parametrize("stride", [1, 3])
def test_a_scale_on_the_device_is_that_of_the_cpu(factors: NDArray[np.float32] | None, stride: int) -> None:
    """To the bit; a field is a product of matrices, in another order of additions."""
    from mono_depth_recon.models.runtimes.device_frame import FrameInputs, ScaledFrame, ScaleInputs

    settings, scale = Config().filter, Scale(0.8, -0.05, factors=factors)
    disparity = np.reciprocal(scene(5), where=scene(5) != 0, out=np.zeros((47, 61), np.float32))
    rgb = np.random.default_rng(3).integers(0, 256, (47, 61, 3), np.uint8)
    expected = depth_from_disparity(disparity, scale, settings.max_range)
    filter_frame(expected, None, None, None, None, settings, Bands())
    scaled = ScaleInputs.of(scale, settings.max_range, disparity.shape)
    inputs = FrameInputs.of(CAMERA, Finish(settings, stride=stride, scaled=True), scaled.knobs)
    given = [disparity, *inputs, scaled.rows, scaled.across]
    depth, points = ScaledFrame(stride)(torch.from_numpy(rgb[None]), *(torch.from_numpy(np.array(e)) for e in given))
    cloud = back_project(expected, CAMERA, rgb, stride)
    assert np.isfinite(expected).sum() > 500 and np.isinf(expected).any() and np.isnan(expected).any()
    tolerance = 0 if factors is None else 1e-5
    np.testing.assert_allclose(depth.numpy(), expected, rtol=tolerance)
    np.testing.assert_allclose(points.numpy()[..., :3], cloud[..., :3], rtol=tolerance)
    np.testing.assert_array_equal(points.numpy().view(np.uint32)[..., 3], cloud.view(np.uint32)[..., 3])


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
    corrected = {"scale.source": "fixed", "scale.scale": 1.5, "scale.correct_metric": "factor"}
    for values, *runs in (
        ({"cloud.stride": 2}, 2, 0),
        ({"cloud.voxel_size": 0.1}, 2, 0),
        ({"guard.smoothing": 0.5}, 2, 0),
        ({"cloud.sigma": True}, 0, 0),
        (corrected, 0, 2),
        (corrected | {"cloud.stride": 2, "guard.smoothing": 0.5}, 0, 2),
        (corrected | {"cloud.sigma": True}, 0, 0),
    ):
        model.runtime.frames = model.runtime.scaled = 0
        config = config_of(**values)
        own, plain = DepthReconstructor(model, config), DepthReconstructor(Unfinished(model), config)
        for stamp in (1.0, 1.1):
            got, expected = (each.process(picture(camera), camera, stamp=stamp) for each in (own, plain))
            compare(got, expected)
        assert [model.runtime.frames, model.runtime.scaled] == runs, values


RELATIVE = "depth_anything_v2_small"
SOURCES = {
    "fixed": {"scale.source": "fixed", "scale.scale": 0.3, "scale.shift": 0.05},
    "reference": {"scale.source": "reference", "scale.varying": False},
    "varying": {"scale.source": "reference", "scale.varying": True},
}


def seen(model: Any, config: Config, views: int = 3) -> list[Frame]:
    """Frames of a wall with relief before which reference depth is known."""
    camera = pinhole()
    reference = np.linspace(4, 1, 320 * 240, dtype=np.float32).reshape(240, 320)
    rebuilt = DepthReconstructor(model, config)
    evidence = Evidence({REFERENCE_DEPTH: lambda: reference})
    return [rebuilt.process(picture(camera), camera, evidence=evidence, stamp=float(i)) for i in range(views)]


@pytest.mark.parametrize("source", SOURCES)
def test_a_relative_model_gets_its_metres_on_the_device(folder_of: Callable[[str], Path], source: str) -> None:
    """Through the node's wrappers; the scale is the CPU's, fitted to the same values, and so is the frame."""
    model = loaded(RELATIVE, folder_of)
    model.runtime._forward = slanted
    config = config_of(**SOURCES[source])
    shared = SharedModel(RecoveringModel(lambda: model, lambda text: None), 3)
    for got, expected in zip(seen(shared, config), seen(Unfinished(model), config), strict=True):
        assert got.no_metres == "" and got.scale is not None and expected.scale is not None
        assert (got.scale.scale, got.scale.shift) == (expected.scale.scale, expected.scale.shift)
        assert (got.scale.factors is not None) == (source == "varying")
        assert got.disparity is not None and expected.disparity is not None and got.sigma is None
        np.testing.assert_array_equal(got.disparity, expected.disparity)
        if source == "varying":
            near(got, expected)
        else:
            compare(got, expected)
    assert model.runtime.scaled == 3 and model.runtime.frames == 0


def slanted(batch: Any) -> Any:
    """Values that grow down the image, bent."""
    rows, columns = (torch.linspace(0, 1, length) for length in batch.shape[2:])
    one = 0.5 + rows[:, None] + 0.2 * (columns - 0.5) ** 2
    return one[None, None].expand(len(batch), 1, -1, -1)


def near(got: Frame, expected: Frame) -> None:
    """All but a few pixels at the limits of the filters, to the last bits."""
    for one, other in ((got.depth, expected.depth), (got.points, expected.points)):
        assert one is not None and other is not None
        one, other = one[..., :3], other[..., :3]
        assert np.isclose(one, other, rtol=1e-5, equal_nan=True).mean() > 0.999


def test_held_values_are_of_their_own_frame(folder_of: Callable[[str], Path]) -> None:
    """Another camera's frame may come between the halves of one; they are never part of a batch."""
    model, camera = loaded(RELATIVE, folder_of), pinhole()
    rgb = picture(camera)
    shared = SharedModel(model, 3)
    finish = Finish(config_of().filter, scaled=True)
    (first,) = shared.predict([FinishedView.of((rgb, camera), finish)])
    (second,) = shared.predict([FinishedView.of((rgb[::-1].copy(), camera), finish)])
    scale = Scale(0.3, 0.05)
    for prediction, image in ((first, rgb), (second, rgb[::-1].copy())):
        assert prediction.held is not None and prediction.disparity is not None
        (made,) = shared.predict([ScaledView.after((image, camera), prediction.held, scale)])
        expected = depth_from_disparity(prediction.disparity, scale, finish.filter.max_range)
        filter_frame(expected, None, None, None, None, finish.filter, Bands())
        np.testing.assert_array_equal(made.depth, expected)
        assert made.finished is not None and made.finished.points is not None
        cloud = back_project(expected, camera, image)
        np.testing.assert_array_equal(made.finished.points.view(np.uint32), cloud.view(np.uint32))
    assert not np.array_equal(first.disparity, second.disparity)
    with pytest.raises(TypeError):
        shared.predict([ScaledView.after((rgb, camera), Held(finish, None), scale)])


def test_a_device_that_fails_behind_the_fit_is_loaded_again(folder_of: Callable[[str], Path]) -> None:
    model, notes = loaded(RELATIVE, folder_of), list[str]()
    model.runtime._forward = slanted
    recovering, config = RecoveringModel(lambda: model, notes.append), config_of(**SOURCES["fixed"])

    def lost(*_: Any) -> Any:
        raise RuntimeError("device lost")

    model.runtime.run_scaled = lost
    with pytest.raises(ModelError, match="failed on this image: device lost; it is loaded again for the next image"):
        seen(recovering, config)
    del model.runtime.run_scaled
    assert all(frame.depth is not None for frame in seen(recovering, config)) and len(notes) == 1


def test_a_broken_network_makes_no_cloud(folder_of: Callable[[str], Path]) -> None:
    model = loaded("unetpp_mobile", folder_of)
    model.runtime._forward = lambda batch: torch.full((1, 1, 32, 32), -1.0)
    with pytest.raises(ModelError, match="unetpp_mobile returned depth that is not positive: check the weights"):
        DepthReconstructor(model, config_of()).process(picture(pinhole()), pinhole())
    assert model.runtime.frames == 1


def test_who_combines_predictions_gets_them_unfiltered(folder_of: Callable[[str], Path]) -> None:
    model = loaded("unetpp_mobile", folder_of)
    assert finishes(model) and not finishes(FlipModel(model)) and not finishes(Ensemble([model, model]))
    assert finishes(loaded("midas_dpt_hybrid", folder_of)) and not finishes(loaded("depth_pro", folder_of))
    views: list[View] = [FinishedView.of((picture(pinhole()), pinhole()), Finish(Config().filter))] * 2
    predictions: list[Prediction] = model.predict(views)
    assert all(each.finished is None for each in predictions), "a batch is left to the CPU"


@pytest.mark.gpu
@pytest.mark.skipif(bool(why_no_cuda()), reason="no CUDA GPU here")
@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("name", ["unetpp_mobile", METRIC, RELATIVE])
def test_a_frame_of_a_gpu_is_that_of_its_maps(folder_of: Callable[[str], Path], name: str, graphs: bool) -> None:
    """The same maps, filtered and projected on the GPU and on the CPU; other libraries may round the last bit."""
    settings = {"runtime": "torch", "device": "cuda", "precision": "f32", "cuda_graphs": graphs}
    if not name.startswith("unetpp"):
        settings["checkpoint"] = str(folder_of(name))
    model: Any = load_model(ModelConfig(name=name, **settings), 2)
    camera, config = pinhole(), config_of(**SOURCES["fixed"])  # metric models are not scaled
    own, plain = DepthReconstructor(model, config), DepthReconstructor(Unfinished(model), config)
    for _ in range(3):
        got, expected = (each.process(picture(camera), camera) for each in (own, plain))
        assert got.depth is not None and expected.depth is not None and got.points is not None
        np.testing.assert_allclose(got.depth, expected.depth, rtol=1e-5)
        np.testing.assert_allclose(got.points[..., :3], expected.points[..., :3], rtol=1e-5)
        np.testing.assert_array_equal(got.points.view(np.uint32)[..., 3], expected.points.view(np.uint32)[..., 3])

"""What every row of the table promises, on small networks of the true architectures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_onnx import write_row
from shrunken import write_shrunken
from toy_family import TOY, registered

from mono_depth_recon.arrays import Rgb
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.errors import ModelError
from mono_depth_recon.frames import Prediction
from mono_depth_recon.models import MODELS, DepthModel, load_model
from mono_depth_recon.models.base import PromptedView, View
from mono_depth_recon.models.random_weights import write_random_weights
from mono_depth_recon.models.table import CHECKPOINTS, is_onnx_file

SIZES = ((160, 120), (97, 131), (211, 77), (33, 35))  # odd ones, upright ones, small ones


def view(width: int, height: int, seed: int = 0) -> View:
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[:height, :width]
    base = 120 + 90 * np.sin(u / width * rng.uniform(4, 9)) * np.cos(v / height * rng.uniform(3, 7))
    rgb = np.clip(base[..., None] + rng.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)
    return prompted(rgb, PinholeCamera.from_hfov(width, height, 60))


def prompted(rgb: Rgb, camera: PinholeCamera) -> View:
    """A view with depth, which models that are given none take as any other."""
    return PromptedView.of((rgb, camera), np.linspace(1, 4, 24 * 32, dtype=np.float32).reshape(24, 32))


@pytest.fixture(scope="module", autouse=True)
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A family that the package does not know stands in the tables, too."""
    with registered(tmp_path_factory.mktemp("toy")):
        yield


@pytest.fixture(scope="module")
def settings_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModelConfig]:
    """Settings that load a row from weights made here, small and fast."""

    def make(name: str) -> ModelConfig:
        folder = tmp_path_factory.mktemp(name)
        checkpoint: Path | str = ""
        if is_onnx_file(name):
            file = write_row(name, folder)
            return ModelConfig(name=name, checkpoint=str(file), runtime="onnxruntime", accept_noncommercial=True)
        if name in CHECKPOINTS and name != TOY:
            checkpoint = write_shrunken(name, folder)
        elif MODELS[name].source != "embedded":
            checkpoint = write_random_weights(name, folder)
        return ModelConfig(
            name=name,
            checkpoint=str(checkpoint),
            runtime="torch",
            precision="f32",
            accept_noncommercial=True,
            input_size=0 if name == "depth_pro" else 128,
        )

    return make


@pytest.fixture(scope="module", params=[*MODELS, TOY])
def loaded(
    toy: None, request: pytest.FixtureRequest, settings_of: Callable[[str], ModelConfig]
) -> Iterator[tuple[ModelConfig, DepthModel]]:
    """Each row of the table in turn."""
    settings = settings_of(request.param)
    yield settings, load_model(settings, 1)


def values(prediction: Prediction) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return prediction.values


def check_the_rest(prediction: Prediction, shape: tuple[int, ...]) -> None:
    """What a model predicts besides depth has the size of the image, too."""
    for mask in (prediction.valid, prediction.sky):
        assert mask is None or (mask.shape == shape and mask.dtype == bool)
    confidence, K = prediction.confidence, prediction.intrinsics
    assert confidence is None or (confidence.shape == shape and confidence.dtype == np.float32)
    if K is not None:
        PinholeCamera(shape[1], shape[0], K)  # which refuses what cannot be a camera
        assert K.dtype == np.float64


def test_contract(loaded: tuple[ModelConfig, DepthModel]) -> None:
    """Kind of output, size of the image, type, finite, positive metres, arrays of their own, the same each time."""
    settings, model = loaded
    spec = MODELS[settings.name]
    assert (model.name, model.output) == (spec.name, spec.output)
    assert settings.runtime in model.device
    views = [view(*size, seed=i) for i, size in enumerate(SIZES)]
    predictions = model.predict(views)
    assert len(predictions) == len(views)
    for (rgb, _), prediction in zip(views, predictions, strict=True):
        assert (prediction.depth is None) == (spec.output == "relative_disparity")
        assert prediction.sigma is None or prediction.sigma.shape == rgb.shape[:2]
        found = values(prediction)
        assert found.shape == rgb.shape[:2]
        assert found.dtype == np.float32
        assert found.flags.writeable
        assert np.isfinite(found).all()
        assert found.min() > 0 or (prediction.depth is None and found.min() == 0)
        check_the_rest(prediction, found.shape)
    before = [values(prediction).copy() for prediction in predictions]
    for first, second, kept in zip(predictions, model.predict(views), before, strict=True):
        np.testing.assert_array_equal(values(second), kept)
        np.testing.assert_array_equal(values(first), kept)  # not overwritten by the second call


def test_a_batch_is_its_views_one_by_one(loaded: tuple[ModelConfig, DepthModel]) -> None:
    _, model = loaded
    views = [view(160, 120, seed=1), view(97, 131, seed=2), view(160, 120, seed=3)]
    for one, together in zip(views, model.predict(views), strict=True):
        alone = values(model.predict([one])[0])
        np.testing.assert_allclose(values(together), alone, rtol=1e-4, atol=1e-4 * float(alone.mean()))
    assert model.predict([]) == []


def test_the_image_is_left_as_it_was_and_memory_can_be_released(loaded: tuple[ModelConfig, DepthModel]) -> None:
    _, model = loaded
    rgb, camera = view(64, 48)
    rgb.flags.writeable = False
    before = values(model.predict([prompted(rgb, camera)])[0])
    model.release_memory()
    np.testing.assert_array_equal(values(model.predict([prompted(rgb, camera)])[0]), before)
    part = np.ascontiguousarray(np.pad(rgb, ((0, 0), (8, 8), (0, 0))))[:, 8:-8]  # rows with padding between them
    np.testing.assert_array_equal(values(model.predict([prompted(part, camera)])[0]), before)


def test_the_other_kind_of_output_is_refused(loaded: tuple[ModelConfig, DepthModel]) -> None:
    """A relative model makes no metres by being asked for them."""
    settings, model = loaded
    other = "metric_depth" if model.output == "relative_disparity" else "relative_disparity"
    with pytest.raises(ModelError, match=f"{settings.name} predicts {model.output}, model.output asks for {other}"):
        load_model(replace(settings, output=other))
    load_model(replace(settings, output=model.output), 1)


def test_unknown_names_list_the_valid_ones_and_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"unknown model 'glpn_nuy'; did you mean 'glpn_nyu'") as raised:
        load_model(ModelConfig(name="glpn_nuy"))
    assert all(name in str(raised.value) for name in MODELS)
    assert "hf:<id or folder>" in str(raised.value)
    assert "ensemble:<a>+<b>" in str(raised.value)

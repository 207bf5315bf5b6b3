"""Sigma by mirror and by dropout: on stand-ins whose answer is known, and on a small U-Net++ with dropout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mono_depth_recon.arrays import Depth
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.errors import ModelError
from mono_depth_recon.frames import Prediction
from mono_depth_recon.models.base import Output, View
from mono_depth_recon.models.canonical import load_canonical, load_unetpp_resnext50
from mono_depth_recon.models.card import SigmaFit
from mono_depth_recon.models.ensemble import Ensemble
from mono_depth_recon.models.uncertainty import FlipModel, McDropoutModel, mirrored, with_uncertainty

pytestmark = pytest.mark.usefixtures("one_thread")


class StandIn:
    """A model that returns `rule(rgb, camera)`; notes the sizes of the batches it was given."""

    device = "none"
    release_memory: Callable[[], None] = staticmethod(lambda: None)

    def __init__(
        self,
        rule: Callable[..., np.ndarray],
        output: Output = "metric_depth",
        fits: Mapping[str, SigmaFit] | None = None,
        stochastic: bool = False,
    ) -> None:
        self.rule, self.output, self.name = rule, output, "stand-in"
        self.sigma_fits, self.stochastic = fits or {}, stochastic
        self.batches: list[int] = []

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        self.batches.append(len(batch))
        values = [self.rule(*view).astype(np.float32) for view in batch]
        return [Prediction(depth=v) if self.output == "metric_depth" else Prediction(disparity=v) for v in values]


def brightness(rgb: np.ndarray, camera: PinholeCamera) -> np.ndarray:
    """Mirror-equivariant: each pixel's depth is its own colour's."""
    return 1 + rgb[..., 0] / 100


def views(count: int = 2, width: int = 64, height: int = 48) -> list[View]:
    rng = np.random.default_rng(5)
    camera = PinholeCamera.from_intrinsics(width, height, 60, 61, 25.0, 20.0)
    return [(rng.integers(0, 255, (height, width, 3), np.uint8), camera) for _ in range(count)]


def depth_and_sigma(prediction: Prediction) -> tuple[Depth, Depth]:
    assert prediction.depth is not None
    assert prediction.sigma is not None
    assert prediction.depth.dtype == prediction.sigma.dtype == np.float32
    return prediction.depth, prediction.sigma


def test_flip_of_a_mirror_equivariant_model_has_sigma_zero_and_the_same_depth() -> None:
    model = StandIn(brightness)
    batch = views(3)
    for view, prediction in zip(batch, FlipModel(model).predict(batch), strict=True):
        depth, sigma = depth_and_sigma(prediction)
        np.testing.assert_array_equal(depth, brightness(*view).astype(np.float32))
        assert not sigma.any()
    assert model.batches == [6]


def test_flip_gives_mean_and_sample_deviation_of_both_predictions() -> None:
    def leaning(rgb: np.ndarray, camera: PinholeCamera) -> np.ndarray:
        return np.broadcast_to(2 + np.arange(64) / 64, (48, 64))

    depth, sigma = depth_and_sigma(FlipModel(StandIn(leaning)).predict(views(1))[0])
    mirror = leaning(*views(1)[0])[:, ::-1]
    np.testing.assert_allclose(depth, (leaning(*views(1)[0]) + mirror) / 2, rtol=1e-6)
    expected = np.std([leaning(*views(1)[0]), mirror], axis=0, ddof=1)  # nearly linear: a window's mean changes little
    np.testing.assert_allclose(sigma[:, 3:-3], expected[:, 3:-3], atol=0.012, rtol=0)
    assert np.abs(sigma - sigma[:, ::-1]).max() < 1e-6


def test_the_mirrored_camera_sees_the_mirrored_pixel_on_the_mirrored_ray() -> None:
    view = views(1)[0]
    rgb, camera = mirrored(view)
    np.testing.assert_array_equal(rgb, view[0][:, ::-1])
    np.testing.assert_allclose(camera.rays[0], -view[1].rays[0][::-1], rtol=1e-6)
    np.testing.assert_array_equal(mirrored((rgb, camera))[1].K, view[1].K)


def test_flip_of_a_relative_model_is_in_disparity() -> None:
    prediction = FlipModel(StandIn(brightness, "relative_disparity")).predict(views(1))[0]
    assert prediction.depth is None
    assert prediction.disparity is not None
    assert prediction.sigma is not None


def noisy(deviation: float) -> Callable[..., np.ndarray]:
    rng = np.random.default_rng(2)
    return lambda rgb, camera: brightness(rgb, camera) + rng.normal(0, deviation, rgb.shape[:2])


def test_mc_dropout_is_mean_and_deviation_of_one_batch_of_samples() -> None:
    model = StandIn(noisy(0.1), stochastic=True)
    batch = views(2)
    predictions = McDropoutModel(model, 40).predict(batch)
    assert model.batches == [80]
    for view, prediction in zip(batch, predictions, strict=True):
        depth, sigma = depth_and_sigma(prediction)
        assert np.abs(depth - brightness(*view)).max() < 0.1 / np.sqrt(40) * 5
        assert np.mean(sigma**2) == pytest.approx(0.01, rel=0.03)


@pytest.mark.parametrize("kind", ["flip", "mc_dropout"])
def test_sigma_carries_temperature_and_floor_of_its_kind(kind: str) -> None:
    settings = ModelConfig(uncertainty=kind, samples=4)
    results = []
    for fit in (SigmaFit(), SigmaFit(2.5), SigmaFit(2.0, 0.1)):
        model = StandIn(noisy(0.1), fits={kind: fit, "other": SigmaFit(7.0)}, stochastic=True)
        results.append(depth_and_sigma(with_uncertainty(model, settings).predict(views(1))[0]))
    depth, bare = results[0]
    np.testing.assert_allclose(results[1][1], 2.5 * bare, rtol=1e-6)
    np.testing.assert_allclose(results[2][1], 2 * np.sqrt(bare**2 + (0.1 * depth) ** 2), rtol=1e-5)


def test_what_is_wrapped_keeps_its_name_output_and_device() -> None:
    model = StandIn(brightness, "relative_disparity")
    wrapped = with_uncertainty(model, ModelConfig(uncertainty="flip"))
    assert (wrapped.name, wrapped.output, wrapped.device) == (model.name, model.output, model.device)
    assert with_uncertainty(model, ModelConfig()) is model


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("mc_dropout", "needs a network with dropout, stand-in has none: choose unetpp_resnext50, or .* flip"),
        ("ensemble", "stand-in is one: set model.name to ensemble:stand-in\\+<another>"),
    ],
)
def test_kinds_that_do_not_fit_a_model_say_what_works(kind: str, says: str) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        with_uncertainty(StandIn(brightness), ModelConfig(uncertainty=kind))
    assert "\n" not in str(caught.value)


def test_an_ensemble_has_its_own_sigma() -> None:
    both = Ensemble([StandIn(brightness), StandIn(brightness)])
    for kind in ("none", "ensemble"):
        assert with_uncertainty(both, ModelConfig(uncertainty=kind)) is both
    with pytest.raises(ModelError, match="flip is for one model"):
        with_uncertainty(both, ModelConfig(uncertainty="flip"))


# a true network with dropout


def write_card(
    path: Path, encoder: str = "tu-mobilenetv3_small_050", dropout: float = 0.3, sigma: Mapping[str, Any] | None = None
) -> Path:
    """A card with random weights beside it."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("segmentation_models_pytorch")
    from mono_depth_recon.models.card import FORMAT, load_card
    from mono_depth_recon.models.unetpp import build_unetpp, write_weights

    path.write_text(
        json.dumps(
            {
                "format": FORMAT,
                "name": "small",
                "architecture": {
                    "family": "unetplusplus",
                    "encoder": encoder,
                    "decoder_channels": [16, 16, 8, 8, 8],
                    "dropout": dropout,
                },
                "input": {"width": 96, "height": 64, "multiple": 32},
                "normalisation": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
                "output": {"kind": "metric_depth"},
                "canonical_focal_px": 80.0,
                "range_m": [0.1, 20.0],
                **({"sigma": sigma} if sigma else {}),
            }
        )
    )
    torch.manual_seed(3)
    write_weights(build_unetpp(load_card(path)), path.with_suffix(".safetensors"))
    return path


@pytest.fixture(scope="module")
def dropout_card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_card(tmp_path_factory.mktemp("card") / "small.json")


def load(card: Path, **settings: Any) -> Any:
    config = ModelConfig(checkpoint=str(card), runtime="torch", **settings)
    return with_uncertainty(load_canonical(card, config, 1), config)


def test_samples_of_a_unetpp_differ_and_its_eval_mode_does_not(dropout_card: Path) -> None:
    view = views(1)[0]
    sampling = load_canonical(dropout_card, ModelConfig(runtime="torch", uncertainty="mc_dropout"), 1)
    samples = [prediction.depth for prediction in sampling.predict([view] * 4)]
    for i in range(4):
        assert all(np.abs(samples[i] / other - 1).max() > 1e-3 for other in samples[:i])
    plain = load(dropout_card)
    first, second = plain.predict([view, view])
    np.testing.assert_allclose(first.depth, second.depth, rtol=1e-5)
    assert first.sigma is None


def test_mc_dropout_of_a_unetpp_is_near_its_depth_and_comes_out_again_with_a_seed(dropout_card: Path) -> None:
    import torch

    batch = views(2)
    model = load(dropout_card, uncertainty="mc_dropout", samples=64)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(depth_and_sigma(model.predict(batch)[1]))
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0][0] - results[2][0]).max() > 0
    depth, sigma = results[0]
    assert (sigma > 0).all()
    exact = load(dropout_card).predict(batch)[1].depth
    assert abs(np.median(depth / exact) - 1) < 0.05


def test_flip_of_a_unetpp_tells_sigma_with_the_cards_temperature(tmp_path: Path) -> None:
    sigmas = []
    for name, fitted in (("bare", None), ("fitted", {"flip": {"temperature": 3.0, "coverage_1": 0.68}})):
        model = load(write_card(tmp_path / f"{name}.json", sigma=fitted), uncertainty="flip")
        sigmas.append(depth_and_sigma(model.predict(views(1))[0])[1])
    assert sigmas[0].max() > 0
    np.testing.assert_allclose(sigmas[1], 3 * sigmas[0], rtol=1e-5)


def test_a_card_without_dropout_has_no_mc_dropout(tmp_path: Path) -> None:
    card = write_card(tmp_path / "dry.json", dropout=0.0)
    with pytest.raises(ModelError, match=r"small has none: train one with network\.dropout above 0") as caught:
        load(card, uncertainty="mc_dropout")
    assert "\n" not in str(caught.value)


def test_resnext50_without_weights_says_how_to_train_them() -> None:
    with pytest.raises(ModelError, match=r"no published weights.*training/configs/unetpp_resnext50.yaml.*checkpoint"):
        load_unetpp_resnext50(ModelConfig(name="unetpp_resnext50"), 1)


def test_resnext50_takes_no_card_of_another_model(dropout_card: Path) -> None:
    with pytest.raises(ModelError, match="needs a card whose encoder is resnext50_32x4d, .* small "):
        load_unetpp_resnext50(ModelConfig(name="unetpp_resnext50", checkpoint=str(dropout_card)), 1)


def test_resnext50_from_a_card_tells_sigma_by_dropout(tmp_path: Path) -> None:
    card = write_card(tmp_path / "resnext.json", "resnext50_32x4d")
    settings = ModelConfig(
        name="unetpp_resnext50", checkpoint=str(card), runtime="torch", uncertainty="mc_dropout", samples=2
    )
    model = with_uncertainty(load_unetpp_resnext50(settings, 1), settings)
    depth, sigma = depth_and_sigma(model.predict(views(1))[0])
    assert depth.shape == sigma.shape == (48, 64)
    assert sigma.max() > 0

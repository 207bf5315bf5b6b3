"""Ensembles of stand-ins over analytic scenes: what is aligned away, what stays as spread, and what is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.errors import DataError, ModelError
from mono_depth_recon.frames import Prediction
from mono_depth_recon.models import loading
from mono_depth_recon.models.base import DepthModel, Output, View
from mono_depth_recon.models.ensemble import Ensemble, member_names
from mono_depth_recon.models.loading import load_ensemble
from mono_depth_recon.models.table import EMBEDDED

CAMERA = PinholeCamera.from_hfov(80, 60, 60)
VIEW: View = (np.zeros((60, 80, 3), np.uint8), CAMERA)
X, Y = CAMERA.rays
PLANE = (3 / (1 + 0.6 * X[None, :] - 0.4 * Y[:, None])).astype(np.float32)  # a slanted wall


class Member:
    """Answers one map."""

    device = "paper"
    release_memory: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, values: np.ndarray, output: Output = "metric_depth", name: str = "member") -> None:
        self.values, self.output, self.name = values.astype(np.float32), output, name

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        if self.output == "metric_depth":
            return [Prediction(depth=self.values.copy()) for _ in batch]
        return [Prediction(disparity=self.values.copy()) for _ in batch]


def relative(depth: np.ndarray, scale: float, shift: float) -> Member:
    """A member whose 1 / depth = scale * disparity + shift."""
    return Member((1 / depth - shift) / scale, "relative_disparity", "relative")


def answer(*members: Member) -> Prediction:
    return Ensemble(members).predict([VIEW])[0]


def known(prediction: Prediction) -> tuple[np.ndarray, np.ndarray]:
    assert prediction.depth is not None
    assert prediction.sigma is not None
    assert prediction.depth.dtype == prediction.sigma.dtype == np.float32
    return prediction.depth, prediction.sigma


@pytest.mark.parametrize(
    "members",
    [
        [Member(PLANE), Member(2.7 * PLANE)],
        [Member(PLANE), relative(PLANE, 0.02, 0.1)],
        [relative(PLANE, 30.0, -0.2), Member(PLANE), Member(0.4 * PLANE), relative(PLANE, 0.01, 0.0)],
    ],
)
def test_members_that_agree_up_to_scale_and_shift_give_the_first_metric_depth_and_no_sigma(
    members: list[Member],
) -> None:
    depth, sigma = known(answer(*members))
    np.testing.assert_allclose(depth, PLANE, rtol=1e-4)
    assert sigma.max() < 1e-3


def test_one_wrong_member_of_three_changes_sigma_and_not_depth() -> None:
    warped = PLANE.copy()
    warped[20:40, 30:50] *= 1.5
    depth, sigma = known(answer(Member(PLANE), Member(warped), Member(PLANE)))
    np.testing.assert_allclose(depth, PLANE, rtol=1e-5)
    inside = np.zeros(PLANE.shape, bool)
    inside[20:40, 30:50] = True
    assert sigma[inside].min() > 100 * sigma[~inside].max()
    np.testing.assert_allclose(sigma[inside], np.std([PLANE, warped, PLANE], axis=0, ddof=1)[inside], rtol=1e-4)


def test_a_relative_member_is_fitted_past_its_outliers() -> None:
    wrong = PLANE.copy()
    wrong[:20] = 0.7
    depth, sigma = known(answer(Member(PLANE), relative(wrong, 0.05, 0.03), Member(PLANE)))
    np.testing.assert_allclose(depth, PLANE, rtol=1e-3)
    assert sigma[:20].min() > 0.3
    assert sigma[20:].max() < 0.01


def test_a_relative_member_that_says_infinitely_far_counts_as_far_and_stays_finite() -> None:
    member = relative(PLANE, 0.05, 0.0)
    member.values[:5] = -1.0
    depth, sigma = known(answer(Member(PLANE), member))
    assert np.isfinite(depth).all()
    assert np.isfinite(sigma).all()
    np.testing.assert_allclose(depth[:5], (PLANE[:5] + 2 * PLANE.max()) / 2, rtol=1e-4)


def test_relative_members_alone_give_relative_disparity_at_the_scale_of_the_first() -> None:
    first, second = relative(PLANE, 0.5, 0.0), relative(PLANE, 3.0, 0.2)
    both = Ensemble([first, second])
    prediction = both.predict([VIEW])[0]
    assert both.output == "relative_disparity"
    assert prediction.depth is None
    np.testing.assert_allclose(prediction.disparity, first.values, rtol=1e-4)
    assert prediction.sigma is not None
    assert prediction.sigma.max() < 1e-3


def test_a_member_that_cannot_be_aligned_is_named() -> None:
    with pytest.raises(DataError, match="relative cannot be aligned to the ensemble: expected a disparity that grows"):
        answer(Member(PLANE), relative(PLANE, -1.0, 0.0))


def test_names_outputs_and_devices_of_the_members() -> None:
    both = Ensemble([Member(PLANE, name="a"), relative(PLANE, 1.0, 0.0)])
    assert (both.name, both.output, both.device) == ("ensemble:a+relative", "metric_depth", "paper")


def test_member_names() -> None:
    assert member_names("ensemble:a+b + hf:c/d") == ["a", "b", "hf:c/d"]
    for wrong in ("ensemble:", "ensemble:a", "ensemble:a+"):
        with pytest.raises(ModelError, match=r"called ensemble:<a>\+<b>"):
            member_names(wrong)
    with pytest.raises(ModelError, match="holds single models"):
        member_names("ensemble:a+ensemble:b+c")


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[ModelConfig]:
    """The settings that members were loaded with."""
    seen: list[ModelConfig] = []

    def load(settings: ModelConfig, threads: int = 0) -> DepthModel:
        seen.append(settings)
        return Member(PLANE, name=settings.name)

    monkeypatch.setattr(loading, "load_model", load)
    return seen


def test_members_are_loaded_with_their_own_name_and_checkpoint(loaded: list[ModelConfig]) -> None:
    settings = ModelConfig(
        name="ensemble:a+b", checkpoint=f"{os.pathsep}/weights/b.json", uncertainty="ensemble", runtime="torch"
    )
    assert load_ensemble(["a", "b"], settings).name == "ensemble:a+b"
    assert [(one.name, one.checkpoint, one.uncertainty, one.runtime) for one in loaded] == [
        ("a", "", "none", "torch"),
        ("b", "/weights/b.json", "none", "torch"),
    ]


def test_an_ensemble_by_name_is_loaded_with_its_members(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    for suffix in (".json", ".onnx", ".safetensors"):  # under their names: the ONNX file reads its weights there
        shutil.copy((EMBEDDED / "unetpp_mobile.json").with_suffix(suffix), tmp_path)
    settings = ModelConfig(
        name="ensemble:unetpp_mobile+unetpp_mobile",
        uncertainty="ensemble",
        runtime="openvino",
        checkpoint=f"{os.pathsep}{tmp_path / 'unetpp_mobile.json'}",
    )
    single = loading.load_model(ModelConfig(name="unetpp_mobile", runtime="openvino"), 1).predict([VIEW])[0].depth
    depth, sigma = known(loading.load_model(settings, 1).predict([VIEW])[0])
    np.testing.assert_allclose(depth, single, rtol=1e-5)
    assert sigma.max() < 1e-5


def test_members_that_are_one_and_the_same_are_refused(loaded: list[ModelConfig]) -> None:
    with pytest.raises(ModelError, match="must differ in name or weights, got a\\+a"):
        load_ensemble(["a", "a"], ModelConfig())
    load_ensemble(["a", "a"], ModelConfig(checkpoint=os.pathsep.join(("/one.json", "/two.json"))))
    assert len(loaded) == 2


def test_a_checkpoint_that_is_not_one_per_member_is_refused(loaded: list[ModelConfig]) -> None:
    with pytest.raises(ModelError, match="one path per member.*expected 2, got 1"):
        load_ensemble(["a", "b"], ModelConfig(checkpoint="/one.json"))
    assert not loaded

"""What models predict besides depth, through flip, dropout, ensembles and the frame path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from made_models import FakeModel, RelativeModel, pinhole, reconstructor, wall

from mono_depth_recon.arrays import Mask
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.frames import Prediction
from mono_depth_recon.models.base import View
from mono_depth_recon.models.ensemble import Ensemble
from mono_depth_recon.models.uncertainty import FlipModel, McDropoutModel

CAMERA = PinholeCamera.from_intrinsics(64, 48, 60, 61, 25.0, 20.0)


class Annotated(FakeModel):
    """Depth 2 m; red pixels are not valid, blue ones sky, green is confidence; its K is that of the camera it sees."""

    stochastic = True

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        return [annotated(one, *view) for one, view in zip(super().predict(batch), batch, strict=True)]


class AnnotatedRelative(RelativeModel):
    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        return [annotated(one, *view) for one, view in zip(super().predict(batch), batch, strict=True)]


def annotated(prediction: Prediction, rgb: np.ndarray, camera: PinholeCamera) -> Prediction:
    return replace(
        prediction,
        valid=rgb[..., 0] == 0,
        sky=rgb[..., 2] > 0,
        confidence=(rgb[..., 1] / np.float32(255)).astype(np.float32),
        intrinsics=camera.K.copy(),
    )


def picture() -> np.ndarray:
    return np.random.default_rng(3).choice(np.array([0, 0, 255], np.uint8), (48, 64, 3))


@pytest.mark.parametrize(
    "wrap",
    [FlipModel, lambda model: McDropoutModel(model, 3), lambda model: Ensemble([model, model])],
    ids=["flip", "mc_dropout", "ensemble"],
)
def test_they_come_back_on_the_grid_of_the_image(wrap: Callable[[FakeModel], FlipModel]) -> None:
    rgb = picture()
    found = wrap(Annotated(wall)).predict([(rgb, CAMERA)])[0]
    np.testing.assert_array_equal(found.valid, rgb[..., 0] == 0)
    np.testing.assert_array_equal(found.sky, rgb[..., 2] > 0)
    assert found.confidence is not None
    assert found.confidence.dtype == np.float32
    np.testing.assert_allclose(found.confidence, rgb[..., 1] / 255, rtol=1e-6)
    np.testing.assert_allclose(found.intrinsics, CAMERA.K)


def test_a_model_without_them_leaves_none() -> None:
    found = FlipModel(FakeModel(wall)).predict([(picture(), CAMERA)])[0]
    assert (found.valid, found.sky, found.confidence, found.intrinsics) == (None,) * 4


def test_an_ensemble_takes_the_masks_of_the_members_that_have_them_and_aligns_without_their_pixels() -> None:
    """Two thirds of the pixels are not valid, where the member's depth is wild."""

    def wild(camera: PinholeCamera) -> np.ndarray:
        depth = 3 * wall(camera)
        depth[:32] = np.linspace(10, 90, depth[:32].size, dtype=np.float32).reshape(32, -1)
        return depth

    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[:32, :, 0] = 255
    members: list[FakeModel] = [FakeModel(wall), Annotated(wild)]
    found = Ensemble(members).predict([(rgb, CAMERA)])[0]
    np.testing.assert_array_equal(found.valid, rgb[..., 0] == 0)
    assert found.depth is not None
    np.testing.assert_allclose(found.depth[32:], 2, rtol=1e-6)


@pytest.mark.parametrize("model", [Annotated, AnnotatedRelative])
def test_a_frame_is_nan_where_the_model_is_not_valid_and_inf_in_its_sky(model: type[FakeModel]) -> None:
    camera = pinhole(64, 48)
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[:10, :, 2], rgb[40:, :, 0] = 255, 255
    rgb[:2, :5, 0] = 255  # in the sky, and not valid
    wanted: Mask = rgb[..., 0] > 0
    values = {
        "filter__border": 0,
        "filter__edge_threshold": 0.0,
        "scale__source": "fixed",
        "scale__scale": 1.0,
        "scale__shift": 0.0,
    }
    frame = reconstructor(model(wall), **values).process(rgb, camera)
    assert frame.depth is not None
    np.testing.assert_array_equal(np.isnan(frame.depth), wanted)
    np.testing.assert_array_equal(np.isposinf(frame.depth), (rgb[..., 2] > 0) & ~wanted)
    np.testing.assert_allclose(frame.depth[12:38], 2, rtol=1e-5)


def test_values_are_those_of_the_one_that_is_set() -> None:
    one = wall(CAMERA)
    assert Prediction(depth=one).values is one
    assert Prediction(disparity=one).values is one

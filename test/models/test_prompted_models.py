"""Prompted depth: a shrunken Prompt Depth Anything against transformers' own processor and module, and its way in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_models import picture, pinhole
from shrunken import processor_of, refused, settings_of, write_shrunken

from mono_depth_recon.arrays import Depth
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import Config, ModelConfig, with_values
from mono_depth_recon.errors import DataError, ModelError
from mono_depth_recon.models import load_model
from mono_depth_recon.models.base import PromptedView
from mono_depth_recon.models.transformers.prompted import prompt_grid
from mono_depth_recon.pipeline import DepthReconstructor
from mono_depth_recon.scale.evidence import NOTHING, Evidence
from mono_depth_recon.scale.reference import REFERENCE_DEPTH

NAME = "prompt_depth_anything_small"
GRID = (126 // 4, 168 // 4)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    folder = write_shrunken(NAME, tmp_path_factory.mktemp(NAME))
    return settings_of(NAME, folder, input_size=126)


def ramp(rows: int, columns: int, near: float = 0.8, far: float = 3.5) -> Depth:
    """Depth of whole millimetres."""
    values = np.linspace(near, far, rows * columns).reshape(rows, columns)
    return np.asarray(np.rint(values * 1000) / 1000, np.float32)


@pytest.mark.parametrize("constant", [False, True])
def test_it_is_the_reference_processor_and_module(settings: ModelConfig, constant: bool) -> None:
    import torch
    from PIL import Image
    from transformers import PromptDepthAnythingForDepthEstimation, PromptDepthAnythingImageProcessor

    camera = pinhole(168, 126)
    rgb, prompt = picture(camera), np.full(GRID, 2, np.float32) if constant else ramp(*GRID)
    processor = PromptDepthAnythingImageProcessor(**(processor_of(NAME) | {"size": {"height": 126, "width": 126}}))
    inputs = processor(
        images=Image.fromarray(rgb), prompt_depth=np.rint(prompt * 1000).astype(np.int32), return_tensors="pt"
    )
    module: Any = PromptDepthAnythingForDepthEstimation.from_pretrained(settings.checkpoint).eval()
    with torch.no_grad():
        expected = module(**inputs).predicted_depth[0].numpy()
    found = load_model(settings, 1).predict([PromptedView.of((rgb, camera), prompt)])[0].depth
    assert found is not None
    assert found.shape == expected.shape == (126, 168)
    assert constant or np.ptp(expected) > 0.01  # the prompt's range, and what the network makes of it
    np.testing.assert_allclose(found, expected, rtol=2e-4)


def test_metres_are_those_of_the_prompt(settings: ModelConfig) -> None:
    """A prompt twice as deep, and one 1 m deeper, give depth twice as deep, and 1 m deeper."""
    camera = pinhole(168, 126)
    model = load_model(settings, 1)

    def depth(prompt: Depth) -> Depth:
        found = model.predict([PromptedView.of((picture(camera), camera), prompt)])[0].depth
        assert found is not None
        return found

    once = depth(ramp(*GRID))
    np.testing.assert_allclose(depth(2 * ramp(*GRID)), 2 * once, rtol=1e-5)
    np.testing.assert_allclose(depth(ramp(*GRID) + 1), once + 1, rtol=1e-5)


def test_openvino(settings: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    view = PromptedView.of((picture(pinhole()), pinhole()), ramp(48, 64))
    expected = load_model(settings, 1).predict([view])[0].depth
    found = load_model(replace(settings, runtime="openvino"), 1).predict([view])[0].depth
    assert expected is not None and found is not None
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_the_pipeline_gives_it_reference_depth(settings: ModelConfig) -> None:
    config = with_values(Config(), {"filter.edge_threshold": 0.0})
    config = replace(config, model=settings)
    (reconstructor,) = DepthReconstructor.for_cameras(config, [config], print)
    camera = pinhole()
    asked = []

    def obtain() -> Depth:
        asked.append(1)
        return ramp(48, 64)

    frame = reconstructor.process(picture(camera), camera, evidence=Evidence({REFERENCE_DEPTH: obtain}))
    expected = reconstructor.model.predict([PromptedView.of((picture(camera), camera), ramp(48, 64))])[0].depth
    assert frame.depth is not None
    np.testing.assert_array_equal(frame.depth, expected)
    assert asked == [1]
    without = reconstructor.process(picture(camera), camera, evidence=NOTHING)
    assert (without.depth, without.no_metres) == (None, "expected reference depth beside the image, got none")
    empty = Evidence({REFERENCE_DEPTH: lambda: np.full((48, 64), np.nan, np.float32)})
    unknown = reconstructor.process(picture(camera), camera, evidence=empty)
    assert unknown.no_metres == "expected reference depth for the model, none of its 3072 pixels is known"
    upright = Evidence({REFERENCE_DEPTH: lambda: ramp(64, 48)})
    turned = reconstructor.process(picture(camera), camera, evidence=upright)
    assert "must have the shape of the image" in turned.no_metres


def test_sparse_depth_is_filled_from_the_nearest() -> None:
    sparse = np.full((120, 160), np.nan, np.float32)
    sparse[10, 20], sparse[100, 150], sparse[101, 151] = 1, 2, 3
    grid = prompt_grid(sparse, (30, 40))
    assert set(np.unique(grid)) <= {1, 2, 3}
    v, u = np.mgrid[:30, :40]
    nearer = np.hypot(v - 2, u - 5) - np.hypot(v - 25, u - 37)
    assert (grid[nearer < -1] == 1).all()
    assert (grid[nearer > 1] > 1).all()
    np.testing.assert_array_equal(prompt_grid(ramp(30, 40), (30, 40)), ramp(30, 40))
    np.testing.assert_array_equal(prompt_grid(ramp(10, 10), (30, 30)), np.kron(ramp(10, 10), np.ones((3, 3))))
    np.testing.assert_array_equal(prompt_grid(ramp(90, 90), (30, 30)), ramp(90, 90)[1::3, 1::3])
    sparse[:] = np.inf
    sparse[5, 5] = -1
    with pytest.raises(DataError, match="none of its 19200 pixels is known"):
        prompt_grid(sparse, (30, 40))


def test_what_it_cannot_be_used_for(settings: ModelConfig) -> None:
    model = load_model(settings, 1)
    view = np.zeros((48, 64, 3), np.uint8), PinholeCamera.from_hfov(64, 48, 60)
    with pytest.raises(DataError, match=f"model {NAME} needs reference depth beside the image, got none"):
        model.predict([view])
    message = refused(replace(settings, uncertainty="flip"))
    assert f"model.uncertainty flip is not possible for {NAME}, which is given depth: set it to none" in message
    with pytest.raises(ModelError, match=f"{NAME} is given depth beside the image, which an ensemble does not have"):
        load_model(ModelConfig(name=f"ensemble:{NAME}+glpn_nyu"))
    from mono_depth_recon.models.explain import METHODS, Region, explain

    with pytest.raises(ModelError, match="explain looks at the image alone"):
        explain(model, view, Region(0, 0, 8, 8), METHODS[0])

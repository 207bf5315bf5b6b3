"""A new family is one class and one row: a toy one is listed, loaded, refused and trained like the others."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shrunken import refused, settings_of
from toy_family import FOCAL_WIDTHS, TOY, registered

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cli import main
from mono_depth_recon.config import Config, ModelConfig
from mono_depth_recon.models import load_model
from mono_depth_recon.models.base import View
from mono_depth_recon.models.random_weights import write_random_weights
from mono_depth_recon.models.transformers.checkpoint import Checkpoint
from mono_depth_recon.models.transformers.families import FAMILIES
from mono_depth_recon.pipeline import DepthReconstructor


@pytest.fixture
def row(tmp_path: Path) -> Iterator[Checkpoint]:
    with registered(tmp_path) as checkpoint:
        yield checkpoint


@pytest.fixture
def folder(row: Checkpoint, tmp_path: Path) -> Path:
    return write_random_weights(TOY, tmp_path / "weights")


def coloured(width: int = 128, height: int = 96) -> View:
    """Left half red (valid), the rest of the upper half blue (sky), the lower right quarter green."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[:, : width // 2, 0] = 255
    rgb[: height // 2, width // 2 :, 2] = 255
    rgb[height // 2 :, width // 2 :, 1] = 255
    return rgb, PinholeCamera.from_hfov(width, height, 60)


def test_no_code_compares_with_the_name_of_a_family() -> None:
    root = Path(__file__).parents[2]
    compared = [
        f"{path.relative_to(root)}:{node.lineno}"
        for folder in ("mono_depth_recon", "training")
        for path in (root / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare)
        for value in ast.walk(node)
        if isinstance(value, ast.Constant) and value.value in FAMILIES
    ]
    assert not compared, "ask the Family instead"


def test_it_is_listed(row: Checkpoint, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--verbose"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(TOY))
    assert line.split()[:4] == [TOY, "metric_depth", "none", "!"]
    assert "some/toy@main" in line
    assert "100 px at the network's input" in line


def test_its_folder_is_loaded_by_row_and_by_hf(folder: Path) -> None:
    one = coloured()
    by_row = load_model(settings_of(TOY, folder), 1).predict([one])[0]
    assert by_row.depth is not None
    named = ModelConfig(name=f"hf:{folder}", output="metric_depth", runtime="torch", precision="f32")
    by_name = load_model(named, 1).predict([one])[0]
    assert by_name.depth is not None
    seen = one[1].resized(88, 64)
    scale = np.sqrt(seen.fx * seen.fy) / 100  # the row's focal length, which a folder does not state
    np.testing.assert_allclose(by_row.depth, by_name.depth * scale, rtol=1e-5)


def test_refusals(folder: Path) -> None:
    assert "model.accept_noncommercial" in refused(ModelConfig(name=TOY))
    assert "holds a model of type 'toy', glpn_nyu is 'glpn'" in refused(settings_of("glpn_nyu", folder))
    assert f"{TOY} predicts metric_depth" in refused(settings_of(TOY, folder, output="relative_disparity"))
    assert "predicts metric_depth" in refused(ModelConfig(name=f"hf:{folder}", output="relative_disparity"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_depth": 9}))
    assert "says max_depth 9, published is 5" in refused(settings_of(TOY, folder))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text('{"image_processor_type": "CLIPImageProcessor"}')
    expected = "expected that of DPT, PromptDepthAnything, GLPN, ZoeDepth, DepthPro, Toy"
    assert expected in refused(settings_of(TOY, folder))


@pytest.mark.parametrize("name", [TOY, f"ensemble:{TOY}+{TOY}"])
@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_what_it_answers_beside_depth_reaches_the_grid_of_the_image(name: str, runtime: str, folder: Path) -> None:
    rgb, camera = coloured()
    other = write_random_weights(TOY, folder.with_name("other"))
    checkpoint = f"{folder}:{other}" if "ensemble" in name else str(folder)
    settings = settings_of(name, folder, checkpoint=checkpoint, runtime=runtime)
    settings_with_sigma = replace(settings, uncertainty="none" if "ensemble" in name else "flip")
    for each in (settings, settings_with_sigma):
        found = load_model(each, 1).predict([(rgb, camera)])[0]
        assert found.valid is not None
        assert found.sky is not None
        assert found.confidence is not None
        away = np.ones(rgb.shape[:2], bool)  # from the edges of the colours, where resampling mixes them
        away[45:51], away[:, 61:67] = False, False
        assert (found.valid == (rgb[..., 0] > 0))[away].all()
        assert (found.sky == (rgb[..., 2] > 0))[away].all()
        np.testing.assert_allclose(found.confidence[away], (rgb[..., 1] / 255)[away], atol=0.01)
        focal = FOCAL_WIDTHS * 128
        np.testing.assert_allclose(found.intrinsics, [[focal, 0, 63.5], [0, focal, 47.5], [0, 0, 1]], rtol=1e-6)


def test_a_frame_has_nan_where_it_is_not_valid_and_inf_in_the_sky(row: Checkpoint, folder: Path) -> None:
    rgb, camera = coloured()
    rgb[: rgb.shape[0] // 2, rgb.shape[1] // 2 :, 0] = 255  # the sky is valid
    config = Config()
    config = replace(
        config,
        model=settings_of(TOY, folder),
        filter=replace(config.filter, edge_threshold=0.0, border=0, min_range=0.0, max_range=1000.0),
    )
    depth = DepthReconstructor.from_config(config).process(rgb, camera).depth
    assert depth is not None
    assert np.isfinite(depth[:, :58]).all()
    assert np.isposinf(depth[:42, 70:]).all()
    assert np.isnan(depth[54:, 70:]).all()


def test_it_is_trained_and_saved(row: Checkpoint, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    import torch

    from mono_depth_recon.frames import Sample
    from training.settings import FinetuneSettings, load_run
    from training.transformer_task import TransformerTask

    changes = {"model.name": TOY, "model.checkpoint": str(folder), "model.accept_noncommercial": "true", "threads": "1"}
    configs = Path(__file__).parents[2] / "training" / "configs"
    task = TransformerTask(load_run(configs / "finetune.yaml", FinetuneSettings, changes))
    rgb, camera = coloured()
    prepared = task.prepare(Sample(rgb, camera, np.full(rgb.shape[:2], 2, np.float32)))
    values = task.values(task.network, torch.from_numpy(prepared.image[None]))
    assert values.shape == (1, 1, *prepared.image.shape[1:])
    values.sum().backward()
    backbone, head = task.parts()
    assert (len(backbone), len(head)) == (0, 2)
    assert all(parameter.grad is not None for parameter in head)
    task.save(tmp_path / "saved")
    one = coloured()
    first, second = (load_model(settings_of(TOY, place), 1).predict([one])[0] for place in (folder, tmp_path / "saved"))
    np.testing.assert_array_equal(first.values, second.values)

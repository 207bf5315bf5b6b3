"""Fine-tuning of small transformers models: the folder that comes out is one that model.checkpoint takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("lightning")

from made_training_sets import write_nyu_csv  # noqa: E402
from processes import ROOT  # noqa: E402
from shrunken import settings_of  # noqa: E402

from mono_depth_recon.errors import ConfigError, ModelError  # noqa: E402
from mono_depth_recon.frames import Sample  # noqa: E402
from mono_depth_recon.models import load_model  # noqa: E402
from training.augment import resized  # noqa: E402
from training.batches import Loaded, collate  # noqa: E402
from training.figures import in_metres  # noqa: E402
from training.finetune import finetune, main  # noqa: E402
from training.frames import made_data  # noqa: E402
from training.settings import FinetuneSettings, LoaderSettings, Stage, ValidationSettings, load_run  # noqa: E402
from training.sources import made_scene  # noqa: E402
from training.transformer_task import TransformerTask  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = ROOT / "training" / "configs" / "finetune.yaml"
SHORT = {"midas_dpt_hybrid": 64, "depth_anything_v2_small": 56, "glpn_nyu": 64, "zoedepth_nyu": 64, "depth_pro": 0}


def _settings(name: str, folder: Path, steps: int = 1, **changes: Any) -> FinetuneSettings:
    settings = load_run(CONFIG, FinetuneSettings)
    model = replace(
        settings.model, name=name, checkpoint=str(folder), short_side=SHORT[name], accept_noncommercial=True
    )
    standard: dict[str, Any] = {
        "model": model,
        "threads": 1,
        "precision": "float32",
        "data": {},
        "loader": LoaderSettings(workers=0),
        "validation": ValidationSettings(2, panels=0),
        "stages": [Stage(96, 64, 2, 1, steps)],
        "optimizer": replace(settings.optimizer, lr=1e-3, warmup_steps=0),
    }
    return replace(settings, **standard | changes)


def _predicted(name: str, folder: Path, sample: Sample) -> np.ndarray:
    model = load_model(settings_of(name, folder, input_size=SHORT[name]), 1)
    made = model.predict([(sample.rgb, sample.camera)])[0]
    values = made.disparity if made.depth is None else made.depth
    assert values is not None
    return values


@pytest.mark.parametrize("name", list(SHORT))
def test_every_kind_of_model_trains_and_is_loaded_again(
    name: str, folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    before = folder_of(name)
    after = finetune(_settings(name, before), made_data(4, 96, 64), tmp_path)
    assert after == tmp_path / "model"
    sample = made_scene(3, 96, 64)
    old, new = _predicted(name, before, sample), _predicted(name, after, sample)
    assert np.isfinite(new).all()
    assert not np.array_equal(old, new)


@pytest.mark.parametrize("name", ["glpn_nyu", "zoedepth_nyu", "depth_pro", "depth_anything_v2_small"])
def test_training_says_the_metres_that_the_model_says(name: str, folder_of: Callable[[str], Path]) -> None:
    """What the loss sees of an image is what prediction answers for it, up to resampling of a coarse map."""
    task = TransformerTask(_settings(name, folder_of(name)))
    sample = resized(made_scene(7, 192, 128), 96, 64)
    batch = collate([Loaded(task.prepare(sample), "", "", ())])
    with torch.no_grad():
        values = task.depth(task.values(task.network.eval(), batch.images))
    metres, truth = in_metres(values[0], batch.targets[0], batch.scales[0].item(), relative=False)
    assert np.nanmedian(truth) == pytest.approx(np.nanmedian(sample.depth), rel=0.05)
    assert np.median(metres) == pytest.approx(np.median(_predicted(name, folder_of(name), sample)), rel=0.1)


def test_a_frozen_backbone_stays_and_the_head_learns(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    settings = _settings("glpn_nyu", folder_of("glpn_nyu"), 12)
    settings = replace(settings, optimizer=replace(settings.optimizer, backbone_lr=0.0, lr=3e-3))
    start = TransformerTask(settings).network.model.state_dict()
    folder = finetune(settings, made_data(4, 96, 64), tmp_path)
    from safetensors.torch import load_file

    changed = {
        name
        for name, value in load_file(folder / "model.safetensors").items()
        if not torch.equal(value, start[name]) and "running" not in name and "num_batches" not in name
    }
    assert changed
    assert all(not name.startswith("glpn.") for name in changed)


def test_command_fine_tunes_on_files(
    folder_of: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_nyu_csv(tmp_path / "nyu_depth_v2", ["a_0001", "b_0002", "c_0003"])
    words = [
        "--data",
        str(tmp_path),
        "--output",
        str(tmp_path / "run"),
        "model.name=glpn_nyu",
        f"model.checkpoint={folder_of('glpn_nyu')}",
        "model.short_side=64",
        "precision=float32",
        "threads=1",
        "loader.workers=0",
        "data.shares=34 33 33",
        "stages=[{width: 64, height: 48, batch: 2, epochs: 1}]",
    ]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "run" / "model")
    for name in ("log.csv", "panels/epoch_0001.png", "model/config.json", "model/preprocessor_config.json"):
        assert (tmp_path / "run" / name).is_file(), name


def test_models_that_are_none_of_transformers_are_one_line(tmp_path: Path) -> None:
    settings = load_run(CONFIG, FinetuneSettings, {"model.name": "unetpp_mobile", "threads": "1"})
    with pytest.raises(ModelError, match="model.name must be a transformers model"):
        TransformerTask(settings)
    with pytest.raises(ConfigError, match="unknown setting 'network'"):
        load_run(CONFIG, FinetuneSettings, {"network.dropout": "0.1"})

"""Values that no training can have: each stops the start with one line: the key, what is valid and what came."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_training_sets import write_nyu_csv
from processes import ROOT

from mono_depth_recon.config import Parameter, rows_of
from mono_depth_recon.datasets.mixture.training_data import open_training_data
from mono_depth_recon.errors import ConfigError, DataError
from mono_depth_recon.frames import Sample
from training.augment import changed
from training.changes import Changes, draw_colours, random_view, random_window
from training.settings import AugmentSettings, FinetuneSettings, RunSettings, Settings, load_run
from training.settings_text import read_tree, section_kinds
from training.sources import made_scene

CONFIGS = ROOT / "training" / "configs"
NO_RECIPES = {"ablation", "ablation_nyu", "ablation_networks", "search", "search_clouds"}
OFF = (
    "optimizer.weight_decay",
    "optimizer.warmup_steps",
    "optimizer.clip_norm",
    "optimizer.ema_decay",
    "stages.0.steps",
    "optimizer.backbone_lr",
    "loss.gradient_weight",
    "augment.flip",
    "augment.roll_deg",
    "augment.gain",
    "validation.panels",
    "validation.patience",
    "loader.workers",
    "loader.keep_frames",
)

BAD = [  # key, value on the command line, what the line says
    ("seed", "-1", "seed must be 0 to 4e+09, got -1"),
    ("seed", "1.5", "seed must be of type int, got 1.5"),
    ("seed", "2020-13-45", "must be YAML, got: month must be in 1..12"),
    ("threads", "0", "threads must be 1 to 1024, got 0"),
    ("precision", "float3", "mixed, mixed_bfloat16, got 'float3'; did you mean"),
    ("data", "5", "data must be a table of keys and values, got 5"),
    ("loader", "3", "loader must be a table of keys and values, got 3"),
    ("loader", "{worker: 1}", "unknown setting 'loader.worker'; did you mean 'workers'?"),
    ("loader.workers", "-1", "loader.workers must be 0 to 1024, got -1"),
    ("loader.keep_frames", "-1", "loader.keep_frames must be 0 to 1e+09, got -1"),
    ("stages", "[]", "stages must be a list of one or more, got []"),
    ("stages.0", "7", "stages.0 must be a table of keys and values, got 7"),
    ("stages.0.width", "100", "stages.0.width must be a multiple of 32, got 100"),
    ("stages.0.height", "0", "stages.0.height must be 8 to 8192 px, got 0"),
    ("stages.0.batch", "0", "stages.0.batch must be 1 to 999999, got 0"),
    ("stages.0.epochs", "0", "stages.0.epochs must be 1 to 999999, got 0"),
    ("stages.0.steps", "-1", "stages.0.steps must be 0 to 999999, got -1"),
    ("optimizer.lr", "[1", "optimizer.lr=[1 must be YAML, line 1: expected ',' or ']'"),
    ("optimizer.lr", "0", "optimizer.lr must be 1e-12 to 10, got 0"),
    ("optimizer.lr", ".nan", "optimizer.lr must be 1e-12 to 10, got nan"),
    ("optimizer.lr", "true", "optimizer.lr must be of type float, got True"),
    ("optimizer.weight_decay", "-1", "optimizer.weight_decay must be 0 to 10, got -1"),
    ("optimizer.warmup_steps", "-5", "optimizer.warmup_steps must be 0 to 999999, got -5"),
    ("optimizer.clip_norm", "-1", "optimizer.clip_norm must be 0 to 1e+06, got -1"),
    ("optimizer.ema_decay", "1", "optimizer.ema_decay must be 0 to 0.999999, got 1"),
    ("optimizer.backbone_lr", "-1", "optimizer.backbone_lr must be 0 to 100, got -1"),
    ("optimizer.schedule", "cosine", "optimizer.schedule must be one of warmup_cosine, onecycle, got 'cosine'"),
    ("loss.kind", "l1", "loss.kind must be one of log_l1, berhu, silog, mse, got 'l1'"),
    ("loss.gradient_weight", "-1", "loss.gradient_weight must be 0 to 1000, got -1"),
    ("loss.gradient_scales", "0", "loss.gradient_scales must be 1 to 10, got 0"),
    ("validation.frames", "-1", "validation.frames must be 1 to 999999, got -1"),
    ("validation.frames", "0", "validation.frames must be 1 to 999999, got 0"),
    ("validation.panels", "-1", "validation.panels must be 0 to 1000, got -1"),
    ("validation.patience", "-1", "validation.patience must be 0 to 999999, got -1"),
    ("validation.turned", "1", "validation.turned must be of type bool, got 1"),
    (
        "network.name",
        "a/b",
        "network.name must be letters, digits, _ or -, as files are named after it, got 'a/b'",
    ),
    ("network.name", "''", "network.name must be letters, digits, _ or -, as files are named after it, got ''"),
    ("network.decoder_channels", "[16]", "network.decoder_channels must be 5 numbers with head full, got 1"),
    ("network.decoder_channels", "[16, 16, 0, 16, 16]", "network.decoder_channels.2 must be 1 to 8192, got 0"),
    ("network.input_width", "100", "network.input_width must be a multiple of 32, got 100"),
    ("network.input_height", "-32", "network.input_height must be 8 to 8192 px, got -32"),
    ("network.multiple", "0", "network.multiple must be 32 to 1024 px, got 0"),
    ("network.multiple", "48", "network.multiple must be a multiple of 32, got 48"),
    ("network.mean", "[0.0, 0.0]", "network.mean must be a list of 3, got [0.0, 0.0]"),
    ("network.mean", "0.5", "network.mean must be a list of 3, got 0.5"),
    ("network.std", "[0, 0, 0]", "network.std.0 must be 1e-06 to 1000, got 0"),
    ("network.canonical_focal_px", "0", "network.canonical_focal_px must be 1 to 100000 px, got 0"),
    ("network.range_m", "[1.0]", "network.range_m must be a list of 2, got [1.0]"),
    ("network.range_m", "[10.0, 0.1]", "network.range_m must be nearest < farthest, got [10.0, 0.1]"),
    ("network.range_m", "[0.0, 0.1]", "network.range_m.0 must be 1e-06 to 100000 m, got 0"),
    ("network.dropout", "1", "network.dropout must be 0 to 0.99, got 1"),
    ("network.form", "inverse", "network.form must be one of log, linear, got 'inverse'"),
    ("augment.flip", "7", "augment.flip must be 0 to 1, got 7"),
    ("augment.full_frame", "-0.1", "augment.full_frame must be 0 to 1, got -0.1"),
    ("augment.smallest_window", "5", "augment.smallest_window must be 0.01 to 1, got 5"),
    ("augment.smallest_window", "0", "augment.smallest_window must be 0.01 to 1, got 0"),
    ("augment.roll_deg", "-5", "augment.roll_deg must be 0 to 180 deg, got -5"),
    ("augment.gamma", "-0.2", "augment.gamma must be 0 to 3, got -0.2"),
    ("augment.blur_px", "0", "augment.blur_px must be 0.3 to 100 px, got 0"),
    ("augment.motion_px", "0", "augment.motion_px must be 1 to 200 px, got 0"),
    ("augment.noise_levels", "0", "augment.noise_levels must be 1 to 255, got 0"),
    ("augment.jpeg_quality", "100", "augment.jpeg_quality must be 1 to 95, got 100"),
]
BAD_OF_FINETUNING = [
    ("model.short_side", "-14", "model.short_side must be 0 to 4096 px, got -14"),
    ("model.output", "depth", "model.output must be one of auto, metric_depth, relative_disparity, got 'depth'"),
    ("model.accept_noncommercial", "yes please", "model.accept_noncommercial must be of type bool"),
    ("augment.flip", "2", "augment.flip must be 0 to 1, got 2"),
]


def _refused(recipe: str, kind: type[RunSettings], key: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_run(CONFIGS / recipe, kind, {key: value})
    assert says in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(("key", "value", "says"), BAD)
def test_values_that_no_run_can_have(key: str, value: str, says: str) -> None:
    _refused("metric.yaml", Settings, key, value, says)


@pytest.mark.parametrize(("key", "value", "says"), BAD_OF_FINETUNING)
def test_values_that_no_fine_tuning_can_have(key: str, value: str, says: str) -> None:
    _refused("finetune.yaml", FinetuneSettings, key, value, says)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_and_what_switches_off(path: Path) -> None:
    if path.stem in NO_RECIPES:
        assert "stages" not in read_tree(path)
        return
    settings = load_run(path, FinetuneSettings if path.stem == "finetune" else Settings, dict.fromkeys(OFF, "0"))
    assert (settings.optimizer.clip_norm, settings.stages[0].steps, settings.augment.flip) == (0, 0, 0)


@pytest.mark.parametrize("kind", [Settings, FinetuneSettings])
def test_every_setting_has_a_help_and_every_number_limits(kind: type[RunSettings]) -> None:
    rows = list(_rows(kind, ""))
    numbers = [row for row in rows if row.type in (int, float, list[int], list[float])]
    assert len(numbers) > 40
    assert [row.name for row in numbers if row.low is None or row.high is None] == []
    assert [row.name for row in rows if not row.help] == []


def _rows(kind: type[Any], prefix: str) -> Iterator[Parameter]:
    yield from rows_of(kind, prefix)
    for name, section in section_kinds(kind).items():
        yield from _rows(section, f"{prefix}{name}.")


@pytest.mark.parametrize("end", ["low", "high"])
def test_frames_can_be_changed_at_both_ends_of_the_limits(end: str) -> None:
    """What the limits allow `training.augment` can do, with every chance on."""
    ends = {row.name: row.type(getattr(row, end)) for row in rows_of(AugmentSettings)}
    chances = dict.fromkeys(("roll", "grey", "blur", "motion", "noise", "jpeg"), 1.0)
    settings, rng = AugmentSettings(**{**ends, **chances}), np.random.default_rng(1)
    sample: Sample = made_scene(1, 96, 64)
    window = random_window(sample.camera, 48, 32, settings, rng)
    view, _ = random_view(sample.camera, 64, 32, settings, rng)
    changes = Changes(window, flip=True, colours=draw_colours(48, 32, settings, rng))
    assert changed(sample, changes).rgb.shape == (32, 48, 3)
    assert view.size == (64, 32) and np.isfinite(view.K).all()


@pytest.mark.parametrize("text", [b"\xff\xfe\x00", b"seed: [1", b"- 1", b"", b"seed: 1"])
def test_files_that_are_no_settings(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_bytes(text)
    with pytest.raises(ConfigError, match=r"settings\.yaml") as raised:
        load_run(tmp_path / "settings.yaml", Settings, {})
    assert "\n" not in str(raised.value)


def test_keys_that_a_recipe_leaves_out_can_be_set() -> None:
    changes = {"stages.0.steps": "3", "loss": json.dumps({"kind": "mse"}), "augment.motion": "1e-1"}
    settings = load_run(CONFIGS / "metric.yaml", Settings, changes)
    assert (settings.stages[0].steps, settings.loss.kind, settings.augment.motion) == (3, "mse", 0.1)


@pytest.mark.parametrize("where", ["file", "proc"])
def test_a_run_folder_that_cannot_be_made_is_one_line(where: str, tmp_path: Path) -> None:
    write_nyu_csv(tmp_path / "nyu", ["a_0001", "b_0002", "c_0003"])
    (tmp_path / "README.md").write_text("a file")
    folder = {"file": tmp_path / "README.md", "proc": Path("/proc/xx")}[where]
    source = {"kind": "nyu_csv", "path": "nyu", "split": "scene"}
    tree = {"root": str(tmp_path), "shares": "34 33 33", "sources": [source]}
    with pytest.raises(DataError, match=f"cannot make the folder {folder}: .*; choose a writable one") as raised:
        open_training_data(tree, 1, folder)
    assert "\n" not in str(raised.value)

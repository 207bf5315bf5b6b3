"""Settings of training, what an epoch shows of the data, and what is fetched before it starts."""

from __future__ import annotations

import importlib.util
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("segmentation_models_pytorch")
pytest.importorskip("lightning")

from made_training_sets import write_nyu_csv  # noqa: E402
from processes import ROOT  # noqa: E402
from small_training import MOBILE, small_settings  # noqa: E402

from mono_depth_recon.datasets.dataset import Part  # noqa: E402
from mono_depth_recon.datasets.nyu.csv_layout import NyuCsv  # noqa: E402
from mono_depth_recon.errors import ConfigError, DataError, ModelError  # noqa: E402
from mono_depth_recon.frames import Sample  # noqa: E402
from mono_depth_recon.models.card import ModelCard, load_card  # noqa: E402
from mono_depth_recon.models.unetpp import build_unetpp  # noqa: E402
from training.batches import collate  # noqa: E402
from training.figures import frame_figures, in_metres  # noqa: E402
from training.frames import made_data, open_run_data  # noqa: E402
from training.kept_frames import keep  # noqa: E402
from training.loading import Schedule, TrainingFrames  # noqa: E402
from training.module import rate_share  # noqa: E402
from training.network import UnetTask, build_network, card_text  # noqa: E402
from training.settings import LoaderSettings, RoomSettings, Settings, Stage, load_settings  # noqa: E402
from training.sources import room_store, tum_store  # noqa: E402
from training.train_unetpp import main  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
RECIPES = ("unetpp_mobile", "unetpp_lite", "unetpp_resnext50", "paper_nyu", "metric")


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_load_and_can_be_changed(name: str) -> None:
    settings = load_settings(
        MOBILE.with_name(f"{name}.yaml"),
        {"network.dropout": "0.25", "optimizer.lr": "1e-3", "stages.0.epochs": "7", "data.root": "/here"},
    )
    assert (settings.network.dropout, settings.optimizer.lr) == (0.25, 0.001)
    assert settings.stages[0].epochs == 7
    assert settings.data["root"] == "/here"
    last = settings.stages[-1]
    assert (last.width, last.height) == (settings.network.input_width, settings.network.input_height)


def test_the_recipe_of_the_paper() -> None:
    settings = load_settings(MOBILE.with_name("paper_nyu.yaml"))
    assert settings.stages == [Stage(640, 480, 32, 10)]
    assert (settings.network.encoder, settings.network.encoder_weights) == ("resnext50_32x4d", "imagenet")
    assert (settings.network.mean, settings.network.std, settings.network.range_m[1]) == ([0] * 3, [1] * 3, 10)
    assert (settings.network.form, settings.loss.kind, settings.precision) == ("linear", "mse", "mixed")
    assert settings.optimizer.schedule == "onecycle" and settings.optimizer.weight_decay > 0
    changes = settings.augment
    assert min(changes.flip, changes.rotate, changes.rotate_deg, changes.gain, changes.noise) > 0
    assert changes.full_frame == 1 and changes.gamma == changes.contrast == changes.blur == 0


def _rates(settings: Settings, draws: int) -> list[float]:
    schedule = Schedule(settings, draws)
    return [rate_share(settings, schedule, step) for step in range(schedule.total_steps + 1)]


def test_learning_rate_warms_up_stays_and_falls_in_the_last_stage() -> None:
    settings = small_settings(stages=[Stage(64, 64, 2, 10, 10), Stage(96, 96, 2, 5)])
    rates = _rates(replace(settings, optimizer=replace(settings.optimizer, warmup_steps=10)), 20)
    assert len(rates) == 151
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:101] == pytest.approx([1.0] * 92)
    assert rates[125] == pytest.approx(0.5)
    assert rates[150] == pytest.approx(0.0)


def test_epochs_walk_through_the_data_and_processes_share_each_batch() -> None:
    """Two stages over 10 draws a pass: no draw is left out or shown twice before the next pass."""
    settings = small_settings(stages=[Stage(32, 32, 4, 2), Stage(64, 32, 2, 3, 3)])
    schedule = Schedule(settings, 10)
    assert [schedule.steps(epoch) for epoch in range(5)] == [2, 2, 3, 3, 3]
    draws = [draw for epoch in range(5) for batch in schedule.batches(epoch) for draw in batch]
    assert [(draw.turn, draw.place) for draw in draws] == [divmod(i, 10) for i in range(4 * 4 + 9 * 2)]
    assert {draw[2:] for draw in draws[:16]} == {(32, 32)} and {draw[2:] for draw in draws[16:]} == {(64, 32)}
    for epoch in (0, 3):
        shared = zip(schedule.batches(epoch, 0, 2), schedule.batches(epoch, 1, 2), strict=True)
        assert [sorted(a + b) for a, b in shared] == list(schedule.batches(epoch))


def test_batches_depend_on_seed_and_draw_alone() -> None:
    settings = load_settings(MOBILE)
    data, task = made_data(8, 96, 64), UnetTask(small_settings(), pretrained=False)
    frames, again, other = (TrainingFrames(data.train, task.prepare, settings.augment, seed) for seed in (1, 1, 2))
    first, *_ = Schedule(small_settings(), 8).batches(0)
    batch = collate([frames[draw] for draw in first])
    assert batch.images.shape == (2, 3, 32, 32) and batch.images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch.images, collate([again[draw] for draw in first]).images)
    assert not torch.equal(batch.images, collate([other[draw] for draw in first]).images)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ({"optimizer.momentum": "0.9"}, "'optimizer.momentum' does not exist"),
        ({"seed": "soon"}, "seed must be of type int, got 'soon'"),
        (
            {"stages": "[{width: 100, height: 96, batch: 1, epochs: 1}]"},
            "stages.0.width must be a multiple of 32, got 100",
        ),
        ({"stages": "[]"}, "stages must be a list of one or more"),
        ({"stages.9.epochs": "1"}, "'stages.9.epochs' does not exist"),
        ({f"stages.{10**400}.epochs": "1"}, "does not exist"),
        ({"stages.².epochs": "1"}, "'stages.².epochs' does not exist"),
        ({"stages.0.widht": "1"}, "'stages.0.widht' does not exist; did you mean 'width'?"),
        ({"optimizer.lr": "[" * 5000}, "must be YAML, got one that is nested too deeply"),
        ({"optimizer.lr": "1e400"}, "optimizer.lr must be 1e-12 to 10, got inf"),
        ({"seed": "1" * 400}, "seed must be 0 to 4e.09, got a whole number of about 400 digits"),
        ({"network.mean": "[]"}, r"network.mean must be a list of 3, got \[\]"),
        ({"network.dropout": "1.0"}, "network.dropout must be 0 to 0.99, got 1"),
        ({"network.attention": "self"}, "network.attention must be one of none, scse, got 'self'"),
        ({"loss.kind": "l2"}, "loss.kind must be one of log_l1, berhu, silog, mse, got 'l2'"),
        ({"precision": "half"}, "precision must be one of"),
        ({"optimizer.ema_decay": "1"}, "ema_decay must be 0 to 0.999999, got 1"),
        ({"optimizer": "{lr: 0.1}"}, "missing setting: optimizer.weight_decay$"),
    ],
)
def test_wrong_settings_stop_with_one_line(override: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as raised:
        load_settings(MOBILE, override)
    assert "\n" not in str(raised.value)


def test_sections_that_a_file_leaves_out_can_be_set() -> None:
    changes = {"validation.patience": "3", "network.attention": "scse"}
    settings = load_settings(MOBILE.with_name("paper_nyu.yaml"), changes)
    assert (settings.validation.patience, settings.network.attention) == (3, "scse")


def test_what_other_commands_read_of_the_embedded_recipe() -> None:
    settings = load_settings(MOBILE)
    assert settings.rooms == RoomSettings(120, 32, 1200, 320, 256, [45.0, 95.0], 20.0)
    assert settings.tum.train == [0, 100]
    with pytest.raises(ConfigError, match="one of kind tum, these settings have none"):
        _ = load_settings(MOBILE.with_name("paper_nyu.yaml")).tum


@pytest.mark.parametrize(
    ("flags", "fetched"),
    [
        ([], ["imagenet"]),
        (["network.encoder_weights=none"], [None]),
        (["--init", "best.ckpt"], [None]),
        (["--smoke"], [None]),
    ],
)
def test_encoder_weights_are_fetched_only_where_a_training_starts_with_them(
    flags: list[str], fetched: list[str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []

    def build(card: ModelCard, weights: str | None = None) -> None:
        asked.append(weights)
        raise ModelError("enough")

    monkeypatch.setattr("training.network.build_unetpp", build)
    monkeypatch.setattr("training.train_unetpp.check_network", lambda *_: None)  # builds too, and asks no hub
    monkeypatch.setattr("training.train_unetpp.open_run_data", lambda *_: made_data(1, 96, 64))
    config = str(MOBILE.with_name("unetpp_resnext50.yaml"))
    assert main(["--config", config, "--output", str(tmp_path), *flags]) == 1
    assert asked == fetched


@pytest.mark.parametrize("form", ["log", "linear"])
def test_both_forms_say_metres(form: str) -> None:
    settings = small_settings()
    module = build_network(replace(settings.network, form=form, range_m=[0.1, 10.0], dropout=0.0)).eval()
    channel = torch.tensor([[[[-2.0, 0.0, 0.3]]]])
    expected = [-20, 0, 3] if form == "linear" else [max(0.1, math.exp(-2)), 1, math.exp(0.3)]
    assert module.metres(channel).flatten().tolist() == pytest.approx(expected, rel=1e-5)
    assert module.logs(channel)[..., 2].exp().item() == pytest.approx(expected[2], rel=1e-5)
    with torch.inference_mode():
        depth = module(torch.rand(1, 3, 32, 64))
    assert depth.min() >= 0.1 - 1e-6 and depth.max() <= 10 + 1e-5


def test_attention_and_dropout_together(tmp_path: Path) -> None:
    small = replace(small_settings().network, attention="scse", dropout=0.5, decoder_channels=[32, 16, 16, 16, 16])
    with pytest.raises(ModelError, match="attention scse needs at least 16 channels everywhere"):
        build_network(small)
    network = replace(small, encoder="tu-mobilenetv3_small_100")
    plain, attentive = build_network(replace(network, attention="none")), build_network(network)
    assert len(attentive.state_dict()) > len(plain.state_dict())
    image = torch.rand(1, 3, 32, 64)
    with torch.inference_mode():
        still = attentive.eval()(image)
        assert torch.equal(still, attentive(image))
        assert not torch.equal(still, attentive.train()(image))
    text = card_text(network)
    assert (text["architecture"]["attention"], text["output"]["form"]) == ("scse", "log")
    (tmp_path / "card.json").write_text(json.dumps(text))
    assert build_unetpp(load_card(tmp_path / "card.json")).state_dict().keys() == attentive.state_dict().keys()


def test_figures_of_a_frame_by_hand() -> None:
    truth = np.full((16, 20), 4.0, np.float32)
    truth[:, :2] = np.nan
    figures = frame_figures(np.full((16, 20), 5.0, np.float32), truth)
    assert figures["abs_rel"] == pytest.approx(0.25)
    assert figures["mse"] == pytest.approx(0.01)
    assert figures["delta1"] == 0
    assert figures["ssim"] < 1
    assert frame_figures(truth, np.full_like(truth, np.nan)) == {}
    log_target = torch.rand(1, 16, 20)
    made, known = in_metres(3 * torch.exp(-log_target) + 1, log_target, 2.0, relative=True)
    np.testing.assert_allclose(made, known, rtol=1e-4)


def test_rooms_and_tum_frames_by_themselves(data_folder: Path, tmp_path: Path) -> None:
    settings = load_settings(MOBILE)
    rooms = room_store(replace(settings.rooms, frames_per_room=2, width=64, height=48), 5, 1, tmp_path)
    assert len(rooms) == 2
    frame = rooms[1]
    assert frame.depth is not None
    assert np.isfinite(frame.depth).mean() > 0.95
    assert 45 <= 2 * math.degrees(math.atan(32 / frame.camera.fx)) <= 95
    frames = tum_store(settings.tum, data_folder, [3, 4], tmp_path)
    assert len(frames) == 2
    assert frames[0].camera.is_rectified


def test_kept_frames_are_those_of_the_source(tmp_path: Path) -> None:
    """A run reads its frames from memory maps: the same pixels, and depth to the precision of float16."""
    write_nyu_csv(tmp_path / "nyu", ["a_0001", "b_0002", "c_0003"])
    source = {"kind": "nyu_csv", "path": "nyu", "split": "scene"}
    settings = small_settings(data={"root": str(tmp_path), "shares": "34 33 33", "sources": [source]})
    loaders = [LoaderSettings(0, str(tmp_path / "cache"), keep) for keep in (0, 100, 100)]
    opened = [open_run_data(replace(settings, loader=loader), None) for loader in loaders]
    assert len({run.ledger().share for run in opened}) == 1
    samples: list[list[Sample]] = [[run.train[(0, i)].sample for i in range(3)] for run in opened]
    for direct, *kept in zip(*samples, strict=True):
        for stored in kept:
            assert np.array_equal(direct.rgb, stored.rgb)
            np.testing.assert_allclose(direct.depth, stored.depth, rtol=1e-3)
    assert opened[0].train[(0, 1)].origin == opened[1].train[(0, 1)].origin


class _Told(NyuCsv):
    """Frames that note which of them were read."""

    def read(self, i: int) -> Sample:
        self.notes.append(str(i))
        return super().read(i)


def test_processes_of_one_training_prepare_different_frames_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None waits for what another makes, and what one has made the other finds."""
    monkeypatch.setattr("training.kept_frames.BLOCK", 1)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    write_nyu_csv(tmp_path / "nyu", ["a_0001", "b_0002"])
    made = []
    for rank, cache in (("0", "a"), ("1", "b"), ("0", "b")):
        monkeypatch.setenv("LOCAL_RANK", rank)
        source = _Told("nyu", tmp_path / "nyu")
        source.notes.clear()
        keep(Part(source, "train", range(4)), tmp_path / cache, 1)
        assert source.notes.pop(0) == "0"  # by whose pixels blocks are known
        made.append("".join(source.notes))
    assert made == ["0123", "2301", ""]


def test_an_empty_configuration_of_data_is_one_line(tmp_path: Path) -> None:
    with pytest.raises((ConfigError, DataError)) as raised:
        open_run_data(small_settings(), tmp_path)
    assert "\n" not in str(raised.value)


def test_what_the_document_names_exists() -> None:
    """Modules, recipes and keys of the commands in docs/training.md."""
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    modules = set(re.findall(r"python -m (training\.\w+)", text)) | set(re.findall(r"-m (training\.\w+)", text))
    assert len(modules) >= 6
    assert all(importlib.util.find_spec(module) for module in modules)
    for name in set(re.findall(r"training/configs/(\w+\.yaml)", text)):
        assert (MOBILE.with_name(name)).is_file(), name
    for recipe in MOBILE.parent.glob("*.yaml"):
        assert recipe.name in text or recipe.stem.startswith("search"), recipe.name
    assert load_settings(MOBILE.with_name("small.yaml")).network.name == "unetpp_small"  # the card that it exports

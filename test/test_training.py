"""Training: augmentations against a scene known everywhere, losses by hand, exact resume, and learning."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("segmentation_models_pytorch")

from mono_depth_recon.camera import PinholeCamera  # noqa: E402
from mono_depth_recon.errors import ConfigError, DataError, ModelError  # noqa: E402
from mono_depth_recon.frames import Sample  # noqa: E402
from mono_depth_recon.models.card import ModelCard  # noqa: E402
from training.augment import (  # noqa: E402
    augment,
    change_colours,
    mirrored,
    random_view,
    resized,
    rotation_about_axis,
    rotation_to_axis,
    seen_by,
)
from training.batches import canonical_scale, make_batch, stack  # noqa: E402
from training.frame_store import FrameStore, open_or_make  # noqa: E402
from training.losses import depth_loss, gradient_loss  # noqa: E402
from training.network import card_text  # noqa: E402
from training.settings import Settings, Stage, load_settings  # noqa: E402
from training.sources import made_scene, made_sources, open_sources  # noqa: E402
from training.train_unetpp import Trainer, learning_rate, main, save, smoke_settings  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = Path(__file__).resolve().parent.parent / "training" / "configs" / "unetpp_mobile.yaml"
SETTINGS = load_settings(CONFIG)
# a plane a x + b y + z = c: its depth is known at every pixel of every camera
PLANE = (0.3, -0.2, 2.0)


def _plane_depth(camera: PinholeCamera, normal: Sequence[float] = (*PLANE[:2], 1.0)) -> np.ndarray:
    x, y = camera.rays
    return (PLANE[2] / (normal[2] + normal[0] * x[None, :] + normal[1] * y[:, None])).astype(np.float32)


def _plane_sample() -> Sample:
    camera = PinholeCamera.from_intrinsics(160, 120, 130.0, 130.0, 84.0, 57.0)
    depth = _plane_depth(camera)
    return Sample(np.repeat(_grey(depth, camera).astype(np.uint8)[..., None], 3, 2), camera, depth)


def _grey(depth: np.ndarray, camera: PinholeCamera) -> np.ndarray:
    """Brightness by distance from the camera: what no turn of it changes."""
    x, y = camera.rays
    return np.asarray(depth * np.sqrt(x[None, :] ** 2 + y[:, None] ** 2 + 1) * 50)


def _agrees(sample: Sample, normal: Sequence[float], tolerance: float) -> None:
    assert sample.depth is not None
    known = np.isfinite(sample.depth)
    assert known.mean() > 0.6
    error = np.abs(sample.depth / _plane_depth(sample.camera, normal) - 1)
    assert error[known].max() < tolerance


def test_resize_and_mirror_move_depth_and_camera_together() -> None:
    sample = _plane_sample()
    a, b, _ = PLANE
    _agrees(mirrored(sample), (-a, b, 1), 1e-6)
    _agrees(resized(sample, 64, 96), (a, b, 1), 0.006)  # nearest neighbour: half a source pixel


@pytest.mark.parametrize("roll_deg", [0.0, 35.0, -90.0])
@pytest.mark.parametrize("direction", [(0.0, 0.0, 1.0), (0.2, -0.1, 1.0), (-0.3, 0.25, 1.0)])
def test_turned_view_sees_the_turned_plane(direction: tuple[float, float, float], roll_deg: float) -> None:
    turn = rotation_about_axis(math.radians(roll_deg)) @ rotation_to_axis(np.array(direction))
    assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-12)
    assert turn @ direction == pytest.approx([0, 0, np.linalg.norm(direction)])
    view = PinholeCamera.from_intrinsics(80, 64, 150.0, 140.0, 39.5, 31.5)
    a, b, _ = PLANE
    _agrees(seen_by(_plane_sample(), view, turn), turn @ (a, b, 1), 0.006)


def test_random_views_stay_inside_and_look_along_their_own_axis() -> None:
    camera = _plane_sample().camera
    wide = dataclasses.replace(SETTINGS.augment, roll=1.0, roll_deg=180.0)
    for seed in range(50):
        view, turn = random_view(camera, 96, 64, wide, np.random.default_rng(seed))
        assert view.K[:2, 2] == pytest.approx([47.5, 31.5])
        seen = seen_by(_plane_sample(), view, turn)
        assert seen.depth is not None
        assert np.isfinite(seen.depth).all()


def test_augmented_colour_stays_registered_to_depth() -> None:
    calm = dataclasses.replace(SETTINGS.augment, full_frame=0.0, roll=0.5, gamma=0.0, gain=0.0, colour=0.0,
                               contrast=0.0, grey=0.0, blur=0.0, noise=0.0, jpeg=0.0)
    for seed in range(20):
        sample = augment(_plane_sample(), 96, 64, calm, np.random.default_rng(seed))
        assert sample.depth is not None
        assert sample.rgb.shape == (64, 96, 3)
        assert sample.camera.size == (96, 64)
        assert np.abs(sample.rgb[..., 0] - _grey(sample.depth, sample.camera)).max() < 3


def test_augmentation_is_a_function_of_its_seed() -> None:
    sample = made_scene(4, 160, 128)
    changed = [augment(sample, 96, 64, SETTINGS.augment, np.random.default_rng(seed)) for seed in (5, 5, 6)]
    first, second, other = changed
    assert np.array_equal(first.rgb, second.rgb)
    assert not np.array_equal(first.rgb, other.rgb)


def test_colour_changes_keep_shape_and_type_and_do_change() -> None:
    rgb = made_scene(1, 96, 64).rgb
    always = dataclasses.replace(SETTINGS.augment, grey=1.0, blur=1.0, noise=1.0, jpeg=1.0)
    changed = change_colours(rgb, always, np.random.default_rng(0))
    assert (changed.shape, changed.dtype) == (rgb.shape, np.uint8)
    assert not np.array_equal(changed, rgb)


def test_canonical_target_is_the_same_for_every_stage_and_lens() -> None:
    camera = PinholeCamera.from_hfov(640, 512, 60)
    sample = Sample(np.zeros((512, 640, 3), np.uint8), camera, np.full((512, 640), 3.0, np.float32))
    scales = [canonical_scale(resized(sample, w, h), SETTINGS.network) for w, h in ((160, 128), (320, 256), (640, 512))]
    assert scales == pytest.approx([0.5 * 320 / math.tan(math.radians(30)) / 256] * 3)
    _, targets = stack([resized(sample, 320, 256)], SETTINGS.network)
    assert targets.numpy() == pytest.approx(math.log(3.0 / scales[0]), rel=1e-6)


def test_loss_by_hand() -> None:
    target = torch.tensor([[[[0.0, 1.0, float("nan")], [2.0, 3.0, 4.0]]]])
    guess = torch.tensor([[[[0.5, 1.0, 7.0], [2.0, 2.0, 4.0]]]], requires_grad=True)
    residual = torch.tensor([[[[0.5, 0.0, 0.0], [0.0, -1.0, 0.0]]]])
    assert depth_loss(guess, target, 0.0, 1).item() == pytest.approx(1.5 / 5)
    across, down = (0.5 + 1 + 1) / 3, (0.5 + 1) / 2  # the pairs with the unknown pixel do not count
    assert gradient_loss(residual, torch.isfinite(target), 1).item() == pytest.approx(across + down)
    loss = depth_loss(guess, target, 0.5, 1)
    loss.backward()
    assert loss.item() == pytest.approx(0.3 + 0.5 * (across + down))
    assert torch.isfinite(guess.grad).all()
    assert guess.grad[0, 0, 0, 2] == 0


def test_a_batch_without_truth_costs_nothing() -> None:
    guess = torch.zeros(1, 1, 8, 8, requires_grad=True)
    loss = depth_loss(guess, torch.full((1, 1, 8, 8), float("nan")), 0.5, 2)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(guess.grad, torch.zeros_like(guess))


def test_learning_rate_warms_up_stays_and_falls_in_the_last_stage() -> None:
    stages = [Stage(64, 64, 2, 100), Stage(96, 96, 2, 50)]
    optimiser = dataclasses.replace(SETTINGS.optimiser, learning_rate=1.0, warmup_steps=10)
    settings = dataclasses.replace(SETTINGS, stages=stages, optimiser=optimiser)
    rates = [learning_rate(settings, step) for step in range(151)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:101] == pytest.approx([1.0] * 92)
    assert rates[125] == pytest.approx(0.5)
    assert rates[150] == pytest.approx(0.0)
    assert settings.stage_at(99) is stages[0]
    assert settings.stage_at(100) is stages[1]


def test_frame_store_gives_back_what_it_was_given(tmp_path: Path) -> None:
    scenes = [made_scene(i, 40, 32) for i in range(3)]
    made: list[int] = []

    def samples() -> Iterator[Sample]:
        made.append(1)
        return iter(scenes)

    for _ in range(2):  # made once, read twice
        store = open_or_make(tmp_path, "made", {"seeds": [0, 1, 2]}, 3, samples)
        assert len(store) == 3
        for i, scene in enumerate(scenes):
            assert scene.depth is not None
            assert np.array_equal(store[i].rgb, scene.rgb)
            assert store[i].depth == pytest.approx(scene.depth, rel=1e-3)
            assert np.array_equal(store[i].camera.K, scene.camera.K)
    assert len(made) == 1
    with pytest.raises(DataError, match="expected 3 frames, got 2"):
        open_or_make(tmp_path, "made", {"seeds": [7]}, 3, lambda: iter(scenes[:2]))
    assert [folder.name for folder in tmp_path.iterdir() if folder.suffix != ".partial"] == [store.folder.name]


def test_damaged_frame_store_says_so(tmp_path: Path) -> None:
    store = open_or_make(tmp_path, "made", {}, 1, lambda: iter([made_scene(0, 40, 32)]))
    (store.folder / "rgb.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match="it is made again"):
        FrameStore(store.folder)


def _tiny(**changes: Any) -> Settings:
    settings, _ = smoke_settings(SETTINGS)
    network = dataclasses.replace(settings.network, encoder="tu-mobilenetv3_small_050",
                                  decoder_channels=[8, 8, 8, 8, 8], input_width=64, input_height=32)
    changes = {"network": network, "stages": [Stage(64, 32, 2, 4), Stage(64, 32, 3, 3)], "validate_every": 3,
               "threads": 1, "augment": SETTINGS.augment, **changes}
    return dataclasses.replace(settings, **changes)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_resumed_run_equals_one_that_never_stopped(dropout: float, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    sources, stopped = made_sources(8, 96, 64), tmp_path / "stopped"
    stopped.mkdir()
    settings = _tiny(network=dataclasses.replace(_tiny().network, dropout=dropout))
    whole = Trainer(settings, sources, tmp_path)
    whole.run()

    def save_and_stop(state: dict[str, Any], path: Path) -> None:
        save(state, path)
        if path.name == "last.pt":
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("training.train_unetpp.save", save_and_stop)
        Trainer(settings, sources, stopped).run()
    resumed = Trainer(settings, sources, stopped)
    resumed.restore(stopped / "last.pt")
    assert resumed.step == 3
    resumed.run()
    for kind in ("module", "averaged"):
        expected, got = whole.state()[kind], resumed.state()[kind]
        assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert resumed.rows == whole.rows
    assert (stopped / "log.csv").read_text() == (tmp_path / "log.csv").read_text()


def test_checkpoints_from_before_a_setting_with_a_default_can_be_resumed(tmp_path: Path) -> None:
    sources, settings = made_sources(4, 96, 64), _tiny(stages=[Stage(64, 32, 2, 1)])
    Trainer(settings, sources, tmp_path).run()
    old = torch.load(tmp_path / "last.pt", weights_only=True)
    for key in ("dropout", "encoder_weights"):
        del old["settings"]["network"][key]
    torch.save(old, tmp_path / "last.pt")
    resumed = Trainer(settings, sources, tmp_path)
    resumed.restore(tmp_path / "last.pt")
    assert resumed.step == 1


@pytest.mark.parametrize("name", ["unetpp_mobile", "unetpp_resnext50"])
def test_settings_of_the_models_load(name: str) -> None:
    settings = load_settings(CONFIG.with_name(f"{name}.yaml"), {"network.dropout": "0.25"})
    assert settings.network.name == name
    assert card_text(settings.network)["architecture"]["dropout"] == 0.25
    assert settings.network.encoder_weights == {"unetpp_mobile": "none", "unetpp_resnext50": "imagenet"}[name]
    last = settings.stages[-1]
    assert (last.width, last.height) == (settings.network.input_width, settings.network.input_height)


@pytest.mark.parametrize(("flags", "fetched"), [([], ["imagenet"]), (["--set", "network.encoder_weights=none"], [None]),
                                                (["--init"], [None]), (["--smoke"], [None])])
def test_encoder_weights_are_fetched_only_where_a_training_starts_with_them(
        flags: list[str], fetched: list[str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def build(card: ModelCard, weights: str | None = None) -> None:
        asked.append(weights)
        raise ModelError("enough")

    monkeypatch.setattr("training.network.build_unetpp", build)
    monkeypatch.setattr("training.train_unetpp.open_sources", lambda *_: made_sources(1, 96, 64))
    if "--init" in flags:
        flags = [*flags, str(tmp_path / "best.pt")]
    assert main(["--config", str(CONFIG.with_name("unetpp_resnext50.yaml")), "--output", str(tmp_path), *flags]) == 1
    assert asked == fetched


def test_settings_of_a_resumed_run_must_be_its_own(tmp_path: Path) -> None:
    sources = made_sources(4, 96, 64)
    Trainer(_tiny(stages=[Stage(64, 32, 2, 1)]), sources, tmp_path).run()
    with pytest.raises(ConfigError, match="run of other settings"):
        Trainer(_tiny(seed=9), sources, tmp_path).restore(tmp_path / "last.pt")


def test_new_run_can_start_from_old_weights(tmp_path: Path) -> None:
    sources = made_sources(4, 96, 64)
    old = Trainer(_tiny(stages=[Stage(64, 32, 2, 2)]), sources, tmp_path)
    old.run()
    for file in ("last.pt", "best.pt"):
        new = Trainer(_tiny(seed=9), sources, tmp_path)
        new.initialise(tmp_path / file)
        assert new.step == 0
        weights = old.averaged.module.state_dict()
        assert all(torch.equal(weights[name], value) for name, value in new.module.state_dict().items())


def test_batches_depend_on_seed_and_step_alone() -> None:
    settings, sources = smoke_settings(SETTINGS)
    for step in (0, 7):
        once, again = make_batch(sources.train, settings, step), make_batch(sources.train, settings, step)
        assert torch.equal(once[0], again[0])
    assert not torch.equal(make_batch(sources.train, settings, 8)[0], once[0])


@pytest.mark.parametrize(("override", "says"), [
    ({"optimiser.momentum": "0.9"}, "'optimiser.momentum' does not exist"),
    ({"seed": "soon"}, "seed must be int, got 'soon'"),
    ({"stages": "[{width: 100, height: 96, batch: 1, steps: 1}]"}, "multiples of 32"),
    ({"network.dropout": "1.0"}, "network.dropout must be from 0 to below 1, got 1"),
    ({"rooms_share": "1.5"}, "rooms_share must be 0 to 1, got 1.5"),
    ({"loss": "{gradient_weight: 1.0}"}, "missing: gradient_scales; unknown: none"),
])
def test_wrong_settings_stop_with_one_line(override: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_settings(CONFIG, override)


def test_missing_settings_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path / "none.yaml")


def test_tum_frames_need_a_data_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="name the data folder"):
        open_sources(dataclasses.replace(SETTINGS, rooms_share=0.0), None, tmp_path)


def test_rooms_and_tum_frames_as_sources(data_folder: Path, tmp_path: Path) -> None:
    rooms = dataclasses.replace(SETTINGS.rooms, rooms=1, validation_rooms=1, frames_per_room=2, width=64, height=48)
    tum = dataclasses.replace(SETTINGS.tum, train=[0, 2], validation=[101, 101])
    sources = open_sources(dataclasses.replace(SETTINGS, rooms=rooms, tum=tum, threads=1), data_folder, tmp_path)
    assert {name: len(frames) for name, frames in sources.train.items()} == {"tum": 3, "rooms": 2}
    assert {name: len(frames) for name, frames in sources.validation.items()} == {"tum": 1, "rooms": 2}
    frame = sources.train["rooms"][1]
    assert frame.depth is not None
    assert np.isfinite(frame.depth).mean() > 0.95
    assert 45 <= 2 * math.degrees(math.atan(32 / frame.camera.fx)) <= 95


def test_smoke_run_learns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--smoke", "--output", str(tmp_path)]) == 0
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["loss"]) < 0.35 * float(rows[0]["loss"])
    assert float(rows[-1]["made_abs_rel"]) < 0.15
    assert (tmp_path / "commit.txt").read_text()
    assert load_settings(tmp_path / "settings.yaml").stages == [Stage(96, 64, 8, 120)]
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    chosen = [sum(float(row[name]) for name in best["scores"]) for row in rows]
    assert sum(best["scores"].values()) == pytest.approx(min(chosen))


def test_command_says_in_one_line_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "none.yaml")]) == 1
    assert main(["--smoke", "--resume", "--output", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 2

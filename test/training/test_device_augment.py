"""Augmentation of a batch on its device against that of each frame by OpenCV: the same draws through both paths."""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("segmentation_models_pytorch")
pytest.importorskip("lightning")

from made_training_sets import write_nyu_csv  # noqa: E402
from small_training import small_settings, train_small  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from mono_depth_recon.datasets.dataset import Part  # noqa: E402
from mono_depth_recon.datasets.mixture.mixture import Mixture  # noqa: E402
from mono_depth_recon.datasets.mixture.tolerant import TolerantFrames  # noqa: E402
from mono_depth_recon.datasets.nyu.csv_layout import NyuCsv  # noqa: E402
from mono_depth_recon.errors import ConfigError, DataError  # noqa: E402
from mono_depth_recon.frames import Sample  # noqa: E402
from training.augment import changed, known_depth  # noqa: E402
from training.averaging import MovingAverage  # noqa: E402
from training.batches import Batch, collate  # noqa: E402
from training.changes import draw_changes  # noqa: E402
from training.device_augment import changed_batch, normal  # noqa: E402
from training.device_frames import SHARE, hold, part_bytes  # noqa: E402
from training.device_jpeg import compressed  # noqa: E402
from training.frames import made_data  # noqa: E402
from training.kept_frames import keep  # noqa: E402
from training.late import LateNumbers  # noqa: E402
from training.loading import Draw, FrameLoading, TrainingFrames, TrainingRecipes  # noqa: E402
from training.losses import metric_loss  # noqa: E402
from training.network import UnetPreparation  # noqa: E402
from training.recipes import Delivered, Held, Recipe, collate_recipes  # noqa: E402
from training.settings import AugmentSettings, LoaderSettings, Stage  # noqa: E402
from training.sources import made_scene  # noqa: E402
from training.throughput import WARM_UP, Meter, measure  # noqa: E402
from training.throughput import main as throughput_main  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")]
    ),
]
WINDOW = AugmentSettings(full_frame=0.0, crop=1.0, smallest_window=0.4, aspect_jitter=0.1, flip=0.5)
VIEW = AugmentSettings(full_frame=0.0, smallest_window=0.4, aspect_jitter=0.1, flip=0.5, roll=0.5, roll_deg=60.0)
ROTATED = AugmentSettings(rotate=1.0, rotate_deg=15.0)
LIGHT = AugmentSettings(gamma=0.3, gain=0.3, colour=0.2, contrast=0.3, grey=0.3)
BLUR = AugmentSettings(blur=0.7, blur_px=2.5, motion=0.7, motion_px=9.0)
JPEG = AugmentSettings(jpeg=0.8, jpeg_quality=20)


def _detailed(seed: int, width: int, height: int) -> Sample:
    """A scene with fine structure, its depth as stores keep it."""
    scene = made_scene(seed, width, height)
    grain = np.random.default_rng(seed).normal(0, 12, scene.rgb.shape)
    rgb = np.clip(scene.rgb + cv2.GaussianBlur(grain, (0, 0), 1.0), 0, 255).astype(np.uint8)
    depth = known_depth(scene).copy()
    depth[: height // 8, : width // 4] = np.nan
    return replace(scene, rgb=rgb, depth=depth.astype(np.float16).astype(np.float32))


def _recipes(samples: Sequence[Sample], settings: AugmentSettings, width: int, height: int) -> list[Recipe]:
    recipes = []
    for seed, sample in enumerate(samples):
        changes = draw_changes(sample.camera, width, height, settings, np.random.default_rng((seed, 7)))
        frame = Delivered(sample.rgb, known_depth(sample).astype(np.float16))
        recipes.append(Recipe(frame, sample.camera, changes, 1.0, seed, f"frame {seed}", ()))
    return recipes


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("settings", "mean", "most"),
    [
        (AugmentSettings(), 0.2, 2),
        (WINDOW, 0.2, 2),
        (VIEW, 0.2, 2),
        (ROTATED, 0.2, 2),
        (LIGHT, 0.3, 5),  # a curve doubles a difference of one level
        (BLUR, 0.2, 3),
        (JPEG, 1.0, 25),  # a coefficient that is rounded the other way
    ],
    ids=["whole", "window", "view", "rotated", "light", "blur", "jpeg"],
)
def test_a_batch_is_what_opencv_makes_of_each_frame(
    device: str, settings: AugmentSettings, mean: float, most: float
) -> None:
    """Frames of two sizes, made smaller and larger: colour in grey levels, depth but for pixels on a rounding edge."""
    samples = [_detailed(seed, *((200, 150) if seed % 3 else (72, 60))) for seed in range(12)]
    recipes = _recipes(samples, settings, 96, 64)
    images, depth = (each.cpu() for each in changed_batch(collate_recipes(recipes).to(torch.device(device)), []))
    assert images.shape == (12, 3, 64, 96) and depth.shape == (12, 1, 64, 96)
    for image, metres, sample, recipe in zip(images, depth[:, 0].numpy(), samples, recipes, strict=True):
        expected = changed(sample, recipe.changes)
        assert np.array_equal(recipe.changes.camera.K, expected.camera.K)
        difference = np.abs(image.permute(1, 2, 0).numpy() - expected.rgb.astype(np.float32))
        assert difference.mean() < mean and difference.max() <= most
        assert np.array_equal(image.numpy(), image.numpy().round())
        same = np.isclose(metres, known_depth(expected), rtol=1e-5, equal_nan=True)
        assert same.mean() > 0.995


@pytest.mark.parametrize("quality", [5, 30, 49, 50, 75, 95])
def test_jpeg_is_that_of_opencv(quality: int) -> None:
    """Of a side that is no multiple of a block, too; the change itself is much larger than the difference."""
    rgb = _detailed(3, 92, 70).rgb
    expected = cv2.imdecode(cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    made = compressed(torch.from_numpy(rgb).permute(2, 0, 1)[None].float(), torch.tensor([float(quality)]))
    difference = np.abs(made[0].permute(1, 2, 0).numpy() - expected.astype(np.float32))
    assert difference.mean() < 1 < np.abs(expected - rgb.astype(np.float32)).mean()


def test_noise_is_normal_of_its_size_and_a_function_of_its_seed() -> None:
    numbers = normal(torch.tensor([1, 2**40 + 1, 2]), 50_001)
    assert numbers.shape == (3, 50_001) and torch.isfinite(numbers).all()
    assert torch.equal(numbers[1:2], normal(torch.tensor([2**40 + 1]), 50_001))
    for power, moment in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):
        assert (numbers.double() ** power).mean(1).tolist() == pytest.approx([moment] * 3, abs=0.12)
    assert torch.corrcoef(numbers) == pytest.approx(np.eye(3), abs=0.02)
    for shift in (1, 2, 25_001):  # 25_001: the two numbers of a pair
        assert abs(np.corrcoef(numbers[0, shift:], numbers[0, :-shift])[0, 1]) < 0.02
    grey = replace(_detailed(1, 96, 64), rgb=np.full((64, 96, 3), 128, np.uint8))
    recipe = _recipes([grey], AugmentSettings(noise=1.0, noise_levels=10.0), 96, 64)[0]
    image, _ = changed_batch(collate_recipes([recipe]), [])
    sigma = float(recipe.changes.colours.noise)
    assert image.std() == pytest.approx(sigma, rel=0.05)
    assert image.mean() == pytest.approx(127.5, abs=0.2)  # fractions are cut, as OpenCV's path cuts them


def test_the_prepared_batch_is_that_of_the_loading_processes() -> None:
    settings = replace(small_settings().augment, noise=0.0, jpeg=0.0)
    data, prepare = made_data(8, 96, 64), UnetPreparation(small_settings().network)
    draws = [Draw(turn, place, 64, 32) for turn in range(2) for place in range(8)]
    frames = TrainingFrames(data.train, prepare, settings, 3)
    recipes = TrainingRecipes(data.train, prepare, settings, 3, {})
    expected, got = collate([frames[draw] for draw in draws]), collate_recipes([recipes[draw] for draw in draws])
    loading = FrameLoading(small_settings(), data, prepare)
    made = loading.on_after_batch_transfer(got, 0)
    assert isinstance(made, Batch) and made.images.is_contiguous(memory_format=torch.channels_last)
    assert (made.origins, made.scales.tolist()) == (expected.origins, expected.scales.tolist())
    assert (made.images - expected.images).abs().mean() < 0.01
    both = torch.isfinite(made.targets) & torch.isfinite(expected.targets)
    assert (torch.isfinite(made.targets) == torch.isfinite(expected.targets)).float().mean() > 0.995
    # depth that travels has 11 bits
    assert ((made.targets - expected.targets).abs()[both] < 1e-3).float().mean() > 0.99
    assert loading.on_after_batch_transfer(made, 0) is made


def _kept_draws(folder: Path) -> TolerantFrames[tuple[int, int]]:
    source = NyuCsv("nyu", write_nyu_csv(folder / "nyu", ["a_0001", "b_0002"]))
    part = Part(source, "train", source.official()["train"])
    (folder / "nyu/data/nyu2_train/b_0002_out/2.jpg").write_bytes(b"none")
    keep(part, folder / "cache", 1)
    return TolerantFrames(Mixture([part], [1.0], 5))


def test_held_frames_give_the_batches_of_delivered_ones_and_bad_ones_are_named(tmp_path: Path) -> None:
    draws = _kept_draws(tmp_path)
    parts = draws.frames.parts
    banks, held, line = hold(parts, CPU, 10**9)
    assert "frames on cpu: 6 of 6, 0.0 GiB of 0.9 GiB free" in line and len(banks) == 1
    prepare, augment = UnetPreparation(small_settings().network), small_settings().augment
    keys = [Draw(turn, place, 64, 32) for turn in range(2) for place in range(len(draws))]
    near, far = (TrainingRecipes(draws, prepare, augment, 3, each) for each in (held, {}))
    near = pickle.loads(pickle.dumps(near))  # as it comes into a loading process
    mine, sent = [near[key] for key in keys], [far[key] for key in keys]
    assert all(isinstance(each.frame, Held) for each in mine)
    assert all(isinstance(each.frame, Delivered) for each in sent)
    assert [each.bad for each in mine] == [each.bad for each in sent]
    assert any("b_0002_out/2.jpg is not an image" in bad.text for each in mine for bad in each.bad)
    pairs = zip(changed_batch(collate_recipes(mine), banks), changed_batch(collate_recipes(sent), []), strict=True)
    for got, expected in pairs:
        assert torch.equal(got.nan_to_num(-1), expected.nan_to_num(-1))


class _Reads(TorchDispatchMode):
    """Counts operations, and those for whose result the CPU would wait for a device."""

    def __init__(self) -> None:
        super().__init__()
        self.count, self.waits = 0, set[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        if func.overloadpacket._qualified_op_name in _WAITING:
            self.waits.add(str(func))
        return func(*args, **kwargs or {})


_WAITING = {f"aten::{name}" for name in ("_local_scalar_dense", "nonzero", "masked_select", "equal", "unique2")}


def test_no_number_is_read_back_and_no_frame_has_launches_of_its_own(tmp_path: Path) -> None:
    settings = small_settings()
    always = replace(settings.augment, grey=0.5, blur=0.5, motion=0.5, noise=0.5, jpeg=0.5, full_frame=0.5)
    draws, prepare = _kept_draws(tmp_path), UnetPreparation(settings.network)
    banks, held, _ = hold(draws.frames.parts, CPU, 10**9)
    recipes = TrainingRecipes(draws, prepare, always, 3, held)
    network = torch.nn.Conv2d(3, 1, 1)
    average = MovingAverage(network, 0.9)
    average.update_parameters(network)
    counts = []
    for size in (12, 24, 48):  # the first makes what stays on the device
        batch = collate_recipes([recipes[Draw(*divmod(place, len(draws)), 64, 32)] for place in range(size)])
        with _Reads() as reads:
            images, targets = prepare.on_device(*changed_batch(batch, banks), batch.scales)
            logs = network(images)
            metric_loss(logs.exp(), logs, targets, settings.loss).backward()
            average.update_parameters(network)
        assert not reads.waits
        counts.append(reads.count)
    assert counts[1] == counts[2]


def test_frames_that_do_not_fit_are_left_to_the_loading_processes(tmp_path: Path) -> None:
    parts = _kept_draws(tmp_path).frames.parts
    (size,) = parts[0].source.sizes()
    needed = part_bytes(parts[0], *size) / SHARE
    assert hold(parts, CPU, int(needed) + 1)[1].keys() == {"nyu"}
    banks, held, line = hold(parts, CPU, int(needed) - 2)
    assert (banks, held) == ([], {}) and line.endswith("the loading processes read nyu")


def test_a_run_that_augments_on_its_device_resumes_exactly(tmp_path: Path) -> None:
    settings = small_settings(stages=[Stage(32, 32, 2, 2, 2)], loader=LoaderSettings(workers=0, device_frames="always"))
    whole = train_small(settings, tmp_path / "whole")
    with pytest.raises(_Stop):
        train_small(settings, tmp_path / "stopped", callbacks=[_stop_at(3)])
    resumed = train_small(settings, tmp_path / "stopped", resume=True)
    for mine, theirs in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert whole.rows == resumed.rows


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("precision", ["float32", "mixed", "mixed_bfloat16"])
def test_a_run_on_a_gpu_learns(tmp_path: Path, precision: str) -> None:
    settings = small_settings(precision=precision, stages=[Stage(64, 32, 8, 4, 20)], loader=LoaderSettings(workers=1))
    rows = train_small(settings, tmp_path).rows
    assert all(np.isfinite([row["train_loss"], row["val_loss"]]).all() for row in rows)
    assert rows[-1]["train_loss"] < 0.8 * rows[0]["train_loss"]


class _Stop(Exception):
    """Ends a run."""


def _stop_at(step: int) -> Any:
    from lightning.pytorch.callbacks import LambdaCallback

    def stop(trainer: Any, *_: Any) -> None:
        if trainer.global_step == step:
            raise _Stop

    return LambdaCallback(on_train_batch_start=stop)


def test_a_model_whose_images_the_cpu_makes_refuses(tmp_path: Path) -> None:
    settings = small_settings(loader=LoaderSettings(workers=0, device_frames="always"))
    loading = FrameLoading(settings, made_data(4, 32, 32), UnetPreparation(settings.network).__call__)
    loading.trainer = _Trainer()
    with pytest.raises(ConfigError, match="device_frames must be auto or never"):
        loading.train_dataloader()


class _Trainer:
    """What `FrameLoading` asks of a trainer."""

    world_size, global_rank, current_epoch = 1, 0, 0

    class strategy:
        """Of a CPU."""

        root_device = CPU


def test_numbers_of_a_cpu_are_there_at_once() -> None:
    seen: list[float] = []
    late = LateNumbers()
    late.give([torch.tensor(1.5)], lambda value: seen.append(float(value)))
    assert seen == [1.5]
    late.flush()
    assert seen == [1.5]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_numbers_of_a_gpu_are_there_one_step_later_with_their_own_names() -> None:
    seen: list[str] = []

    def use(step: int, value: torch.Tensor) -> None:
        if not torch.isfinite(value):
            raise DataError(f"step {step}")
        seen.append(f"{step}: {value.item():g}")

    late = LateNumbers()
    for step, number in enumerate((1.0, float("nan"))):
        late.give([torch.tensor(number, device="cuda")], partial(use, step))
    assert seen == ["0: 1"]
    with pytest.raises(DataError, match="step 1"):
        late.flush()


def test_moving_average_grows_its_memory_and_can_be_taken_up() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    average, taken_up = (MovingAverage(network, 0.5) for _ in range(2))
    expected = 0.0
    for step, weight in enumerate((1.0, 3.0, 2.0, 8.0)):
        if step == 2:
            taken_up.load_state_dict(average.state_dict())
        with torch.no_grad():
            network.weight.fill_(weight)
        decay = min(0.5, (1 + step) / (10 + step)) if step else 0.0
        expected = decay * expected + (1 - decay) * weight
        for each in (average, taken_up) if step >= 2 else (average,):
            each.update_parameters(network)
            assert each.module.weight.item() == pytest.approx(expected)
    assert int(average.n_averaged) == 4


def test_throughput_is_measured_in_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    settings = small_settings(loader=LoaderSettings(workers=0, device_frames="always"))
    lines = measure(settings, made_data(8, 96, 64), 0.0).splitlines()
    assert lines[0] == "32x32, batches of 2, decoder_bfloat16, on 1 CPU threads"
    number = r"\s+([\d.]+)"
    for line, pattern in zip(
        lines[1:],
        (
            f"augmentation alone{number} images/s",
            f"step alone{number} images/s",
            f"whole{number} images/s, the device waits{number}%",
            f"first step after{number} s",
        ),
        strict=True,
    ):
        found = re.fullmatch(pattern, line)
        assert found and all(float(each) > 0 for each in found.groups()), line
    assert throughput_main(["--seconds", "nan"]) == 1
    assert capsys.readouterr().err.endswith("--seconds must be 0 to 3600, got nan\n")


def test_a_rate_counts_the_images_after_the_warm_up_and_the_gaps_between_steps() -> None:
    """By a clock of its own: a batch of 4 comes 1 s after a step ends, and takes 3 s."""
    meter, trainer = Meter(0.0), SimpleNamespace(should_stop=False)
    clock = iter(range(10**6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.throughput.time.perf_counter", lambda: float(next(clock)))
        for _ in range(WARM_UP + 6):
            meter.begin()
            meter.on_train_batch_end(trainer, None, None, range(4), 0)  # type: ignore[arg-type]
    rate = meter.rate()
    assert trainer.should_stop and rate.images == 4 * 6
    assert 0 < rate.waited < rate.seconds

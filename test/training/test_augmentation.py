"""Training frames: augmentations against a scene known everywhere, losses by hand, the store of prepared frames."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from processes import ROOT

torch = pytest.importorskip("torch")
pytest.importorskip("segmentation_models_pytorch")

from mono_depth_recon.camera import PinholeCamera  # noqa: E402
from mono_depth_recon.errors import ConfigError, DataError, MonoDepthError  # noqa: E402
from mono_depth_recon.frames import Sample  # noqa: E402
from training.augment import (  # noqa: E402
    augment,
    change_colours,
    mirrored,
    resized,
    seen_by,
)
from training.changes import (  # noqa: E402
    draw_colours,
    motion_kernel,
    random_view,
    rotation_about_axis,
    rotation_to_axis,
)
from training.frame_store import FrameStore, open_or_make  # noqa: E402
from training.losses import gradient_loss, metric_loss, relative_loss  # noqa: E402
from training.network import UnetPreparation, canonical_scale  # noqa: E402
from training.settings import AugmentSettings, LossSettings, load_settings  # noqa: E402
from training.sources import made_scene  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = ROOT / "training" / "configs" / "unetpp_mobile.yaml"
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
    calm = dataclasses.replace(
        SETTINGS.augment,
        full_frame=0.0,
        roll=0.5,
        gamma=0.0,
        gain=0.0,
        colour=0.0,
        contrast=0.0,
        grey=0.0,
        blur=0.0,
        motion=0.0,
        noise=0.0,
        jpeg=0.0,
    )
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
    always = dataclasses.replace(SETTINGS.augment, grey=1.0, blur=1.0, motion=1.0, noise=1.0, jpeg=1.0)
    changed = change_colours(rgb, draw_colours(96, 64, always, np.random.default_rng(0)))
    assert (changed.shape, changed.dtype) == (rgb.shape, np.uint8)
    assert not np.array_equal(changed, rgb)


def test_motion_blur_is_a_line_of_its_length_and_direction() -> None:
    for length, angle in ((1.0, 0.3), (6.0, 0.0), (9.0, math.pi / 2), (7.0, 2.2)):
        kernel = motion_kernel(length, angle)
        assert kernel.sum() == pytest.approx(1)
        y, x = np.indices(kernel.shape) - (len(kernel) - 1) / 2
        assert abs((x * kernel).sum()) < 0.2 > abs((y * kernel).sum())  # samples that fall between two pixels
        along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
        assert math.sqrt((along**2 * kernel).sum()) == pytest.approx(length / math.sqrt(12), abs=0.3)
        assert math.sqrt((across**2 * kernel).sum()) < 0.4


def test_cropped_window_moves_the_intrinsics_along() -> None:
    only_crop = AugmentSettings(full_frame=0.0, crop=1.0, smallest_window=0.5, aspect_jitter=0.1)
    a, b, _ = PLANE
    centres = set()
    for seed in range(20):
        sample = augment(_plane_sample(), 96, 64, only_crop, np.random.default_rng(seed))
        assert sample.camera.size == (96, 64)
        _agrees(sample, (a, b, 1), 0.012)  # nearest neighbour: half a pixel of the source
        centres.add(round(sample.camera.cx))
    assert len(centres) > 5


def test_rotation_in_the_plane_keeps_the_whole_frame_and_knows_no_corners() -> None:
    only_turn = AugmentSettings(rotate=1.0, rotate_deg=10.0)
    for seed in range(5):
        sample = augment(_plane_sample(), 160, 120, only_turn, np.random.default_rng(seed))
        assert np.array_equal(sample.camera.K, _plane_sample().camera.K)
        assert sample.depth is not None
        known = np.isfinite(sample.depth)
        assert 0.8 < known.mean() < 1
        assert np.abs(sample.rgb[..., 0] - _grey(sample.depth, sample.camera))[known].max() < 4


def test_settings_that_are_left_out_change_nothing() -> None:
    sample = made_scene(2, 96, 64)
    for seed in range(5):
        same = augment(sample, 96, 64, AugmentSettings(), np.random.default_rng(seed))
        assert np.array_equal(same.rgb, sample.rgb)


def test_canonical_target_is_the_same_for_every_stage_and_lens() -> None:
    camera = PinholeCamera.from_hfov(640, 512, 60)
    sample = Sample(np.zeros((512, 640, 3), np.uint8), camera, np.full((512, 640), 3.0, np.float32))
    network = replace(SETTINGS.network, size_exponent=0.0)
    scales = [canonical_scale(camera.resized(w, h), network) for w, h in ((160, 128), (320, 256), (640, 512))]
    input_focal = camera.fx * math.sqrt(network.input_width * network.input_height / (640 * 512))
    assert scales == pytest.approx([input_focal / network.canonical_focal_px] * 3)
    prepared = UnetPreparation(network)(resized(sample, 320, 256))
    assert prepared.scale == pytest.approx(scales[0])
    assert prepared.image.shape == (3, 256, 320)
    assert prepared.target == pytest.approx(math.log(3.0 / scales[0]), rel=1e-6)
    pixels = replace(network, size_exponent=1.0)  # the focal length in pixels of the image, at any size
    sizes = [camera.resized(w, h) for w, h in ((160, 128), (320, 256), (288, 160))]
    assert [canonical_scale(each, pixels) for each in sizes] == pytest.approx(
        [math.sqrt(each.fx * each.fy) / network.canonical_focal_px for each in sizes]
    )


def _loss(guess: torch.Tensor, target: torch.Tensor, kind: str = "log_l1", weight: float = 0.0) -> torch.Tensor:
    return metric_loss(guess.exp(), guess, target, LossSettings(kind, weight, 1))


def test_losses_by_hand() -> None:
    target = torch.tensor([[[[0.0, 1.0, float("nan")], [2.0, 3.0, 4.0]]]])
    guess = torch.tensor([[[[0.5, 1.0, 7.0], [2.0, 2.0, 4.0]]]], requires_grad=True)
    residual = torch.tensor([[[[0.5, 0.0, 0.0], [0.0, -1.0, 0.0]]]])
    assert _loss(guess, target).item() == pytest.approx(1.5 / 5)
    across, down = (0.5 + 1 + 1) / 3, (0.5 + 1) / 2  # the pairs with the unknown pixel do not count
    assert gradient_loss(residual, torch.isfinite(target), 1).item() == pytest.approx(across + down)
    loss = _loss(guess, target, weight=0.5)
    loss.backward()
    assert loss.item() == pytest.approx(0.3 + 0.5 * (across + down))
    assert torch.isfinite(guess.grad).all()
    assert guess.grad[0, 0, 0, 2] == 0
    assert _loss(guess, target, "silog").item() == pytest.approx(math.sqrt(1.25 / 5 - 0.85 * 0.01), abs=2e-3)
    bend = 0.2  # a fifth of the largest residual, 1
    assert _loss(guess, target, "berhu").item() == pytest.approx(((0.25 + bend**2) + (1 + bend**2)) / (2 * bend) / 5)
    assert _loss(guess, guess.detach() - 0.1, "berhu").item() == pytest.approx((0.01 + 0.02**2) / (2 * 0.02))
    squares = (math.exp(0.5) - 1) ** 2 + (math.exp(2) - math.exp(3)) ** 2
    assert _loss(guess, target, "mse").item() == pytest.approx(squares / 5 / 100, rel=1e-5)


def test_relative_loss_forgives_scale_and_shift_but_not_order() -> None:
    log_target = torch.rand(2, 1, 16, 20)
    log_target[0, 0, :4] = float("nan")
    truth = torch.nan_to_num(torch.exp(-log_target), nan=9.0)
    settings = LossSettings(gradient_weight=0.5)
    assert relative_loss(3 * truth + 7, log_target, settings).item() == pytest.approx(0, abs=1e-5)
    assert relative_loss(-truth, log_target, settings).item() > 1


@pytest.mark.parametrize("kind", ["log_l1", "berhu", "silog", "mse", "relative"])
def test_a_batch_without_truth_costs_nothing(kind: str) -> None:
    guess = torch.ones(2, 1, 8, 8, requires_grad=True)
    target = torch.full((2, 1, 8, 8), float("nan"))
    if kind == "relative":
        loss = relative_loss(guess, target, LossSettings(gradient_weight=0.5, gradient_scales=2))
    else:
        loss = _loss(guess, target, kind, 0.5)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert torch.equal(guess.grad, torch.zeros_like(guess))


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
    whole = [folder.name for folder in tmp_path.iterdir() if folder.suffix not in (".partial", ".lock")]
    assert whole == [store.folder.name]


def test_frames_that_cannot_be_read_stay_errors_in_the_store(tmp_path: Path) -> None:
    def samples() -> Iterator[Sample | MonoDepthError]:
        yield DataError("a.png is cut off")
        yield made_scene(0, 40, 32)

    store = open_or_make(tmp_path, "made", {}, 2, samples)
    with pytest.raises(DataError, match="a.png is cut off"):
        _ = store[0]
    assert store[1].rgb.shape == (32, 40, 3)
    with pytest.raises(DataError, match="none of 1 frames can be read, such as: all gone"):
        open_or_make(tmp_path, "none", {}, 1, lambda: iter([DataError("all gone")]))


def test_frames_of_several_sizes_are_no_store(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"60x32 pixels beside frames of 40x32: .*loader.keep_frames to 0"):
        open_or_make(tmp_path, "made", {}, 2, lambda: iter([made_scene(0, 40, 32), made_scene(0, 60, 32)]))


def test_damaged_frame_store_says_so(tmp_path: Path) -> None:
    store = open_or_make(tmp_path, "made", {}, 1, lambda: iter([made_scene(0, 40, 32)]))
    (store.folder / "rgb.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match="it is rebuilt"):
        FrameStore(store.folder)

"""Dark, overexposed, blurred and blank images: each is named, with a level that follows how bad it is."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from made_walks import CAMERA, pose, view

from mono_depth_recon.arrays import Rgb
from mono_depth_recon.config import GuardConfig
from mono_depth_recon.guard.guard import Guard
from mono_depth_recon.guard.picture import picture_of
from mono_depth_recon.guard.quality import ImageQuality, quality_of

RGB, DEPTH = view(pose())
NOISE = np.random.default_rng(5).normal(0, 2, RGB.shape)


def exposed(gain: float) -> Rgb:
    linear = gain * (RGB / 255.0) ** 2.2
    return np.clip(255 * np.clip(linear, 0, 1) ** (1 / 2.2) + NOISE, 0, 255).astype(np.uint8)


def smeared(length: int) -> Rgb:
    """Motion blur along the rows."""
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1 / length
    return np.asarray(cv2.filter2D(RGB, -1, kernel))


def faded(contrast: float) -> Rgb:
    return np.clip(128 + contrast * (RGB.astype(np.float64) - 128) + 0.5 * NOISE, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("make", "level", "kind"),
    [
        (lambda: RGB, "OK", ""),
        (lambda: exposed(0.1), "OK", ""),
        (lambda: exposed(0.006), "WARN", "dark image"),
        (lambda: exposed(0.0001), "ERROR", "dark image"),
        (lambda: exposed(2.0), "OK", ""),
        (lambda: exposed(5.0), "WARN", "overexposed image"),
        (lambda: exposed(200.0), "ERROR", "overexposed image"),
        (lambda: smeared(3), "OK", ""),
        (lambda: smeared(10), "WARN", "blurred image"),
        (lambda: smeared(17), "ERROR", "blurred image"),
        (lambda: cv2.GaussianBlur(RGB, (0, 0), 1), "OK", ""),
        (lambda: cv2.GaussianBlur(RGB, (0, 0), 6), "ERROR", "blurred image"),
        (lambda: faded(0.3), "OK", ""),
        (lambda: faded(0.0), "ERROR", "image without texture"),
    ],
)
def test_bad_images_are_named(make: Callable[[], Rgb], level: str, kind: str) -> None:
    judgement = Guard().judge(make(), DEPTH, CAMERA, 0.0, GuardConfig())[0]
    assert judgement.level == level, judgement
    assert kind in judgement.kind and (judgement.kind == "") == (level == "OK"), judgement


def test_a_limit_of_zero_is_off() -> None:
    off = GuardConfig(min_brightness=0.0, max_clipped=0.0, max_blur=0.0, min_texture=0.0)
    for image in (exposed(0.0001), exposed(200.0), smeared(17), faded(0.0)):
        assert Guard().judge(image, DEPTH, CAMERA, 0.0, off)[0].level == "OK"


def test_the_reason_has_the_numbers() -> None:
    def reason(rgb: Rgb) -> str:
        return Guard().judge(rgb, DEPTH, CAMERA, 0.0, GuardConfig())[0].reason

    black = np.zeros_like(RGB)
    assert reason(black) == "dark image: 95 % of it is at most 0 % of white; image without texture: 0 % of it has any"
    white = np.full_like(RGB, 255)
    assert reason(white).startswith("overexposed image: 100 % of it is saturated; image without texture")


def quality(rgb: Rgb) -> ImageQuality:
    return quality_of(picture_of(rgb))


def test_brightness_and_saturation_are_exact() -> None:
    rgb = np.full((240, 320, 3), 51, np.uint8)
    rgb[:60] = 255
    found = quality(rgb)
    assert found.clipped == pytest.approx(0.25) and found.brightness == 1.0
    rgb[:60] = 102
    rgb[:5] = 200  # 2 %
    assert quality(rgb).brightness == pytest.approx(0.4) and quality(rgb).clipped == 0


@pytest.mark.parametrize("width", [2, 4, 8])
@pytest.mark.parametrize("turned", [False, True])
def test_the_width_of_edges_is_that_of_their_ramps(width: int, turned: bool) -> None:
    there_and_back = np.abs(np.arange(320) % 80 - 40) - 20
    ramp = np.clip(there_and_back / width + 0.5, 0, 1) * 150 + 50
    grey = np.tile(ramp.astype(np.uint8), (320, 1))
    rgb = np.repeat((grey.T if turned else grey)[..., None], 3, axis=-1)
    assert quality(np.ascontiguousarray(rgb)).edge_width == pytest.approx(width, rel=0.25)


@pytest.mark.parametrize(
    "size", [(1280, 960), (640, 480), (320, 240), (160, 120), (640, 20), (12, 9), (3, 400), (1, 1)]
)
def test_any_size_can_be_judged(size: tuple[int, int]) -> None:
    rgb = cv2.resize(RGB, size, interpolation=cv2.INTER_AREA)
    camera, depth = CAMERA.resized(*size), np.full(size[::-1], 2, np.float32)
    guard = Guard()
    for i in range(2):
        assert guard.judge(rgb, depth, camera, i / 15, GuardConfig())[0].compared == (i > 0 and min(size) >= 120)


def test_the_size_of_an_image_does_not_change_what_is_measured() -> None:
    large = quality(np.asarray(cv2.resize(RGB, (1280, 960), interpolation=cv2.INTER_LINEAR)))
    small = quality(RGB)
    assert large.brightness == pytest.approx(small.brightness, abs=0.02)
    assert large.texture == pytest.approx(small.texture, abs=0.05)
    assert large.edge_width < 1.6 * small.edge_width

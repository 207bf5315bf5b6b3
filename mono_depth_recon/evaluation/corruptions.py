"""Corrupted images: damage by cameras and radio links, planted objects, and input unlike any training image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Mask, Rgb


@dataclass(frozen=True)
class Corruption:
    """A kind of corruption at growing severities: `levels`, with the `word` before each in tables.

    `at_level(rgb, level, seed)` corrupts an image (H, W, 3); the same seed gives the same noise.
    """

    name: str
    word: str
    levels: tuple[float, ...]
    at_level: Callable[[Rgb, float, int], Rgb]

    def text(self, severity: int) -> str:
        """'sigma 20'; severity 0 is 'untouched'."""
        return f"{self.word} {self.levels[severity - 1]:g}" if severity else "untouched"

    def apply(self, rgb: Rgb, severity: int, seed: int = 0) -> Rgb:
        """The image (H, W, 3) at a severity from 1; severity 0 returns it unchanged."""
        return self.at_level(rgb, self.levels[severity - 1], seed) if severity else rgb


def noisy(rgb: NDArray[np.uint8], sigma: float, seed: int) -> NDArray[np.uint8]:
    """Gaussian noise of `sigma` levels of 255 on every channel of an image of any shape."""
    noise = np.random.default_rng(seed).normal(0, sigma, rgb.shape)
    return np.clip(np.rint(rgb + noise), 0, 255).astype(np.uint8)


def _blurred(rgb: Rgb, sigma_px: float, seed: int) -> Rgb:
    import cv2

    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma_px), np.uint8)


def _jpeg(rgb: Rgb, quality: float, seed: int) -> Rgb:
    import cv2

    data = cv2.imencode(".jpg", rgb, (cv2.IMWRITE_JPEG_QUALITY, int(quality)))[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def _darkened(rgb: Rgb, factor: float, seed: int) -> Rgb:
    return np.rint(rgb * np.float32(factor)).astype(np.uint8)


def _coarsened(rgb: Rgb, factor: float, seed: int) -> Rgb:
    import cv2

    height, width = rgb.shape[:2]
    small = cv2.resize(rgb, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


CORRUPTIONS = (
    Corruption("noise", "sigma", (10, 20, 40), noisy),
    Corruption("blur", "sigma px", (1, 2, 4), _blurred),
    Corruption("jpeg", "quality", (50, 20, 8), _jpeg),
    Corruption("brightness", "times", (0.6, 0.35, 0.2), _darkened),
    Corruption("resolution", "times", (0.5, 0.25, 0.125), _coarsened),
)


def with_occluder(rgb: Rgb, seed: int) -> tuple[Rgb, Mask]:
    """The image with a planted object, a striped disc of radius 0.12 to 0.25 of its height, and the disc's mask."""
    rng = np.random.default_rng((seed, 1))
    height, width = rgb.shape[:2]
    radius = height * rng.uniform(0.12, 0.25)
    rows, columns = np.mgrid[:height, :width]
    centre = rng.uniform(radius, height - radius), rng.uniform(radius, width - radius)
    inside: Mask = np.hypot(rows - centre[0], columns - centre[1]) < radius
    stripes = (np.floor((rows + columns) / (radius / 3)) % 2).astype(np.intp)
    colours = rng.integers(0, 256, (2, 3)).astype(np.uint8)
    return np.where(inside[..., None], colours[stripes], rgb), inside


def with_noise_patch(rgb: Rgb, seed: int) -> tuple[Rgb, Mask]:
    """The image with a square of noise (sigma 60), a quarter to two fifths of its height, and the square's mask."""
    rng = np.random.default_rng((seed, 2))
    height, width = rgb.shape[:2]
    side = int(height * rng.uniform(0.25, 0.4))
    row, column = int(rng.integers(0, height - side)), int(rng.integers(0, width - side))
    inside = np.zeros((height, width), np.bool_)
    inside[row : row + side, column : column + side] = True
    return np.where(inside[..., None], noisy(rgb, 60, seed), rgb), inside


def unseen_domains(rgb: Rgb, seed: int) -> list[Rgb]:
    """Three images unlike any training image: the negative, false colours of its grey, and noise of all scales."""
    import cv2

    rng = np.random.default_rng((seed, 3))
    height, width = rgb.shape[:2]
    false = cv2.applyColorMap(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLORMAP_JET)
    clouds = np.zeros((height, width, 3), np.float32)
    for scale in (2, 4, 8, 16, 32, 64):
        coarse = rng.random((height // scale + 1, width // scale + 1, 3)).astype(np.float32)
        clouds += scale * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    low, high = clouds.min(), clouds.max()
    return [255 - rgb, np.asarray(false, np.uint8), np.rint(255 * (clouds - low) / (high - low)).astype(np.uint8)]

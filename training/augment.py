"""Random changes of one frame: the geometric ones move image, depth and intrinsics together.

Every function draws from the generator it is given, so that a batch is a function of its seed.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from mono_depth_recon.arrays import Depth, Rgb
from mono_depth_recon.frames import Sample

from .settings import AugmentSettings


def augment(sample: Sample, width: int, height: int, settings: AugmentSettings, rng: np.random.Generator) -> Sample:
    """A rectified sample, changed at random and resized to width x height pixels, with its camera."""
    if rng.random() < settings.roll:
        sample = rolled(sample, rng.uniform(-settings.roll_deg, settings.roll_deg))
    if rng.random() >= settings.full_frame:
        sample = _random_window(sample, width / height, settings, rng)
    sample = resized(sample, width, height)
    if rng.random() < settings.flip:
        sample = mirrored(sample)
    return replace(sample, rgb=change_colours(sample.rgb, settings, rng))


def resized(sample: Sample, width: int, height: int) -> Sample:
    """Resamples as inference does: colour by area when it shrinks, depth by nearest neighbour."""
    shrinks = width < sample.camera.width
    rgb = cv2.resize(sample.rgb, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    depth = cv2.resize(known_depth(sample), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return replace(sample, rgb=rgb, depth=depth, camera=sample.camera.resized(width, height))


def cropped(sample: Sample, x_px: int, y_px: int, width: int, height: int) -> Sample:
    """The window whose top left pixel is (x_px, y_px)."""
    window = np.s_[y_px:y_px + height, x_px:x_px + width]
    return replace(sample, rgb=sample.rgb[window], depth=known_depth(sample)[window],
                   camera=sample.camera.cropped(x_px, y_px, width, height))


def mirrored(sample: Sample) -> Sample:
    """Left and right exchanged; the principal point moves along."""
    K = sample.camera.K.copy()
    K[0, 2] = sample.camera.width - 1 - K[0, 2]
    rgb, depth = sample.rgb[:, ::-1], known_depth(sample)[:, ::-1]
    return replace(sample, rgb=np.ascontiguousarray(rgb), depth=np.ascontiguousarray(depth),
                   camera=replace(sample.camera, K=K))


def rolled(sample: Sample, angle_deg: float) -> Sample:
    """The camera turned about its optical axis: depth along that axis stays. Takes pixels as square."""
    camera = sample.camera
    M = cv2.getRotationMatrix2D((camera.cx, camera.cy), angle_deg, 1.0)
    rgb = cv2.warpAffine(sample.rgb, M, camera.size, flags=cv2.INTER_LINEAR)
    depth = cv2.warpAffine(known_depth(sample), M, camera.size, flags=cv2.INTER_NEAREST, borderValue=float("nan"))
    return replace(sample, rgb=rgb, depth=depth)


def change_colours(rgb: Rgb, settings: AugmentSettings, rng: np.random.Generator) -> Rgb:
    """Light (gamma, gain, tint, contrast), grey, blur, noise and JPEG, each by its chance and size."""
    rgb = cv2.LUT(rgb, _curves(settings, rng))
    if rng.random() < settings.grey:
        rgb = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < settings.blur:
        rgb = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.3, settings.blur_px))
    if rng.random() < settings.noise:
        noise = rng.standard_normal(rgb.shape, np.float32) * np.float32(rng.uniform(1, settings.noise_levels))
        rgb = np.clip(rgb + noise, 0, 255).astype(np.uint8)
    if rng.random() < settings.jpeg:
        quality = int(rng.integers(settings.jpeg_quality, 96))
        rgb = cv2.imdecode(cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    return rgb


def _curves(settings: AugmentSettings, rng: np.random.Generator) -> Rgb:
    """One look-up curve per channel, (256, 1, 3) uint8."""
    level = np.linspace(0, 1, 256)[:, None, None]
    gamma = np.exp(rng.uniform(-settings.gamma, settings.gamma))
    gain = np.exp(rng.uniform(-settings.gain, settings.gain) + rng.uniform(-settings.colour, settings.colour, 3))
    contrast = np.exp(rng.uniform(-settings.contrast, settings.contrast))
    curve = (level**gamma * gain - 0.45) * contrast + 0.45
    return np.round(np.clip(curve, 0, 1) * 255).astype(np.uint8)


def _random_window(sample: Sample, aspect: float, settings: AugmentSettings, rng: np.random.Generator) -> Sample:
    W, H = sample.camera.size
    aspect *= np.exp(rng.uniform(-settings.aspect_jitter, settings.aspect_jitter))
    widest = min(W, H * aspect)
    width = min(int(widest * rng.uniform(settings.smallest_window, 1.0)), W)
    height = min(int(width / aspect), H)
    return cropped(sample, int(rng.integers(W - width + 1)), int(rng.integers(H - height + 1)), width, height)


def known_depth(sample: Sample) -> Depth:
    """The reference depth of a training frame."""
    assert sample.depth is not None, "training frames have depth"
    return sample.depth

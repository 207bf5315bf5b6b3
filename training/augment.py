"""Random changes of one frame: the geometric ones move image, depth and intrinsics together.

Every function draws from the generator it is given, so that a batch is a function of its seed.
"""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from mono_depth_recon.arrays import Depth, Rgb
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.frames import Sample

from .settings import AugmentSettings


def augment(sample: Sample, width: int, height: int, settings: AugmentSettings, rng: np.random.Generator) -> Sample:
    """A rectified sample, changed at random and resized to width x height pixels, with its camera."""
    angle_deg = rng.uniform(-settings.roll_deg, settings.roll_deg) if rng.random() < settings.roll else 0.0
    if angle_deg or rng.random() >= settings.full_frame:
        sample = _random_window(sample, width / height, angle_deg, settings, rng)
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


def window(sample: Sample, centre: tuple[float, float], width: int, height: int, angle_deg: float = 0.0) -> Sample:
    """The width x height pixels about `centre` (x, y), of the camera turned by angle_deg about its optical axis.

    Depth along that axis stays as it is. A turn takes pixels as square.
    """
    camera, angle = sample.camera, math.radians(angle_deg)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    to_source = np.column_stack([turn, np.array(centre) - turn @ middle])
    rgb = cv2.warpAffine(sample.rgb, to_source, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    depth = cv2.warpAffine(known_depth(sample), to_source, (width, height), borderValue=float("nan"),
                           flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    cx, cy = turn.T @ (np.array([camera.cx, camera.cy]) - to_source[:, 2])
    return replace(sample, rgb=rgb, depth=depth,
                   camera=PinholeCamera.from_intrinsics(width, height, camera.fx, camera.fy, float(cx), float(cy)))


def mirrored(sample: Sample) -> Sample:
    """Left and right exchanged; the principal point moves along."""
    K = sample.camera.K.copy()
    K[0, 2] = sample.camera.width - 1 - K[0, 2]
    rgb, depth = sample.rgb[:, ::-1], known_depth(sample)[:, ::-1]
    return replace(sample, rgb=np.ascontiguousarray(rgb), depth=np.ascontiguousarray(depth),
                   camera=replace(sample.camera, K=K))


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


def _random_window(sample: Sample, aspect: float, angle_deg: float, settings: AugmentSettings,
                   rng: np.random.Generator) -> Sample:
    W, H = sample.camera.size
    aspect *= np.exp(rng.uniform(-settings.aspect_jitter, settings.aspect_jitter))
    c, s = abs(math.cos(math.radians(angle_deg))), abs(math.sin(math.radians(angle_deg)))
    across, down = aspect * c + s, aspect * s + c  # of the turned window that is 1 pixel high
    height = min(W / across, H / down) * rng.uniform(settings.smallest_window, 1.0)
    room = np.maximum([W - height * across, H - height * down], 0) / 2
    x, y = np.array([(W - 1) / 2, (H - 1) / 2]) + rng.uniform(-room, room)
    return window(sample, (x, y), int(height * aspect), int(height), angle_deg)


def known_depth(sample: Sample) -> Depth:
    """The reference depth of a training frame."""
    assert sample.depth is not None, "training frames have depth"
    return sample.depth

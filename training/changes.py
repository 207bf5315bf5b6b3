"""The random changes of one frame as numbers, drawn before `augment` (OpenCV) or `device_augment` (torch) applies them.

Every function draws from the generator it is given, so that a batch is a function of its seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mono_depth_recon.arrays import Matrix, Rgb
from mono_depth_recon.camera import PinholeCamera

from .settings import AugmentSettings


@dataclass(frozen=True, eq=False)
class Window:
    """Part of a frame, `width` x `height` pixels from (`x`, `y`) on, that is resampled to the size of `camera`."""

    x: int
    y: int
    width: int
    height: int
    camera: PinholeCamera


@dataclass(frozen=True, eq=False)
class Turned:
    """What `camera` sees of a frame, turned by `turn` ((3, 3): directions of the frame's camera to its own)."""

    camera: PinholeCamera
    turn: Matrix


@dataclass(frozen=True, eq=False)
class Colours:
    """Changes of colour, in the order in which they are made; 0, None or False: not this one.

    `curves` (256, 1, 3) uint8 look-up per channel, `blur_px` sigma, `motion` (K, K) kernel, `grain` (H, W, 3) standard
    normal times `noise` levels, `jpeg` quality.
    """

    curves: Rgb
    grey: bool
    blur_px: float
    motion: NDArray[np.float32] | None
    noise: np.float32
    grain: NDArray[np.float32] | None
    jpeg: int


@dataclass(frozen=True, eq=False)
class Changes:
    """All changes of one frame: where its pixels come from, whether they are mirrored, and their colours."""

    geometry: Window | Turned
    flip: bool
    colours: Colours

    @property
    def camera(self) -> PinholeCamera:
        """That of the changed frame."""
        return self.geometry.camera.mirrored() if self.flip else self.geometry.camera


def draw_changes(
    camera: PinholeCamera, width: int, height: int, settings: AugmentSettings, rng: np.random.Generator
) -> Changes:
    """Changes of a rectified frame of `camera` to width x height pixels."""
    geometry: Window | Turned
    if rng.random() < settings.full_frame:
        geometry = _whole(camera, width, height, settings, rng)
    elif rng.random() < settings.crop:
        geometry = random_window(camera, width, height, settings, rng)
    else:
        geometry = Turned(*random_view(camera, width, height, settings, rng))
    flip = rng.random() < settings.flip
    return Changes(geometry, flip, draw_colours(width, height, settings, rng))


def _whole(
    camera: PinholeCamera, width: int, height: int, settings: AugmentSettings, rng: np.random.Generator
) -> Window | Turned:
    """The whole frame, sometimes turned in its plane: corners from outside it have no depth."""
    resized = camera.resized(width, height)
    if rng.random() >= settings.rotate:
        return Window(0, 0, *camera.size, resized)
    angle = math.radians(rng.uniform(-settings.rotate_deg, settings.rotate_deg))
    return Turned(resized, rotation_about_axis(angle))


def random_window(
    camera: PinholeCamera, width: int, height: int, settings: AugmentSettings, rng: np.random.Generator
) -> Window:
    """A window at a random place, its aspect near width / height; the principal point moves along."""
    W, H = camera.size
    aspect = width / height * np.exp(rng.uniform(-settings.aspect_jitter, settings.aspect_jitter))
    high = min(H, W / aspect) * rng.uniform(settings.smallest_window, 1.0)
    columns, rows = (max(1, min(whole, round(side))) for whole, side in ((W, high * aspect), (H, high)))
    x, y = int(rng.integers(W - columns + 1)), int(rng.integers(H - rows + 1))
    return Window(x, y, columns, rows, camera.cropped(x, y, columns, rows).resized(width, height))


def random_view(
    camera: PinholeCamera, width: int, height: int, settings: AugmentSettings, rng: np.random.Generator
) -> tuple[PinholeCamera, Matrix]:
    """A camera of width x height pixels turned within the field of view of `camera`, and the turn (`Turned`).

    It looks at a random pixel, so that its principal point stays in its middle: a shifted one would ask the network
    for depths along an axis that no pixel shows.
    """
    W, H = camera.size
    roll = math.radians(rng.uniform(-settings.roll_deg, settings.roll_deg)) if rng.random() < settings.roll else 0.0
    aspect = width / height * np.exp(rng.uniform(-settings.aspect_jitter, settings.aspect_jitter))
    c, s = abs(math.cos(roll)), abs(math.sin(roll))
    across, down = aspect * c + s, aspect * s + c  # of the turned window that is 1 pixel high
    high = min(W / across, H / down) * rng.uniform(settings.smallest_window, 1.0)
    aim = np.array([(W - 1) / 2, (H - 1) / 2]) + rng.uniform(-0.5, 0.5, 2) * [W - high * across, H - high * down]
    turn = rotation_about_axis(roll) @ rotation_to_axis(np.linalg.inv(camera.K) @ [*aim, 1.0])
    while True:
        view = PinholeCamera.from_intrinsics(
            width,
            height,
            camera.fx * width / (high * aspect),
            camera.fy * height / high,
            (width - 1) / 2,
            (height - 1) / 2,
        )
        right, bottom = width - 1, height - 1
        corners = homography(camera, view, turn) @ [[0, right, 0, right], [0, 0, bottom, bottom], [1, 1, 1, 1]]
        x, y = corners[:2] / corners[2]
        if min(x.min(), y.min(), W - 1 - x.max(), H - 1 - y.max()) > -0.5 and corners[2].min() > 0:
            return view, turn
        high *= 0.96  # a window turned away from the middle reaches further out than its size says


def homography(source: PinholeCamera, view: PinholeCamera, turn: Matrix) -> Matrix:
    """(3, 3) from pixels of `view` to pixels of `source` (homogeneous)."""
    return source.K @ turn.T @ np.linalg.inv(view.K)


def shrunk(source: PinholeCamera, view: PinholeCamera) -> PinholeCamera:
    """The camera of the source's image made smaller by area before `view` samples it: no finer than it needs."""
    share = min(1.0, 1.5 * max(view.fx / source.fx, view.fy / source.fy))
    return source.resized(*(max(1, round(side * share)) for side in source.size)) if share < 1 else source


def rotation_about_axis(angle: float) -> Matrix:
    """(3, 3) of a camera turned by `angle` (rad) about its optical axis: old directions to new ones."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]])


def rotation_to_axis(direction: NDArray[np.float64]) -> Matrix:
    """(3, 3), the shortest rotation that takes `direction` (3,) to the optical axis (0, 0, 1)."""
    x, y, z = direction / np.linalg.norm(direction)
    return cv2.Rodrigues(np.array([y, -x, 0.0]) * (math.acos(z) / max(math.hypot(x, y), 1e-12)))[0]


def draw_colours(width: int, height: int, settings: AugmentSettings, rng: np.random.Generator) -> Colours:
    """Light (gamma, gain, tint, contrast), grey, blur, motion blur, noise and JPEG, each with its chance and size."""
    curves = _curves(settings, rng)
    grey = rng.random() < settings.grey
    blur_px = rng.uniform(0.3, settings.blur_px) if rng.random() < settings.blur else 0.0
    motion = grain = None
    if settings.motion and rng.random() < settings.motion:
        motion = motion_kernel(rng.uniform(1.0, settings.motion_px), rng.uniform(0, math.pi))
    noise = np.float32(0)
    if rng.random() < settings.noise:
        grain = rng.standard_normal((height, width, 3), np.float32)
        noise = np.float32(rng.uniform(1, settings.noise_levels))
    jpeg = int(rng.integers(settings.jpeg_quality, 96)) if rng.random() < settings.jpeg else 0
    return Colours(curves, grey, blur_px, motion, noise, grain, jpeg)


def motion_kernel(length: float, angle: float) -> NDArray[np.float32]:
    """(K, K) with sum 1: a point, seen by a camera that moves `length` pixels along `angle` (rad) while it exposes."""
    radius = math.ceil(length / 2)
    steps = np.linspace(-length / 2, length / 2, 8 * radius + 1)
    x, y = radius + steps * math.cos(angle), radius + steps * math.sin(angle)
    kernel, _, _ = np.histogram2d(y, x, 2 * radius + 1, [[-0.5, 2 * radius + 0.5]] * 2)
    return (kernel / kernel.sum()).astype(np.float32)


def _curves(settings: AugmentSettings, rng: np.random.Generator) -> Rgb:
    """One look-up curve per channel, (256, 1, 3) uint8."""
    level = np.linspace(0, 1, 256)[:, None, None]
    gamma = np.exp(rng.uniform(-settings.gamma, settings.gamma))
    gain = np.exp(rng.uniform(-settings.gain, settings.gain) + rng.uniform(-settings.colour, settings.colour, 3))
    contrast = np.exp(rng.uniform(-settings.contrast, settings.contrast))
    curve = (level**gamma * gain - 0.45) * contrast + 0.45
    return np.round(np.clip(curve, 0, 1) * 255).astype(np.uint8)

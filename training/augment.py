"""Random changes of one frame: the geometric ones move image, depth and intrinsics together.

Every function draws from the generator it is given, so that a batch is a function of its seed.
"""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mono_depth_recon.arrays import Depth, Matrix, Rgb
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.frames import Sample

from .settings import AugmentSettings


def augment(sample: Sample, width: int, height: int, settings: AugmentSettings, rng: np.random.Generator) -> Sample:
    """A rectified sample, changed at random and resampled to width x height pixels, with its camera."""
    if rng.random() < settings.full_frame:
        sample = _whole(sample, width, height, settings, rng)
    elif rng.random() < settings.crop:
        sample = resized(random_window(sample, width / height, settings, rng), width, height)
    else:
        sample = seen_by(sample, *random_view(sample.camera, width, height, settings, rng))
    if rng.random() < settings.flip:
        sample = mirrored(sample)
    return replace(sample, rgb=change_colours(sample.rgb, settings, rng))


def _whole(sample: Sample, width: int, height: int, settings: AugmentSettings, rng: np.random.Generator) -> Sample:
    """The whole frame, sometimes turned in its plane: corners from outside it have no depth."""
    if rng.random() >= settings.rotate:
        return resized(sample, width, height)
    angle = math.radians(rng.uniform(-settings.rotate_deg, settings.rotate_deg))
    return seen_by(sample, sample.camera.resized(width, height), rotation_about_axis(angle))


def random_window(sample: Sample, aspect: float, settings: AugmentSettings, rng: np.random.Generator) -> Sample:
    """A window cut at a random place, width / height near `aspect`; the principal point moves along."""
    W, H = sample.camera.size
    aspect *= np.exp(rng.uniform(-settings.aspect_jitter, settings.aspect_jitter))
    high = min(H, W / aspect) * rng.uniform(settings.smallest_window, 1.0)
    width, height = (max(1, min(whole, round(side))) for whole, side in ((W, high * aspect), (H, high)))
    x, y = int(rng.integers(W - width + 1)), int(rng.integers(H - height + 1))
    window = np.s_[y : y + height, x : x + width]
    return replace(
        sample,
        rgb=np.ascontiguousarray(sample.rgb[window]),
        depth=np.ascontiguousarray(known_depth(sample)[window]),
        camera=sample.camera.cropped(x, y, width, height),
    )


def resized(sample: Sample, width: int, height: int) -> Sample:
    """Resamples as inference does: colour by area when it shrinks, depth by nearest neighbour."""
    shrinks = width < sample.camera.width
    rgb = cv2.resize(sample.rgb, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    depth = cv2.resize(known_depth(sample), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return replace(sample, rgb=rgb, depth=depth, camera=sample.camera.resized(width, height))


def random_view(
    camera: PinholeCamera, width: int, height: int, settings: AugmentSettings, rng: np.random.Generator
) -> tuple[PinholeCamera, Matrix]:
    """A camera of width x height pixels turned within the field of view of `camera`, and the turn (`seen_by`).

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


def seen_by(sample: Sample, view: PinholeCamera, turn: Matrix) -> Sample:
    """What `view` sees at the sample's place, turned by `turn` ((3, 3): directions of the sample's camera to its own).

    Exact for image and depth, since a camera that only turns sees a homography of its image (Hartley and Zisserman,
    section 8.4.2); depth is along the new axis. Outside the sample's
    field of view depth is NaN and colour that of the border.
    """
    to_source = homography(sample.camera, view, turn)
    depth = cv2.warpPerspective(
        known_depth(sample),
        to_source,
        view.size,
        borderValue=float("nan"),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
    )
    x, y = view.rays
    of_source = turn[0, 2] * x[None, :] + turn[1, 2] * y[:, None] + turn[2, 2]  # z in the old frame of (x, y, 1)
    shrink = min(1.0, 1.5 * max(view.fx / sample.camera.fx, view.fy / sample.camera.fy))
    small = sample.camera.resized(*(max(1, round(side * shrink)) for side in sample.camera.size))
    rgb = cv2.resize(sample.rgb, small.size, interpolation=cv2.INTER_AREA) if shrink < 1 else sample.rgb
    rgb = cv2.warpPerspective(
        rgb,
        homography(small, view, turn),
        view.size,
        borderMode=cv2.BORDER_REPLICATE,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    return replace(sample, rgb=rgb, depth=(depth / of_source).astype(np.float32), camera=view)


def homography(source: PinholeCamera, view: PinholeCamera, turn: Matrix) -> Matrix:
    """(3, 3) from pixels of `view` to pixels of `source` (homogeneous)."""
    return source.K @ turn.T @ np.linalg.inv(view.K)


def rotation_about_axis(angle: float) -> Matrix:
    """(3, 3) of a camera turned by `angle` (rad) about its optical axis: old directions to new ones."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]])


def rotation_to_axis(direction: NDArray[np.float64]) -> Matrix:
    """(3, 3), the shortest rotation that takes `direction` (3,) to the optical axis (0, 0, 1)."""
    x, y, z = direction / np.linalg.norm(direction)
    return cv2.Rodrigues(np.array([y, -x, 0.0]) * (math.acos(z) / max(math.hypot(x, y), 1e-12)))[0]


def mirrored(sample: Sample) -> Sample:
    """Left and right exchanged; the principal point moves along."""
    rgb, depth = sample.rgb[:, ::-1], known_depth(sample)[:, ::-1]
    return replace(
        sample, rgb=np.ascontiguousarray(rgb), depth=np.ascontiguousarray(depth), camera=sample.camera.mirrored()
    )


def change_colours(rgb: Rgb, settings: AugmentSettings, rng: np.random.Generator) -> Rgb:
    """Light (gamma, gain, tint, contrast), grey, blur, motion blur, noise and JPEG, each with its chance and size."""
    rgb = cv2.LUT(rgb, _curves(settings, rng))
    if rng.random() < settings.grey:
        rgb = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < settings.blur:
        rgb = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.3, settings.blur_px))
    if settings.motion and rng.random() < settings.motion:
        rgb = cv2.filter2D(rgb, -1, motion_kernel(rng.uniform(1.0, settings.motion_px), rng.uniform(0, math.pi)))
    if rng.random() < settings.noise:
        noise = rng.standard_normal(rgb.shape, np.float32) * np.float32(rng.uniform(1, settings.noise_levels))
        rgb = np.clip(rgb + noise, 0, 255).astype(np.uint8)
    if rng.random() < settings.jpeg:
        quality = int(rng.integers(settings.jpeg_quality, 96))
        rgb = cv2.imdecode(cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    return rgb


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


def known_depth(sample: Sample) -> Depth:
    """The reference depth of a training frame."""
    assert sample.depth is not None, "training frames have depth"
    return sample.depth

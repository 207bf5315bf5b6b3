"""Changes of one frame by OpenCV: the geometric ones move image, depth and intrinsics together."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from mono_depth_recon.arrays import Depth, Matrix, Rgb
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.frames import Sample

from .changes import Changes, Colours, Turned, Window, draw_changes, homography, shrunk
from .settings import AugmentSettings


def augment(sample: Sample, width: int, height: int, settings: AugmentSettings, rng: np.random.Generator) -> Sample:
    """A rectified sample, changed at random and resampled to width x height pixels, with its camera."""
    return changed(sample, draw_changes(sample.camera, width, height, settings, rng))


def changed(sample: Sample, changes: Changes) -> Sample:
    """A rectified sample after changes that were drawn for its camera."""
    geometry = changes.geometry
    if isinstance(geometry, Turned):
        sample = seen_by(sample, geometry.camera, geometry.turn)
    else:
        sample = resized(_cut(sample, geometry), *geometry.camera.size)
    if changes.flip:
        sample = mirrored(sample)
    return replace(sample, rgb=change_colours(sample.rgb, changes.colours))


def _cut(sample: Sample, window: Window) -> Sample:
    inside = np.s_[window.y : window.y + window.height, window.x : window.x + window.width]
    return replace(
        sample,
        rgb=np.ascontiguousarray(sample.rgb[inside]),
        depth=np.ascontiguousarray(known_depth(sample)[inside]),
        camera=sample.camera.cropped(window.x, window.y, window.width, window.height),
    )


def resized(sample: Sample, width: int, height: int) -> Sample:
    """Resamples as inference does: colour by area when it shrinks, depth by nearest neighbour."""
    shrinks = width < sample.camera.width
    rgb = cv2.resize(sample.rgb, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    depth = cv2.resize(known_depth(sample), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return replace(sample, rgb=rgb, depth=depth, camera=sample.camera.resized(width, height))


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
    small = shrunk(sample.camera, view)
    rgb = cv2.resize(sample.rgb, small.size, interpolation=cv2.INTER_AREA) if small is not sample.camera else sample.rgb
    rgb = cv2.warpPerspective(
        rgb,
        homography(small, view, turn),
        view.size,
        borderMode=cv2.BORDER_REPLICATE,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    return replace(sample, rgb=rgb, depth=(depth / of_source).astype(np.float32), camera=view)


def mirrored(sample: Sample) -> Sample:
    """Left and right exchanged; the principal point moves along."""
    rgb, depth = sample.rgb[:, ::-1], known_depth(sample)[:, ::-1]
    return replace(
        sample, rgb=np.ascontiguousarray(rgb), depth=np.ascontiguousarray(depth), camera=sample.camera.mirrored()
    )


def change_colours(rgb: Rgb, colours: Colours) -> Rgb:
    """The image after changes of colour that were drawn for its size."""
    rgb = cv2.LUT(rgb, colours.curves)
    if colours.grey:
        rgb = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if colours.blur_px:
        rgb = cv2.GaussianBlur(rgb, (0, 0), colours.blur_px)
    if colours.motion is not None:
        rgb = cv2.filter2D(rgb, -1, colours.motion)
    if colours.grain is not None:
        rgb = np.clip(rgb + colours.grain * colours.noise, 0, 255).astype(np.uint8)
    if colours.jpeg:
        coded = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, colours.jpeg])[1]
        rgb = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return rgb


def known_depth(sample: Sample) -> Depth:
    """The reference depth of a training frame."""
    assert sample.depth is not None, "training frames have depth"
    return sample.depth

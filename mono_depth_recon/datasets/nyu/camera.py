"""What both layouts of NYU Depth V2 share: the camera, the border without depth, and how scenes are named.

Source: Silberman, Hoiem, Kohli and Fergus, "Indoor Segmentation and Support Inference from RGBD Images", ECCV 2012,
and the toolbox that comes with it (camera_params.m, get_projection_mask.m).
"""

from __future__ import annotations

import re

import numpy as np

from ...arrays import Depth
from ...camera import PinholeCamera
from ...errors import DataError

MAX_DEPTH_M = 10.0
# The colour camera of the toolbox. Its distortion is left out: the published images are undistorted already.
_COLOUR = PinholeCamera.from_intrinsics(
    640, 480, 518.85790117450188, 519.46961112127485, 325.58244941119034, 253.73616633400465
)
_SEEN = (slice(44, 471), slice(40, 601))  # rows and columns that the depth camera sees
_LARGEST_WIDTH = 6400  # ten times the published one
_SCENE = re.compile(r"(.+_\d{4})[a-z]?(?:_out)?")


def nyu_camera(width: int, height: int) -> PinholeCamera:
    """The camera of images of width x height pixels: that of 640x480, resampled. DataError unless they are 4:3."""
    if 3 * width != 4 * height or width > _LARGEST_WIDTH:
        raise DataError(f"images of NYU Depth V2 have 640x480 pixels, or are resampled from that, got {width}x{height}")
    return _COLOUR.resized(width, height)


def nyu_scene(folder: str) -> str:
    """The scene of a capture: `kitchen_0029b_out` is a second take of the scene `kitchen_0029`."""
    match = _SCENE.fullmatch(folder)
    return match[1] if match else folder


def without_border(depth: Depth) -> Depth:
    """Depth (H, W) that is unknown (NaN) where the depth camera saw nothing and the publisher filled in a guess."""
    height, width = depth.shape
    rows, columns = (
        slice(round(part.start * size / full), round(part.stop * size / full))
        for part, size, full in zip(_SEEN, (height, width), (480, 640), strict=True)
    )
    seen = np.full_like(depth, np.nan)
    seen[rows, columns] = depth[rows, columns]
    return seen

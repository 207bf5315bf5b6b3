"""Depth + camera + colour -> organised cloud in the optical frame (REP 103: x right, y down, z forward)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth, Points, Rgb
from ..camera import PinholeCamera
from ..errors import DataError


def pack_rgb(rgb: Rgb) -> NDArray[np.float32]:
    """(H, W, 3) uint8 -> (H, W) float32 whose bits are 0x00RRGGBB, as PCL and RViz read the field `rgb`."""
    import cv2

    opaque = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA)
    opaque[..., 3] = 0
    return opaque.view(np.float32)[..., 0]


def unpack_rgb(packed: NDArray[np.float32]) -> Rgb:
    """(...,) float32 of `pack_rgb` -> (..., 3) uint8."""
    return np.ascontiguousarray(packed)[..., None].view(np.uint8)[..., 2::-1]


def back_project(
    depth: Depth,
    camera: PinholeCamera,
    rgb: Rgb,
    stride: int = 1,
    out: Points | None = None,
    sigma: Depth | None = None,
) -> Points:
    """Organised coloured points (H, W, 4) float32, with `sigma` (H, W, 5); x, y, z are NaN where depth is not finite.

    X = (u - cx) Z / fx, Y = (v - cy) Z / fy, Z = depth, with pixel centres at integers. `stride` keeps every
    n-th row and column. `out` (the strided shape) receives the points without another copy.
    Raises DataError where depth, colour, sigma and camera differ in size.
    """
    import cv2

    for image in (depth, rgb) if sigma is None else (depth, rgb, sigma):
        camera.check_image(image)
    ray_x, ray_y = camera.rays
    if stride > 1:
        depth, rgb = depth[::stride, ::stride], np.ascontiguousarray(rgb[::stride, ::stride])
        ray_x, ray_y = ray_x[::stride], ray_y[::stride]
    with np.errstate(invalid="ignore"):
        z = depth + np.float32(0) * depth  # Inf and NaN become NaN, finite depth stays as it is, in one pass
    planes = [z * ray_x, z * ray_y[:, None], z, pack_rgb(rgb)]
    if sigma is not None:
        planes.append(np.ascontiguousarray(sigma[::stride, ::stride]))
    shape = (*z.shape, len(planes))
    points = np.empty(shape, np.float32) if out is None else out
    if points.shape != shape or points.dtype != np.float32:
        raise DataError(f"out must be {shape} float32, got {points.shape} {points.dtype}")
    cv2.merge(planes, points)
    return points

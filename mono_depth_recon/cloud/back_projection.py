"""Depth + camera + colour -> organised cloud in the optical frame (REP 103: x right, y down, z forward)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth, Points, Rgb
from ..bands import Bands, Workspace
from ..camera import PinholeCamera
from ..compiled import taken
from ..errors import DataError

_COLOUR_BITS = np.array([255, 255, 255, 0], np.uint8).view(np.uint32)[0]  # without the fourth byte


def pack_rgb(rgb: Rgb, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """(H, W, 3) uint8 -> (H, W) float32, `out` if given, whose bits are 0x00RRGGBB, as PCL and RViz read `rgb`."""
    import cv2

    packed = np.empty(rgb.shape[:2], np.float32) if out is None else out
    cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA, dst=packed.view(np.uint8).reshape(*packed.shape, 4))
    words = packed.view(np.uint32)
    words &= _COLOUR_BITS
    return packed


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
    bands: Bands | None = None,
) -> Points:
    """Organised coloured points (H, W, 4) float32, with `sigma` (H, W, 5); x, y, z are NaN where depth is not finite.

    X = (u - cx) Z / fx, Y = (v - cy) Z / fy, Z = depth, with pixel centres at integers. `stride` keeps every
    n-th row and column. `out` (the strided shape) receives the points without another copy; `bands` keeps the working
    arrays for the next call.
    Raises DataError where depth, colour, sigma and camera differ in size.
    """
    for image in (depth, rgb) if sigma is None else (depth, rgb, sigma):
        camera.check_image(image)
    values = 4 if sigma is None else 5
    shape = (-(-camera.height // stride), -(-camera.width // stride), values)
    points = np.empty(shape, np.float32) if out is None else out
    if points.shape != shape or points.dtype != np.float32:
        raise DataError(f"out must be {shape} float32, got {points.shape} {points.dtype}")
    x, y = (ray[::stride] for ray in camera.rays)
    bands = bands or Bands()
    kernels = (
        bands.kernels if stride == 1 and sigma is None and all(taken(each) for each in (depth, rgb, points)) else None
    )

    def step(rows: slice, work: Workspace) -> None:
        if kernels is not None:
            band = points[rows]
            kernels.project(depth[rows], x, y[rows], rgb[rows], band, band.view(np.uint32))
            return
        seen = slice(rows.start * stride, (rows.stop - 1) * stride + 1, stride), slice(None, None, stride)
        extra = None if sigma is None else sigma[seen]
        _project(depth[seen], x, y[rows, None], rgb[seen], extra, points[rows], work)

    bands.run(shape, step)
    return points


def _project(
    depth: Depth,
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    rgb: Rgb,
    sigma: Depth | None,
    points: Points,
    work: Workspace,
) -> None:
    """A band of `back_project`: rays `x` (W,) and `y` (n, 1)."""
    import cv2

    planes = [work.array(name, depth.shape) for name in ("x", "y", "z", "colour", "sigma")[: points.shape[-1]]]
    z = np.multiply(depth, np.float32(0), out=planes[2])
    z += depth  # Inf and NaN become NaN, finite depth stays as it is
    for plane, ray in zip(planes, (x, y), strict=False):
        plane[...] = ray  # filled first: a product with a smaller array would take a buffer
        plane *= z
    pack_rgb(_contiguous(rgb, work), planes[3])
    if sigma is not None:
        planes[4][...] = sigma
    cv2.merge(planes, points)


def _contiguous(rgb: Rgb, work: Workspace) -> Rgb:
    """As OpenCV takes it."""
    if rgb.flags.c_contiguous:
        return rgb
    copy = work.array("rgb", rgb.shape, np.uint8)
    copy[...] = rgb
    return copy

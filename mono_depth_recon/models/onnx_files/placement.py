"""Where an image lies in a network's input, and the way of its maps back to the image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...arrays import Depth, Matrix, Rgb
from ...camera import PinholeCamera
from ..base import possible_input
from ..resampling import KERNELS, Kernel, antialiased, bilinear, normalised, restored
from .card import ImageInput

Size = tuple[int, int]
_KERNELS: dict[str, Kernel] = {kernel: kernel for kernel in KERNELS.values()}


@dataclass(frozen=True)
class Placement:
    """The image of `image` pixels, resampled to `inner`, with its top left pixel at `corner` of the network's input of
    `canvas` pixels; all (columns, rows).
    """

    image: Size
    inner: Size
    canvas: Size
    corner: Size = (0, 0)

    @property
    def scales(self) -> tuple[float, float]:
        """Pixels of the input per pixel of the image, across and down."""
        return self.inner[0] / self.image[0], self.inner[1] / self.image[1]

    def focal_px(self, camera: PinholeCamera) -> float:
        """The camera's focal length in pixels of the network's input, the mean of both directions."""
        across, down = self.scales
        return math.sqrt(camera.fx * across * camera.fy * down)

    def rays(self, camera: PinholeCamera) -> NDArray[np.float32]:
        """Unit vectors (3, rows, columns) through the pixels of the network's input, border included."""
        inner = camera.resized(*self.inner)
        x = (np.arange(self.canvas[0]) - self.corner[0] - inner.cx) / inner.fx
        y = (np.arange(self.canvas[1]) - self.corner[1] - inner.cy) / inner.fy
        rays = np.stack(np.broadcast_arrays(x[None, :], y[:, None], np.ones((len(y), len(x)))))
        return np.asarray(rays / np.linalg.norm(rays, axis=0), np.float32)

    def camera_matrix(self, K: NDArray[np.floating], pixel_centre: float) -> Matrix | None:
        """K of the image from that of the network's input, whose first pixel has its centre at `pixel_centre`.

        None where it cannot be a camera's.
        """
        found = np.eye(3)
        for axis, scale in enumerate(self.scales):
            found[axis, axis] = K[axis, axis] / scale
            found[axis, 2] = (K[axis, 2] - pixel_centre - self.corner[axis] + 0.5) / scale - 0.5
        plausible = np.isfinite(found).all() and found[0, 0] > 0 and found[1, 1] > 0
        return found if plausible else None

    def on_image(self, values: Depth) -> Depth:
        """A map of the network (rows, columns) of any resolution, without its border, at the size of the image."""
        columns, rows = self.canvas
        if self.inner != self.canvas:
            if values.shape != (rows, columns):
                values = restored(values, self.canvas)
            x, y = self.corner
            values = np.ascontiguousarray(values[y : y + self.inner[1], x : x + self.inner[0]])
        return restored(values, self.image)


def placement_of(rule: ImageInput, image: Size, short_side: int = 0) -> Placement:
    """How an image of (width, height) reaches the network; `short_side` replaces the size of the card, 0 = as there.

    Raises DataError where the input would be too large.
    """
    width, height = rule.width, rule.height
    if rule.fit in ("stretch", "pad"):
        factor = short_side / min(width, height) if short_side else 1.0
        canvas = possible_input((_rounded(width * factor, rule), _rounded(height * factor, rule)), image)
        if rule.fit == "stretch":
            return Placement(image, canvas, canvas)
        scale = min(canvas[0] / image[0], canvas[1] / image[1])
        inner = max(1, int(image[0] * scale + 1e-6)), max(1, int(image[1] * scale + 1e-6))
        return Placement(image, inner, canvas, ((canvas[0] - inner[0]) // 2, (canvas[1] - inner[1]) // 2))
    across, down = width / image[0], height / image[1]
    scale = {"inside": min(across, down), "around": max(across, down), "area": math.sqrt(across * down)}[rule.fit]
    if short_side:
        scale = short_side / min(image)
    size = possible_input((_rounded(image[0] * scale, rule), _rounded(image[1] * scale, rule)), image)
    return Placement(image, size, size)


def picture(rule: ImageInput, place: Placement, rgb: Rgb, dtype: str) -> NDArray[np.generic]:
    """`rgb` (H, W, 3) uint8 as the network takes one image: (3, rows, columns), or (rows, columns, 3) for nhwc."""
    gain = [1 / (rule.scale * std) for std in rule.std]
    bias = [-mean / std for mean, std in zip(rule.mean, rule.std, strict=True)]
    planes = normalised(resampled(rgb, place.inner, rule.kernel), gain, bias)
    if place.inner != place.canvas:
        border = np.array(rule.colour_fill) * gain + bias
        whole = np.empty((3, place.canvas[1], place.canvas[0]), np.float32)
        whole[:] = border[:, None, None]
        x, y = place.corner
        whole[:, y : y + place.inner[1], x : x + place.inner[0]] = planes
        planes = whole
    if rule.colours == "bgr":
        planes = planes[::-1]
    if rule.layout == "nhwc":
        planes = planes.transpose(1, 2, 0)
    if dtype == "uint8":
        planes = np.rint(planes).clip(0, 255)
    return np.ascontiguousarray(planes, dtype)


def resampled(rgb: Rgb, size: Size, kernel: str) -> NDArray[np.generic]:
    """(rows, columns, 3), grey levels from 0 to 255, at `size` = (columns, rows), by a kernel of the card."""
    if kernel == "plain_bilinear":
        return bilinear(rgb, size)
    if kernel == "area_or_cubic":
        import cv2

        grows = size[0] > rgb.shape[1] or size[1] > rgb.shape[0]
        return cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC if grows else cv2.INTER_AREA)
    return antialiased(rgb, size, _KERNELS[kernel])


def _rounded(side: float, rule: ImageInput) -> int:
    return max(1, round(side / rule.multiple)) * rule.multiple

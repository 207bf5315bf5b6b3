"""The weight of a pixel in the map, from the angle between its ray and the surface and from sigma."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth
from ..camera import PinholeCamera

GRAZING = 0.1  # cosine; below it the ray is almost parallel to the surface, or the pixel lies on a depth edge
_SOBEL = 3  # pixels


def pixel_weights(depth: Depth, camera: PinholeCamera, sigma: Depth | None, reach: float) -> NDArray[np.float32]:
    """(H, W) float32, 0 to 1: the cosine of incidence, times 1 / (1 + (sigma / reach)^2) where sigma is known.

    As the cosine falls, the footprint of a pixel on the surface grows and its depth is less reliable; below `GRAZING`
    the weight is 0, as it is beside unknown depth. Sigma (H, W) and `reach`, the truncation of the map's distances, are
    in metres: with a sigma well below `reach` the weight is hardly reduced, far above it it falls with the variance.
    Where sigma is NaN beside known depth, the angle alone counts.
    """
    cosine = incidence(depth, camera)
    weight = np.where(cosine >= GRAZING, cosine, np.float32(0))
    if sigma is not None:
        certain = 1 / (1 + np.square(sigma / np.float32(reach)))
        weight *= np.where(np.isnan(certain), np.float32(1), certain)
    return weight


def incidence(depth: Depth, camera: PinholeCamera) -> NDArray[np.float32]:
    """(H, W) float32: cosine between each pixel's ray and the surface's normal, NaN where neighbours are unknown.

    Over a plane n . P = d a pinhole camera sees 1 / z = (n_x x + n_y y + n_z) / d, with the ray (x, y, 1): the
    gradient of inverse depth is the normal.
    """
    import cv2

    with np.errstate(divide="ignore"):
        inverse = np.where(np.isfinite(depth), 1 / depth, np.float32(np.nan))
    a = cv2.Sobel(inverse, cv2.CV_32F, 1, 0, ksize=_SOBEL) * np.float32(camera.fx / 8)
    b = cv2.Sobel(inverse, cv2.CV_32F, 0, 1, ksize=_SOBEL) * np.float32(camera.fy / 8)
    x, y = camera.rays
    y = y[:, None]
    c = inverse - a * x - b * y
    lengths = np.sqrt((a * a + b * b + c * c) * (x * x + y * y + 1))
    cosine: NDArray[np.float32] = inverse / lengths
    return cosine

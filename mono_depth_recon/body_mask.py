"""Pixels that never have depth: the robot's own body in its camera's image, and what lies outside the raw image."""

from __future__ import annotations

import numpy as np

from .arrays import Mask
from .camera import PinholeCamera
from .errors import ConfigError, DataError
from .paths import expanded
from .photo import read_grey


def load_mask(path: str) -> Mask:
    """(H, W) bool, true where the grey image at `path` is black: the robot's own body. Raises ConfigError."""
    try:
        return read_grey(expanded(path)) == 0
    except DataError as error:
        raise ConfigError(f"camera.mask: {error}: give a PNG of the camera's size, black where the robot is") from error


def unknown_pixels(camera: PinholeCamera, body: Mask | None) -> Mask | None:
    """(H, W) bool of the rectified grid: `body`, of the raw image, and what that does not cover; None where nothing is.

    Raises ConfigError where `body` is of another size.
    """
    uncovered = None if camera.is_rectified or camera.rectified_valid is None else ~camera.rectified_valid
    if body is None:
        return uncovered
    if body.shape != (camera.height, camera.width):
        raise ConfigError(
            f"camera.mask is {body.shape[1]}x{body.shape[0]}, the image is {camera.width}x{camera.height}: "
            "make the mask of the image's size"
        )
    if not camera.is_rectified:
        body = camera.rectify(np.repeat(body[..., None].astype(np.uint8) * 255, 3, axis=2))[..., 0] > 0
    return body if uncovered is None else body | uncovered

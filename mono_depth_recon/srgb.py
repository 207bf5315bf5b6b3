"""sRGB bytes to linear light and back (IEC 61966-2-1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .arrays import Rgb


def linear_light(colors: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Linear light, 0 to 1, of sRGB bytes of any shape."""
    srgb = np.arange(256) / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return linear[colors]


def srgb_bytes(linear: NDArray[np.floating]) -> Rgb:
    """sRGB bytes of linear light of any shape; what lies outside 0 to 1 is clipped."""
    light = np.clip(linear, 0, 1)
    srgb = np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)
    return np.rint(srgb * 255).astype(np.uint8)

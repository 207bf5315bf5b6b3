"""Depth filters of the frame path: range, masks, borders and flying pixels, cheap enough for every frame.

All work in place on a depth map (H, W) float32 in metres and keep REP 117: NaN unknown, +Inf beyond range.
"""

from __future__ import annotations

import numpy as np

from .arrays import Depth, Mask


def limit_range(depth: Depth, near_m: float, far_m: float) -> None:
    """Depth below `near_m` becomes NaN, beyond `far_m` +Inf; never clipped, a wall at `far_m` would be invented."""
    depth[depth < near_m] = np.nan
    depth[depth > far_m] = np.inf


def drop(depth: Depth, unknown: Mask) -> None:
    """Sets depth to NaN where `unknown` (H, W) is true."""
    np.copyto(depth, np.float32(np.nan), where=unknown)


def drop_uncertain(depth: Depth, sigma: Depth, max_sigma_m: float) -> None:
    """Sets depth to NaN where `sigma` (H, W; metres) exceeds `max_sigma_m` or is NaN, beyond range too."""
    drop(depth, ~(sigma <= max_sigma_m))


def drop_doubtful(depth: Depth, confidence: Depth, min_confidence: float) -> None:
    """Sets depth to NaN where `confidence` (H, W; 0 to 1) is below `min_confidence` or NaN, beyond range too."""
    drop(depth, ~(confidence >= min_confidence))


def drop_border(depth: Depth, border_px: int) -> None:
    """Sets a frame of `border_px` pixels to NaN."""
    if border_px:
        depth[:border_px] = depth[-border_px:] = np.nan
        depth[:, :border_px] = depth[:, -border_px:] = np.nan


def flying_pixels(depth: Depth, threshold: float) -> Mask:
    """(H, W) bool: pixels on a depth edge, where interpolation creates points in mid-air.

    The step of inverse depth across the 3x3 neighbourhood, relative to the pixel's own inverse depth:
    (max(1/z) - min(1/z)) * z > threshold. Inverse depth is linear over a plane seen by a pinhole
    camera: a plane counts as an edge only where rays graze it, below about 2 / (f * threshold) radians
    (2.7 degrees at f = 525 px and 0.08). Pixels beside unknown depth lie on an edge.
    """
    import cv2

    inverse = np.reciprocal(depth)
    np.nan_to_num(inverse, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    kernel = np.ones((3, 3), np.uint8)
    step = cv2.dilate(inverse, kernel)
    step -= cv2.erode(inverse, kernel)
    return step > threshold * inverse

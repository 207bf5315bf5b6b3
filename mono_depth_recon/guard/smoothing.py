"""The temporal filter: depth blended with the previous one, moved with the camera, where the two agree."""

from __future__ import annotations

import numpy as np

from ..arrays import Depth
from ..camera import PinholeCamera
from .motion import Motion

_AGREE = 0.1  # relative; what differs by more has moved, or was hidden


def smoothed(depth: Depth, before: Depth, motion: Motion, camera: PinholeCamera, kept: float) -> Depth:
    """Depth (H, W) with up to the share `kept` of the depth `before`, seen from where the camera is now.

    The share falls with the difference and is 0 from 10 % on: there, at edges that moved and at what comes into view
    the new depth stands. Unknown pixels of either stay as they are in `depth`.
    """
    import cv2

    x, y = camera.rays
    R = motion.R.T.astype(np.float32)
    t = -(motion.R.T @ motion.t).astype(np.float32)
    X, Y, Z = (depth * (R[k, 0] * x[None] + (R[k, 1] * y + R[k, 2])[:, None]) + t[k] for k in range(3))
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = X / Z * np.float32(camera.fx) + np.float32(camera.cx)
        rows = Y / Z * np.float32(camera.fy) + np.float32(camera.cy)
        columns[~np.isfinite(columns)] = rows[~np.isfinite(rows)] = -2
        seen = cv2.remap(
            before, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=float("nan")
        )
        off = seen / Z - 1
        share = np.float32(kept) * np.square(np.maximum(0, 1 - np.square(off / np.float32(_AGREE))))
        blended = depth * (1 + share * off)
    return np.where(np.isfinite(off), blended, depth)

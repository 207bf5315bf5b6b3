"""The camera's motion between two images, from tracked corners of known depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Mask, Matrix
from ..camera import PinholeCamera
from .picture import Pixels
from .robust import middle

_ROUNDS = 8
_OFF_PX, _OFF_SHARE = 1.0, 0.15  # of the way that a corner moved: what one may be off the common motion
_LEAST_PX = 0.1
_PRIOR = 1.0  # motion that the corners do not determine is small: 0.3 rad or 0.1 of the distance, against 0.1 px
_NEAREST = 0.05  # of the middle distance
_STILL = 3e-4  # rad, or of the middle distance

F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Motion:
    """Where points went: after = R @ before + t, in the unit of the depth that it was fitted with.

    `agree` (N,) tells which of the corners moved with it.
    """

    R: Matrix
    t: F64
    agree: Mask

    def depth(self, before: Pixels, depth: NDArray[np.float32], camera: PinholeCamera) -> F64:
        """The depth (N,) afterwards of points at pixels `before` (N, 2) with their `depth` (N,) then."""
        return np.asarray((_points(before, depth, camera) @ self.R.T + self.t)[:, 2])


def fit_motion(before: Pixels, after: Pixels, depth: NDArray[np.float32], camera: PinholeCamera) -> Motion:
    """The rigid motion of points at pixels `before` (N, 2), with their `depth` (N,), that moves them to `after`.

    Reweighted least squares of the reprojection: points that move by themselves count little.
    """
    import cv2

    focal = np.array([camera.fx, camera.fy])
    points = _points(before, depth, camera)
    unit = middle(depth)
    points /= unit
    R, t = np.eye(3), np.zeros(3)
    for _ in range(_ROUNDS):
        moved = points @ R.T + t
        off = _off(moved, after, camera)
        distance = np.hypot(*off)
        limit = max(_LEAST_PX, middle(distance))
        weights = 1 / (1 + np.square(distance / limit))
        J = _jacobian(moved, focal)
        JW = J * np.concatenate([weights, weights])
        step = np.linalg.solve(JW @ J.T + _PRIOR * np.eye(6), JW @ off.ravel())
        turn = cv2.Rodrigues(step[:3])[0]
        R, t = turn @ R, turn @ t + step[3:]
        if np.abs(step).max() < _STILL:
            break
    off = np.hypot(*_off(points @ R.T + t, after, camera))
    way = np.hypot(*(after - before).T)
    return Motion(R, t * unit, off < np.maximum(_OFF_PX, _OFF_SHARE * way))


def _points(pixels: Pixels, depth: NDArray[np.float32], camera: PinholeCamera) -> F64:
    x = (pixels.astype(np.float64) - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
    return np.concatenate([x, np.ones((len(x), 1))], axis=1) * depth[:, None]


def _off(moved: F64, after: Pixels, camera: PinholeCamera) -> F64:
    """(2, N): pixels from where the points are seen to where the corners are."""
    z = np.maximum(moved[:, 2], _NEAREST)
    return np.stack(
        [
            after[:, 0] - camera.cx - camera.fx * moved[:, 0] / z,
            after[:, 1] - camera.cy - camera.fy * moved[:, 1] / z,
        ]
    )


def _jacobian(moved: F64, focal: F64) -> F64:
    """(6, 2N): pixels along x, then along y, per radian about x, y, z and per unit of motion along them."""
    count = len(moved)
    inverse = 1 / np.maximum(moved[:, 2], _NEAREST)
    x, y = moved[:, 0] * inverse, moved[:, 1] * inverse
    J = np.zeros((6, 2 * count))
    along_x, along_y = J[:, :count], J[:, count:]
    along_x[0], along_x[1], along_x[2], along_x[3], along_x[5] = -x * y, 1 + x * x, -y, inverse, -x * inverse
    along_y[0], along_y[1], along_y[2], along_y[4], along_y[5] = -1 - y * y, x * y, x, inverse, -y * inverse
    along_x *= focal[0]
    along_y *= focal[1]
    return J

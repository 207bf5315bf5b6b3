"""Where the camera was: poses at the stamp of an image, from a stream of poses or from odometry on our own depth.

Poses are T_world_camera (4, 4) float64: they map points of the camera's optical frame to the world, in metres.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Depth, Matrix, Rgb
from ..camera import PinholeCamera
from ..errors import DataError

_RIGID = 1e-3
_MIN_FITNESS = 0.3  # share of the pixels that found a partner: less is no tracking
_ODOMETRY_WIDTH = 320
_ITERATIONS = (10, 6, 4)  # from coarse to fine, each twice as fine as the one before
_DEPTH_JUMP = 0.07  # m between partners, at most


class PoseSource(Protocol):
    """Anything that knows the camera's pose at a time."""

    def pose(self, stamp: float) -> Matrix | None:
        """T_world_camera (4, 4) at `stamp` seconds, or None where it is not known."""
        ...


def checked_pose(T: ArrayLike) -> Matrix:
    """`T` as (4, 4) float64. Raises DataError where it is not a finite rigid motion."""
    M = np.asarray(T, np.float64)
    if M.shape != (4, 4):
        raise DataError(f"a pose must be a 4x4 matrix, got shape {M.shape}")
    if not np.isfinite(M).all():
        raise DataError("a pose must be finite, got NaN or Inf: see what publishes it")
    R = M[:3, :3]
    if not np.allclose(R @ R.T, np.eye(3), atol=_RIGID) or np.linalg.det(R) < 0 or np.any(M[3] != (0, 0, 0, 1)):
        raise DataError("a pose must be a rotation and a translation, got another matrix: see what publishes it")
    return M


def motion_between(a: Matrix, b: Matrix) -> tuple[float, float]:
    """Metres and degrees from pose `a` to pose `b`, (4, 4) each."""
    cosine = (np.trace(a[:3, :3].T @ b[:3, :3]) - 1) / 2
    return float(np.linalg.norm(b[:3, 3] - a[:3, 3])), float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def interpolated(a: Matrix, b: Matrix, share: float) -> Matrix:
    """The pose at `share` (0 to 1) of the way from `a` to `b`: linear in position, along the shortest turn."""
    import cv2

    turn, _ = cv2.Rodrigues(a[:3, :3].T @ b[:3, :3])
    T = np.eye(4)
    T[:3, :3] = a[:3, :3] @ cv2.Rodrigues(turn * share)[0]
    T[:3, 3] = (1 - share) * a[:3, 3] + share * b[:3, 3]
    return T


class PoseBuffer:
    """The last poses of a stream (odometry, localisation), to be asked for the time of an image.

    Between two poses at most `max_gap_s` apart it interpolates; there is none before the first and after the last.
    Poses are kept for `keep_s` seconds. Where time goes back (a bag that starts again), the buffer starts again.
    `refused` counts poses that were NaN or no rigid motion, `restarts` how often time went back.
    """

    def __init__(self, max_gap_s: float = 0.2, keep_s: float = 10.0) -> None:
        self.max_gap_s, self.keep_s = max_gap_s, keep_s
        self.refused, self.restarts = 0, 0
        self._poses: deque[tuple[float, Matrix]] = deque()

    def add(self, stamp: float, T_world_camera: ArrayLike) -> None:
        """Takes a pose at `stamp` seconds. Raises DataError (and counts it) where stamp or pose are not sound."""
        try:
            if not np.isfinite(stamp):
                raise DataError(f"a pose's stamp must be finite, got {stamp}")
            T = checked_pose(T_world_camera)
        except DataError:
            self.refused += 1
            raise
        if self._poses and stamp < self._poses[-1][0]:
            self._poses.clear()
            self.restarts += 1
        elif self._poses and stamp == self._poses[-1][0]:
            self._poses.pop()
        self._poses.append((stamp, T))
        while self._poses[0][0] < stamp - self.keep_s:
            self._poses.popleft()

    @property
    def newest(self) -> float | None:
        """Stamp of the last pose in seconds, None before the first."""
        return self._poses[-1][0] if self._poses else None

    def pose(self, stamp: float) -> Matrix | None:
        """T_world_camera at `stamp` seconds, None where no two poses enclose it closely enough."""
        stamps = [at for at, _ in self._poses]
        after = bisect_left(stamps, stamp)
        if after == len(stamps):
            return None
        end, b = self._poses[after]
        if end == stamp:
            return b
        if after == 0 or end - stamps[after - 1] > self.max_gap_s:
            return None
        begin, a = self._poses[after - 1]
        return interpolated(a, b, (stamp - begin) / (end - begin))


class Odometry:
    """Poses from the frames themselves, where nothing else tells them: RGB-D odometry on their own depth.

    Frame to frame, points of one onto planes of the other, as Open3D has it: with colour in the sum it was fifty times
    less exact on exact depth. It drifts, and errors of predicted depth become errors of motion: use poses of the robot
    where there are any. The world is the first frame.
    """

    def __init__(self) -> None:
        self._last: tuple[Any, Matrix] | None = None
        self.lost = 0

    def track(self, rgb: Rgb, depth: Depth, camera: PinholeCamera) -> Matrix | None:
        """T_world_camera of the next frame, None (counted in `lost`) where it does not fit to the last tracked one."""
        import open3d as o3d

        small = camera.resized(_ODOMETRY_WIDTH, round(camera.height * _ODOMETRY_WIDTH / camera.width))
        image = _rgbd(rgb, depth, small)
        if self._last is None:
            self._last = (image, np.eye(4))
            return np.eye(4)
        method = o3d.t.pipelines.odometry
        reference, T_world_reference = self._last
        try:
            found = method.rgbd_odometry_multi_scale(
                image,
                reference,
                o3d.core.Tensor(small.K),
                o3d.core.Tensor(np.eye(4)),
                1.0,
                10.0,
                [method.OdometryConvergenceCriteria(count) for count in _ITERATIONS],
                method.Method.PointToPlane,
                method.OdometryLossParams(_DEPTH_JUMP),
            )
        except RuntimeError:  # a singular system: nothing in common
            found = None
        if found is None or found.fitness < _MIN_FITNESS:
            self.lost += 1
            return None
        T = T_world_reference @ _orthonormal(found.transformation.numpy())
        self._last = (image, T)
        return T


def _rgbd(rgb: Rgb, depth: Depth, camera: PinholeCamera) -> Any:
    import cv2
    import open3d as o3d

    color = cv2.resize(rgb, camera.size, interpolation=cv2.INTER_AREA)
    metres = cv2.resize(
        np.where(np.isfinite(depth), depth, np.float32(0)), camera.size, interpolation=cv2.INTER_NEAREST
    )
    image = o3d.t.geometry.Image
    return o3d.t.geometry.RGBDImage(image(o3d.core.Tensor(color)), image(o3d.core.Tensor(metres)))


def _orthonormal(T: Matrix) -> Matrix:
    """`T` with its rotation made exact: many small products would shear the world."""
    U, _, V = np.linalg.svd(T[:3, :3])
    exact = np.array(T, np.float64)
    exact[:3, :3] = U @ V
    return exact

"""The motion of the camera from its own frames: RGB-D odometry."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Depth, Matrix, Rgb
from ..camera import PinholeCamera

_MIN_FITNESS = 0.3  # share of the pixels that found a correspondence: with less the tracking is lost
_ODOMETRY_WIDTH = 320
_ITERATIONS = (10, 6, 4)  # per pyramid level, from coarse to fine
_DEPTH_JUMP = 0.07  # metres between corresponding points, at most


class Odometry:
    """Poses from the frames themselves, where nothing else gives them: RGB-D odometry on their own depth.

    Frame to frame with Open3D's point-to-plane method; its colour term made it fifty times less accurate on exact
    depth. It drifts, and errors of predicted depth become errors of motion: prefer the robot's own poses where there
    are any. The world is the first frame.
    """

    def __init__(self) -> None:
        self._last: tuple[Any, Matrix] | None = None
        self.lost = 0

    def track(self, rgb: Rgb, depth: Depth, camera: PinholeCamera) -> Matrix | None:
        """T_world_camera of the next frame, None (counted in `lost`) where it does not match the last tracked one."""
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

"""scale.source=marker: fiducials of known size in the image, ArUco or AprilTag."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..alignment import fit_factor
from ..arrays import Depth
from ..camera import PinholeCamera
from ..errors import DataError
from ..frames import Scale
from .base import RelativeView
from .evidence import Evidence
from .fitted import FittedScale
from .marker_finder import MarkerFinder
from .settings import ScaleSettings

_SMALLEST_PX = 14.0  # shortest side in the image: of smaller ones the corners are too uncertain
_CONTRADICTION = 1.4  # between two markers in view; less is the model's error
_SHALLOWEST_DEG = 15.0  # between the line of sight and the marker's plane: nearer to edge-on its pose is uncertain

F64 = NDArray[np.float64]


class MarkerScale(FittedScale):
    """The scale that gives markers of `scale.marker_size` their depth; the shift is `scale.shift`.

    The pixels of a marker have nearly one depth, which determines one number.
    """

    name = "marker"
    help = "from fiducials of known size in view"
    remedy = "with scale.marker_size and scale.marker_dictionary and such a marker in view"
    trusted = False

    def __init__(self) -> None:
        super().__init__()
        self._finder = MarkerFinder()

    def measure(self, view: RelativeView, evidence: Evidence, settings: ScaleSettings) -> Scale:
        """`fit_factor` to the depth of all markers. Raises DataError if there is none or they contradict each other."""
        shift, seen = 0.0 if view.metric else settings.shift, self._depths(view, settings)
        fits = [fit_factor(view.disparity, depth, shift) for _, depth in seen]
        scales = sorted((fit.scale, number) for fit, (number, _) in zip(fits, seen, strict=True))
        (low, one), (high, other) = scales[0], scales[-1]
        if high > _CONTRADICTION * low:
            raise DataError(
                f"markers {one} and {other} contradict each other by a factor of {high / low:.2f}: check that both "
                "have scale.marker_size, or set scale.marker_id"
            )
        if len(seen) == 1:
            return fits[0]
        merged = np.fmin.reduce([depth for _, depth in seen])
        return fit_factor(view.disparity, merged, shift)

    def _depths(self, view: RelativeView, settings: ScaleSettings) -> list[tuple[int, Depth]]:
        """Id and depth (H, W), NaN beside it, of each marker in view. Raises DataError if there is none."""
        made, refused = [], []
        for number, corners in self._finder.find(view.rgb, settings):
            try:
                depth = marker_depth(corners, view.camera.rectified, settings.marker_size)
            except DataError as error:
                refused.append(f"marker {number} {error}")
                continue
            made.append((number, depth))
        if not made:
            wanted = f" with id {settings.marker_id}" if settings.marker_id >= 0 else ""
            raise DataError("; ".join(refused) or f"no marker of {settings.marker_dictionary}{wanted} in view")
        return made


def marker_depth(corners: F64, camera: PinholeCamera, size_m: float) -> Depth:
    """Depth (H, W) of the marker with these corners (4, 2), NaN beside it. Raises DataError for an uncertain pose."""
    import cv2

    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    if sides.min() < _SMALLEST_PX:
        raise DataError(
            f"has a side of {sides.min():.0f} pixels, of at least {_SMALLEST_PX:.0f}: it is too far away or edge-on"
        )
    half = size_m / 2
    square = np.array([[-half, half, 0], [half, half, 0], [half, -half, 0], [-half, -half, 0]])
    ok, turn, position = cv2.solvePnP(square, corners, camera.K, None, flags=cv2.SOLVEPNP_IPPE_SQUARE)
    if not ok or position[2] <= 0:
        raise DataError("has no pose in front of the camera")
    normal, centre = cv2.Rodrigues(turn)[0][:, 2], position[:, 0]
    angle = np.degrees(np.arcsin(abs(normal @ centre) / np.linalg.norm(centre)))
    if angle < _SHALLOWEST_DEG:
        raise DataError(f"is seen edge-on, {angle:.0f} degrees from its plane, of at least {_SHALLOWEST_DEG:.0f}")
    depth = np.full((camera.height, camera.width), np.nan, np.float32)
    outline = np.rint(corners).astype(np.int32)
    left, top = np.clip(outline.min(axis=0), 0, camera.size)
    right, bottom = np.clip(outline.max(axis=0) + 1, 0, camera.size)
    inside = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillConvexPoly(inside, outline - (left, top), 1)
    rows, columns = np.nonzero(inside)
    rows, columns = rows + top, columns + left
    x, y = camera.rays
    along = normal[0] * x[columns] + normal[1] * y[rows] + normal[2]
    depth[rows, columns] = (normal @ centre) / along
    return depth

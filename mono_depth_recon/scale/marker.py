"""scale.source=marker: fiducials of known size in the image, ArUco or AprilTag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..alignment import fit_factor
from ..arrays import Depth, Rgb
from ..camera import PinholeCamera
from ..errors import DataError
from ..frames import Scale
from .base import RelativeView
from .evidence import Evidence
from .fitted import FittedScale
from .settings import ScaleSettings

_SMALLEST_PX = 14.0  # shortest side in the image: of smaller ones the corners are too uncertain
_WINDOW = 0.5  # of a cell of the marker: where its corners are refined; the default leaves small ones 2 % too small
_CONTRADICTION = 1.4  # between two markers in view; less is the model's error
_SEARCH_EVERY = 10  # images; a whole one of 640x480 takes 10 ms
_MARGIN, _MARGIN_PX, _SAME_PX = 0.5, 16.0, 4.0  # of a marker's size: how far it may move from image to image
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


class MarkerFinder:
    """Finds markers in image after image: around where they were, and everywhere in every tenth image.

    Where there was none, an image of half the size shows where to look.
    """

    def __init__(self) -> None:
        self._images = 0
        self._last: list[tuple[int, F64]] = []

    def find(self, rgb: Rgb, settings: ScaleSettings) -> list[tuple[int, F64]]:
        """As `detected`."""
        import cv2

        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        if self._images % _SEARCH_EVERY == 0:
            found = _detected(grey, settings)
        else:
            found = _around(self._last, grey, settings)
            if not found:
                half = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
                coarse = _detected(half, settings)
                found = _around([(number, 2 * corners + 0.5) for number, corners in coarse], grey, settings)
        self._images += 1
        self._last = found
        return found


def _around(
    places: Sequence[tuple[int, F64]], grey: NDArray[np.uint8], settings: ScaleSettings
) -> list[tuple[int, F64]]:
    """Markers of these ids near to these corners; of one id alone the search takes a tenth of the time."""
    found: list[tuple[int, F64]] = []
    for wanted, corners in places:
        margin = _MARGIN * np.ptp(corners, axis=0).max() + _MARGIN_PX
        low = np.maximum(np.floor(corners.min(axis=0) - margin), 0).astype(int)
        high = np.ceil(corners.max(axis=0) + margin).astype(int)
        near = np.ascontiguousarray(grey[low[1] : high[1], low[0] : high[0]])
        for number, at in _detected(near, replace(settings, marker_id=wanted)) if min(near.shape) > 0 else ():
            if all(np.abs(at + low - other).max() > _SAME_PX for _, other in found):
                found.append((number, at + low))
    return found


def detected(rgb: Rgb, settings: ScaleSettings) -> list[tuple[int, F64]]:
    """Id and corners (4, 2), pixels clockwise from the marker's top left, of the wanted markers in an image."""
    import cv2

    return _detected(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), settings)


def _detected(grey: NDArray[np.uint8], settings: ScaleSettings) -> list[tuple[int, F64]]:
    import cv2

    aruco: Any = getattr(cv2, "aruco", None)
    if aruco is None:
        raise DataError("scale.source=marker needs OpenCV's module aruco: install OpenCV 4.7 or newer")
    code = getattr(aruco, f"DICT_{settings.marker_dictionary}")
    modern = hasattr(aruco, "ArucoDetector")  # OpenCV 4.7
    parameters = aruco.DetectorParameters() if modern else aruco.DetectorParameters_create()
    parameters.cornerRefinementMethod = aruco.CORNER_REFINE_SUBPIX
    if hasattr(parameters, "relativeCornerRefinmentWinSize"):
        parameters.relativeCornerRefinmentWinSize = _WINDOW
    wanted, first = settings.marker_id, 0
    if modern:
        family = aruco.getPredefinedDictionary(code)
        if 0 <= wanted < len(family.bytesList):  # each square in view is compared with every id: 1 ms of 587 ids
            first, shape = wanted, (family.markerSize, family.maxCorrectionBits)
            family = aruco.Dictionary(family.bytesList[wanted : wanted + 1], *shape)
        found = aruco.ArucoDetector(family, parameters).detectMarkers(grey)
    else:
        found = aruco.detectMarkers(grey, aruco.Dictionary_get(code), parameters=parameters)
    numbers = [] if found[1] is None else (np.ravel(found[1]) + first).tolist()
    pairs = zip(numbers, found[0], strict=True)
    return [(n, np.reshape(c, (4, 2)).astype(np.float64)) for n, c in pairs if wanted in (n, -1)]


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

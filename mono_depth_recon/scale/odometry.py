"""scale.source=odometry: the camera's own motion in metres, against the motion of tracked features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..alignment import MIN_PIXELS
from ..arrays import Depth, Matrix, Rgb
from ..camera import PinholeCamera
from ..errors import DataError
from ..poses import motion_between
from ..registration import project_points
from .anchored import AnchoredScale
from .base import RelativeView
from .evidence import Evidence, Kind
from .settings import ScaleSettings

_WIDTH = 480  # pixels, of the images that features are tracked in
_CANDIDATES, _QUALITY, _APART_PX = 1000, 0.01, 2.5  # in an image of half the size, a quarter of the time
_FEATURES, _TILE_PX = 400, 20  # those kept: the strongest of each tile, of that image
_SEARCH: dict[str, Any] = {"winSize": (9, 9), "criteria": (3, 10, 0.03)}  # 10 steps, or one of less than 0.03 pixels
_BACK_PX = 0.5  # tracked forth and back, a feature must stay at its place
_LEFT = 0.5  # of the features; with fewer new ones are chosen
_MIN_PARALLAX_DEG, _MUCH_PARALLAX_DEG = 2.0, 8.0  # in the middle of all; more: new features
# Poses that are wrong by a hundredth of the turn are then wrong by 5 % of the parallax; nor do features look the same.
_MOST_TURN, _MUCH_TURN_DEG = 4.0, 15.0
_EPIPOLAR_PX = 1.5
_NEAREST_M, _FARTHEST_M = 0.1, 50.0
_EDGE_PX, _STEP, _THIN = 3, 0.2, 16  # 3 x 3 of every third pixel, as wide as the window; of 90 % of the disparities
_AWAY, _TURNED_DEG = 0.3, 25.0  # motion since the points were found, over their distance: they are out of view

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

# (4, 4) float64: the pose of the raw image's camera in a frame that stands still, for a while at least (metres).
CAMERA_POSE: Kind[Matrix] = Kind("camera_pose", "poses of the camera")


class OdometryScale(AnchoredScale):
    """Scale and shift that agree with points triangulated along the camera's motion; held while it stands still."""

    name = "odometry"
    help = "from the camera's own motion"
    remedy = "with TF from scale.odom_frame to the camera, which must move sideways"
    needs = (CAMERA_POSE,)

    def __init__(self) -> None:
        super().__init__()
        self._points = MovingPoints()

    def anchor(self, view: RelativeView, evidence: Evidence, settings: ScaleSettings) -> Depth:
        """The triangulated points as the camera sees them now. Raises DataError before it has moved enough."""
        T_odom_camera, camera = self.required(evidence, CAMERA_POSE).copy(), view.camera.rectified
        if view.camera.R is not None:
            T_odom_camera[:3, :3] = T_odom_camera[:3, :3] @ view.camera.R.T
        small = self._points.tracked(camera)
        points = self._points.seen(view.rgb, small, T_odom_camera)
        T = np.linalg.inv(T_odom_camera)
        depth = project_points(points @ T[:3, :3].T + T[:3, 3], small)
        places, edges = np.flatnonzero(depth > 0), _edges(view.disparity)
        row, column = np.divmod(places, small.width)
        near = edges[row * len(edges) // small.height, column * edges.shape[1] // small.width]
        depth.ravel()[places[near]] = np.nan
        return depth


def _edges(disparity: Depth) -> NDArray[np.bool_]:
    """(H / 3, W / 3): near a step of the disparity, where features are but it is not clear what they belong to."""
    import cv2

    coarse = disparity[::_EDGE_PX, ::_EDGE_PX].copy()
    thin = coarse.ravel()[::_THIN]
    known = np.sort(thin[np.isfinite(thin)])
    if not len(known):
        return np.ones(coarse.shape, np.bool_)
    low, high = known[len(known) // 20], known[len(known) - 1 - len(known) // 20]
    coarse[~np.isfinite(coarse)] = low
    around = np.ones((_EDGE_PX, _EDGE_PX), np.uint8)
    return cv2.dilate(coarse, around) - cv2.erode(coarse, around) > _STEP * (high - low)


@dataclass(frozen=True, eq=False)
class _Tracks:
    """Features: where they were first (N, 2), from which pose, and where they are in the last image `grey` (h, w)."""

    first: F32
    T_first: Matrix
    grey: NDArray[np.uint8]
    now: F32
    chosen: int


class MovingPoints:
    """Points of a scene that stands still, triangulated from tracked features and the poses of a moving camera."""

    def __init__(self) -> None:
        self._tracks: _Tracks | None = None
        self._lost = False  # the features, from the last image to this one
        self._known: tuple[F64, Matrix, float] | None = None  # points, the pose they were found from, their distance
        self._cameras: tuple[PinholeCamera, PinholeCamera] | None = None  # of the images, and of those tracked in

    def tracked(self, camera: PinholeCamera) -> PinholeCamera:
        """That of the images that features are tracked in: of `camera`, a pinhole, at most 480 pixels wide."""
        if self._cameras is None or self._cameras[0] is not camera:
            share = min(1.0, _WIDTH / camera.width)
            self._cameras = camera, camera.resized(round(camera.width * share), round(camera.height * share))
        return self._cameras[1]

    def seen(self, rgb: Rgb, small: PinholeCamera, T_odom_camera: Matrix) -> F64:
        """Points (N, 3) in the frame of the poses, after a further image (H, W, 3) of a camera `tracked` by `small`.

        Those that this image gives, else the last ones. Raises DataError where there are none, or no longer in view.
        """
        grey = _grey(rgb, small)
        tracks = None if self._tracks is None else _followed(self._tracks, grey)
        self._lost = tracks is None and self._tracks is not None
        if tracks is not None:
            points, parallax = _triangulated(tracks, small, T_odom_camera)
            _, turned = motion_between(tracks.T_first, T_odom_camera)
            if len(points) >= MIN_PIXELS and turned <= _MOST_TURN * parallax:
                distance = float(np.median(np.linalg.norm(points - T_odom_camera[:3, 3], axis=1)))
                self._known = points, T_odom_camera, distance
            if len(tracks.now) < _LEFT * tracks.chosen or parallax > _MUCH_PARALLAX_DEG or turned > _MUCH_TURN_DEG:
                tracks = None
        self._tracks = _chosen(grey, T_odom_camera) if tracks is None else tracks
        return self._in_view(T_odom_camera)

    def _in_view(self, T: Matrix) -> F64:
        if self._known is None and self._lost:
            raise DataError(
                "no points yet by odometry: features cannot be followed from one image to the next: more images per "
                "second, slower turns, or light that lets them be sharp"
            )
        if self._known is None:
            raise DataError(
                "no points yet by odometry: the camera must move sideways by a twentieth of the distance it looks at, "
                "past something with texture"
            )
        points, T_found, distance = self._known
        away, turned = motion_between(T_found, T)
        if away > _AWAY * distance or turned > _TURNED_DEG:
            raise DataError(
                f"no points by odometry since the camera moved by {away:.2f} m and turned by {turned:.0f} degrees: "
                "nothing could be tracked, or the poses do not fit the images"
            )
        return points


def _grey(rgb: Rgb, small: PinholeCamera) -> NDArray[np.uint8]:
    """(h, w) of the size of `small`: by means of whole pixels, then linearly, a third of the time of exact areas."""
    import cv2

    grey, whole = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), rgb.shape[1] // small.width
    if whole > 1:
        size = rgb.shape[1] // whole, rgb.shape[0] // whole
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(grey, small.size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _chosen(grey: NDArray[np.uint8], T: Matrix) -> _Tracks | None:
    import cv2

    half = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    found = cv2.goodFeaturesToTrack(half, _CANDIDATES, _QUALITY, _APART_PX)
    if found is None or len(found) < MIN_PIXELS:
        return None
    pixels = 2 * _spread(found.reshape(-1, 2)).astype(np.float32) + np.float32(0.5)
    return _Tracks(pixels, T, grey, pixels, len(pixels))


def _spread(found: F32) -> F32:
    """The first `_FEATURES` (n, 2) of `found` (N, 2), strongest first, if each tile of the image has its turn."""
    column, row = (found // _TILE_PX).astype(np.intp).T
    tile = row * (column.max() + 1) + column
    order = np.argsort(tile, kind="stable")
    first = np.searchsorted(tile[order], tile[order])
    turn = np.empty(len(tile), np.intp)
    turn[order] = np.arange(len(tile)) - first
    return found[np.argsort(turn, kind="stable")[:_FEATURES]]


def _followed(tracks: _Tracks, grey: NDArray[np.uint8]) -> _Tracks | None:
    """The tracks in the next image, where they look the same in both.

    None where too few are left, or the image has another size.
    """
    import cv2

    if grey.shape != tracks.grey.shape:
        return None
    before = tracks.now[:, None]
    after, found, _ = cv2.calcOpticalFlowPyrLK(tracks.grey, grey, before, None, **_SEARCH)
    near: dict[str, Any] = {"maxLevel": 0, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}  # a fifth of the time of a search
    back, returned, _ = cv2.calcOpticalFlowPyrLK(grey, tracks.grey, after, before.copy(), **_SEARCH, **near)
    kept = (found & returned).ravel() > 0
    kept &= np.linalg.norm((back - before)[:, 0], axis=1) < _BACK_PX
    if kept.sum() < MIN_PIXELS:
        return None
    return _Tracks(tracks.first[kept], tracks.T_first, grey, after[kept, 0], tracks.chosen)


def _triangulated(tracks: _Tracks, camera: PinholeCamera, T: Matrix) -> tuple[F64, float]:
    """Points (N, 3) in the frame of the poses by tracks on their epipolar lines, and the middle parallax (deg).

    Far points are not left out for their own small parallax: those that seem to have a larger one would remain.
    """
    T_now_first = np.linalg.inv(T) @ tracks.T_first
    a, b = (_rays(pixels, camera) for pixels in (tracks.first, tracks.now))
    a, t = a @ T_now_first[:3, :3].T, T_now_first[:3, 3]
    aa, ab, bb = (np.einsum("ij,ij->i", p, q) for p, q in ((a, a), (a, b), (b, b)))
    at, bt = a @ t, b @ t
    sine = np.maximum(aa * bb - ab * ab, 0)
    parallax = float(np.degrees(np.arcsin(np.sqrt(min(1.0, np.median(sine / (aa * bb)))))))
    line = a @ np.array([[0, t[2], -t[1]], [-t[2], 0, t[0]], [t[1], -t[0], 0]])  # t x a
    off = camera.fx * np.abs(np.einsum("ij,ij->i", line, b)) / np.maximum(np.hypot(line[:, 0], line[:, 1]), 1e-12)
    reach = aa * bt - ab * at  # depth is reach / sine, where the rays are nearest to each other
    good = (off < _EPIPOLAR_PX) & (sine > reach / _FARTHEST_M) & (reach > _NEAREST_M * sine)
    if parallax < _MIN_PARALLAX_DEG or not good.any():
        return np.empty((0, 3)), parallax
    points = b[good] * (reach[good] / sine[good])[:, None]
    return points @ T[:3, :3].T + T[:3, 3], parallax


def _rays(pixels: F32, camera: PinholeCamera) -> F64:
    """(N, 3), z = 1."""
    rays = np.ones((len(pixels), 3))
    rays[:, :2] = (pixels - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
    return rays

"""Time that each scale source takes for a 640x480 image, once its evidence is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import Any, TypeAlias

import numpy as np

from ..alignment import spread
from ..arrays import Depth, Rgb
from ..camera import PinholeCamera
from ..errors import DataError
from ..frames import Scale
from ..scale.base import RelativeView
from ..scale.evidence import NOTHING, Evidence, Kind
from ..scale.ground_plane import GROUND, Ground
from ..scale.odometry import CAMERA_POSE
from ..scale.points import REFERENCE_POINTS, PointsScale
from ..scale.reference import REFERENCE_DEPTH
from ..scale.settings import ScaleSettings
from ..scale.table import SCALE_SOURCES
from .frame_path import Measurement, Settings
from .rows import Row
from .scene import room

_CAMERA = PinholeCamera.from_hfov(640, 480, 60)
_LIMIT_MS, _LOOP = 3.0, 20  # images: a source may work harder in some of them
_NEAR = 0.8  # the metres of the model over the true ones
_OFF = {"reference": 0.01, "points": 0.01, "ground_plane": 0.03, "marker": 0.02, "odometry": 0.05}
_FLOOR_M, _POINTS = 1.2, 2000  # of the room
_FAR_M, _MARKER_M, _BORDER_PX = 4.0, 0.4, 12  # the room's far wall, and a marker on it
_WALL_M, _STEP_PX = 2.0, 8  # of a textured wall that the camera moves along

Seen: TypeAlias = tuple[RelativeView, Evidence]


class _Run:
    """A source that sees the same images again and again."""

    def __init__(self, name: str, images: Sequence[Seen], settings: ScaleSettings) -> None:
        self._source, self._images, self._settings = SCALE_SOURCES[name](), images, settings
        self._count = 0

    def __call__(self) -> Scale:
        """The fit of the last image, after all of them. Raises DataError where it has none."""
        fit: Scale | DataError = DataError("no images")
        for view, evidence in self._images:
            self._count += 1
            try:
                fit = self._source.fit(replace(view, stamp=0.1 * self._count), evidence, self._settings)
                if fit.factors is not None:
                    spread(fit.factors, view.disparity.shape)
            except DataError as error:  # as in the first images of a motion
                fit = error
        if isinstance(fit, DataError):
            raise fit
        return fit


def anchors(settings: Settings) -> Iterator[Row]:
    """Processor time of one thread: the mean of 20 images, after each scale was compared with the true one."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for label, scene in _SCENES.items():
            name = label.split(",")[0]
            given = replace(ScaleSettings(), source=name, correct_metric="factor", marker_size=_MARKER_M)
            images = scene(given)
            yield _timed(label, images, given, settings)
            if name == PointsScale.name:
                yield _timed(f"{label} varying", images, replace(given, varying=True), settings)
    finally:
        cv2.setNumThreads(threads)


def _timed(label: str, images: Sequence[Seen], given: ScaleSettings, settings: Settings) -> Row:
    run = _Run(given.source, images, given)
    off, most = abs(run().scale / _NEAR - 1), _OFF[given.source]
    if not off < most:
        raise DataError(f"scale.source={given.source} must find the scale within {most:g}, it is {off:.2g} off")
    milliseconds = 1e3 * _middle(run, max(1, settings.repeats // _LOOP)) / _LOOP
    return Row(
        f"anchor: {label}", milliseconds, "ms", _LIMIT_MS, f"processor time of one thread, mean of {_LOOP} images"
    )


def _middle(run: _Run, repeats: int) -> float:
    """Median seconds of all images."""
    seconds = []
    for _ in range(repeats):
        start = time.thread_time()
        run()
        seconds.append(time.thread_time() - start)
    return median(seconds)


def _view(depth: Depth, rgb: Rgb) -> RelativeView:
    return RelativeView(rgb, np.reciprocal(np.float32(_NEAR) * depth), _CAMERA, metric=True)


def _still(depth: Depth, rgb: Rgb, evidence: Evidence) -> list[Seen]:
    return [(_view(depth, rgb), evidence)] * _LOOP


def _in_room(settings: ScaleSettings) -> list[Seen]:
    """The room with what each of the sources needs."""
    depth, rgb = room(_CAMERA)
    x, y = _CAMERA.rays
    rays = np.stack(np.broadcast_arrays(x[None], y[:, None], np.float32(1)), axis=-1)
    points = (rays * depth[..., None]).reshape(-1, 3)[:: depth.size // _POINTS].astype(np.float64)
    down = Ground(np.array([0.0, 1.0, 0.0]), _FLOOR_M)
    given: dict[Kind[Any], Callable[[], Any]] = {
        REFERENCE_DEPTH: lambda: depth,
        REFERENCE_POINTS: lambda: points,
        GROUND: lambda: down,
    }
    return [(_view(depth, rgb), Evidence(given)) for _ in range(_LOOP)]


def _with_marker(settings: ScaleSettings) -> list[Seen]:
    """The room, with a marker on its far wall and wallpaper in place of tiles."""
    return _still(*_marked(_texture(640), settings), NOTHING)


def _among_tiles(settings: ScaleSettings) -> list[Seen]:
    """The room with its tiles, each of which could be a marker; there is one in the last three images."""
    depth, rgb = room(_CAMERA)
    return [*_still(depth, rgb, NOTHING)[:-3], *_still(*_marked(rgb, settings), NOTHING)[-3:]]


def _marked(rgb: Rgb, settings: ScaleSettings) -> tuple[Depth, Rgb]:
    """The depth of the room, and the image with a marker on its far wall."""
    import cv2

    family = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{settings.marker_dictionary}"))
    side = round(_MARKER_M * _CAMERA.fx / _FAR_M)
    marker = cv2.aruco.generateImageMarker(family, 0, side)
    marker = cv2.copyMakeBorder(marker, *[_BORDER_PX] * 4, cv2.BORDER_CONSTANT, value=255)
    top, left = (240 - len(marker) // 2, 320 - len(marker) // 2)
    rgb = rgb.copy()
    rgb[top : top + len(marker), left : left + len(marker)] = marker[..., None]
    return room(_CAMERA)[0], rgb


def _along_a_wall(_: ScaleSettings) -> list[Seen]:
    """A camera that moves to and fro beside a wall."""
    texture = _texture(640 + _LOOP * _STEP_PX)
    depth, seen = np.full((480, 640), _WALL_M, np.float32), []
    for number in (*range(0, _LOOP, 2), *range(_LOOP, 0, -2)):
        T = np.eye(4)
        T[0, 3] = number * _STEP_PX * _WALL_M / _CAMERA.fx
        rgb = np.ascontiguousarray(texture[:, number * _STEP_PX :][:, :640])
        seen.append((_view(depth, rgb), Evidence({CAMERA_POSE: lambda T=T: T})))  # type: ignore[misc]
    return seen


def _texture(width: int) -> Rgb:
    """(480, width, 3)"""
    import cv2

    noise = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)
    return cv2.resize(noise, (width, 480), interpolation=cv2.INTER_CUBIC)


_SCENES: dict[str, Callable[[ScaleSettings], list[Seen]]] = {
    "reference": _in_room,
    "points": _in_room,
    "ground_plane": _in_room,
    "marker": _with_marker,
    "marker, looked for among tiles": _among_tiles,
    "odometry": _along_a_wall,
}
MEASUREMENTS: dict[str, Measurement] = {"anchors": anchors}

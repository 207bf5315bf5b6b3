"""Time of the outputs that are made on demand: obstacles for navigation, compressed images."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace

import numpy as np

from ..camera import PinholeCamera
from ..cloud.obstacles import PlanarScan, planar_scan, safe_points, surroundings
from ..config import SafeConfig
from ..encoding import compressed_depth, compressed_rgb
from ..errors import DataError
from ..messages import depth_of, rgb_of
from .frame_path import Measurement, Settings, medians
from .rows import Row
from .scene import distance_to_walls, room

_NEAR_M, _FAR_M = 0.1, 10.0
_ABOVE_FLOOR_M, _HALF_M, _END_M = 1.2, 2.0, 4.0  # of the camera in `room`, and its walls
_CAMERA = PinholeCamera.from_hfov(640, 480, 60)
_OFF_M = 0.03


def obstacles(settings: Settings) -> Iterator[Row]:
    """points_safe and scan of a 640x480 depth map, with the defaults of `safe`."""
    depth, _ = room(_CAMERA)
    T = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, _ABOVE_FLOOR_M], [0, 0, 0, 1]], np.float64)
    safe = SafeConfig()
    seen = surroundings(depth, _CAMERA, T, safe)
    points, scan = safe_points(seen, safe.voxel_size), planar_scan(seen, _NEAR_M, safe)
    _check_scan(scan)
    off = float(distance_to_walls(points).max())
    if off > safe.voxel_size or not len(points) or (points[:, 1] > _ABOVE_FLOOR_M - safe.ground_tolerance).any():
        raise DataError(f"points_safe must lie on the walls of the room without the floor, {off:.2g} m off")

    def both() -> None:
        around = surroundings(depth, _CAMERA, T, safe)
        safe_points(around, safe.voxel_size)
        planar_scan(around, _NEAR_M, safe)

    (seconds,) = medians([both], settings.repeats)
    note = f"{len(points)} points, {len(scan.ranges)} beams"
    yield Row("obstacles: points_safe and scan", 1e3 * seconds, "ms", 5.0, note)


def compressed(settings: Settings) -> Iterator[Row]:
    """A 640x480 frame compressed, after it was read back."""
    depth, rgb = room(_CAMERA)
    for encoding in ("32FC1", "16UC1"):
        for kind in ("png", "rvl"):
            make = partial(compressed_depth, depth, encoding, kind, _NEAR_M, _FAR_M)
            form, data = make()
            off = float(np.abs(depth_of(SimpleNamespace(format=form, data=data)) - depth).max())
            if not off < 0.01:
                raise DataError(f"compressed depth '{form}' must be read back as it was, {off:.2g} m off")
            (seconds,) = medians([make], settings.repeats)
            yield Row(f"compressed depth: {encoding}, {kind}", 1e3 * seconds, "ms", note=f"{len(data) / 1e3:.0f} kB")
    form, data = compressed_rgb(rgb, "jpeg")
    if np.abs(rgb_of(SimpleNamespace(format=form, data=data)).astype(np.int16) - rgb).mean() > 2:
        raise DataError(f"compressed colour '{form}' must be read back nearly as it was")
    (seconds,) = medians([lambda: compressed_rgb(rgb, "jpeg")], settings.repeats)
    yield Row("compressed colour: jpeg", 1e3 * seconds, "ms", note=f"{len(data) / 1e3:.0f} kB")


def _check_scan(scan: PlanarScan) -> None:
    """Compares with the walls of the room: a wrong result must not be timed."""
    angles = scan.angle_min + scan.increment * np.arange(len(scan.ranges))
    exact = np.minimum(_END_M / np.cos(angles), _HALF_M / np.abs(np.sin(angles)))
    off = float(np.abs(scan.ranges - exact).max())
    if not off < _OFF_M:
        raise DataError(f"scan must end at the walls of the room, it is {off:.2g} m off")


MEASUREMENTS: dict[str, Measurement] = {"obstacles": obstacles, "compressed": compressed}

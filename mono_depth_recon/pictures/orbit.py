"""Orbit videos of a scene: a mesh in the world turned upright, and an orbit around it as GIF or MP4."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..arrays import Matrix, Rgb
from ..atomic import write_atomically
from ..errors import ConfigError, DataError
from ..mesh.mesh import Mesh
from ..temporary import TemporaryFolder
from .views import View, view_distance, view_mesh

FORMATS = (".gif", ".mp4")
_ELEVATION_DEG = 28.0
_SWING_DEG = 32.0
_INWARD = 0.5  # length of the mean viewing direction, below which the cameras looked in all directions
_AXIS_DEG = 35.0
_FRAMES_PER_SECOND = 15


def upright(mesh: Mesh, poses: Sequence[Matrix]) -> Mesh:
    """A mesh in the world frame turned for a level viewer who looks as the cameras did: x right, y down, z forward.

    Raises DataError without poses.
    """
    return Mesh((mesh.vertices @ level_axes(poses).T).astype(np.float32), mesh.triangles, mesh.colors)


def level_axes(poses: Sequence[Matrix]) -> Matrix:
    """(3, 3) rows right, down, forward in the world, of a level viewer who looks as the cameras did.

    Down is where the cameras' image rows grow on average, or the axis of the world that lies within 35 degrees of it.
    Raises DataError without poses.
    """
    if not len(poses):
        raise DataError("expected at least one camera pose, got none")
    stack = np.stack(poses)
    down = _snapped(stack[:, :3, 1].mean(axis=0))
    forward = stack[:, :3, 2].mean(axis=0)
    if np.linalg.norm(np.cross(down, forward)) < _INWARD / 2:  # in all directions: as the first camera
        forward = stack[0, :3, 2]
    right = np.cross(down, forward)
    right /= np.linalg.norm(right)
    return np.stack([right, down, np.cross(right, down)])


def orbit_views(poses: Sequence[Matrix], count: int) -> list[View]:
    """`count` views of an orbit that closes: a circle if the cameras looked in all directions, else a swing."""
    around = np.linalg.norm(np.stack(poses)[:, :3, 2].mean(axis=0)[:2]) < _INWARD
    turns = np.arange(count) / count
    azimuths = 360 * turns if around else _SWING_DEG * np.sin(2 * np.pi * turns)
    return [View(f"{azimuth:.0f} degrees", float(azimuth), _ELEVATION_DEG) for azimuth in azimuths]


def write_orbit(mesh: Mesh, views: Sequence[View], path: Path, size: tuple[int, int] = (480, 360)) -> None:
    """Draws `mesh` (upright) from `views` at one distance into a .gif or .mp4 of 15 images a second, atomically.

    Raises ConfigError for another suffix, or if this OpenCV cannot write it.
    """
    writer = {".gif": _write_gif, ".mp4": _write_mp4}.get(path.suffix.lower())
    if writer is None:
        raise ConfigError(f"an orbit is written as {' or '.join(FORMATS)}, got '{path.name}'")
    distance = view_distance(mesh, views, size)
    writer((view_mesh(mesh, view, size, distance) for view in views), path, size)


def _write_gif(pictures: Iterator[Rgb], path: Path, size: tuple[int, int]) -> None:
    import cv2

    if not hasattr(cv2, "imencodeanimation"):
        raise ConfigError(f"OpenCV {cv2.__version__} cannot write GIF (4.12 can): use .mp4")
    animation = cv2.Animation()
    animation.frames = [np.ascontiguousarray(picture[..., ::-1]) for picture in pictures]
    animation.durations = np.full(len(animation.frames), 1000 // _FRAMES_PER_SECOND)
    encoded, data = cv2.imencodeanimation(".gif", animation)
    if not encoded:
        raise DataError(f"cannot encode {len(animation.frames)} pictures of {size} pixels as GIF for {path}")
    write_atomically(path, [data])


def _write_mp4(pictures: Iterator[Rgb], path: Path, size: tuple[int, int]) -> None:
    import cv2

    with TemporaryFolder() as folder:  # OpenCV takes paths of UTF-8 alone
        film = folder / "orbit.mp4"
        video = cv2.VideoWriter(str(film), cv2.VideoWriter_fourcc(*"mp4v"), _FRAMES_PER_SECOND, size)
        try:
            if not video.isOpened():
                raise ConfigError(f"this OpenCV cannot write the video {path}: use .gif")
            for picture in pictures:
                video.write(np.ascontiguousarray(picture[..., ::-1]))
        finally:
            video.release()
        write_atomically(path, [film.read_bytes()])


def _snapped(direction: Matrix) -> Matrix:
    """The unit vector of `direction`, or the nearest axis of the world if within `_AXIS_DEG`."""
    unit = direction / max(float(np.linalg.norm(direction)), 1e-9)
    axis = int(np.argmax(np.abs(unit)))
    if abs(unit[axis]) < np.cos(np.radians(_AXIS_DEG)):
        return unit
    snapped = np.zeros(3)
    snapped[axis] = np.sign(unit[axis])
    return snapped

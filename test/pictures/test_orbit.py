"""Orbits around a mesh, and worlds turned upright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mono_depth_recon.arrays import Matrix
from mono_depth_recon.errors import ConfigError, DataError
from mono_depth_recon.mesh.mesh import Mesh
from mono_depth_recon.pictures.orbit import level_axes, orbit_views, upright, write_orbit

SIZE = (64, 48)


def _looking(forward: tuple[float, float, float], roll_deg: float = 0.0) -> Matrix:
    """A camera of a z-up world that looks along `forward`, its image rows rolled."""
    z = np.array(forward) / np.linalg.norm(forward)
    x = np.cross(z, (0.0, 0.0, 1.0))
    x /= np.linalg.norm(x)
    y = np.cross(z, x)
    c, s = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
    T = np.eye(4)
    T[:3, :3] = np.stack([c * x + s * y, c * y - s * x, z], axis=1)
    return T


def _tetrahedron() -> Mesh:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    triangles = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)
    return Mesh(vertices, triangles, np.array([[250, 20, 20], [20, 250, 20], [20, 20, 250], [240, 240, 20]], np.uint8))


def test_up_in_the_world_is_up_in_the_picture() -> None:
    axes = level_axes([_looking((1.0, 0.3, -0.2), 8.0), _looking((1.0, -0.3, -0.3), -5.0)])
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(axes[1], (0, 0, -1), atol=1e-9)
    assert axes[2] @ (1, 0, 0) > 0.95, "forward is where the cameras looked, level"
    turned = upright(_tetrahedron(), [_looking((0.0, 1.0, 0.0))])
    np.testing.assert_allclose(turned.vertices, _tetrahedron().vertices @ [[1, 0, 0], [0, 0, 1], [0, -1, 0]], atol=1e-6)
    with pytest.raises(DataError, match="at least one camera pose"):
        level_axes([])


def test_an_orbit_goes_around_what_was_seen_from_all_sides() -> None:
    around = [_looking((np.cos(a), np.sin(a), -0.2)) for a in np.arange(0, 6.28, 0.5)]
    turns = [view.azimuth_deg for view in orbit_views(around, 8)]
    assert turns == [45.0 * number for number in range(8)]
    swing = [view.azimuth_deg for view in orbit_views(around[:2], 8)]
    assert max(swing) == -min(swing) == pytest.approx(32.0) and swing[0] == 0


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_an_orbit_is_a_video_of_its_views(suffix: str, tmp_path: Path) -> None:
    import cv2

    if suffix == ".gif" and not hasattr(cv2, "imencodeanimation"):
        pytest.skip(f"OpenCV {cv2.__version__} writes no GIF")
    path = tmp_path / f"orbit{suffix}"
    write_orbit(_tetrahedron(), orbit_views([_looking((1.0, 0.0, -0.2))], 4), path, SIZE)
    film, pictures = cv2.VideoCapture(str(path)), []
    if suffix == ".gif":
        _, animation = cv2.imreadanimation(str(path))
        pictures = list(animation.frames)
    else:
        while (read := film.read())[0]:
            pictures.append(read[1])
    assert len(pictures) == 4 and pictures[0].shape[:2] == SIZE[::-1]
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() > 60, "the scene turns"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_other_video_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.gif or \.mp4"):
        write_orbit(_tetrahedron(), orbit_views([_looking((1.0, 0.0, 0.0))], 4), tmp_path / "orbit.avi")

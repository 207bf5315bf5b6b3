"""Depth by motion: points found along epipolar lines on analytic walls, and depth maps deformed to such points."""

from __future__ import annotations

import numpy as np
import pytest
from turned import pose_at

from mono_depth_recon.arrays import Depth, Matrix, Rgb
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import FusionConfig
from mono_depth_recon.fusion.deformation import MIN_POINTS, deformed_to_points
from mono_depth_recon.fusion.fusion import FUSED, Fusion, FusionFrame
from mono_depth_recon.fusion.triangulation import SparseDepth, Triangulator, edge_points

CAMERA = PinholeCamera.from_hfov(320, 240, 60.0)
Z = 2.013


def _texture(kind: str) -> np.ndarray:
    """(1200, 1200) grey levels; a pixel is 5 mm of the wall."""
    import cv2

    if kind == "blank":
        return np.full((1200, 1200), 128, np.uint8)
    if kind == "stripes":  # the same every 4 cm along x
        return np.tile(np.where(np.arange(1200) % 8 < 4, 60, 200).astype(np.uint8), (1200, 1))
    coarse = np.random.default_rng(3).integers(20, 236, (150, 150), np.uint8)
    return cv2.resize(coarse, (1200, 1200), interpolation=cv2.INTER_CUBIC)


def _view(T: Matrix, kind: str = "rough", camera: PinholeCamera = CAMERA) -> tuple[Rgb, Depth]:
    """Picture and exact depth of the wall z = Z of the world."""
    import cv2

    x, y = camera.rays
    ways = np.stack(np.broadcast_arrays(x[None, :], y[:, None], np.float32(1)), axis=-1) @ T[:3, :3].T
    depth = (Z - T[2, 3]) / ways[..., 2]
    column, row = ((ways[..., axis] * depth + T[axis, 3]) / 0.005 + 600 for axis in (0, 1))
    gray = cv2.remap(_texture(kind), column.astype(np.float32), row.astype(np.float32), cv2.INTER_LINEAR)
    return np.repeat(gray[..., None], 3, axis=2), depth.astype(np.float32)


def _moved(kind: str, xs: tuple[float, ...], wrong: float = 1.5) -> tuple[Triangulator, SparseDepth, Depth]:
    """Keyframes at `xs` whose depth is `wrong` times too large; the points of the last, and its true depth."""
    triangulator = Triangulator()
    for x in xs:
        rgb, depth = _view(pose_at(x), kind)
        view = triangulator.triangulate(rgb, depth * np.float32(wrong), CAMERA, pose_at(x))
        triangulator.keep(view)
    return triangulator, view.points, depth


@pytest.mark.parametrize("wrong", [0.6, 1.0, 1.7])
def test_motion_gives_the_depth_that_the_model_gets_wrong(wrong: float) -> None:
    _, found, _ = _moved("rough", (0.0, 0.08, 0.16, 0.24), wrong)
    assert len(found.inverse) > 200
    errors = np.abs(1 / found.inverse / Z - 1)
    assert np.median(errors) < 0.01 and np.quantile(errors, 0.95) < 0.04


@pytest.mark.parametrize(("kind", "xs"), [("blank", (0.0, 0.1, 0.2)), ("rough", (0.0, 0.0, 0.01)), ("rough", (0.0,))])
def test_without_texture_or_motion_nothing_is_claimed(kind: str, xs: tuple[float, ...]) -> None:
    _, found, _ = _moved(kind, xs)
    assert not len(found.inverse)


def test_what_looks_the_same_elsewhere_is_left_out() -> None:
    gray = _view(pose_at(0.2), "stripes")[0][..., 0].astype(np.float32)
    _, found, _ = _moved("stripes", (0.0, 0.1, 0.2))
    assert len(found.inverse) < 0.1 * len(edge_points(gray))


def test_a_view_that_only_turned_knows_the_points_of_those_before() -> None:
    triangulator, _, _ = _moved("rough", (0.0, 0.1, 0.2, 0.3))
    T = pose_at(0.3, 12.0)
    rgb, depth = _view(T)
    known = triangulator.known_points(triangulator.triangulate(rgb, depth, CAMERA, T))
    column, row = np.rint(known.pixels).astype(int).T
    assert len(known.inverse) > 200
    assert np.median(np.abs(1 / known.inverse / depth[row, column] - 1)) < 0.01


def test_a_camera_that_waits_forgets_nothing() -> None:
    triangulator, _, _ = _moved("rough", (0.0, 0.1, 0.2, *[0.2] * 20, 0.3))
    rgb, depth = _view(pose_at(0.35))
    found = triangulator.triangulate(rgb, depth, CAMERA, pose_at(0.35)).points
    assert len(found.inverse) > 200 and np.median(np.abs(1 / found.inverse / Z - 1)) < 0.01


def test_with_wrong_poses_no_points_are_found() -> None:
    triangulator = Triangulator()
    for number, turned in enumerate((0.0, 5.0, -4.0, 9.0)):  # as the camera never was
        rgb, depth = _view(pose_at(0.1 * number))
        T = pose_at(0.1 * number, turned)
        view = triangulator.triangulate(rgb, depth, CAMERA, T)
        triangulator.keep(view)
    assert len(view.points.inverse) < MIN_POINTS


def _points(depth: Depth, count: int, left_of: int = 320) -> SparseDepth:
    rng = np.random.default_rng(0)
    pixels = np.stack([rng.integers(0, left_of, count), rng.integers(0, 240, count)], axis=-1)
    inverse = (1 / depth[pixels[:, 1], pixels[:, 0]]).astype(np.float32)
    return SparseDepth(pixels.astype(np.float32), inverse, (240, 320))


def test_depth_is_deformed_to_points_and_supported_where_there_are_some() -> None:
    _, true = _view(pose_at(0.0, 25.0))
    wave = np.float32(1.3) + np.float32(0.2) * np.sin(np.linspace(0, 4, 320, dtype=np.float32))
    gray = np.full((240, 320, 3), 128, np.uint8)
    result = deformed_to_points(true * wave, gray, _points(true, 600, left_of=200))
    assert result is not None
    depth, support = result
    error = np.abs(depth / true - 1)
    assert np.median(error[:, :190]) < 0.03 < 0.3 < np.abs(wave - 1).mean()
    assert support[:, :190].min() > 3 * support[:, 300:].max()


def test_a_correction_ends_at_an_edge_of_colour_and_wrong_points_do_not_count() -> None:
    """The model sees a wall, the picture a dark board before it."""
    wall = np.full((240, 320), 3.0, np.float32)
    true, rgb = wall.copy(), np.full((240, 320, 3), 200, np.uint8)
    true[60:180, 100:220], rgb[60:180, 100:220] = 2.0, 40
    points = _points(true, 500)
    points.inverse[::12] *= 0.5
    result = deformed_to_points(1.2 * wall, rgb, points)
    assert result is not None
    error = np.abs(result[0] / true - 1)
    assert np.median(error) < 0.01 and np.mean(error < 0.05) > 0.9
    assert np.median(error[64:176, 104:216]) < 0.02


def test_few_points_deform_nothing() -> None:
    true = np.full((240, 320), Z, np.float32)
    assert deformed_to_points(true, np.zeros((240, 320, 3), np.uint8), _points(true, MIN_POINTS - 1)) is None
    unknown = np.full_like(true, np.nan)
    assert deformed_to_points(unknown, np.zeros((240, 320, 3), np.uint8), _points(true, 500)) is None


def test_the_map_of_wrong_depth_is_where_the_poses_say() -> None:
    """Depth 1.4 times too large, and more on every second frame: what was fused before the camera moved has gone."""
    camera = PinholeCamera.from_hfov(640, 480, 60.0)  # reduced on the way
    placed = {}
    for parallax in (True, False):
        fusion = Fusion(FusionConfig(voxel_size=0.04, device="cpu", parallax=parallax))
        for number in range(5):
            T = pose_at(0.08 * number)
            rgb, depth = _view(T, camera=camera)
            wrong = depth * np.float32(1.4 + 0.1 * (number % 2))
            assert fusion.add(FusionFrame(rgb, wrong, camera, float(number), T)).status == FUSED
        placed[parallax] = fusion.mesh().vertices[:, 2]
    assert np.quantile(np.abs(placed[True] - Z), 0.98) < 0.04
    assert np.median(placed[False]) > 1.3 * Z


def test_a_frame_without_triangulated_points_takes_the_metres_of_the_map() -> None:
    """After the camera has moved it turns to where no point has been found: all of its error of scale is removed."""
    fusion = Fusion(FusionConfig(voxel_size=0.04, device="cpu", align=0.0))
    for number in range(5):
        rgb, depth = _view(pose_at(0.08 * number))
        fusion.add(FusionFrame(rgb, depth * np.float32(1.25), CAMERA, float(number), pose_at(0.08 * number)))
    blank, depth = _view(pose_at(0.32, 20.0), "blank")
    outcome = fusion.add(FusionFrame(blank, depth * np.float32(1.25), CAMERA, 9.0, pose_at(0.32, 20.0)))
    assert outcome.status == FUSED and outcome.fit is not None
    assert outcome.fit.scale.scale == pytest.approx(1.25, abs=0.05)
    assert np.quantile(np.abs(fusion.mesh().vertices[:, 2] - Z), 0.95) < 0.06
    assert 0 < fusion.provisional < 5
    assert (
        f"; {fusion.provisional} more were dropped, fused before triangulation fixed the scale of the map"
        in fusion.report()
    )
    fusion.reset()
    assert "metric" not in fusion.report()

"""scale.source=ground_plane: the floor of synthetic rooms, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from made_models import floor, pinhole, wall
from made_rooms import unlit

from mono_depth_recon.arrays import Depth, Matrix
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.datasets.rooms.room import RoomSequence
from mono_depth_recon.errors import DataError
from mono_depth_recon.frames import Scale
from mono_depth_recon.scale.base import RelativeView
from mono_depth_recon.scale.evidence import NOTHING, Evidence
from mono_depth_recon.scale.ground_plane import GROUND, Ground, GroundPlaneScale, fit_floor
from mono_depth_recon.scale.settings import ScaleSettings

CAMERA = PinholeCamera.from_hfov(320, 240, 75)
TRUTH = Scale(0.02, 0.05)
LEVEL = np.array([0.0, 1.0, 0.0])


def rendered(room: RoomSequence, T: Matrix) -> Depth:
    columns, rows = CAMERA.rays
    x, y = (a.ravel() for a in np.broadcast_arrays(columns[None, :], rows[:, None]))
    return room.room._cast(T, x, y)[1]["t_hit"].numpy().reshape(CAMERA.height, CAMERA.width)


def floor_share(depth: Depth, T: Matrix) -> float:
    """Of all pixels, that show the floor of a room, z = 0."""
    columns, rows = CAMERA.rays
    heights = depth * (T[2, 0] * columns[None, :] + T[2, 1] * rows[:, None] + T[2, 2]) + T[2, 3]
    return float((heights < 0.02).mean())


def disparity_of(depth: Depth, scale: Scale = TRUTH) -> Depth:
    return ((1 / depth.astype(np.float64) - scale.shift) / scale.scale).astype(np.float32)


def settings(**values: object) -> ScaleSettings:
    return with_values(Config(), {f"scale.{k}": v for k, v in {"source": "ground_plane", **values}.items()}).scale


@pytest.mark.parametrize("seed", [3, 8])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_the_floor_of_a_room_gives_metres_within_three_percent(seed: int, noise: float) -> None:
    """The camera of the room's path, turned down by 15 degrees so that a robot's share of the floor is seen."""
    room, rng, source, compared = unlit(seed, CAMERA), np.random.default_rng(seed), GroundPlaneScale(), 0
    turn, pitch = np.eye(4), np.radians(15)
    turn[1:3, 1:3] = [[np.cos(pitch), np.sin(pitch)], [-np.sin(pitch), np.cos(pitch)]]
    for i in range(0, 24, 4):
        T = room.pose(i) @ turn
        depth = rendered(room, T)
        if floor_share(depth, T) < 0.2:
            continue
        noisy = (depth * (1 + rng.normal(0, noise, depth.shape))).astype(np.float32)
        ground = Ground(-T[2, :3], float(T[2, 3]))
        view = RelativeView(np.zeros((*depth.shape, 3), np.uint8), disparity_of(noisy), CAMERA)
        fit = source.measure(view, Evidence({GROUND: lambda ground=ground: ground}), settings())
        made = 1 / (fit.scale * disparity_of(depth) + fit.shift)
        assert fit.scale == pytest.approx(TRUTH.scale, rel=0.03), i
        assert np.median(np.abs(made / depth - 1)) < 0.02 and not fit.doubt, i
        compared += 1
    assert compared >= 3


@pytest.mark.parametrize("known_shift", [None, 0.0])
def test_an_exact_floor_is_found_exactly_under_a_turned_camera(known_shift: float | None) -> None:
    camera, shift = pinhole(), 0.05 if known_shift is None else 0.0
    down = np.array([0.15, 0.85, 0.35])
    down /= np.linalg.norm(down)
    x, y = camera.rays
    slope = down[0] * x[None, :] + down[1] * y[:, None] + down[2]
    depth = (0.7 / np.maximum(slope, 0.7 / 6)).astype(np.float32)
    fit = fit_floor(disparity_of(depth, Scale(0.3, shift)), camera, down, 0.7, known_shift)
    assert (fit.scale, fit.shift) == (pytest.approx(0.3, rel=1e-3), pytest.approx(shift, abs=1e-3))
    assert fit.inliers > 0.99 and fit.residual < 1e-3 and not fit.doubt


def test_a_table_is_no_floor() -> None:
    """It fills most of the view, and the floor a fifth."""
    camera = pinhole()
    depth = floor(camera)
    depth[:, 64:] *= np.float32(0.5)  # a level surface 0.6 m below the camera
    fit = fit_floor(disparity_of(depth), camera, LEVEL, 1.2)
    assert fit.scale == pytest.approx(TRUTH.scale, rel=0.01)


@pytest.mark.parametrize("how", ["factor", "affine"])
def test_a_table_that_fills_the_view_contradicts_a_metric_model(how: str) -> None:
    """Of a relative model nothing tells it from the floor; a metric one may be wrong by a little."""
    camera, beside = pinhole(), Evidence({GROUND: lambda: Ground(LEVEL, 1.2)})
    table = floor(camera) * np.float32(0.5)
    image = np.zeros((240, 320, 3), np.uint8)
    with pytest.raises(
        DataError, match=r"makes depth 2.00 times that of the model: a table may be taken for the floor"
    ):
        GroundPlaneScale().measure(
            RelativeView(image, 1 / table, camera, metric=True), beside, settings(correct_metric=how)
        )
    near = RelativeView(image, 1 / (floor(camera) * np.float32(0.8)), camera, metric=True)
    assert GroundPlaneScale().measure(near, beside, settings(correct_metric=how)).scale == pytest.approx(0.8, rel=0.01)
    GroundPlaneScale().measure(RelativeView(image, 1 / table, camera), beside, settings())


def test_a_level_camera_needs_its_height_alone() -> None:
    camera = pinhole()
    view = RelativeView(np.zeros((240, 320, 3), np.uint8), disparity_of(floor(camera)), camera)
    fit = GroundPlaneScale().fit(view, NOTHING, settings(gravity="level", camera_height=1.2))
    assert (fit.scale, fit.shift) == (pytest.approx(TRUTH.scale, rel=1e-3), pytest.approx(TRUTH.shift, abs=1e-3))
    assert GroundPlaneScale.needed(settings(gravity="level")) == () and GroundPlaneScale.needed(settings()) == (GROUND,)
    with pytest.raises(DataError, match=r"the height of the camera above the floor is not known: set scale.camera_h"):
        GroundPlaneScale().fit(view, NOTHING, settings(gravity="level"))


def test_the_height_of_the_parameter_counts_before_that_of_tf() -> None:
    camera = pinhole()
    view = RelativeView(np.zeros((240, 320, 3), np.uint8), disparity_of(floor(camera)), camera)
    beside = Evidence({GROUND: lambda: Ground(LEVEL, 2.4)})
    for values, factor in (({}, 0.5), ({"camera_height": 1.2}, 1.0)):
        fit = GroundPlaneScale().fit(view, beside, settings(**values))
        assert fit.scale == pytest.approx(factor * TRUTH.scale, rel=1e-3)


@pytest.mark.parametrize(
    ("down", "depth", "said"),
    [
        (-LEVEL, floor, "gravity points to the top of the image: check that the IMU is not mounted upside down"),
        (np.array([0.0, 0.6, -0.8]), floor, "no floor in view: the horizon is at the bottom of the image or below"),
        (LEVEL, wall, r"no floor found 1.20 m below the camera|disparity that grows"),
    ],
)
def test_what_gives_no_metres_is_said(down: Matrix, depth: object, said: str) -> None:
    camera = pinhole()
    with pytest.raises(DataError, match=said):
        fit_floor(disparity_of(depth(camera)), camera, down, 1.2)  # type: ignore[operator]

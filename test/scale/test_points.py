"""scale.source=points: scans of synthetic rooms by a simulated LiDAR of 16 lines beside the camera."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_rooms import scan, unlit
from properties import QUICK
from scipy.spatial.transform import Rotation

from mono_depth_recon.alignment import depth_from_disparity
from mono_depth_recon.arrays import Depth, Matrix
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.datasets.rooms.room import RoomSequence
from mono_depth_recon.errors import ConfigError, DataError
from mono_depth_recon.frames import Scale
from mono_depth_recon.registration import project_points
from mono_depth_recon.scale.base import RelativeView
from mono_depth_recon.scale.evidence import Evidence
from mono_depth_recon.scale.points import REFERENCE_POINTS, PointsScale, extrinsic_pose

CAMERA = PinholeCamera.from_hfov(640, 480, 70)
TRUTH = Scale(0.02, 0.05)
MOUNT = np.eye(4)  # of the LiDAR in the camera: 12 cm above, 5 cm beside, pitched by 5 degrees
MOUNT[1:3, 1:3] = [[np.cos(0.09), -np.sin(0.09)], [np.sin(0.09), np.cos(0.09)]]
MOUNT[:3, 3] = 0.05, -0.12, 0.03


@pytest.fixture(scope="module", params=[3, 8])
def room(request: pytest.FixtureRequest) -> RoomSequence:
    return unlit(request.param, CAMERA)


def depth_at(room: RoomSequence, T: Matrix) -> Depth:
    columns, rows = CAMERA.rays
    x, y = (a.ravel() for a in np.broadcast_arrays(columns[None, :], rows[:, None]))
    return room.room._cast(T, x, y)[1]["t_hit"].numpy().reshape(CAMERA.height, CAMERA.width)


def view_of(depth: Depth, scale: Scale = TRUTH) -> RelativeView:
    disparity = ((1 / depth.astype(np.float64) - scale.shift) / scale.scale).astype(np.float32)
    return RelativeView(np.zeros((*depth.shape, 3), np.uint8), disparity, CAMERA)


def seen(points: Matrix, T: Matrix = MOUNT) -> Evidence:
    return Evidence({REFERENCE_POINTS: lambda: points @ T[:3, :3].T + T[:3, 3]})


SETTINGS = with_values(Config(), {"scale.source": "points"}).scale


def test_the_scale_of_a_room_is_within_one_percent_after_five_scans(room: RoomSequence) -> None:
    rng, source = np.random.default_rng(1), PointsScale()
    for i in range(5):
        T = room.pose(i)
        fit = source.fit(view_of(depth_at(room, T)), seen(scan(room, T @ MOUNT, rng)), SETTINGS)
    assert fit.scale == pytest.approx(TRUTH.scale, rel=0.01)
    assert fit.shift == pytest.approx(TRUTH.shift, abs=0.005)
    assert fit.inliers > 0.75 and fit.residual < 0.04


def test_a_random_scale_and_shift_in_every_frame_stay_within_two_percent(room: RoomSequence) -> None:
    rng, source, varying, flat = np.random.default_rng(4), PointsScale(), PointsScale(), 0
    for i in range(12):
        T = room.pose(i)
        depth, truth = depth_at(room, T), Scale(0.02 * rng.uniform(0.5, 2.0), rng.uniform(-0.05, 0.1))
        view = replace(view_of(depth, truth), stamp=0.1 * i)
        beside = seen(scan(room, T @ MOUNT, rng))
        fit = source.fit(view, beside, SETTINGS)
        made = 1 / (fit.scale * view.disparity + fit.shift)
        assert fit.scale == pytest.approx(truth.scale, rel=0.02), i
        assert np.nanmedian(np.abs(made / depth - 1)) < 0.005
        field = varying.fit(view, beside, replace(SETTINGS, varying=True))
        bent = depth_from_disparity(view.disparity, field, 100.0) / depth - 1
        assert np.abs(bent).mean() < 0.01, "this model bends nothing, what the camera does not see of the scan may"
        flat += field.variation == 0
    assert flat >= 10


def test_two_hundred_true_depths_are_enough(room: RoomSequence) -> None:
    depth, rng = depth_at(room, room.pose(7)), np.random.default_rng(2)
    places = rng.choice(depth.size, 200, replace=False)
    columns, rows = CAMERA.rays
    x, y = np.broadcast_arrays(columns[None, :], rows[:, None])
    points = np.stack([x * depth, y * depth, depth], axis=-1).reshape(-1, 3)[places].astype(np.float64)
    fit = PointsScale().fit(view_of(depth), seen(points, np.eye(4)), SETTINGS)
    assert fit.scale == pytest.approx(TRUTH.scale, rel=1e-3) and fit.shift == pytest.approx(TRUTH.shift, abs=1e-3)
    assert fit.inliers == 1.0


def test_a_scan_of_another_place_is_no_overlap_and_said(room: RoomSequence) -> None:
    T = room.pose(0)
    points = scan(room, T @ MOUNT, np.random.default_rng(1))
    behind = np.diag([-1.0, 1.0, -1.0, 1.0])
    with pytest.raises(DataError, match=r"at least 50 pixels .*, got 0 of 307200: .*, or the points, cover the view"):
        PointsScale().fit(view_of(depth_at(room, T)), seen(points, behind), SETTINGS)


def test_the_residual_shows_a_wrong_extrinsic(room: RoomSequence) -> None:
    """Each right fit leaves less unexplained than the wrong one of the same view, and most wrong ones are in doubt."""
    angle, source, doubted = np.radians(25), PointsScale(), 0
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    wrong = MOUNT.copy()
    wrong[:3, :3] = turn @ MOUNT[:3, :3]
    frames = range(0, 24, 4)
    for i in frames:
        T = room.pose(i)
        points, view = scan(room, T @ MOUNT, np.random.default_rng(1)), view_of(depth_at(room, T))
        right = source.measure(view, seen(points), SETTINGS)
        assert right.residual < 0.03 and right.unexplained < 0.25 and not right.doubt
        try:
            off = source.measure(view, seen(points, wrong), SETTINGS)
        except DataError:
            doubted += 1
            continue
        assert off.unexplained > 1.3 * right.unexplained and off.residual > 1.5 * right.residual
        doubted += bool(off.doubt)
    assert doubted >= len(frames) / 2


def test_a_tf_tree_that_breaks_holds_the_scale_and_then_withholds_it(room: RoomSequence) -> None:
    """And a topic that stops: what the input raises is the reason, until it is there again."""
    T, source, rng = room.pose(3), PointsScale(), np.random.default_rng(1)
    view, there = view_of(depth_at(room, T)), seen(scan(room, T @ MOUNT, rng))

    def broken() -> Matrix:
        raise DataError("no transforms lead from 'camera' to 'lidar'")

    fit = source.fit(view, there, SETTINGS)
    held = source.fit(replace(view, stamp=1.5), Evidence({REFERENCE_POINTS: broken}), SETTINGS)
    assert (held.scale, held.held, held.age) == (fit.scale, 1, 1.5) and "from 'camera' to 'lidar'" in held.reason
    with pytest.raises(
        DataError, match=r"no new scale for 2.5 s .* withheld: no transforms lead from 'camera' to 'lid"
    ):
        source.fit(replace(view, stamp=2.5), Evidence({REFERENCE_POINTS: broken}), SETTINGS)
    assert source.fit(replace(view, stamp=2.6), there, SETTINGS).held == 0


def test_points_fall_on_the_pixels_that_show_them() -> None:
    """With lens and rotation: the grid is the rectified one. Far points beside near ones are hidden."""
    K, P = np.array([[260.0, 0, 161], [0, 260, 118], [0, 0, 1]]), np.array([[250.0, 0, 158], [0, 250, 121], [0, 0, 1]])
    angle = 0.05
    R = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    camera = PinholeCamera(320, 240, K, (0.2, 0.0, 0.0, 0.0), R=R, P=P)
    point = R.T @ (2.0 * np.array([(100 - 158) / 250, (60 - 121) / 250, 1.0]))
    points = np.stack([point, 3 * point, 2.5 * (point + (0.008, 0, 0)), -point, point * np.nan, [5.0, 0.0, 0.1]])
    depth = project_points(points, camera)
    assert depth.shape == (240, 320) and depth.dtype == np.float32
    assert np.argwhere(np.isfinite(depth)).tolist() == [[60, 100]]
    assert depth[60, 100] == pytest.approx(2.0)
    assert np.isnan(project_points(np.empty((0, 3)), camera)).all()


@QUICK
@given(
    position=st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3),
    turn=st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.01),
    comma=st.sampled_from([" ", ",", ", ", "\t", " , "]),
)
def test_the_extrinsic_is_the_pose_of_its_numbers(position: list[float], turn: list[float], comma: str) -> None:
    pose = extrinsic_pose(comma.join(map(repr, [*position, *(np.array(turn) / np.linalg.norm(turn)).tolist()])))
    assert pose is not None and pose[3].tolist() == [0, 0, 0, 1] and pose[:3, 3].tolist() == position
    np.testing.assert_allclose(pose[:3, :3], Rotation.from_quat(turn).as_matrix(), atol=1e-12)


@QUICK
@given(st.text(alphabet="0123456789.-+e, naif\n", max_size=40))
def test_any_text_is_an_extrinsic_or_refused_in_one_line(text: str) -> None:
    try:
        pose = extrinsic_pose(text)
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        assert pose is None if not text.strip() else pose is not None and np.isfinite(pose).all()


def test_the_extrinsic_is_a_pose_or_refused() -> None:
    assert extrinsic_pose("  ") is None
    for bad in ("0 0 0", "0 0 0 0 0 0 x", "0 0 0 0 0 0 0", "nan 0 0 0 0 0 1"):
        with pytest.raises(ConfigError, match=r"scale.extrinsic must be seven numbers 'x y z qx qy qz qw', got "):
            with_values(Config(), {"scale.extrinsic": bad})

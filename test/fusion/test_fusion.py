"""What enters the map and what does not: motion, poses, scale; poses of streams and of odometry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from turned import pose_at

from mono_depth_recon.arrays import Depth, Matrix
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import FusionConfig
from mono_depth_recon.datasets.rooms.room import RoomSequence
from mono_depth_recon.errors import DataError
from mono_depth_recon.fusion.fusion import (
    BAD_POSE,
    FUSED,
    JUMP,
    MISFIT,
    NO_DEPTH,
    NO_POSE,
    SCALE_JUMP,
    STILL,
    Fusion,
    FusionFrame,
)
from mono_depth_recon.fusion.odometry import Odometry
from mono_depth_recon.fusion.scale import corrected, fit_to_map
from mono_depth_recon.poses import motion_between

CAMERA = PinholeCamera.from_hfov(96, 72, 60.0)
Z = 2.013  # between the planes of the voxels
SETTINGS = FusionConfig(voxel_size=0.04, align=0.0, device="cpu")


def _steps(T: Matrix) -> Depth:
    """Depth of two walls, z = Z where x < 0.2 and 2.613 beyond, from a camera at T that looks along z."""
    x = CAMERA.rays[0][None, :] * np.ones((72, 1), np.float32)
    return np.where(x * Z + T[0, 3] < 0.2, np.float32(Z), np.float32(2.613)).astype(np.float32)


def _frame(stamp: float, T: Matrix | None, depth: Depth | None = None) -> FusionFrame:
    rgb = np.full((72, 96, 3), 120, np.uint8)
    seen = depth if depth is not None else _steps(np.eye(4) if T is None else T)
    return FusionFrame(rgb, seen, CAMERA, stamp, T)


def test_a_frame_is_fused_when_the_camera_has_moved_or_turned() -> None:
    fusion = Fusion(SETTINGS)
    statuses = [
        fusion.add(_frame(number, T)).status
        for number, T in enumerate((pose_at(), pose_at(0.02), pose_at(0.06), pose_at(0.06, 3.0), pose_at(0.06, 5.0)))
    ]
    assert statuses == [FUSED, STILL, FUSED, STILL, FUSED]
    assert "3 of 5 frames fused (2 no motion)" in fusion.report()


def test_faulty_frames_are_named_counted_and_leave_no_trace() -> None:
    fusion = Fusion(SETTINGS)
    fusion.add(_frame(0.0, pose_at()))
    before = np.unique(fusion.mesh().vertices, axis=0)  # Open3D gives them in any order
    broken, sheared = pose_at(0.3), pose_at(0.3)
    broken[0, 3], sheared[0, 1] = np.nan, 0.3
    nothing = np.full((72, 96), np.nan, np.float32)
    for frame, status in (
        (_frame(0.1, None), NO_POSE),
        (_frame(0.2, broken), BAD_POSE),
        (_frame(0.3, sheared), BAD_POSE),
        (_frame(0.4, pose_at(0.1), nothing), NO_DEPTH),
        (_frame(0.5, pose_at(0.2), np.full((72, 96), 9.0, np.float32)), NO_DEPTH),
    ):
        outcome = fusion.add(frame)
        assert outcome.status == status and outcome.rejected and outcome.reason
    assert fusion.counts[BAD_POSE] == 2 and "1 no pose" in fusion.report()
    np.testing.assert_array_equal(np.unique(fusion.mesh().vertices, axis=0), before)


@pytest.mark.parametrize("far", [5.4e6, 1e9, 1e30])
def test_poses_of_a_map_projection_are_refused_not_rounded(far: float) -> None:
    fusion = Fusion(SETTINGS)
    outcome = fusion.add(_frame(0.0, pose_at(far)))
    assert outcome.status == BAD_POSE and f"got {far:.3g} m: give poses in a local frame" in outcome.reason
    reach = fusion.map.reach_m
    assert np.spacing(np.float32(reach)) <= SETTINGS.voxel_size / 4 and reach > 80_000
    near = Fusion(replace(SETTINGS, depth_max=3.0))
    assert near.add(_frame(0.0, pose_at(reach - 3.1), np.full((72, 96), 2, np.float32))).status == FUSED
    assert np.ptp(near.mesh().vertices[:, 0]) > 1


def test_a_pose_that_jumps_is_left_out_and_time_that_goes_back_is_not_a_jump() -> None:
    fusion = Fusion(SETTINGS)
    assert fusion.add(_frame(10.0, pose_at())).status == FUSED
    jump = fusion.add(_frame(10.1, pose_at(2.0)))
    assert jump.status == JUMP and "over fusion.max_speed (3 m/s)" in jump.reason
    assert fusion.add(_frame(10.2, pose_at(2.1))).status == FUSED, "judged from where it is now"
    assert fusion.add(_frame(10.21, pose_at(2.1, 90.0))).status == JUMP, "a turn of 90 degrees in 10 ms"
    assert fusion.add(_frame(0.0, pose_at(0.1))).status == FUSED, "another run of the same bag"


def test_cameras_have_keyframes_and_motion_of_their_own_in_one_map() -> None:
    """Two cameras 2 m apart, in turns: no pose is a jump, and a camera that stands still gives one frame."""
    fusion = Fusion(SETTINGS)
    outcomes = [
        fusion.add(replace(_frame(0.01 * number, pose_at(x)), source=source)).status
        for number, (source, x) in enumerate([("front", 0.0), ("left", 2.0)] * 3)
    ]
    assert outcomes == [FUSED, FUSED, STILL, STILL, STILL, STILL]
    assert fusion.stands_still(0.1, pose_at(2.0), "left") and not fusion.stands_still(0.1, pose_at(2.0), "front")
    assert fusion.add(replace(_frame(0.2, pose_at(2.0)), source="front")).status == JUMP
    across = fusion.mesh().vertices[:, 0]
    assert across.min() < -0.5 and across.max() > 2.5
    alone = Fusion(SETTINGS)
    assert [alone.add(_frame(0.01 * n, pose_at(x))).status for n, x in enumerate((0.0, 2.0))] == [FUSED, JUMP]


def test_a_frame_that_does_not_fit_the_map_is_left_out() -> None:
    """The pose says that it sees the steps again, and it sees something else."""
    fusion = Fusion(SETTINGS)
    fusion.add(_frame(0.0, pose_at()))
    other = (0.7 + 4.0 * np.random.default_rng(0).random((72, 96))).astype(np.float32)
    outcome = fusion.add(_frame(1.0, pose_at(0.06), other))
    assert outcome.status == MISFIT and "agrees with it" in outcome.reason


def test_a_jump_of_scale_is_left_out() -> None:
    fusion = Fusion(replace(SETTINGS, align=0.5))
    fusion.add(_frame(0.0, pose_at()))
    outcome = fusion.add(_frame(1.0, pose_at(0.06), 1.6 * _steps(pose_at(0.06))))
    assert outcome.status == SCALE_JUMP and "over fusion.max_scale_change (35 %)" in outcome.reason
    assert outcome.fit is not None and outcome.fit.scale.scale == pytest.approx(1.6, rel=0.05)


def test_walls_do_not_double_when_the_scale_wanders() -> None:
    """Frames with errors of scale and shift: with alignment the wall is one sheet, at the depth of the first frame."""
    spread = {}
    for align in (0.0, 1.0):
        fusion = Fusion(replace(SETTINGS, align=align))
        for number, factor in enumerate((1.0, 1.12, 0.9, 1.1, 0.92)):
            T = pose_at(0.06 * number)
            wrong = 1 / (1 / (factor * _steps(T)) + np.float32(0.01 * (number % 2)))
            assert fusion.add(_frame(float(number), T, wrong)).status == FUSED
        vertices = fusion.mesh().vertices
        near = vertices[(vertices[:, 0] < -0.1) & (vertices[:, 0] > -0.8)]
        spread[align] = float(np.sqrt(np.mean(np.square(near[:, 2] - Z))))
    assert spread[1.0] < 0.015 < 0.05 < spread[0.0]


def test_the_fit_finds_scale_and_shift_and_removes_a_share_of_them() -> None:
    true = _steps(np.eye(4)) + np.linspace(0, 1, 72, dtype=np.float32)[:, None]
    wrong = 1 / (np.float32(1.15) / true - np.float32(0.03))
    wrong[:10] = np.nan
    fit = fit_to_map(wrong, true)
    assert fit is not None and fit.overlap == 1 and fit.agreement > 0.99
    np.testing.assert_allclose(corrected(wrong, fit.scale, 1.0)[10:], true[10:], rtol=1e-3)
    np.testing.assert_array_equal(corrected(wrong, fit.scale, 0.0)[10:], wrong[10:])
    assert fit_to_map(wrong, np.full_like(true, np.nan)) is None


def test_a_flat_view_tells_the_scale_alone() -> None:
    flat = np.full((72, 96), 2.0, np.float32)
    fit = fit_to_map(1.1 * flat, flat)
    assert fit is not None and fit.scale.scale == pytest.approx(1.1) and fit.scale.shift == 0


def test_reset_load_and_an_empty_map(tmp_path: Path) -> None:
    fusion = Fusion(SETTINGS)
    with pytest.raises(DataError, match="it is empty"):
        fusion.mesh()
    fusion.add(_frame(0.0, pose_at()))
    fusion.save(tmp_path / "map.npz")
    triangles = len(fusion.mesh().triangles)
    fusion.reset()
    assert fusion.map.blocks == 0 and not fusion.counts
    fusion.load(tmp_path / "map.npz")
    assert len(fusion.mesh().triangles) == triangles
    with pytest.raises(DataError, match=r"voxels of 0\.04 m"):
        Fusion(replace(SETTINGS, voxel_size=0.02)).load(tmp_path / "map.npz")


def test_standing_still_is_known_before_depth_is() -> None:
    fusion = Fusion(SETTINGS)
    assert not fusion.stands_still(0.0, pose_at())
    fusion.add(_frame(0.0, pose_at()))
    assert fusion.stands_still(0.1, pose_at(0.01)) and fusion.counts[STILL] == 1
    assert not fusion.stands_still(0.2, pose_at(0.3)) and not fusion.stands_still(0.3, np.full((4, 4), np.nan))


@pytest.mark.slow
def test_odometry_follows_an_exact_room() -> None:
    sequence = RoomSequence(5, PinholeCamera.from_hfov(320, 240, 62.0), length=110)
    odometry, poses = Odometry(), []
    for number in range(4):
        sample = sequence[number]
        assert sample.depth is not None
        poses.append(odometry.track(sample.rgb, sample.depth, sample.camera))
    true = np.linalg.inv(sequence.pose(0)) @ sequence.pose(3)
    assert poses[-1] is not None and odometry.lost == 0
    metres, degrees = motion_between(poses[-1], true)
    moved, turned = motion_between(np.eye(4), true)
    assert metres < 0.15 * moved + 0.005 and degrees < 0.15 * turned + 0.2
    blank = np.full((240, 320), np.nan, np.float32)
    assert odometry.track(sequence[0].rgb, blank, sequence.camera) is None and odometry.lost == 1

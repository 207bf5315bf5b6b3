"""Poses and what lies between them, against the formulas written out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from turned import pose_at

from mono_depth_recon.arrays import Matrix
from mono_depth_recon.errors import DataError
from mono_depth_recon.poses import Trajectory, checked_pose, interpolated, motion_between, pose_matrix

F64 = NDArray[np.float64]


def written_out(q: F64) -> Matrix:
    """Rotation (3, 3) of a unit quaternion x y z w."""
    x, y, z, w = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def written_out_slerp(a: F64, b: F64, share: float) -> F64:
    cosine = float(a @ b)
    if cosine < 0:
        b, cosine = -b, -cosine
    angle = np.arccos(min(cosine, 1.0))
    return (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)


def quaternions(count: int, seed: int) -> F64:
    q = np.random.default_rng(seed).normal(size=(count, 4))
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def test_a_pose_is_the_formula_of_its_quaternion() -> None:
    for q in quaternions(50, 0):
        T = pose_matrix((1.0, 2.0, 3.0), q)
        np.testing.assert_allclose(T[:3, :3], written_out(q), atol=1e-12)
        np.testing.assert_array_equal(T[:, 3], (1.0, 2.0, 3.0, 1.0))


@pytest.mark.parametrize("share", [0.0, 0.013, 0.5, 0.8, 1.0])
def test_interpolation_is_slerp_and_the_turn_about_one_axis(share: float) -> None:
    rng = np.random.default_rng(5)
    for qa, qb in zip(quaternions(30, 1), quaternions(30, 2), strict=True):
        a, b = np.r_[rng.normal(size=3), qa], np.r_[rng.normal(size=3), qb]
        T = interpolated(a, b, share)
        np.testing.assert_allclose(T[:3, :3], written_out(written_out_slerp(qa, qb, share)), atol=1e-12)
        np.testing.assert_allclose(T[:3, 3], (1 - share) * a[:3] + share * b[:3], atol=1e-15)
        turn, _ = cv2.Rodrigues(written_out(qa).T @ written_out(qb))
        np.testing.assert_allclose(T[:3, :3], written_out(qa) @ cv2.Rodrigues(turn * share)[0], atol=1e-9)


def test_equal_and_opposite_quaternions_are_one_rotation() -> None:
    q = quaternions(1, 4)[0]
    a = np.r_[0.0, 0.0, 0.0, q]
    for b in (a, np.r_[0.0, 0.0, 0.0, -q]):
        np.testing.assert_allclose(interpolated(a, b, 0.3)[:3, :3], written_out(q), atol=1e-12)


def drive(keep_s: float = np.inf) -> Trajectory:
    """One metre a second along x from 10 s on, ten poses a second, for two seconds."""
    trajectory = Trajectory(keep_s)
    for step in range(21):
        trajectory.add(10 + step / 10, (step / 10, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    return trajectory


def test_a_trajectory_interpolates_and_never_extrapolates() -> None:
    trajectory = drive()
    pose = trajectory.pose(10.537, max_gap_s=0.11)
    assert pose is not None and pose[0, 3] == pytest.approx(0.537)
    for stamp, gap in ((9.9, 1.0), (12.1, 1.0), (10.55, 0.05)):
        assert trajectory.pose(stamp, gap) is None
    exact = trajectory.pose(10.5, 0.0)
    assert exact is not None and exact[0, 3] == 0.5, "a stamp that is there needs no neighbour"
    assert Trajectory().pose(10.0, 1.0) is None and len(trajectory) == 21 and trajectory.moves


def test_the_nearest_pose_counts_where_it_is_near_enough() -> None:
    trajectory = drive()
    near, far = trajectory.pose(12.015, 1.0, max_difference=0.02), trajectory.pose(12.025, 1.0, max_difference=0.02)
    assert near is not None and near[0, 3] == 2.0 and far is None


def test_a_trajectory_drops_old_poses_and_ignores_older_ones() -> None:
    trajectory = drive(keep_s=0.5)
    assert len(trajectory) == 6 and trajectory.pose(11.4, 1.0) is None and trajectory.newest == 12.0
    trajectory.add(11.95, (77.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    trajectory.add(12.0, (77.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    last = trajectory.pose(12.0, 1.0)
    assert len(trajectory) == 6 and last is not None and last[0, 3] == 2.0
    trajectory.clear()
    assert trajectory.newest is None and not trajectory.moves


def test_motion_in_metres_and_degrees() -> None:
    assert motion_between(pose_at(1.0, 20.0), pose_at(3.0, 50.0)) == pytest.approx((2.0, 30.0))


@pytest.mark.parametrize("broken", [np.diag([np.nan, 1, 1, 1]), 2 * np.eye(4), np.eye(3), np.diag([1, 1, -1, 1])])
def test_what_is_no_pose_is_refused(broken: F64) -> None:
    with pytest.raises(DataError, match="a pose must be"):
        checked_pose(broken)

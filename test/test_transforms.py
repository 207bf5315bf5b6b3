"""Transforms as TF provides them: chains up and down, between their stamps, and all that can be wrong with them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from mono_depth_recon.arrays import Matrix
from mono_depth_recon.errors import DataError
from mono_depth_recon.transforms import NoPose, NotYet, Transform, TransformTree, frame_name

UPRIGHT = (0.0, 0.0, 0.0, 1.0)


def link(
    parent: str,
    child: str,
    stamp: float = 0.0,
    at: tuple[float, float, float] = (0.0, 0.0, 0.0),
    turn: tuple[float, ...] = UPRIGHT,
    fixed: bool = False,
) -> Transform:
    return Transform(parent, child, stamp, (*at, *turn), fixed)


def about_z(degrees: float) -> tuple[float, ...]:
    return tuple(Rotation.from_euler("z", degrees, degrees=True).as_quat().tolist())


def matrix(at: tuple[float, float, float], degrees: float) -> Matrix:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix(), at
    return T


def live() -> TransformTree:
    """As the node has it."""
    return TransformTree(0.5, keep_s=10.0, restart_s=1.0)


def robot() -> TransformTree:
    """map -> odom -> base -> camera, and an arm; base drives one metre a second and turns 30 degrees a second."""
    tree = live()
    tree.add(link("map", "odom", 0.0, (5.0, 0.0, 0.0), about_z(90.0), fixed=True))
    tree.add(link("base", "camera", 0.0, (0.2, 0.0, 0.5), about_z(-90.0), fixed=True))
    for step in range(11):
        tree.add(link("odom", "base", step / 10, (step / 10, 0.0, 0.0), about_z(3.0 * step)))
        tree.add(link("base", "arm", step / 10, (0.0, 0.0, step / 10)))
    return tree


def base_at(stamp: float) -> Matrix:
    turn = Slerp([0.0, 1.0], Rotation.from_euler("z", [[0.0], [30.0]], degrees=True))(stamp)
    T = np.eye(4)
    T[:3, :3], T[0, 3] = turn.as_matrix(), stamp
    return T


@pytest.mark.parametrize("stamp", [0.0, 0.3, 0.537, 1.0])
def test_a_chain_is_followed_at_the_stamp_of_the_image(stamp: float) -> None:
    expected = matrix((5.0, 0.0, 0.0), 90.0) @ base_at(stamp) @ matrix((0.2, 0.0, 0.5), -90.0)
    np.testing.assert_allclose(robot().pose("map", "camera", stamp), expected, atol=1e-9)


def test_the_world_may_lie_below_and_beside_the_camera() -> None:
    tree = robot()
    np.testing.assert_allclose(
        tree.pose("camera", "map", 0.4), np.linalg.inv(tree.pose("map", "camera", 0.4)), atol=1e-9
    )
    expected = matrix((0.0, 0.0, -0.4), 0.0) @ matrix((0.2, 0.0, 0.5), -90.0)
    np.testing.assert_allclose(tree.pose("arm", "camera", 0.4), expected, atol=1e-9)
    np.testing.assert_array_equal(tree.pose("camera", "camera", 9.0), np.eye(4))


def test_an_unknown_frame_is_named_with_those_that_are_known() -> None:
    with pytest.raises(DataError, match="frame 'mapp', only arm, base, camera, map, odom$"):
        robot().pose("mapp", "camera", 0.5)
    with pytest.raises(DataError, match="frame 'lens', only arm"):
        robot().pose("map", "lens", 0.5)
    with pytest.raises(DataError, match="none has come yet"):
        live().pose("map", "camera", 0.5)


def test_two_trees_are_named() -> None:
    tree = robot()
    tree.add(link("earth", "tower", fixed=True))
    with pytest.raises(
        DataError, match="no transforms lead from 'earth' to 'camera': 'earth' is below 'earth', 'camera' below 'map'"
    ):
        tree.pose("earth", "camera", 0.5)


def test_a_pose_that_may_still_come_differs_from_one_that_never_will() -> None:
    tree = robot()
    with pytest.raises(NotYet, match=r"'base' in 'odom' is 0\.20 s older than the image"):
        tree.pose("map", "camera", 1.2)
    with pytest.raises(DataError, match="begin after it") as before:
        tree.pose("map", "camera", -0.1)
    tree.add(link("odom", "base", 1.8, (1.8, 0.0, 0.0)))
    with pytest.raises(DataError, match="gap of more than 0.5 s") as gap:
        tree.pose("map", "camera", 1.2)
    assert not isinstance(before.value, NotYet) and not isinstance(gap.value, NotYet)
    assert tree.pose("map", "camera", 1.8) is not None, "the stamp itself is known whatever the gap"


@pytest.mark.parametrize(
    ("at", "turn"),
    [
        ((np.nan, 0.0, 0.0), UPRIGHT),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)),
        ((0.0, 0.0, 0.0), (np.nan, 0.0, 0.0, 1.0)),
        ((np.inf, 0.0, 0.0), UPRIGHT),
    ],
)
def test_nan_and_no_rotation_are_refused_and_leave_the_last_good_one(
    at: tuple[float, float, float], turn: tuple[float, ...]
) -> None:
    tree = robot()
    for fixed in (False, True):
        with pytest.raises(DataError, match="pose of 'base' in 'odom' must be finite"):
            tree.add(link("odom", "base", 1.05, at, turn, fixed))
    np.testing.assert_allclose(tree.pose("odom", "base", 1.0), base_at(1.0), atol=1e-9)


def test_an_overtaken_transform_is_left_out_and_time_that_goes_back_starts_afresh() -> None:
    tree = robot()
    tree.add(link("odom", "base", 0.95, (77.0, 0.0, 0.0)))
    np.testing.assert_allclose(tree.pose("odom", "base", 0.95), base_at(0.95), atol=1e-9)
    tree = live()
    for stamp in (100.0, 100.1, 7.0, 7.1):
        tree.add(link("odom", "base", stamp, (stamp, 0.0, 0.0)))
    assert tree.pose("odom", "base", 7.05)[0, 3] == pytest.approx(7.05)
    with pytest.raises(NotYet):
        tree.pose("odom", "base", 100.05)


def test_only_what_leads_to_the_followed_frames_is_kept() -> None:
    tree = robot()
    tree.follow("map", "camera")
    with pytest.raises(NotYet, match="'arm' in 'base' is not known"):
        tree.pose("map", "arm", 0.5)
    assert "arm" in tree.frames
    tree.add(link("base", "arm", 1.1))
    tree.add(link("odom", "base", 1.1, (1.1, 0.0, 0.0), about_z(33.0)))
    assert tree.pose("odom", "camera", 1.05)[0, 3] == pytest.approx(1.05 + 0.2 * np.cos(np.radians(31.5)), abs=1e-4)
    tree.follow("map", "arm")
    tree.add(link("base", "arm", 1.1))
    assert tree.pose("map", "arm", 1.1) is not None


def test_a_frame_that_gets_another_parent() -> None:
    tree = robot()
    tree.add(link("ship", "base", 0.5, (0.0, 3.0, 0.0)))
    np.testing.assert_allclose(tree.pose("ship", "base", 0.5), matrix((0.0, 3.0, 0.0), 0.0))
    with pytest.raises(DataError, match="no transforms lead from 'map' to 'camera'"):
        tree.pose("map", "camera", 0.5)


def test_a_loop_of_frames_ends() -> None:
    tree = live()
    tree.add(link("a", "b", fixed=True))
    tree.add(link("b", "a", fixed=True))
    tree.add(link("world", "c", fixed=True))
    with pytest.raises(DataError, match="no transforms lead"):
        tree.pose("world", "a", 0.0)


def test_of_a_recording_everything_is_kept_and_the_nearest_pose_counts() -> None:
    tree = TransformTree(0.1, max_difference=0.02)
    for stamp in (0.0, 0.05, 100.0, 99.0):
        tree.add(link("world", "camera", stamp, (stamp, 0.0, 0.0)))
    assert tree.root("camera") == "world" and tree.moves
    assert tree.pose("world", "camera", 0.03)[0, 3] == pytest.approx(0.03)
    assert tree.pose("world", "camera", 0.06)[0, 3] == 0.05 and tree.pose("world", "camera", 99.985)[0, 3] == 100.0
    for stamp in (50.0, 99.0):
        with pytest.raises(NoPose, match="a gap of more than 0.1 s"):
            tree.pose("world", "camera", stamp)


def test_what_never_moved_is_fixed_in_the_end() -> None:
    tree = TransformTree(0.1)
    for stamp in (0.0, 5.0):
        tree.add(link("base", "camera", stamp, (0.2, 0.0, 0.5)))
        tree.add(link("world", "base", stamp, (stamp, 0.0, 0.0)))
    tree.fix_what_never_moved()
    assert tree.moves and tree.pose("base", "camera", 77.0)[2, 3] == 0.5
    with pytest.raises(NotYet):
        tree.pose("world", "camera", 77.0)


def test_a_frame_may_be_named_as_in_ros_1() -> None:
    assert frame_name("/openni_rgb_optical_frame") == frame_name("openni_rgb_optical_frame")

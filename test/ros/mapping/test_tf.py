"""TF by tf2_ros and by its messages alone: the same poses, and the same words about what is wrong."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header
from tf_standin import TF2_ROS_INSTALLED, TfNode, stamped, tf2_ros, tf_message
from turned import pose_at

from mono_depth_recon.errors import DataError
from mono_depth_recon.ros.mapping.tf import Tf2, TfMessages, TransformSource, transform_source
from mono_depth_recon.ros.tf_messages import transform_to_msg
from mono_depth_recon.transforms import NotYet

MOUNT = pose_at(0.3, 20.0)


@pytest.fixture(params=["tf2_ros", "messages"])
def tf(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[TfNode, TransformSource]:
    """A robot's camera on its base, which drives one metre a second from 1000 s to 1001 s."""
    if request.param == "messages" and TF2_ROS_INSTALLED:
        pytest.skip("tf2_ros is installed: the messages alone are for machines without it")
    node = TfNode(tf_message(monkeypatch))
    if request.param == "tf2_ros":
        tf2_ros(monkeypatch)
    source = transform_source(node, threading.Condition(), node.complaints.append)  # type: ignore[arg-type]
    assert isinstance(source, Tf2 if request.param == "tf2_ros" else TfMessages)
    node.send(0.0, "base", "camera", MOUNT, fixed=True)
    for step in range(11):
        node.send(1000 + step / 10, "odom", "base", pose_at(step / 10, 3.0 * step))
    return node, source


@pytest.mark.parametrize("seconds", [1000.0, 1000.537, 1001.0])
def test_a_chain_at_the_stamp_of_an_image(tf: tuple[TfNode, TransformSource], seconds: float) -> None:
    _, source = tf
    expected = pose_at(seconds - 1000, 30.0 * (seconds - 1000)) @ MOUNT
    np.testing.assert_allclose(source.pose("odom", "camera", stamped(seconds)), expected, atol=1e-6)


def test_a_pose_that_may_still_come(tf: tuple[TfNode, TransformSource]) -> None:
    _, source = tf
    with pytest.raises(NotYet, match=r"the last pose of .* in 'odom' is 0\.20 s older than the image"):
        source.pose("odom", "camera", stamped(1001.2))


def test_a_pose_that_never_comes(tf: tuple[TfNode, TransformSource]) -> None:
    _, source = tf
    with pytest.raises(DataError, match="begin after") as error:
        source.pose("odom", "camera", stamped(999.9))
    assert not isinstance(error.value, NotYet)


def test_an_unknown_frame_is_named_with_those_that_are_known(tf: tuple[TfNode, TransformSource]) -> None:
    _, source = tf
    with pytest.raises(DataError, match="no transform names the frame 'map', only base, camera, odom$"):
        source.pose("map", "camera", stamped(1000.5))
    with pytest.raises(DataError, match="no transform names the frame 'lens', only base, camera, odom$"):
        source.pose("odom", "lens", stamped(1000.5))


def test_before_any_transform_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    node = TfNode(tf_message(monkeypatch))
    source = Tf2(node, tf2_ros(monkeypatch))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no transform names the frame 'map': none has come yet"):
        source.pose("map", "camera", stamped(1000.5))


def test_frames_that_are_not_connected_are_named(tf: tuple[TfNode, TransformSource]) -> None:
    node, source = tf
    node.send(0.0, "earth", "tower", pose_at(), fixed=True)
    with pytest.raises(DataError, match="no transforms lead from 'earth' to 'camera': ") as error:
        source.pose("earth", "camera", stamped(1000.5))
    assert not isinstance(error.value, NotYet)


def test_a_bag_that_starts_again(tf: tuple[TfNode, TransformSource]) -> None:
    node, source = tf
    source.pose("odom", "camera", stamped(1000.5))
    for _ in range(2):
        for stamp in (7.0, 7.1):
            node.send(stamp, "odom", "base", pose_at(stamp))
        try:
            assert source.pose("odom", "base", stamped(7.05))[0, 3] == pytest.approx(7.05)
        except DataError:  # by then, what had come of the new run was forgotten with the old one
            continue
        break
    else:
        pytest.fail("the new run is not followed")
    with pytest.raises(NotYet):
        source.pose("odom", "camera", stamped(1000.5))


def test_a_faulty_message_is_counted_without_tf2_ros(monkeypatch: pytest.MonkeyPatch) -> None:
    node = TfNode(tf_message(monkeypatch))
    source = TfMessages(node, tf_message(monkeypatch), threading.Condition(), node.complaints.append)  # type: ignore[arg-type]
    broken = pose_at()
    broken[0, 3] = np.nan
    node.send(1.0, "odom", "base", broken)
    assert source.refused == 1 and "pose of 'base' in 'odom' must be finite" in node.complaints[0]


def test_a_frame_in_itself_is_refused_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    node = TfNode(tf_message(monkeypatch))
    source = TfMessages(node, tf_message(monkeypatch), threading.Condition(), node.complaints.append)  # type: ignore[arg-type]
    node.send(0.0, "base", "camera", MOUNT, fixed=True)
    node.send(0.0, "camera", "camera", pose_at(1.0), fixed=True)
    assert source.refused == 1 and "'camera' in 'camera' relates a frame to itself" in node.complaints[0]
    np.testing.assert_allclose(source.pose("base", "camera", stamped(1.0)), MOUNT, atol=1e-12)


def test_close_ends_the_subscriptions(tf: tuple[TfNode, TransformSource]) -> None:
    node, source = tf
    assert node.subscribed.keys() == {"/tf", "/tf_static"}
    source.close()
    assert not node.subscribed


def test_a_pose_as_a_transform_message() -> None:
    T = pose_at(1.0, 40.0)
    msg = transform_to_msg(T, Header(stamp=Time(sec=3), frame_id="world"), "camera")
    assert isinstance(msg, TransformStamped)
    assert (msg.header.frame_id, msg.child_frame_id, msg.header.stamp.sec) == ("world", "camera", 3)
    at, q = msg.transform.translation, msg.transform.rotation
    np.testing.assert_allclose((at.x, at.y, at.z), T[:3, 3])
    np.testing.assert_allclose(Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix(), T[:3, :3], atol=1e-12)

"""TF by tf2_ros and by its messages alone: the same poses, and the same words about what is wrong."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header
from tf_standin import TF2_ROS_INSTALLED, TfNode, stamped, tf2_ros, tf_message
from turned import pose_at

from mono_depth_recon.errors import DataError
from mono_depth_recon.ros.mapping.tf import Tf2, TfMessages, TransformSource, received_by, transform_source
from mono_depth_recon.ros.tf_messages import transform_to_msg
from mono_depth_recon.transforms import NotYet

MOUNT = pose_at(0.3, 20.0)


def used(node: TfNode, changed: threading.Condition | None = None) -> TransformSource:
    source = transform_source(node, changed or threading.Condition(), node.complaints.append)  # type: ignore[arg-type]
    assert source is not None
    return source


@pytest.fixture(params=["tf2_ros", "messages"])
def tf(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[TfNode, TransformSource]:
    """A robot's camera on its base, which drives one metre a second from 1000 s to 1001 s."""
    if request.param == "messages" and TF2_ROS_INSTALLED:
        pytest.skip("tf2_ros is installed: the messages alone are for machines without it")
    node = TfNode(tf_message(monkeypatch))
    if request.param == "tf2_ros":
        tf2_ros(monkeypatch)
    by: Any = received_by(node, lambda refused: None)  # type: ignore[arg-type]
    assert isinstance(by, Tf2 if request.param == "tf2_ros" else TfMessages)
    by.close()
    source = used(node)
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
    tf2_ros(monkeypatch)
    source = used(node)
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
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    source = used(node)
    broken = pose_at()
    broken[0, 3] = np.nan
    node.send(1.0, "odom", "base", broken)
    assert source.refused == 1 and "pose of 'base' in 'odom' must be finite" in node.complaints[0]


def test_a_frame_in_itself_is_refused_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    node = TfNode(tf_message(monkeypatch))
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    source = used(node)
    node.send(0.0, "base", "camera", MOUNT, fixed=True)
    node.send(0.0, "camera", "camera", pose_at(1.0), fixed=True)
    assert source.refused == 1 and "'camera' in 'camera' relates a frame to itself" in node.complaints[0]
    np.testing.assert_allclose(source.pose("base", "camera", stamped(1.0)), MOUNT, atol=1e-12)


def test_close_ends_the_subscriptions(tf: tuple[TfNode, TransformSource]) -> None:
    node, source = tf
    assert node.subscribed.keys() == {"/tf", "/tf_static"}
    source.close()
    assert not node.subscribed


def test_a_node_receives_tf_once_for_all_who_use_it(tf: tuple[TfNode, TransformSource]) -> None:
    node, source = tf
    callbacks = dict(node.subscribed)
    other = used(node)
    assert node.subscribed == callbacks
    expected = source.pose("odom", "camera", stamped(1000.5))
    np.testing.assert_array_equal(other.pose("odom", "camera", stamped(1000.5)), expected)
    source.close()
    assert node.subscribed == callbacks
    np.testing.assert_array_equal(other.pose("odom", "camera", stamped(1000.5)), expected)
    other.close()
    assert not node.subscribed
    used(node)
    assert node.subscribed


def test_nodes_do_not_share_tf(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [TfNode(tf_message(monkeypatch)) for _ in range(2)]
    sources = [used(node) for node in nodes]
    nodes[0].send(0.0, "base", "camera", MOUNT, fixed=True)
    np.testing.assert_allclose(sources[0].pose("base", "camera", stamped(1.0)), MOUNT, atol=1e-12)
    with pytest.raises(DataError, match="none has come yet"):
        sources[1].pose("base", "camera", stamped(1.0))


def test_one_user_behind_another_does_not_begin_a_new_run(tf: tuple[TfNode, TransformSource]) -> None:
    """The map may be more than a second behind the frames."""
    node, source = tf
    other = used(node)
    for second in range(2, 31):
        node.send(1000 + second / 10, "odom", "base", pose_at(second / 10))
    for seconds in (1002.5, 1002.6):
        source.pose("odom", "camera", stamped(seconds))
        assert other.pose("odom", "base", stamped(seconds - 1.5))[0, 3] == pytest.approx(seconds - 1001.5)


def test_a_new_run_is_noticed_once_by_all(monkeypatch: pytest.MonkeyPatch) -> None:
    node = TfNode(tf_message(monkeypatch))
    tf2_ros(monkeypatch)
    sources = [used(node) for _ in range(3)]
    for stamp in (1000.0, 1000.1):
        node.send(stamp, "odom", "base", pose_at(1.0))
    for source in sources:
        source.pose("odom", "base", stamped(1000.05))
    with pytest.raises(DataError):
        sources[0].pose("odom", "base", stamped(7.05))
    for stamp in (7.0, 7.1):
        node.send(stamp, "odom", "base", pose_at(stamp))
    for source in sources:
        assert source.pose("odom", "base", stamped(7.05))[0, 3] == pytest.approx(7.05)


def test_each_user_is_notified_and_one_of_them_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    node = TfNode(tf_message(monkeypatch))
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    conditions = [Notified() for _ in range(2)]
    sources = [used(node, each) for each in conditions]
    broken = pose_at()
    broken[0, 3] = np.nan
    node.send(1.0, "odom", "base", broken)
    assert [each.count for each in conditions] == [1, 1] and [each.refused for each in sources] == [1, 1]
    assert len(node.complaints) == 1
    sources[0].close()
    node.send(1.1, "odom", "base", broken)
    assert [each.count for each in conditions] == [1, 2] and [each.refused for each in sources] == [1, 2]
    assert len(node.complaints) == 2


class Notified(threading.Condition):
    """Counts notifications."""

    count = 0

    def notify_all(self) -> None:
        self.count += 1
        super().notify_all()


def test_a_pose_as_a_transform_message() -> None:
    T = pose_at(1.0, 40.0)
    msg = transform_to_msg(T, Header(stamp=Time(sec=3), frame_id="world"), "camera")
    assert isinstance(msg, TransformStamped)
    assert (msg.header.frame_id, msg.child_frame_id, msg.header.stamp.sec) == ("world", "camera", 3)
    at, q = msg.transform.translation, msg.transform.rotation
    np.testing.assert_allclose((at.x, at.y, at.z), T[:3, 3])
    np.testing.assert_allclose(Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix(), T[:3, :3], atol=1e-12)

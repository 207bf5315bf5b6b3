"""points/draco: what is asked of point_cloud_transport, and one line for each way in which it may be missing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from draco_packages import DRACO_STANDIN
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from mono_depth_recon.errors import DataError
from mono_depth_recon.ros.conversions import points_from_msg, points_to_msg
from mono_depth_recon.ros.draco import Draco

MODULES = ("point_cloud_transport_py", "point_cloud_interfaces", "point_cloud_interfaces.msg")


@pytest.fixture
def codec(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The stand-in's codec, for this test alone."""
    monkeypatch.syspath_prepend(DRACO_STANDIN)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    import point_cloud_transport_py

    yield point_cloud_transport_py.PointCloudCodec
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_the_known_points_arrive_as_a_serialised_message(codec: Any) -> None:
    points = np.full((4, 5, 4), np.nan, np.float32)
    points[1:3, 2:4] = np.arange(16, dtype=np.float32).reshape(2, 2, 4)
    header = Header(frame_id="lens")
    made = Draco().encoded(points_to_msg(points, header))
    assert isinstance(made, bytes)
    msg = deserialize_message(made, PointCloud2)
    assert msg.header == header and msg.is_dense
    np.testing.assert_array_equal(points_from_msg(msg)[0], points[1:3, 2:4].reshape(4, 4))


def test_a_cloud_without_points_is_no_message(codec: Any) -> None:
    assert Draco().encoded(points_to_msg(np.full((4, 5, 4), np.nan, np.float32), Header())) == b""


def test_without_the_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MODULES[:2]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DataError, match=r"not installed \(sudo apt install ros-\$ROS_DISTRO-point-cloud-transport-py"):
        Draco()


def test_without_the_plugin_it_says_so(codec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "encode", lambda *_: b"")
    with pytest.raises(DataError, match="has no plugin draco"):
        Draco()


@pytest.mark.parametrize("answer", ["text", b"\xff"])
def test_bindings_that_take_binary_data_for_text_are_named(
    codec: Any, monkeypatch: pytest.MonkeyPatch, answer: str | bytes
) -> None:
    """They decode it: to a text where that happens to be possible."""
    monkeypatch.setattr(codec, "encode", lambda *_: answer if isinstance(answer, str) else answer.decode())
    with pytest.raises(DataError, match=r"fails on binary data: update it \(to 1\.0\.23 on Humble, 4\.0\.9 on Jazzy"):
        Draco()

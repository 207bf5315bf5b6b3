"""Which camera_info belongs to an image: that of its stamp, else the latest by then; late ones are waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.ros import pairing
from mono_depth_recon.ros.conversions import info_to_msg
from mono_depth_recon.ros.pairing import StampedMessages
from mono_depth_recon.ros.subscriptions import AdaptiveSubscription, CameraInfos


def info(number: int, fx: float = 300.0) -> CameraInfo:
    camera = PinholeCamera.from_intrinsics(64, 48, fx, fx, 31.5, 23.5)
    return info_to_msg(camera, Header(stamp=Time(sec=number)))


def test_an_image_gets_the_camera_info_of_its_stamp_else_the_latest() -> None:
    infos = CameraInfos(rectified=False)
    assert not infos.any()
    for number in range(3):
        infos.add(info(number, 300.0 + number))
    assert infos.any()
    assert infos.pair(Time(sec=1))().k[0] == 301
    assert infos.pair(Time(sec=7))().k[0] == 302


def test_what_comes_after_an_image_is_for_later_ones() -> None:
    """At every call an image keeps the message it had, or gets its own."""
    infos = CameraInfos(rectified=False)
    infos.add(info(1, 300.0))
    without, early = infos.pair(Time(sec=5)), infos.pair(Time(sec=6))
    infos.add(info(6, 306.0))
    for number in range(20, 40):
        infos.add(info(number, 400.0))
    assert without().k[0] == 300, "the latest when it came"
    assert early().k[0] == 306, "its own came after it, and may have been long ago"
    infos.add(info(5, 305.0))
    assert without().k[0] == 300, "what was decided stays"


@pytest.mark.parametrize("before", [1, 40])
def test_a_zoom_takes_effect_on_its_own_frame_where_its_camera_info_is_there(before: int) -> None:
    infos = CameraInfos(rectified=False)
    for number in range(before):
        infos.add(info(number))
        assert infos.pair(Time(sec=number))().k[0] == 300
    infos.add(info(100, 400.0))
    assert infos.camera(infos.pair(Time(sec=100))(), 64, 48).fx == 400
    assert infos.camera(infos.pair(Time(sec=101))(), 64, 48).fx == 400


def test_a_late_camera_info_is_waited_for_less_where_the_calibration_is_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    class Watched(threading.Condition):
        def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return super().wait_for(predicate, timeout)

    monkeypatch.setattr(pairing.threading, "Condition", Watched)
    for before in (2, 40):
        infos = CameraInfos(rectified=False)
        for number in range(before):
            infos.add(info(number))
            infos.pair(Time(sec=number))()
        assert infos.pair(Time(sec=100))().header.stamp.sec == before - 1
        assert infos.pair(Time(sec=101))().header.stamp.sec == before - 1  # of a driver that does not pair
        assert waits[-1] == 0
    short, long = waits[-2], waits[2]
    assert 0 < short < long / 5 < 0.1


def test_an_own_message_may_be_a_little_apart_and_is_waited_for_once() -> None:
    """As reference depth: 20 ms of tolerance; a wait without end shows that what is waited for comes."""
    messages: StampedMessages[str] = StampedMessages(0.02, lambda recent, at: recent[0], lambda: 30.0)
    assert messages.pair(Time(sec=1))() is None
    messages.add(Time(sec=1, nanosec=15_000_000), "first")
    messages.add(Time(sec=1, nanosec=5_000_000), "nearer")
    assert messages.pair(Time(sec=1))() == (1_005_000_000, "nearer")
    late = messages.pair(Time(sec=2))
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(late) for _ in range(2)]
        messages.add(Time(sec=2, nanosec=40_000_000), "too far")
        messages.add(Time(sec=2, nanosec=10_000_000), "own")
        assert [each.result(30) for each in asked] == [(2_010_000_000, "own")] * 2


class _Ended:
    """A subscription whose name cannot be read once it is destroyed, as rclpy's."""

    ended = False

    @property
    def topic_name(self) -> str:
        assert not self.ended, "cannot use Destroyable because destruction was requested"
        return "/robot/points"


class _Node:
    def create_subscription(self, *_: Any, **__: Any) -> _Ended:
        return _Ended()

    def destroy_subscription(self, subscription: _Ended) -> None:
        subscription.ended = True

    def create_timer(self, *_: Any, **__: Any) -> None:
        return None

    def destroy_timer(self, _: None) -> None:
        return None


def test_the_topic_is_known_after_the_end() -> None:
    """A frame that waits for its message may outlive the scale source that it was to come from."""
    node: Any = _Node()
    subscription = AdaptiveSubscription(node, CameraInfo, "points", lambda _: None, "auto")
    subscription.destroy()
    assert subscription.topic == "/robot/points"

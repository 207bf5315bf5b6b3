"""Which camera_info belongs to an image: that of its stamp, else the latest by then; late ones are waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.errors import CalibrationError
from mono_depth_recon.ros import pairing
from mono_depth_recon.ros.conversions import info_to_msg
from mono_depth_recon.ros.pairing import StampedMessages
from mono_depth_recon.ros.subscriptions import AdaptiveSubscription, CameraInfos


def info(number: int, fx: float = 300.0) -> CameraInfo:
    camera = PinholeCamera.from_intrinsics(64, 48, fx, fx, 31.5, 23.5)
    return info_to_msg(camera, Header(stamp=Time(sec=number)))


def got(infos: CameraInfos, second: int) -> CameraInfo:
    """That of an image."""
    message = infos.pair(Time(sec=second))()
    assert message is not None
    return message


def test_an_image_gets_the_camera_info_of_its_stamp_else_the_latest() -> None:
    infos = CameraInfos(rectified=False)
    assert not infos.ready(0.0) and infos.pair(Time(sec=1))() is None
    for number in range(3):
        infos.add(info(number, 300.0 + number))
    assert infos.ready(0.0)
    assert got(infos, 1).k[0] == 301
    assert got(infos, 7).k[0] == 302


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
        assert got(infos, number).k[0] == 300
    infos.add(info(100, 400.0))
    assert infos.camera(infos.pair(Time(sec=100))(), 64, 48).fx == 400
    assert infos.camera(infos.pair(Time(sec=101))(), 64, 48).fx == 400


def test_a_field_of_view_stands_for_a_camera_info_that_does_not_come() -> None:
    """Five seconds after it was first asked for; the camera is a pinhole with square pixels, and one object."""
    now = [100.0]
    infos = CameraInfos(rectified=False, clock=lambda: now[0])
    waited = [infos.ready(90.0) for now[0] in (100.0, 104.9, 105.0)]
    assert waited == [False, False, True] and not infos.ready(0.0), "0 is off"
    message = infos.pair(Time(sec=1))()
    assert message is None
    with pytest.raises(CalibrationError, match=r"no camera_info has come: publish it, or set camera\.hfov"):
        infos.camera(message, 64, 48)
    camera = infos.camera(message, 64, 48, 90.0)
    np.testing.assert_allclose(camera.K, [[32, 0, 31.5], [0, 32, 23.5], [0, 0, 1]])
    assert not camera.is_distorted and camera.rectified is camera and infos.guess == 90
    assert infos.camera(message, 64, 48, 90.0) is camera
    assert infos.camera(message, 128, 96, 90.0).size == (128, 96), "of each image"
    infos.add(info(2, 300.0))
    assert infos.camera(infos.pair(Time(sec=3))(), 64, 48, 90.0).fx == 300 and infos.guess == 0


@pytest.mark.parametrize("rectified", [False, True])
def test_a_field_of_view_stands_for_a_camera_info_without_calibration(rectified: bool) -> None:
    """As usb_cam and v4l2_camera publish it without a file, whatever size they write into it."""
    infos, zero = CameraInfos(rectified), info(1)
    zero.k, zero.p, zero.width = np.zeros(9), np.zeros(12), 0
    infos.add(zero)
    assert infos.ready(0.0)
    message = infos.pair(Time(sec=1))()
    with pytest.raises(CalibrationError, match=r"calibrate it \(mono-depth-recon calibrate\), or .* \(camera.hfov\)"):
        infos.camera(message, 64, 48)
    assert infos.camera(message, 64, 48, 90.0).fx == pytest.approx(32) and infos.guess == 90
    infos.add(info(2, 300.0))
    assert infos.camera(infos.pair(Time(sec=2))(), 64, 48, 90.0).fx == 300 and infos.guess == 0
    wrong = info(3)
    wrong.k, wrong.p = np.eye(3).ravel(), np.eye(3, 4).ravel()
    with pytest.raises(CalibrationError):
        infos.camera(wrong, 64, 48, 90.0)  # no guess where there is a calibration, though a bad one


def test_of_a_rectified_image_p_alone_is_a_calibration() -> None:
    only_p = info(1)
    only_p.k = np.zeros(9)
    assert CameraInfos(rectified=True).camera(only_p, 64, 48, 90.0).fx == 300
    assert CameraInfos(rectified=False).camera(only_p, 64, 48, 90.0).fx == pytest.approx(32)


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
        assert got(infos, 100).header.stamp.sec == before - 1
        assert got(infos, 101).header.stamp.sec == before - 1  # of a driver that does not pair
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

"""Which camera_info belongs to an image: that of its stamp, else the latest; late ones are waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.ros import subscriptions
from mono_depth_recon.ros.conversions import info_to_msg
from mono_depth_recon.ros.subscriptions import CameraInfos


def info(number: int, fx: float = 300.0) -> CameraInfo:
    camera = PinholeCamera.from_intrinsics(64, 48, fx, fx, 31.5, 23.5)
    return info_to_msg(camera, Header(stamp=Time(sec=number)))


def test_an_image_gets_the_camera_info_of_its_stamp_else_the_latest() -> None:
    infos = CameraInfos(rectified=False)
    assert not infos.any()
    for number in range(3):
        infos.add(info(number, 300.0 + number))
    assert infos.any()
    assert infos.message(Time(sec=1)).k[0] == 301
    assert infos.message(Time(sec=7)).k[0] == 302


@pytest.mark.parametrize("before", [1, 40])
def test_a_zoom_takes_effect_on_its_own_frame_where_its_camera_info_is_there(before: int) -> None:
    infos = CameraInfos(rectified=False)
    for number in range(before):
        infos.add(info(number))
        assert infos.message(Time(sec=number)).k[0] == 300
    infos.add(info(100, 400.0))
    assert infos.camera(infos.message(Time(sec=100)), 64, 48).fx == 400
    assert infos.camera(infos.message(Time(sec=101)), 64, 48).fx == 400


def test_a_late_camera_info_is_waited_for_less_where_the_calibration_is_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    class Watched(threading.Condition):
        def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return super().wait_for(predicate, timeout)

    monkeypatch.setattr(subscriptions.threading, "Condition", Watched)
    for before in (2, 40):
        infos = CameraInfos(rectified=False)
        for number in range(before):
            infos.add(info(number))
            infos.message(Time(sec=number))
        assert infos.message(Time(sec=100)).header.stamp.sec == before - 1
        assert infos.message(Time(sec=101)).header.stamp.sec == before - 1  # of a driver that does not pair
        assert waits[-1] == 0
    short, long = waits[-2], waits[2]
    assert 0 < short < long / 5 < 0.1

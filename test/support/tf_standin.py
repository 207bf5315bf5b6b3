"""TF for tests and the nodes they start: the real packages if installed, else stand-ins."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
from builtin_interfaces.msg import Time
from processes import ROOT
from std_msgs.msg import Header

from mono_depth_recon.arrays import Matrix
from mono_depth_recon.ros.tf_messages import transform_to_msg

TF_INSTALLED = importlib.util.find_spec("tf2_msgs") is not None
TF2_ROS_INSTALLED = importlib.util.find_spec("tf2_ros") is not None
_STANDIN = str(ROOT / "test" / "support" / "tf2_standin")
_TF2_ROS_STANDIN = str(ROOT / "test" / "support" / "tf2_ros_standin")


def stamped(seconds: float) -> Time:
    return Time(sec=int(seconds), nanosec=round(seconds % 1 * 1e9))


class TfNode:
    """What a source of transforms needs of a node; `send` delivers a message on one of its topics."""

    def __init__(self, message: type[Any]) -> None:
        self._message = message
        self.subscribed: dict[str, Callable[[Any], None]] = {}
        self.complaints: list[str] = []

    def create_subscription(self, kind: Any, topic: str, callback: Any, qos: Any, **options: Any) -> str:
        self.subscribed[topic] = callback
        return topic

    def destroy_subscription(self, topic: str) -> None:
        self.subscribed.pop(topic, None)

    def send(self, seconds: float, parent: str, child: str, T: Matrix, fixed: bool = False) -> None:
        msg = transform_to_msg(T, Header(stamp=stamped(seconds), frame_id=parent), child)
        self.subscribed["/tf_static" if fixed else "/tf"](self._message(transforms=[msg]))


def with_tf(tf2_ros: bool = False) -> dict[str, str]:
    """Environment variables that give a node tf2_msgs and optionally tf2_ros."""
    wanted = [] if TF_INSTALLED else [_STANDIN]
    wanted += [_TF2_ROS_STANDIN] if tf2_ros and not TF2_ROS_INSTALLED else []
    if not wanted:
        return {}
    return {"PYTHONPATH": os.pathsep.join([*wanted, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])}


def tf_message(monkeypatch: pytest.MonkeyPatch) -> type[Any]:
    """TFMessage in this process; the stand-in's has exactly one transform."""
    if not TF_INSTALLED:
        monkeypatch.syspath_prepend(_STANDIN)
    from tf2_msgs.msg import TFMessage

    message: type[Any] = TFMessage
    return message


def tf2_ros(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module tf2_ros in this process."""
    if TF2_ROS_INSTALLED:
        return importlib.import_module("tf2_ros")
    tf_message(monkeypatch)
    monkeypatch.syspath_prepend(_TF2_ROS_STANDIN)
    module = importlib.import_module("tf2_ros")
    del sys.modules["tf2_ros"]
    monkeypatch.setitem(sys.modules, "tf2_ros", module)  # for this test alone
    return module

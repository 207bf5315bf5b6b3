"""TF for tests and the nodes they start: the real packages if installed, else stand-ins."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import Any

import pytest
from processes import ROOT

TF_INSTALLED = importlib.util.find_spec("tf2_msgs") is not None
TF2_ROS_INSTALLED = importlib.util.find_spec("tf2_ros") is not None
_STANDIN = str(ROOT / "test" / "support" / "tf2_standin")
_TF2_ROS_STANDIN = str(ROOT / "test" / "support" / "tf2_ros_standin")


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

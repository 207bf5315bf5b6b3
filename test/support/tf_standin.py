"""tf2_msgs for tests and the nodes that they start: the real one where it is installed, else a stand-in."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import pytest
from processes import ROOT

TF_INSTALLED = importlib.util.find_spec("tf2_msgs") is not None
_STANDIN = str(ROOT / "test" / "support" / "tf2_standin")


def with_tf() -> dict[str, str]:
    """What a node's environment needs for it."""
    if TF_INSTALLED:
        return {}
    return {"PYTHONPATH": os.pathsep.join([_STANDIN, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])}


def tf_message(monkeypatch: pytest.MonkeyPatch) -> type[Any]:
    """TFMessage in this process; the stand-in's holds exactly one transform."""
    if not TF_INSTALLED:
        monkeypatch.syspath_prepend(_STANDIN)
    from tf2_msgs.msg import TFMessage

    message: type[Any] = TFMessage
    return message

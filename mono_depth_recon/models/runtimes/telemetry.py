"""Libraries that send statistics of their use unless they are told not to: a robot tells nobody what it runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ONNXRUNTIME = "ORT_DISABLE_TELEMETRY"  # docs/Privacy.md of ONNX Runtime; read when it is imported
_CI = "CI"


def onnxruntime_library() -> Any:
    """ONNX Runtime, imported so that it sends nothing and keeps no identity, unless the variable says 0."""
    os.environ.setdefault(_ONNXRUNTIME, "1")
    import onnxruntime

    return onnxruntime


def openvino_library() -> Any:
    """OpenVINO, imported so that it sends nothing and keeps no identity."""
    with sending_nothing():
        import openvino

    return openvino


@contextmanager
def sending_nothing() -> Iterator[None]:
    """OpenVINO and NNCF send nothing within: they keep silent in CI, and know no other switch of a program."""
    before = os.environ.get(_CI)
    os.environ[_CI] = "true"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_CI, None)
        else:
            os.environ[_CI] = before

"""recon_node with models of analytic depth, which log their inputs, and with the scale source `toy`.

An image whose first value is GATE keeps the model busy until the file that TOY_GATE names exists. With TOY_BUG set,
saving a snapshot raises its text as an error of no known kind. While the file that TOY_BROKEN names exists, the runtime
of the model fails.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import toy_scale
from made_models import FakeModel, RelativeModel, floor
from rclpy.node import Node
from std_msgs.msg import Float64, Header

from mono_depth_recon import pipeline
from mono_depth_recon.config import Config, ModelConfig
from mono_depth_recon.errors import DataError
from mono_depth_recon.frames import Prediction
from mono_depth_recon.models.base import View
from mono_depth_recon.ros.node import snapshots
from mono_depth_recon.ros.node.evidence_inputs import INPUTS
from mono_depth_recon.ros.node.recon_node import main

GATE = 255


class LoggedModel(FakeModel):
    """Predicts the floor; logs each image by its first value and its focal length."""

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        if Path(os.environ.get("TOY_BROKEN", "")).is_file():
            raise RuntimeError("device lost")
        for rgb, camera in batch:
            print(f"predicted {rgb[0, 0, 0]} f {camera.fx:.0f}", flush=True)
            while rgb[0, 0, 0] == GATE and not Path(os.environ["TOY_GATE"]).exists():
                time.sleep(0.02)
        return super().predict(batch)


class LoggedRelativeModel(LoggedModel, RelativeModel):
    """Its inverse depth as disparity."""


class ToyInput:
    """The last std_msgs/Float64 received before the image."""

    def __init__(self, node: Node, config: Config) -> None:
        self._node, self._last = node, None
        self._subscription = node.create_subscription(Float64, toy_scale.TOY_SCALE.name, self._add, 5)

    def pair(self, header: Header) -> Callable[[], float]:
        """The number, read on demand."""
        last = self._last

        def number() -> float:
            if last is None:
                raise DataError("no number yet")
            return float(last.data)

        return number

    def close(self) -> None:
        """Ends the subscription."""
        self._node.destroy_subscription(self._subscription)

    def _add(self, msg: Float64) -> None:
        self._last = msg


def load(settings: ModelConfig, threads: int) -> FakeModel:
    """Loads the model `relative`, else the metric one."""
    return LoggedRelativeModel(floor) if settings.name == "relative" else LoggedModel(floor)


def bug() -> str:
    """In place of the name of a snapshot."""
    raise ZeroDivisionError(os.environ["TOY_BUG"])


if __name__ == "__main__":
    if "TOY_BUG" in os.environ:
        snapshots.file_stamp = bug
    INPUTS[toy_scale.TOY_SCALE.name] = ToyInput
    pipeline.load_model = load
    sys.exit(main())

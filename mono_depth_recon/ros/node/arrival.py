"""An image message as it arrived, with what belongs to it; the map, snapshots and the live evaluation share it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sensor_msgs.msg import CompressedImage, Image

from ...arrays import Rgb
from ...camera import PinholeCamera
from ...config import Config
from ...frames import Frame
from ...once import Once
from ...scale.evidence import Evidence

AnyImage: TypeAlias = Image | CompressedImage


@dataclass(frozen=True)
class RawView:
    """The converted message with the camera of its camera_info; `seconds` is how long that took."""

    rgb: Rgb
    camera: PinholeCamera
    seconds: float


class Arrival:
    """A message, when it came (`time.monotonic`), its view by the camera_info and the evidence paired with it.

    Any thread may call.
    """

    def __init__(self, msg: AnyImage, time: float, view: Once[RawView], evidence: Evidence) -> None:
        self.msg, self.time, self.view, self.evidence = msg, time, view, evidence
        self._lock = threading.Lock()
        self._kept: tuple[Frame, Config] | None = None

    def frame(self, config: Config, compute: Callable[[], Frame], points: bool = False) -> Frame:
        """The frame with all maps by `config`, with its points where asked for; computed once for all who ask."""
        with self._lock:
            kept = self._kept
            if kept is None or kept[1] is not config or (points and kept[0].points is None):
                kept = self._kept = compute(), config
            return kept[0]

    def snapshot(self, config: Config, compute: Callable[[], Frame]) -> Frame:
        """As `frame`, but one that has depth already is taken whatever its configuration was."""
        with self._lock:
            kept = self._kept
            if kept is None or (kept[1] is not config and kept[0].depth is None):
                kept = self._kept = compute(), config
            return kept[0]

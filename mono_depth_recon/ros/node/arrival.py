"""An image message with the camera_info and evidence paired with it; map, snapshots and live evaluation share it."""

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
    """A message, its arrival time (`time.monotonic`), its view by its camera_info, and the evidence paired with it.

    Any thread may call.
    """

    def __init__(self, msg: AnyImage, time: float, view: Once[RawView], evidence: Evidence) -> None:
        self.msg, self.time, self.view, self.evidence = msg, time, view, evidence
        self._lock = threading.Lock()
        self._kept: tuple[Frame, Config] | None = None

    def frame(self, config: Config, compute: Callable[[], Frame], points: bool = False) -> Frame:
        """The frame computed with `config`, with points if `points`; computed once and shared by all callers."""
        with self._lock:
            kept = self._kept
            if kept is None or kept[1] is not config or (points and kept[0].points is None):
                kept = self._kept = compute(), config
            return kept[0]

    def snapshot(self, config: Config, compute: Callable[[], Frame]) -> Frame:
        """As `frame`, but a frame that already has depth is reused whatever its configuration."""
        with self._lock:
            kept = self._kept
            if kept is None or (kept[1] is not config and kept[0].depth is None):
                kept = self._kept = compute(), config
            return kept[0]

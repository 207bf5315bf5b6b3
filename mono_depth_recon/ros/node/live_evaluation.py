"""Live evaluation: frames are compared with `reference_depth`, the results go to /diagnostics."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from ...alignment import on_rectified_grid
from ...camera import PinholeCamera
from ...config import LiveEvaluationConfig
from ...errors import MonoDepthError
from ...frames import Frame
from ...metrics.live import LiveMeter, compared
from ...scale.evidence import Evidence
from ...scale.reference import REFERENCE_DEPTH


class LiveEvaluation:
    """Compares at most `evaluation.rate` frames a second; called from the frame worker, read from any thread."""

    def __init__(self) -> None:
        self._settings = LiveEvaluationConfig()
        self._meter = LiveMeter(self._settings.window)
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._missed, self._reason = 0, ""

    def apply(self, settings: LiveEvaluationConfig) -> None:
        """Applies changed parameters; a new window or a restart clears the results."""
        with self._lock:
            if (settings.window, settings.enabled) != (self._settings.window, self._settings.enabled):
                self._meter, self._missed, self._reason = LiveMeter(settings.window), 0, ""
            self._settings = settings

    def offer(self, evidence: Evidence, make: Callable[[], Frame], camera: Callable[[], PinholeCamera]) -> None:
        """Compares a frame when one is due; `make` returns it with depth, `camera` the camera of its raw image.

        `evidence` holds the reference depth of the image.
        """
        settings, now = self._settings, time.monotonic()
        if not settings.enabled or now < self._not_before:
            return
        self._not_before = now + (1 / settings.rate if settings.rate else 0.0)
        frame = make()
        try:
            row = compared(frame, on_rectified_grid(evidence.get(REFERENCE_DEPTH), camera()))
        except MonoDepthError as error:  # the frame itself is good
            with self._lock:
                self._missed += 1
                self._reason = str(error)
            return
        with self._lock:
            self._meter.add(row)
            self._reason = ""

    def values(self) -> dict[str, str] | None:
        """Keys and values for a DiagnosticStatus; None while switched off."""
        with self._lock:
            if not self._settings.enabled:
                return None
            frames, missed, reason, means = self._meter.frames, self._missed, self._reason, self._meter.means()
        values = {"frames_compared": str(frames), "frames_not_compared": str(missed), "last_reason": reason}
        if means is None:
            return values
        figures = {name: getattr(means, name) for name in ("abs_rel", "delta1", "scale", "shift")}
        known = {name: f"{value:.4f}" for name, value in figures.items() if not math.isnan(value)}
        return {"protocol": means.protocol, **known, **values}

"""When frames went in and came out: rates, latency and gaps over any stretch of time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_NO_CLOCK_S = 60.0  # a message that is older than this was stamped by another clock: its age means nothing


@dataclass(frozen=True)
class Measurement:
    """What happened to the frames that came in during `seconds`.

    `latency_*` is from the arrival of the image to the arrival of its output at the same observer, `age_*` from the
    stamp to that arrival; None where no frame came out (age: or stamps are not of this machine's clock).
    `longest_gap_s` is the longest time without an output.
    """

    seconds: float
    frames_in: int
    frames_out: int
    share: float
    rate_in_hz: float
    rate_out_hz: float
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    age_p50_ms: float | None
    age_p95_ms: float | None
    longest_gap_s: float

    @property
    def text(self) -> str:
        """The counts and figures in one line."""
        line = f"{self.rate_in_hz:.1f} frames/s in, {self.rate_out_hz:.1f} out"
        return line if self.latency_p50_ms is None else f"{line}, {self.latency_p50_ms:.0f} ms from image to cloud"


@dataclass
class _Passage:
    """One frame: when it went in and came out (seconds, monotonic), and its age by its stamp when it came out."""

    arrival: float
    output: float | None = None
    age: float | None = None


class FrameLog:
    """Collects arrivals of images and of what becomes of them, paired by stamp; any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passages: list[_Passage] = []
        self._by_stamp: dict[int, _Passage] = {}
        self._outputs: list[float] = []

    def add_input(self, stamp: int, arrival: float) -> None:
        """An image of `stamp` (nanoseconds) came at `arrival` (seconds, monotonic). Stamps may come again."""
        passage = _Passage(arrival)
        with self._lock:
            self._passages.append(passage)
            self._by_stamp[stamp] = passage

    def add_output(self, stamp: int, arrival: float, age: float) -> None:
        """The output of the newest image of `stamp` came at `arrival`, `age` seconds after its stamp."""
        with self._lock:
            self._outputs.append(arrival)
            passage = self._by_stamp.get(stamp)
            if passage is not None and passage.output is None:
                passage.output, passage.age = arrival, age

    def measure(self, begin: float, end: float) -> Measurement:
        """The frames that came in from `begin` to `end` (seconds, monotonic)."""
        with self._lock:
            frames = [p for p in self._passages if begin <= p.arrival < end]
            outputs = [t for t in self._outputs if begin <= t < end]
        passed = [p for p in frames if p.output is not None]
        latencies = [p.output - p.arrival for p in passed if p.output is not None]
        ages = [p.age for p in passed if p.age is not None and abs(p.age) < _NO_CLOCK_S]
        return Measurement(
            seconds=end - begin,
            frames_in=len(frames),
            frames_out=len(passed),
            share=len(passed) / len(frames) if frames else 0.0,
            rate_in_hz=len(frames) / (end - begin),
            rate_out_hz=len(outputs) / (end - begin),
            latency_p50_ms=_quantile_ms(latencies, 0.5),
            latency_p95_ms=_quantile_ms(latencies, 0.95),
            age_p50_ms=_quantile_ms(ages, 0.5),
            age_p95_ms=_quantile_ms(ages, 0.95),
            longest_gap_s=float(np.diff([begin, *outputs, end]).max()),
        )


def _quantile_ms(seconds: Sequence[float], quantile: float) -> float | None:
    return 1e3 * float(np.quantile(seconds, quantile)) if len(seconds) else None

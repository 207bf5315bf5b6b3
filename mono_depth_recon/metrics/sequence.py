"""Errors over a sequence: drift of the scale and flicker of depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from ..arrays import Mask
from .figure import Figure


@dataclass(frozen=True)
class SequenceErrors:
    """`scale_drift` standard deviation over frames of ln s, where s = median(truth / depth) of a frame: 0.05 is 5 %.

    `scale_trend` slope of ln s over time, per second, by least squares; `flicker` mean over pairs of consecutive frames
    of the mean over pixels of |change of ln depth - change of ln truth|: changes of depth that are not in the scene.
    NaN for fewer than two frames. `frames` counted.
    """

    scale_drift: Annotated[
        float, Figure("Scale drift", "standard deviation over the frames of ln(median of t / d)", "low")
    ]
    scale_trend: float
    flicker: Annotated[
        float, Figure("Flicker", "mean |change of ln d − change of ln t| between consecutive frames", "low")
    ]
    frames: int


@dataclass(frozen=True, eq=False)
class _LogErrors:
    """ln depth - ln truth (H, W) of one frame, within its mask."""

    errors: NDArray[np.float64]
    mask: Mask
    stamp: float


class SequenceMeter:
    """Takes frames in order; keeps two and a few figures of each. Frames more than `max_gap` s apart make no pair."""

    def __init__(self, max_gap: float = 1.0) -> None:
        self._max_gap = max_gap
        self._stamps: list[float] = []
        self._scales: list[float] = []
        self._flicker: list[float] = []
        self._first: _LogErrors | None = None
        self._last: _LogErrors | None = None

    def add(self, depth: NDArray[np.floating], truth: NDArray[np.floating], mask: Mask, stamp: float) -> None:
        """The next frame: depth and truth (H, W) in metres, compared on `mask`; `stamp` in seconds, increasing.

        A frame without a common known pixel is skipped. The camera may move: the truth changes with it.
        """
        both = mask & np.isfinite(depth) & (depth > 0) & np.isfinite(truth) & (truth > 0)
        if both.any():
            self.add_log_errors(
                np.log(depth[both].astype(np.float64)) - np.log(truth[both].astype(np.float64)), both, stamp
            )

    def add_log_errors(self, errors: NDArray[np.float64], mask: Mask, stamp: float) -> None:
        """The next frame by ln depth - ln truth (N,) of the N pixels of `mask` (H, W), at least one."""
        whole = np.zeros(mask.shape)
        whole[mask] = errors
        frame = _LogErrors(whole, mask, stamp)
        self._pair(self._last, frame)
        self._scales.append(float(np.median(-errors)))
        self._stamps.append(stamp)
        self._first, self._last = self._first or frame, frame

    def extend(self, later: SequenceMeter) -> None:
        """Appends the frames of another meter, which follow those of this one."""
        if later._first is None:
            return
        self._pair(self._last, later._first)
        for name in ("_stamps", "_scales", "_flicker"):
            getattr(self, name).extend(getattr(later, name))
        self._first, self._last = self._first or later._first, later._last

    def _pair(self, before: _LogErrors | None, after: _LogErrors) -> None:
        if before is None or before.errors.shape != after.errors.shape or after.stamp - before.stamp > self._max_gap:
            return
        common = before.mask & after.mask
        if common.any():
            self._flicker.append(float(np.abs(after.errors[common] - before.errors[common]).mean()))

    def result(self) -> SequenceErrors:
        """The figures of all frames so far."""
        frames, nan = len(self._scales), float("nan")
        if frames < 2:
            return SequenceErrors(nan, nan, nan, frames)
        times = np.array(self._stamps) - self._stamps[0]
        trend = float(np.polyfit(times, self._scales, 1)[0]) if np.ptp(times) > 0 else nan
        flicker = float(np.mean(self._flicker)) if self._flicker else nan
        return SequenceErrors(float(np.std(self._scales)), trend, flicker, frames)

"""Time of the guard: judging a frame by its image and by its depth against that of the frame before."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from statistics import median

import numpy as np

from ..camera import PinholeCamera
from ..config import GuardConfig
from ..errors import DataError
from ..guard.guard import Guard
from .frame_path import Measurement, Settings
from .rows import Row
from .scene import room

_CAMERA = PinholeCamera.from_hfov(640, 480, 60)
_STEP_M, _FRAMES, _JUMP = 0.04, 10, 1.1
_OFF = 0.01


def guard(settings: Settings) -> Iterator[Row]:
    """Processor time of one thread for a 640x480 frame of a camera that goes forward, also with the temporal filter."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        _check(GuardConfig())
        for limits, name, limit in (
            (GuardConfig(), "guard: judge a frame", 3.0),
            (GuardConfig(smoothing=0.5), "guard: judge and smooth", None),
        ):
            seconds, compared = _there_and_back(limits, settings.repeats)
            yield Row(name, 1e3 * seconds, "ms", limit, f"processor time of one thread, {compared} frames compared")
    finally:
        cv2.setNumThreads(threads)


def _there_and_back(limits: GuardConfig, repeats: int) -> tuple[float, int]:
    """Median seconds of a frame, and how many could be compared with the one before."""
    judge, taken, compared = Guard().judge, [], 0
    walk = [room(_CAMERA, _STEP_M * i) for i in range(_FRAMES)]
    walk += walk[-2:0:-1]
    for i in range(repeats + 1):
        depth, rgb = walk[i % len(walk)]
        start = time.thread_time()
        result, _ = judge(rgb, depth, _CAMERA, i / 30, limits)
        taken.append(time.thread_time() - start)
        compared += result.compared
    return median(taken[1:]), compared


def _check(limits: GuardConfig) -> None:
    """A walk is no change of scale, a jump of 10 % in it is measured and flagged: a wrong result must not be timed."""
    judge = Guard().judge
    for i in range(_FRAMES):
        depth, rgb = room(_CAMERA, _STEP_M * i)
        jumped = i == _FRAMES - 1
        result = judge(rgb, depth * np.float32(_JUMP if jumped else 1), _CAMERA, i / 30, limits)[0]
        if i == 0:
            continue
        off = result.figures["scale_change"] - (math.log(_JUMP) if jumped else 0)
        if not abs(off) < _OFF or ("scale jumped" in result.kind) != jumped:
            raise DataError(
                f"frame {i} of a walk must {'' if jumped else 'not '}be a jump of scale, its change is {off:+.3f} off: "
                f"{result.reason or 'no remark'}"
            )


MEASUREMENTS: dict[str, Measurement] = {"guard": guard}

"""Whether depth can be in metres: the effect of a wrong unit, factor or file on a scene."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Depth

# Integer depth per metre of the formats in use: millimetres, TUM, KITTI, NYU's 8-bit csv layout, tenths of
# millimetres, centimetres, metres.
FACTORS = (1000.0, 5000.0, 256.0, 25.5, 10000.0, 100.0, 1.0)
_MEDIAN = (0.045, 0.6)  # of the farthest depth: where the median of a set lies (10 m: 0.45 to 6 m, 80 m: 3.6 to 48 m)
_FAR = (0.15, 1.25)  # of the farthest depth: where the far end (99 %) lies
_TYPICAL = 0.22  # of the farthest depth: a median near that of many sets
_FRAME_MEDIAN = 0.01  # of the farthest depth: a single frame may be a close-up, but not that close
_FRAME_FAR = 2.0
IMPLAUSIBLE = "depth unit implausible"


@dataclass(frozen=True)
class DepthSize:
    """The middle and the far end (99th percentile) of the known depth of a frame or a set, metres."""

    median: float
    far: float

    @classmethod
    def of(cls, depth: Depth) -> DepthSize | None:
        """That of a depth map (H, W); None where nothing is known."""
        known = depth[np.isfinite(depth)]
        if not known.size:
            return None
        median, far = np.percentile(known[:: max(1, known.size // 20_000)], (50, 99))
        return cls(float(median), float(far))

    @classmethod
    def of_set(cls, sizes: Sequence[DepthSize]) -> DepthSize:
        """The median frame's median, and the far end of all but the farthest tenth of the frames."""
        return cls(
            float(np.median([size.median for size in sizes])), float(np.percentile([size.far for size in sizes], 90))
        )

    def times(self, factor: float) -> DepthSize:
        """The same with every depth multiplied."""
        return DepthSize(self.median * factor, self.far * factor)

    def suits_set(self, max_depth: float) -> bool:
        """Whether a set that reaches to `max_depth` metres can look like this."""
        return (
            _MEDIAN[0] * max_depth <= self.median <= _MEDIAN[1] * max_depth
            and _FAR[0] * max_depth <= self.far <= _FAR[1] * max_depth
        )


def frame_problem(depth: Depth | None, max_depth: float, per_metre: float) -> str:
    """Why a single frame cannot be used to train on; empty where it can.

    `max_depth` is the farthest depth of its set in metres, `per_metre` the factor that made metres of it.
    """
    size = None if depth is None else DepthSize.of(depth)
    if size is None:
        return "no pixel has a known depth"
    if _FRAME_MEDIAN * max_depth <= size.median and size.far <= _FRAME_FAR * max_depth:
        return ""
    return f"{IMPLAUSIBLE}: {_unlike(size, max_depth, per_metre)}"


def set_problem(sizes: Sequence[DepthSize], max_depth: float, per_metre: float) -> str:
    """Why the depth of a whole set cannot be in metres, with the likely factor; empty where it can be."""
    if not sizes or (size := DepthSize.of_set(sizes)).suits_set(max_depth):
        return ""
    return f"{IMPLAUSIBLE}: over {len(sizes)} frames {_unlike(size, max_depth, per_metre)}"


def _unlike(size: DepthSize, max_depth: float, per_metre: float) -> str:
    text = (
        f"the median is {size.median:.3g} m and the far end {size.far:.3g} m, unlike any set that reaches to "
        f"{max_depth:g} m"
    )
    fitting = [each for each in FACTORS if size.times(per_metre / each).suits_set(max_depth)]
    if not fitting or per_metre in fitting:
        return f"{text}: compare max_depth and the depth of these files"
    best = min(fitting, key=lambda each: abs(math.log(size.median * per_metre / each / (_TYPICAL * max_depth))))
    likely = size.times(per_metre / best)
    return (
        f"{text}; read with {per_metre:g} per metre, likely is {best:g} "
        f"(median {likely.median:.2g} m, far end {likely.far:.2g} m), if {max_depth:g} m is right as max_depth"
    )

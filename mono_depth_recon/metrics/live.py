"""Running metrics of frames against the depth of a second sensor, as in the offline evaluation."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import fmean

from ..alignment import paired
from ..arrays import Depth
from ..errors import DataError
from ..frames import Frame
from .depth import affine_fit, depth_errors, depth_of_affine


@dataclass(frozen=True)
class LiveFigures:
    """Figures of one frame, or their means over several.

    `abs_rel` and `delta1` under `protocol`: `metric`, or `affine` for a relative model without metres; `scale` and
    `shift` (1/m) of 1 / truth = scale * x + shift by least squares, x the inverse depth or the disparity, NaN if the
    view is too flat to determine them. An exact metric model has scale 1 and shift 0.
    """

    protocol: str
    abs_rel: float
    delta1: float
    scale: float
    shift: float


def compared(frame: Frame, reference: Depth) -> LiveFigures:
    """The figures of a frame against `reference` (h, w), metres on its rectified grid at any resolution.

    Raises DataError if too few pixels are known in both, a disparity cannot be fitted, or the frame has neither: a
    metric model's depth is withheld without its anchor, or as unreliable.
    """
    if frame.depth is None and frame.disparity is None:
        raise DataError(frame.no_metres)
    if frame.depth is not None:
        depth, inverse = paired(frame.depth, reference)
        try:
            scale, shift = affine_fit(1 / depth, 1 / inverse)
        except DataError:  # a flat view; its errors in metres are still valid
            scale, shift = math.nan, math.nan
        errors, protocol = depth_errors(depth, 1 / inverse), "metric"
    else:
        assert frame.disparity is not None, "checked above"
        disparity, inverse = paired(frame.disparity, reference)
        scale, shift = affine_fit(disparity, 1 / inverse)
        errors, protocol = depth_errors(depth_of_affine(disparity, scale, shift), 1 / inverse), "affine"
    return LiveFigures(protocol, errors.abs_rel, errors.delta1, scale, shift)


class LiveMeter:
    """Means over the last `window` frames; a change of protocol starts again."""

    def __init__(self, window: int) -> None:
        self._rows: deque[LiveFigures] = deque(maxlen=window)

    @property
    def frames(self) -> int:
        """The number of frames in the means."""
        return len(self._rows)

    def add(self, row: LiveFigures) -> None:
        """Adds the figures of a frame."""
        if self._rows and self._rows[-1].protocol != row.protocol:
            self._rows.clear()
        self._rows.append(row)

    def means(self) -> LiveFigures | None:
        """Means of the frames' values; None before the first."""
        if not self._rows:
            return None
        columns = ([getattr(row, name) for row in self._rows] for name in ("abs_rel", "delta1", "scale", "shift"))
        known = ([value for value in column if not math.isnan(value)] for column in columns)
        return LiveFigures(self._rows[-1].protocol, *(fmean(column) if column else math.nan for column in known))

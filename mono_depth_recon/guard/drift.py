"""The scale of depth from frame to frame: jumps, flicker, and structure that changes by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..config import GuardConfig
from .comparison import Change
from .remark import Remark
from .robust import SIGMA, middle

_REMEMBERED, _FEWEST = 30, 8  # changes that noise is estimated from
_NOISES = 2.5
_IN_A_ROW = 3  # frames at the same other scale make it the valid one
_GRAVE = 2.0


@dataclass(frozen=True)
class Drift:
    """What is known of the past frames of one camera.

    `changes` are the last log changes of scale, `spreads` those around them; `off` is how far the last frame was from
    the scale that is valid, `refused` the frames before it that were off by about as much.
    """

    changes: tuple[float, ...] = ()
    spreads: tuple[float, ...] = ()
    off: float = 0.0
    refused: tuple[float, ...] = ()

    @property
    def noise(self) -> float:
        """Robust standard deviation of the changes of log scale about none; 0 where it is not known yet."""
        if len(self.changes) < _FEWEST:
            return 0.0
        return SIGMA * middle(np.abs(np.array(self.changes)))

    @property
    def flicker(self) -> float:
        """Middle spread of the structure from frame to frame; 0 where it is not known yet."""
        return middle(np.array(self.spreads)) if len(self.spreads) >= _FEWEST else 0.0

    def interrupted(self) -> Drift:
        """The next frame, where it cannot be compared: its scale is taken as valid."""
        return replace(self, off=0.0, refused=())

    def followed_by(self, change: Change, limits: GuardConfig) -> tuple[Drift, list[Remark]]:
        """The next frame: it is off the valid scale by more than noise, or becomes or keeps the valid one."""
        limit = self.limit(limits)
        drift = replace(
            self,
            changes=(*self.changes, change.scale)[-_REMEMBERED:],
            spreads=(*self.spreads, change.spread)[-_REMEMBERED:],
        )
        off = self.off + change.scale
        if abs(off) <= limit:
            return replace(drift, off=0.0, refused=()), drift._remarks(change, limits)
        refused = (*(each for each in self.refused if abs(each - off) <= limit), off)
        if len(refused) >= _IN_A_ROW:
            return replace(drift, off=0.0, refused=()), drift._remarks(change, limits)
        text = f"scale jumped: depth is {100 * np.expm1(off):+.0f} % off that of the frames before"
        return replace(drift, off=off, refused=refused), [
            Remark("scale jumped", text, True),
            *drift._remarks(change, limits),
        ]

    def limit(self, limits: GuardConfig) -> float:
        """The change of log scale that is no jump: what the parameter allows, or the sequence's own noise."""
        if not limits.max_jump:
            return math.inf
        return max(float(np.log1p(limits.max_jump)), _NOISES * self.noise)

    def _remarks(self, change: Change, limits: GuardConfig) -> list[Remark]:
        remarks = []
        for value, kind in ((self.noise, "scale"), (self.flicker, "structure")):
            if limits.max_flicker and value > limits.max_flicker:
                text = f"{kind} flickers by {100 * value:.0f} % from frame to frame"
                remarks.append(Remark(f"{kind} flickers", text, value > _GRAVE * limits.max_flicker))
        if limits.max_change and change.moved > limits.max_change:
            text = (
                f"structure changed: depth at {100 * change.moved:.0f} % of the compared places does not fit the motion"
            )
            remarks.append(Remark("structure changed", text, True))
        return remarks

"""A fit over time: smoothed, gated, held while there is none, given up after a timeout."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth
from ..errors import DataError
from ..frames import Scale
from .settings import ScaleSettings

_NOISE = 0.02  # a change of depth that two good fits of one scale may differ by, at least
_NOISE_OF_RESIDUAL = 0.25  # or this share of the residual
_IN_A_ROW, _AGREEING = 3, 0.05  # fits of another scale that agree are believed: so far, or as far as the gate
_BACK_S = 1.0  # time that goes back by more has begun anew
_STEP, _LEVELS, _FAR = 16, (10, 50, 90), 0.1

F64 = NDArray[np.float64]


class ScaleFilter:
    """Scale, shift and factors of one camera over time.

    A fit that changes depth by no more than noise is blended with the previous ones. A larger change is taken at once
    where the fit can be `trusted` on its own and is in no doubt: relative models may change their scale in any frame.
    Others are blended up to `scale.gate`, and not taken beyond it, until three in a row agree.
    """

    def __init__(self, trusted: bool) -> None:
        self._trusted = trusted
        self._last: Scale | None = None
        self._fitted_at = self._newest = -math.inf
        self._differing: list[Scale] = []

    def update(self, measure: Callable[[], Scale], disparity: Depth, stamp: float, settings: ScaleSettings) -> Scale:
        """The scale at `stamp` (s) for `disparity` (H, W), NaN unknown, after the fit of this frame by `measure`.

        If `measure` raises DataError, or the gate refuses its fit, the last one is held for `scale.timeout`; then
        DataError is raised, or the last one is marked stale by `scale.on_timeout`.
        """
        if stamp < self._newest - _BACK_S:
            self._last, self._differing = None, []
        self._newest = stamp
        if self._last is not None and not settings.varying:
            self._last = replace(self._last, factors=None)
        try:
            fit = measure()
        except DataError as error:
            return self._held(stamp, settings, error)
        last = self._last
        if last is None or self._is_late(stamp, settings):
            return self._taken(fit, stamp)
        change, judged = _change(last, fit, _levels(disparity)), fit.applied
        if change <= max(_NOISE, _NOISE_OF_RESIDUAL * (0.0 if math.isnan(judged.residual) else judged.residual)):
            return self._taken(_blended(last, fit, settings.smoothing), stamp)
        if self._trusted and not judged.doubt:
            return self._taken(fit, stamp)
        within = change <= (settings.gate or math.inf)
        if self._repeated(fit, disparity, _AGREEING if within else settings.gate):
            return self._taken(fit, stamp)
        if within:
            self._last, self._fitted_at = _blended(last, fit, settings.smoothing), stamp
            return self._last
        beyond = f"a fit that changes depth by {100 * change:.0f} % is beyond scale.gate ({100 * settings.gate:.0f} %)"
        return self._held(stamp, settings, DataError(beyond))

    def _taken(self, fit: Scale, stamp: float) -> Scale:
        self._last, self._fitted_at, self._differing = fit, stamp, []
        return fit

    def _is_late(self, stamp: float, settings: ScaleSettings) -> bool:
        return bool(settings.timeout) and stamp - self._fitted_at > settings.timeout

    def _held(self, stamp: float, settings: ScaleSettings, error: DataError) -> Scale:
        last, late, age = self._last, self._is_late(stamp, settings), stamp - self._fitted_at
        if last is None:
            raise error
        if late and settings.on_timeout == "withhold":
            raise DataError(
                f"no new scale for {age:.1f} s (scale.timeout {settings.timeout:g} s), depth is withheld: {error}"
            ) from error
        self._last = replace(last, held=last.held + 1, age=max(0.0, age), stale=late, reason=str(error))
        return self._last

    def _repeated(self, fit: Scale, disparity: Depth, most: float) -> bool:
        """Whether it is the third in a row that differs from the last one, and not by more than `most` from them."""
        levels = _levels(disparity)
        if self._differing and _change(self._differing[0], fit, levels) > most:
            self._differing = []
        self._differing.append(fit)
        return len(self._differing) >= _IN_A_ROW


def _levels(disparity: Depth) -> F64:
    """Far, middle and near disparity (3,) of an image; (0,) where it has none."""
    thin = disparity[::_STEP, ::_STEP]
    known = np.sort(thin[np.isfinite(thin)]).astype(np.float64)
    return known[(len(known) - 1) * np.array(_LEVELS) // 100] if len(known) else known


def _change(last: Scale, fit: Scale, levels: F64) -> float:
    """The largest relative change of inverse depth at these disparities; far away of a tenth of the nearest.

    Where it varies over the image, that of half of the image.
    """
    if not len(levels):
        return 0.0
    before, after = (_over_image(each, levels) for each in (last, fit))
    change = np.abs(after - before) / np.maximum(np.abs(after), _FAR * np.abs(after).max())
    return float(np.median(change, axis=0).max())


def _over_image(scale: Scale, levels: F64) -> F64:
    """Inverse depth (N, levels) at the N places of the factors; of one place without."""
    factors = np.ones((1, 1)) if scale.factors is None else scale.factors.reshape(-1, 1).astype(np.float64)
    return factors * (scale.scale * levels + scale.shift)


def _blended(last: Scale, fit: Scale, kept: float) -> Scale:
    """A mean of both. `scale.varying` is off where the fit has no factors, and was off where the last one has none."""
    factors = fit.factors
    if factors is not None and last.factors is not None:
        factors = np.float32(kept) * last.factors + np.float32(1 - kept) * factors
    scale, shift = (kept * a + (1 - kept) * b for a, b in ((last.scale, fit.scale), (last.shift, fit.shift)))
    return replace(fit, scale=scale, shift=shift, factors=factors)

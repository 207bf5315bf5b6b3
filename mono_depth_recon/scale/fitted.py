"""Sources that measure the scale in every image: the fit of one image, and its filter over time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace

from ..errors import DataError
from ..frames import Scale
from .base import RelativeView, ScaleSource
from .evidence import Evidence
from .settings import ScaleSettings

KEPT_FRAMES = 30  # the last fit replaces a failed one for at most this many frames


class ScaleFilter:
    """Scale and shift of one camera over time."""

    def __init__(self) -> None:
        self._last: Scale | None = None

    def update(self, measure: Callable[[], Scale], smoothing: float) -> Scale:
        """The fit of this frame by `measure`, blended with the share `smoothing` (0 to 1) of the previous one.

        If `measure` raises DataError, the last fit is held for KEPT_FRAMES frames, then the error passes on.
        """
        last = self._last
        try:
            fit = measure()
        except DataError:
            self._last = None if last is None or last.held >= KEPT_FRAMES else replace(last, held=last.held + 1)
            if self._last is None:
                raise
            return self._last
        self._last = fit if last is None else _blended(last, fit, smoothing)
        return self._last


def _blended(last: Scale, fit: Scale, kept: float) -> Scale:
    scale = kept * last.scale + (1 - kept) * fit.scale
    return replace(fit, scale=scale, shift=kept * last.shift + (1 - kept) * fit.shift)


class FittedScale(ScaleSource):
    """A source that measures each image (`measure`) and smooths over time."""

    def __init__(self) -> None:
        self._filter = ScaleFilter()

    @abstractmethod
    def measure(self, view: RelativeView, evidence: Evidence, settings: ScaleSettings) -> Scale:
        """The scale of this image alone. Raises DataError if it cannot be measured."""

    def fit(self, view: RelativeView, evidence: Evidence, settings: ScaleSettings) -> Scale:
        """`measure`, blended with the previous fits (`scale.smoothing`) and held if it fails."""
        return self._filter.update(lambda: self.measure(view, evidence, settings), settings.smoothing)

    @staticmethod
    def figures(scale: Scale) -> dict[str, str]:
        """Also how many of the compared pixels agree, and for how many frames the fit has been held."""
        fit = {"scale_inliers": f"{scale.inliers:.2f}", "scale_held_frames": str(scale.held)}
        return ScaleSource.figures(scale) | fit

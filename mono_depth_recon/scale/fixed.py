"""scale.source=fixed: the numbers of the parameters."""

from __future__ import annotations

from ..frames import Scale
from .base import RelativeView, ScaleSource
from .evidence import Evidence
from .settings import ScaleSettings


class FixedScale(ScaleSource):
    """`scale.scale` and `scale.shift`."""

    name = "fixed"
    remedy = "with scale.scale and scale.shift"

    def fit(self, view: RelativeView, evidence: Evidence, settings: ScaleSettings) -> Scale:
        """The same for every image."""
        return Scale(settings.scale, settings.shift)

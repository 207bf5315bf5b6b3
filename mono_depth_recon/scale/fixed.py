"""scale.source=fixed: the numbers of the parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frames import Scale
from .base import RelativeView, ScaleSource
from .evidence import Evidence

if TYPE_CHECKING:
    from ..config import ScaleConfig


class FixedScale(ScaleSource):
    """`scale.scale` and `scale.shift`."""

    name = "fixed"
    remedy = "with scale.scale and scale.shift"

    def fit(self, view: RelativeView, evidence: Evidence, settings: ScaleConfig) -> Scale:
        """The same for every image."""
        return Scale(settings.scale, settings.shift)

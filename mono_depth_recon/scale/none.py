"""scale.source=none: disparity stays relative."""

from __future__ import annotations

from ..errors import DataError
from ..frames import Scale
from .base import RelativeView, ScaleSource
from .evidence import Evidence
from .settings import ScaleSettings


class NoScale(ScaleSource):
    """No metres at all."""

    name = "none"
    help = "disparity only"
    gives_metres = False

    def fit(self, view: RelativeView, evidence: Evidence, settings: ScaleSettings) -> Scale:
        """Raises DataError."""
        raise DataError("scale.source=none gives no metres")

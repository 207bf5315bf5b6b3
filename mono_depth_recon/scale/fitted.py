"""Sources that measure the scale in every image: the fit of one image, filtered over time."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from ..frames import Scale
from .base import RelativeView, ScaleSource
from .evidence import Evidence
from .filter import ScaleFilter
from .settings import ScaleSettings


class FittedScale(ScaleSource):
    """A source that measures each image (`measure`) and filters over time.

    `trusted`: many independent measurements make a fit, so that one of one image may be believed.
    """

    trusted: ClassVar[bool] = True

    def __init__(self) -> None:
        self._filter = ScaleFilter(self.trusted)

    @abstractmethod
    def measure(self, view: RelativeView, evidence: Evidence, settings: ScaleSettings) -> Scale:
        """The scale of this image alone. Raises DataError if it cannot be measured."""

    def fit(self, view: RelativeView, evidence: Evidence, settings: ScaleSettings) -> Scale:
        """`measure`, filtered (`ScaleFilter`): blended with the previous fits, and held where it fails."""
        return self._filter.update(lambda: self.measure(view, evidence, settings), view.disparity, view.stamp, settings)

    @staticmethod
    def figures(scale: Scale) -> dict[str, str]:
        """Also how well it fits, how old it is, and why."""
        fit = {
            "scale_inliers": f"{scale.inliers:.2f}",
            "scale_residual": f"{scale.residual:.4f}",
            "scale_variation": f"{scale.variation:.4f}",
            "scale_held_frames": str(scale.held),
            "scale_age_s": f"{scale.age:.2f}",
            "scale_stale": str(scale.stale).lower(),
            "scale_reason": scale.reason or scale.doubt,
        }
        return ScaleSource.figures(scale) | fit

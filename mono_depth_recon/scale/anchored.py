"""Sources that know depth at some pixels: the fit of the model's output to it."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from ..alignment import fit_factor, fit_scale
from ..arrays import Depth
from ..frames import Scale
from .base import RelativeView
from .evidence import Evidence
from .fitted import FittedScale
from .settings import ScaleSettings
from .varying import with_factors


class AnchoredScale(FittedScale):
    """Scale and shift that agree with `anchor`: depth at some pixels; and factors, by `scale.varying`."""

    varies: ClassVar[bool] = True

    @abstractmethod
    def anchor(self, view: RelativeView, evidence: Evidence, settings: ScaleSettings) -> Depth:
        """(h, w) metres, NaN unknown, in the view of the rectified image. Raises DataError if there is none."""

    def measure(self, view: RelativeView, evidence: Evidence, settings: ScaleSettings) -> Scale:
        """`fit_scale` on the rectified grid, or `fit_factor` where `scale.correct_metric` is factor; `with_factors`."""
        reference = self.anchor(view, evidence, settings)
        factor = view.metric and settings.correct_metric == "factor"
        fit = (fit_factor if factor else fit_scale)(view.disparity, reference)
        return with_factors(fit, view.disparity, reference) if settings.varying else fit

"""A scale source as another package would add one: a class and a row. Must be imported before the configuration.

`toy` takes the inverse depth (1/m) of disparity 1 from evidence of its own kind, which is no depth image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mono_depth_recon.frames import Scale
from mono_depth_recon.scale.base import RelativeView
from mono_depth_recon.scale.evidence import Evidence, Kind
from mono_depth_recon.scale.fitted import FittedScale
from mono_depth_recon.scale.table import SCALE_SOURCES

if TYPE_CHECKING:
    from mono_depth_recon.scale.settings import ScaleSettings

TOY_SCALE: Kind[float] = Kind("toy_scale", "a number", topic="toy")


class ToyScale(FittedScale):
    """The number beside the image."""

    name = "toy"
    help = "from a number beside the image"
    remedy = "with a number on the topic toy_scale"
    needs = (TOY_SCALE,)

    def measure(self, view: RelativeView, evidence: Evidence, settings: ScaleSettings) -> Scale:
        """Shift 0; every pixel agrees."""
        return Scale(self.required(evidence, TOY_SCALE), 0.0, inliers=1.0, residual=0.0)


SCALE_SOURCES[ToyScale.name] = ToyScale

"""scale.source=reference: a robust fit to depth of the same view, of a depth camera or projected into the image."""

from __future__ import annotations

from ..alignment import on_rectified_grid
from ..arrays import Depth
from ..registration import DepthView
from .anchored import AnchoredScale
from .base import RelativeView
from .evidence import Evidence, Kind
from .settings import ScaleSettings

# (h, w) float32 metres, NaN unknown: depth registered to the raw image, sparse or dense, at any resolution; or that of
# another camera.
REFERENCE_DEPTH: Kind[Depth | DepthView] = Kind("reference_depth", "depth", topic="reference/image")


class ReferenceScale(AnchoredScale):
    """Scale and shift that agree with the depth beside the image."""

    name = "reference"
    help = "fitted to depth beside the image"
    remedy = (
        f"with a depth image beside the colour one (topic {REFERENCE_DEPTH.name}; --reference FILE on the command line)"
    )
    needs = (REFERENCE_DEPTH,)

    def anchor(self, view: RelativeView, evidence: Evidence, settings: ScaleSettings) -> Depth:
        """The reference depth on the rectified grid."""
        return on_rectified_grid(self.required(evidence, REFERENCE_DEPTH), view.camera)

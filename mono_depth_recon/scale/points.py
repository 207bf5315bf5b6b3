"""scale.source=points: a robust fit to points of another sensor: LiDAR, radar, landmarks of a SLAM system."""

from __future__ import annotations

from ..arrays import Depth, Matrix
from ..errors import ConfigError, DataError
from ..param import shown
from ..poses import checked_numbers, pose_matrix
from ..registration import project_points
from .anchored import AnchoredScale
from .base import RelativeView
from .evidence import Evidence, Kind
from .settings import ScaleSettings

# (N, 3) float64 metres in the optical frame of the raw image.
REFERENCE_POINTS: Kind[Matrix] = Kind("reference_points", "points", topic="reference_points")

EXTRINSIC = "x y z qx qy qz qw"


class PointsScale(AnchoredScale):
    """Scale and shift that agree with the points beside the image."""

    name = "points"
    help = "fitted to points beside the image"
    remedy = f"with a point cloud beside the image (topic {REFERENCE_POINTS.name})"
    needs = (REFERENCE_POINTS,)

    def anchor(self, view: RelativeView, evidence: Evidence, settings: ScaleSettings) -> Depth:
        """The points as the camera sees them, at the pixels they fall on."""
        return project_points(self.required(evidence, REFERENCE_POINTS), view.camera)


def extrinsic_pose(text: str) -> Matrix | None:
    """Pose (4, 4) of the points' frame in the camera's by `scale.extrinsic`; None if empty. Raises ConfigError."""
    if not text.strip():
        return None
    try:
        numbers = [float(word) for word in text.replace(",", " ").split()]
        if len(numbers) != len(EXTRINSIC.split()):
            raise ValueError
        pose = checked_numbers(numbers)
    except (ValueError, DataError) as error:
        reason = f": it {error}" if isinstance(error, DataError) else ""
        raise ConfigError(f"scale.extrinsic must be seven numbers '{EXTRINSIC}', got {shown(text)}{reason}") from error
    return pose_matrix(pose[:3], pose[3:])

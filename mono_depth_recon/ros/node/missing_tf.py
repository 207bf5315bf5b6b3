"""What is configured and needs TF, where TF is not installed: said when the node is configured."""

from __future__ import annotations

from collections.abc import Mapping

from ...config import Config
from ...scale.ground_plane import GROUND
from ...scale.odometry import CAMERA_POSE
from ...scale.table import source_of
from ..mapping.tf import tf_is_installed
from ..tf_messages import TF_MISSING
from .points_all import NO_TF


def missing_tf(config: Config, cameras: Mapping[str, Config]) -> list[str]:
    """A line for each thing that `config` and those of the `cameras` ask for and that there cannot be without TF."""
    if tf_is_installed():
        return []
    lines = [NO_TF] if config.points_all.enabled else []
    if config.fusion.poses and len(cameras) > 1:
        lines.append(
            f"fusion.poses: only the camera whose frame the topic {config.fusion.poses} names is in the map, the "
            f"others are left out of it: {TF_MISSING}"
        )
    for name, each in cameras.items():
        needed, scale = source_of(each.scale).needed(each.scale), each.scale
        if CAMERA_POSE in needed or (GROUND in needed and scale.gravity == "tf"):
            instead = "choose another scale.source" if CAMERA_POSE in needed else "set scale.gravity to level or imu"
            of = f"{name}: " if name else ""
            lines.append(f"{of}scale.source {scale.source} cannot be fitted: {TF_MISSING}, or {instead}")
    return lines

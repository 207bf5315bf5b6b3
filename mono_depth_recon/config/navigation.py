"""The group `safe`: the obstacles that points_safe and scan publish for navigation."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError
from ..param import param, shown
from ..transforms import frame_name


@dataclass(frozen=True)
class SafeConfig:
    """What counts as an obstacle. Heights are above the origin of `base_frame`, ranges horizontal distances from it."""

    base_frame: str = param(
        "base_link", "points_safe, scan: TF frame of the robot, z up; heights and ranges are measured in it"
    )
    stride: int = param(2, "use every n-th row and column of the depth", unit="px", low=1, high=64)
    max_range: float = param(
        5.0,
        "points at a larger horizontal distance are left out; range_max of scan, which is at most filter.max_range",
        unit="m",
        low=0.1,
        high=1000.0,
    )
    min_height: float = param(0.0, "lower points are left out", unit="m", low=-1000.0, high=1000.0)
    max_height: float = param(2.0, "higher points are left out: the robot's height", unit="m", low=-1000.0, high=1000.0)
    ground: str = param(
        "remove",
        "points of the ground: leave them out, keep them as they are, or flatten them to safe.ground_height, so that "
        "a costmap clears along them",
        choices=("remove", "flatten", "keep"),
    )
    ground_height: float = param(
        0.0, "height of the ground; negative where the base frame is above it", unit="m", low=-1000.0, high=1000.0
    )
    ground_tolerance: float = param(
        0.05, "points this near to the ground, above or below, belong to it", unit="m", low=0.0, high=10.0
    )
    ground_slope: float = param(
        0.05, "what is added to safe.ground_tolerance for each metre of range", unit="m/m", low=0.0, high=1.0
    )
    edge_threshold: float = param(
        0.08, "as filter.edge_threshold, where that is off or larger; 0 = off", low=0.0, high=10.0
    )
    max_sigma: float = param(
        0.2, "largest sigma as a share of depth, where the model gives sigma; 0 = off", low=0.0, high=10.0
    )
    min_confidence: float = param(
        0.0,
        "least confidence, where the model gives it; values are comparable within one model; 0 = off",
        low=0.0,
        high=1.0,
    )
    voxel_size: float = param(
        0.05,
        "points_safe has one point per cube of this size, the mean of its points; 0 = all",
        unit="m",
        low=0.0,
        high=1.0,
    )

    def __post_init__(self) -> None:
        if self.min_height >= self.max_height:
            raise ConfigError(
                f"safe.min_height ({self.min_height:g} m) must be below safe.max_height ({self.max_height:g} m)"
            )
        if not frame_name(self.base_frame):
            raise ConfigError(f"safe.base_frame must be the name of a frame, got {shown(self.base_frame)}")

"""The parameters of fusion, which makes one map of many frames."""

from __future__ import annotations

from dataclasses import dataclass

from .param import param


@dataclass(frozen=True)
class FusionConfig:
    """The map of many frames, which frames enter it and how."""

    voxel_size: float = param(0.02, "edge of a voxel", unit="m", low=0.002, high=1.0, live=False)
    truncation: float = param(
        4.0,
        "distances to the surface are kept up to this many voxels; more bears more noise",
        unit="voxels",
        low=2.0,
        high=32.0,
        live=False,
    )
    max_blocks: int = param(
        20000,
        "blocks of 8x8x8 voxels (10 KB each) at most; those seen longest ago leave, of equal age the farthest",
        low=100,
        high=1_000_000,
        live=False,
    )
    device: str = param(
        "auto", "auto = a CUDA device where Open3D has one, else CPU", choices=("auto", "cpu", "cuda"), live=False
    )
    depth_max: float = param(5.0, "farther depth is left out", unit="m", low=0.1, high=100.0)
    min_weight: float = param(
        0.3,
        "surface is shown where the weights of its frames (cosine of the viewing angle, "
        "less for a large sigma) sum up to this",
        low=0.01,
        high=60.0,
    )
    keyframe_distance: float = param(
        0.05,
        "a frame is fused when the camera has moved so far since the last one; 0 = every frame",
        unit="m",
        low=0.0,
        high=100.0,
    )
    keyframe_angle: float = param(4.0, "or turned so far", unit="deg", low=0.0, high=180.0)
    max_speed: float = param(
        3.0, "a pose that moves faster is a jump: its frame is left out", unit="m/s", low=0.01, high=1000.0
    )
    parallax: bool = param(
        True,
        "a frame's depth is bent onto points that the last keyframes triangulate along the "
        "poses, which gives predicted depth their metres; false for measured depth",
    )
    align: float = param(
        0.5,
        "share of a frame's scale and shift against the map's own depth that is removed before "
        "it is fused, as long as no parallax has told the map's metres (then all of it); 0 for "
        "measured depth",
        low=0.0,
        high=1.0,
    )
    max_scale_change: float = param(
        0.35, "a frame whose depth differs more from the map's is left out", low=0.01, high=10.0
    )


@dataclass(frozen=True)
class _LiveConfig:
    """What the node adds to it: where poses come from, and what it shows."""

    enabled: bool = param(False, "fuse the frames into one map of what the camera has seen; false again pauses")
    world_frame: str = param(
        "",
        "frame of the map; poses come from TF, as the camera's frame in this one, unless fusion.poses names a topic",
        live=False,
    )
    poses: str = param(
        "",
        "topic of poses (nav_msgs/Odometry, geometry_msgs/PoseStamped or PoseWithCovarianceStamped); without it and "
        "without a world frame RGB-D odometry on the predicted depth makes up for them, and drifts",
        live=False,
    )
    map_file: str = param(
        "", "file (.npz) of save_map and load_map; empty = save_map makes a new one in mesh.directory"
    )
    points_rate: float = param(
        1.0, "map_points a second at most, while somebody subscribes; 0 = none", unit="Hz", low=0.0, high=30.0
    )
    mesh_rate: float = param(
        0.0,
        "markers (mesh) of the map a second at most, while somebody subscribes; 0 = by save_mesh alone",
        unit="Hz",
        low=0.0,
        high=10.0,
    )


@dataclass(frozen=True)
class MappingConfig(FusionConfig, _LiveConfig):
    """The map that the node makes while it runs."""

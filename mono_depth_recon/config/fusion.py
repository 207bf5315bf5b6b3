"""The parameters of fusion, which builds one map from many frames."""

from __future__ import annotations

from dataclasses import dataclass

from ..param import param

MAP_SUFFIX = ".npz"


@dataclass(frozen=True)
class FusionConfig:
    """The map, which frames are fused into it, and how."""

    voxel_size: float = param(0.02, "edge length of a voxel", unit="m", low=0.002, high=1.0, live=False)
    truncation: float = param(
        4.0,
        "distances to the surface are stored up to this many voxels; larger values tolerate more noise",
        unit="voxels",
        low=2.0,
        high=32.0,
        live=False,
    )
    max_blocks: int = param(
        20000,
        "maximum number of blocks of 8x8x8 voxels (10 KB each); the longest unseen are dropped first, of these the "
        "farthest",
        low=100,
        high=1_000_000,
        live=False,
    )
    device: str = param(
        "auto",
        "where the map is computed; auto = CUDA if Open3D supports it, else CPU",
        choices=("auto", "cpu", "cuda"),
        live=False,
    )
    depth_max: float = param(5.0, "depth beyond this is not fused", unit="m", low=0.1, high=100.0)
    min_weight: float = param(
        0.3,
        "the surface is shown where the weights of its frames (cosine of the viewing angle, "
        "less for a large sigma) add up to at least this",
        low=0.01,
        high=60.0,
    )
    keyframe_distance: float = param(
        0.05,
        "a frame is fused when the camera has moved this far since the last fused one; 0 = every frame",
        unit="m",
        low=0.0,
        high=100.0,
    )
    keyframe_angle: float = param(
        4.0,
        "a frame is also fused when the camera has turned this far since the last fused one",
        unit="deg",
        low=0.0,
        high=180.0,
    )
    max_speed: float = param(
        3.0,
        "a faster motion of the pose counts as a jump, and its frame is not fused",
        unit="m/s",
        low=0.01,
        high=1000.0,
    )
    parallax: bool = param(
        True,
        "fit the depth of a frame to points triangulated from the last keyframes and their poses, "
        "which brings predicted depth to the metres of the poses; set to false for measured depth",
    )
    align: float = param(
        0.5,
        "share of a frame's scale and shift relative to the map's depth that is removed before "
        "fusing, until parallax has fixed the metres of the map (then all of it is removed); set to 0 for "
        "measured depth",
        low=0.0,
        high=1.0,
    )
    max_scale_change: float = param(
        0.35,
        "a frame whose depth differs from the map's by more than this share is not fused",
        low=0.01,
        high=10.0,
    )


@dataclass(frozen=True)
class _LiveConfig:
    """What the node adds: where poses come from and what is published."""

    enabled: bool = param(False, "fuse the frames into one map; setting it to false again pauses")
    world_frame: str = param(
        "",
        "TF frame of the map; poses are the camera's transforms into it, unless fusion.poses names a topic",
        live=False,
    )
    poses: str = param(
        "",
        "topic of poses (nav_msgs/Odometry, geometry_msgs/PoseStamped, PoseWithCovarianceStamped or TransformStamped); "
        "if this and fusion.world_frame are empty, poses come from RGB-D odometry on the predicted depth, which drifts",
        live=False,
    )
    map_file: str = param(
        "", "file (.npz) of save_map and load_map; empty = save_map creates a new one in mesh.directory"
    )
    points_rate: float = param(
        1.0,
        "maximum rate of map_points, published only while there is a subscriber; 0 = none",
        unit="Hz",
        low=0.0,
        high=30.0,
    )
    mesh_rate: float = param(
        0.0,
        "maximum rate of the map's mesh marker, published only while there is a subscriber; 0 = only on save_mesh",
        unit="Hz",
        low=0.0,
        high=10.0,
    )


@dataclass(frozen=True)
class MappingConfig(FusionConfig, _LiveConfig):
    """The map that the node builds while it runs."""

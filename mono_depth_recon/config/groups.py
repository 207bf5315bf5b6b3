"""The groups of the parameters: the model and how it runs, the camera, the filters, what is published."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from ..decoding import STREAM_MEGAPIXELS
from ..errors import ConfigError
from ..param import param, shown
from ..scale.points import extrinsic_pose
from ..scale.settings import ScaleSettings
from ..scale.table import SCALE_SOURCES, parameter_help
from ..transforms import frame_name
from .cameras import PointsAllConfig, camera_names
from .evaluation import LiveEvaluationConfig
from .fusion import MAP_SUFFIX, MappingConfig
from .guard import GuardConfig
from .navigation import SafeConfig

_TEXTURED = ("obj", "glb")


@dataclass(frozen=True)
class ModelConfig:
    """Which model runs, with which weights, on which runtime."""

    name: str = param(
        "unetpp_lite",
        "model of the table (mono-depth-recon models lists them), hf:ID or hf:FOLDER, onnx:FILE or onnx:CARD, or "
        "ensemble:A+B",
        live=False,
    )
    checkpoint: str = param(
        "",
        "card (.json) of a U-Net++, folder or weights file of a transformers model, ONNX file of a row made of one, or "
        "one of these per member of an ensemble, separated by ':'; empty = the published weights",
        live=False,
    )
    output: str = param(
        "auto",
        "output of an hf:... model; auto = as in the table of models",
        choices=("auto", "metric_depth", "relative_disparity"),
        live=False,
    )
    accept_noncommercial: bool = param(False, "accept weights whose licence forbids commercial use", live=False)
    input_size: int = param(
        0,
        "short side of the network's input, rounded to what the model accepts; smaller is faster; 0 = as published",
        unit="px",
        low=0,
        high=4096,
        live=False,
    )
    focal_scaling: bool = param(
        True,
        "scale the metres of published models by the camera's focal length over that of their training camera; "
        "false = the metres of the reference implementation",
        live=False,
    )
    runtime: str = param(
        "auto",
        "what runs the model; auto = the fastest runtime whose output agrees with float32 torch on this machine",
        choices=("auto", "torch", "openvino", "onnxruntime", "tensorrt"),
        live=False,
    )
    device: str = param(
        "auto", "auto = GPU if the runtime supports one, else CPU", choices=("auto", "cpu", "cuda"), live=False
    )
    precision: str = param(
        "auto",
        "arithmetic of the model; auto = f32 on a CPU, on a GPU the fastest that agrees with f32; int8 is "
        "calibrated on model.calibration",
        choices=("auto", "f32", "f16", "bf16", "int8"),
        live=False,
    )
    calibration: str = param("", "folder of images for the calibration of int8", live=False)
    compile: bool = param(False, "torch: use torch.compile; slower to start", live=False)
    cuda_graphs: bool = param(True, "torch on a GPU: replay each frame as one CUDA graph", live=False)
    uncertainty: str = param(
        "none",
        "estimate of sigma: the spread of mc_dropout samples, of the image and its mirror image (flip), or of the "
        "members of an ensemble",
        choices=("none", "mc_dropout", "flip", "ensemble"),
        live=False,
    )
    samples: int = param(8, "mc_dropout: number of samples, in one batch", low=2, high=64, live=False)


@dataclass(frozen=True)
class ScaleConfig(ScaleSettings):
    """From relative disparity to metres: 1 / depth = scale * disparity + shift."""

    source: str = param("none", parameter_help(), choices=tuple(SCALE_SOURCES))

    def __post_init__(self) -> None:
        extrinsic_pose(self.extrinsic)


@dataclass(frozen=True)
class CameraConfig:
    """How the incoming image relates to its camera_info."""

    input: str = param(
        "auto",
        "raw uses K and D, rectified uses P; auto treats topics named *rect* as rectified",
        choices=("auto", "raw", "rectified"),
        live=False,
    )
    distortion: str = param(
        "rectify", "rectify distorted images before inference, or refuse them", choices=("rectify", "refuse")
    )
    mask: str = param(
        "",
        "greyscale image of the camera's size; black pixels (the robot's body) have no depth; empty = none",
        live=False,
    )
    hfov: float = param(
        0.0,
        "horizontal field of view of a camera without a calibration (camera_info absent or zero), whose intrinsics "
        "are then guessed: square pixels, principal point in the middle; from 1 degree; 0 = off",
        unit="deg",
        low=0.0,
        high=170.0,
    )
    max_megapixels: float = param(
        STREAM_MEGAPIXELS,
        "compressed images, and photos for reconstruct (where it is 100 unless given), with more pixels are refused "
        "before they are decoded",
        low=0.01,
        high=1000.0,
    )

    def __post_init__(self) -> None:
        if 0 < self.hfov < 1:
            raise ConfigError(f"camera.hfov must be 0 (off) or 1 to 170 deg, got {self.hfov:g}")


@dataclass(frozen=True)
class QosConfig:
    """Quality of service; the defaults match all common publishers and subscribers."""

    subscribe: str = param(
        "auto",
        "reliability of image and camera_info subscriptions; auto = reliable if every publisher offers it",
        choices=("auto", "reliable", "best_effort"),
        live=False,
    )
    publish: str = param(
        "reliable", "reliability of published images and clouds", choices=("reliable", "best_effort"), live=False
    )


@dataclass(frozen=True)
class DepthConfig:
    """How depth is published (REP 117, REP 118)."""

    encoding: str = param("32FC1", "32FC1: metres; 16UC1: millimetres, 0 = invalid", choices=("32FC1", "16UC1"))
    invalid: str = param(
        "nan",
        "invalid pixels of 32FC1: nan (and +Inf beyond range, REP 117), or zero for consumers that expect 0",
        choices=("nan", "zero"),
    )


@dataclass(frozen=True)
class CompressionConfig:
    """The compressed topics, published as image_transport does."""

    depth: str = param("png", "depth/image_rect/compressedDepth: png, or rvl, which is faster", choices=("png", "rvl"))
    rgb: str = param("jpeg", "rgb/image_rect/compressed: jpeg, or png, which is lossless", choices=("jpeg", "png"))
    jpeg_quality: int = param(95, "quality of jpeg; smaller images with a smaller one", low=1, high=100)
    png_level: int = param(1, "compression of png; slower and little smaller with a larger one", low=0, high=9)


@dataclass(frozen=True)
class FilterConfig:
    """What is removed from the depth map."""

    min_range: float = param(0.1, "depth below this becomes unknown (NaN)", unit="m", low=0.0, high=1000.0)
    max_range: float = param(10.0, "depth above this is beyond range (+Inf)", unit="m", low=0.01, high=1000.0)
    edge_threshold: float = param(
        0.08,
        "flying pixels: largest relative step of inverse depth across 3 pixels, for images 640 px wide; 0 = off",
        low=0.0,
        high=10.0,
    )
    max_sigma: float = param(
        0.0,
        "depth with a larger sigma becomes unknown (NaN); needs model.uncertainty; 0 = off",
        unit="m",
        low=0.0,
        high=100.0,
    )
    min_confidence: float = param(
        0.0,
        "depth of a smaller confidence becomes unknown (NaN), where the model gives confidence; values are comparable "
        "within one model; 0 = off",
        low=0.0,
        high=1.0,
    )
    border: int = param(0, "width of the image border without depth", unit="px", low=0, high=10000)


@dataclass(frozen=True)
class CloudConfig:
    """The published cloud."""

    stride: int = param(1, "keep every n-th row and column; 1 = all", unit="px", low=1, high=64)
    voxel_size: float = param(
        0.0,
        "one point per cube of this size, the mean of its points (the cloud is then unorganised); 0 = off",
        unit="m",
        low=0.0,
        high=1.0,
    )
    sigma: bool = param(False, "add a field sigma (float32, m) to the cloud; NaN without model.uncertainty")


@dataclass(frozen=True)
class MeshConfig:
    """Snapshots: the cleaned cloud and the mesh of one frame or of the map."""

    source: str = param(
        "auto",
        "what save_mesh and save_cloud save: the newest frame or the fused map; auto = the map if fusion.enabled",
        choices=("auto", "frame", "fused"),
    )
    method: str = param(
        "poisson",
        "surface reconstruction: poisson (smooth), grid (triangulated depth image, fast) or ball_pivoting",
        choices=("poisson", "grid", "ball_pivoting"),
    )
    format: str = param("ply", "file format of save_mesh", choices=("ply", "obj", "stl", "glb"))
    directory: str = param("", "folder of saved files; empty = mono_depth_recon in the ROS home (~/.ros)")
    voxel_size: float = param(0.02, "one frame: voxel size of the cleaned cloud; 0 = off", unit="m", low=0.0, high=1.0)
    outlier_neighbors: int = param(20, "statistical outliers: number of neighbours; 0 = off", low=0, high=200)
    outlier_std: float = param(
        2.0,
        "statistical outliers: distance above the mean, in standard deviations, from which a point is removed",
        low=0.1,
        high=20.0,
    )
    poisson_depth: int = param(8, "depth of the Poisson octree", low=4, high=11)
    trim_quantile: float = param(
        0.05, "Poisson: share of the vertices, those of lowest density, that is cut away", low=0.0, high=0.9
    )
    edge_ratio: float = param(
        0.05,
        "grid: triangles whose depths differ by more than this share of their distance are removed",
        low=0.001,
        high=1.0,
    )
    outlier_radius: float = param(
        0.0,
        "radius outliers: a point with fewer than 8 others within this distance is removed; 0 = off",
        unit="m",
        low=0.0,
        high=10.0,
    )
    hole_size: float = param(
        0.0, "holes of the surface up to this width are filled; 0 = off", unit="m", low=0.0, high=10.0
    )
    smoothing: int = param(0, "iterations of Taubin smoothing, which keeps the volume; 0 = off", low=0, high=100)
    triangles: int = param(0, "maximum number of triangles (quadric decimation); 0 = all", low=0, high=10_000_000)
    texture: bool = param(
        False, "obj and glb of one frame: use the image as texture, which is finer than vertex colours"
    )
    marker_triangles: int = param(
        10000, "maximum number of triangles of the RViz marker; 0 = no marker", low=0, high=100000
    )


@dataclass(frozen=True)
class Config:
    """All parameters of the node; immutable, so that every frame is processed with one consistent set."""

    cameras: str = param(
        "",
        "names of several cameras, separated by commas (front, left): topics, services and parameters of each are "
        "below its name; empty = one camera without a name",
        words=True,
        live=False,
    )
    image_transport: str = param(
        "raw",
        "raw subscribes to image, compressed to image/compressed (JPEG, PNG)",
        choices=("raw", "compressed"),
        live=False,
    )
    max_rate: float = param(
        0.0, "maximum number of frames processed per second; 0 = no limit", unit="Hz", low=0.0, high=1000.0
    )
    cpu_threads: int = param(
        0,
        "CPU threads of the model, and at most two of the steps around it; 0 = all cores",
        low=0,
        high=256,
        live=False,
    )
    autostart: bool = param(True, "configure and activate on start; false = wait for lifecycle transitions", live=False)
    model: ModelConfig = ModelConfig()
    scale: ScaleConfig = ScaleConfig()
    camera: CameraConfig = CameraConfig()
    qos: QosConfig = QosConfig()
    depth: DepthConfig = DepthConfig()
    compression: CompressionConfig = CompressionConfig()
    filter: FilterConfig = FilterConfig()
    cloud: CloudConfig = CloudConfig()
    guard: GuardConfig = GuardConfig()  # noqa: RUF009
    safe: SafeConfig = SafeConfig()  # noqa: RUF009
    points_all: PointsAllConfig = PointsAllConfig()  # noqa: RUF009
    mesh: MeshConfig = MeshConfig()
    fusion: MappingConfig = MappingConfig()  # noqa: RUF009 - they are frozen
    evaluation: LiveEvaluationConfig = LiveEvaluationConfig()  # noqa: RUF009

    @property
    def mesh_of_map(self) -> bool:
        """Whether `mesh.source` selects the map."""
        return self.mesh.source == "fused" or (self.mesh.source == "auto" and self.fusion.enabled)

    @property
    def camera_names(self) -> tuple[str, ...]:
        """The names in `cameras`; () for one camera without a name."""
        return camera_names(self.cameras, [field.name for field in fields(self)])

    def __post_init__(self) -> None:
        if len(self.camera_names) > 1 and self.fusion.enabled and not (self.fusion.world_frame or self.fusion.poses):
            raise ConfigError(
                "fusion.enabled with several cameras needs poses in one frame: set fusion.world_frame (TF) or "
                "fusion.poses"
            )
        if self.filter.min_range >= self.filter.max_range:
            raise ConfigError(
                f"filter.min_range ({self.filter.min_range:g} m) must be below "
                f"filter.max_range ({self.filter.max_range:g} m)"
            )
        if self.mesh.texture and self.mesh.format not in _TEXTURED:
            raise ConfigError(
                f"mesh.texture needs mesh.format {' or '.join(_TEXTURED)}, got {self.mesh.format}: change the other "
                "of the two first (ros2 param load sets one after the other), or both with set_parameters_atomically"
            )
        if self.mesh.texture and self.mesh_of_map:
            raise ConfigError("mesh.texture is for one frame, the map has none: set mesh.source to frame")
        if self.fusion.map_file and Path(self.fusion.map_file).suffix != MAP_SUFFIX:
            raise ConfigError(f"fusion.map_file must end in {MAP_SUFFIX}, got {shown(self.fusion.map_file)}")
        if self.fusion.world_frame and not frame_name(self.fusion.world_frame):
            raise ConfigError(f"fusion.world_frame must be the name of a frame, got {shown(self.fusion.world_frame)}")

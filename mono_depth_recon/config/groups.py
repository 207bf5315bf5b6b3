"""The groups of the parameters: which model runs and how, the camera, filters, what is published."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError
from .evaluation import LiveEvaluationConfig
from .fusion import MappingConfig
from .param import param


@dataclass(frozen=True)
class ModelConfig:
    """Which model runs, from which weights, on which runtime."""

    name: str = param(
        "unetpp_mobile",
        "model of the table (mono-depth-recon models lists them), hf:<id or folder>, or ensemble:<a>+<b>",
        live=False,
    )
    checkpoint: str = param(
        "",
        "card (.json) of a U-Net++, folder or weights file of a transformers model, or one of these per member of an "
        "ensemble, separated by ':'; empty = the weights of the table",
        live=False,
    )
    output: str = param(
        "auto",
        "what a model hf:... answers; auto = as the table says",
        choices=("auto", "metric_depth", "relative_disparity"),
        live=False,
    )
    accept_noncommercial: bool = param(False, "allow weights whose licence forbids commercial use", live=False)
    input_size: int = param(
        0,
        "short side of the network's input, rounded to what the model takes; smaller is faster; 0 = as published",
        unit="px",
        low=0,
        high=4096,
        live=False,
    )
    runtime: str = param(
        "auto",
        "what executes the model; auto = the fastest one that agrees with float32 torch on this machine",
        choices=("auto", "torch", "openvino", "onnxruntime"),
        live=False,
    )
    device: str = param(
        "auto", "auto = GPU where the runtime has one, else CPU", choices=("auto", "cpu", "cuda"), live=False
    )
    precision: str = param(
        "auto",
        "arithmetic; auto = f32 on a CPU, f16 on a GPU; int8 is calibrated on model.calibration",
        choices=("auto", "f32", "f16", "bf16", "int8"),
        live=False,
    )
    calibration: str = param("", "folder of images that int8 is calibrated on", live=False)
    compile: bool = param(False, "torch: torch.compile; starts slower", live=False)
    cuda_graphs: bool = param(True, "torch on a GPU: replay each frame as one CUDA graph", live=False)
    uncertainty: str = param(
        "none",
        "sigma of depth: spread of mc_dropout samples, of the mirrored image (flip), or of an ensemble's members",
        choices=("none", "mc_dropout", "flip", "ensemble"),
        live=False,
    )
    samples: int = param(8, "mc_dropout: samples in one batch", low=2, high=64, live=False)


@dataclass(frozen=True)
class ScaleConfig:
    """From relative disparity to metres: 1 / depth = scale * disparity + shift."""

    source: str = param(
        "none",
        "how a relative model gets metres: none (disparity only), fixed, reference (fitted to depth beside the image); "
        "a metric model keeps its own",
        choices=("none", "fixed", "reference"),
    )
    scale: float = param(1.0, "fixed: 1/m per unit of disparity", unit="1/m", low=1e-9, high=1e9)
    shift: float = param(0.0, "fixed: inverse depth of disparity 0", unit="1/m", low=-1e3, high=1e3)
    smoothing: float = param(
        0.8, "reference: share of the last frame's fit that is kept; 0 = each frame on its own", low=0.0, high=0.99
    )


@dataclass(frozen=True)
class CameraConfig:
    """How the incoming image relates to its camera_info."""

    input: str = param(
        "auto",
        "raw uses K and D, rectified uses P; auto takes topics named *rect* as rectified",
        choices=("auto", "raw", "rectified"),
        live=False,
    )
    distortion: str = param(
        "rectify", "a distorted image is rectified before inference, or refused", choices=("rectify", "refuse")
    )
    mask: str = param(
        "", "grey image of the camera's size; black pixels (robot body) have no depth; empty = none", live=False
    )


@dataclass(frozen=True)
class QosConfig:
    """Quality of service; the defaults fit every usual publisher and subscriber."""

    subscribe: str = param(
        "auto",
        "images and camera_info; auto = reliable where every publisher offers it",
        choices=("auto", "reliable", "best_effort"),
        live=False,
    )
    publish: str = param("reliable", "images and clouds", choices=("reliable", "best_effort"), live=False)


@dataclass(frozen=True)
class DepthConfig:
    """How depth is published (REP 117, REP 118)."""

    encoding: str = param("32FC1", "32FC1 metres, or 16UC1 millimetres with 0 invalid", choices=("32FC1", "16UC1"))
    invalid: str = param(
        "nan",
        "invalid value of 32FC1: nan (beyond range +Inf, REP 117), or zero for consumers that want 0",
        choices=("nan", "zero"),
    )


@dataclass(frozen=True)
class FilterConfig:
    """What is dropped from the depth map."""

    min_range: float = param(0.1, "nearer depth is unknown (NaN)", unit="m", low=0.0, high=1000.0)
    max_range: float = param(10.0, "farther depth is beyond range (+Inf)", unit="m", low=0.01, high=1000.0)
    edge_threshold: float = param(
        0.08,
        "flying pixels: largest step of inverse depth across 3 pixels, relative, at 640 px of width; 0 = off",
        low=0.0,
        high=10.0,
    )
    max_sigma: float = param(
        0.0,
        "depth of a larger sigma is unknown (NaN), where the model tells sigma (model.uncertainty); 0 = off",
        unit="m",
        low=0.0,
        high=100.0,
    )
    border: int = param(0, "pixels dropped at the image border", unit="px", low=0, high=10000)


@dataclass(frozen=True)
class CloudConfig:
    """The published cloud."""

    stride: int = param(1, "every n-th row and column; 1 = all", unit="px", low=1, high=64)
    voxel_size: float = param(
        0.0,
        "one point for each cube of this size, the mean of its points (then not organised); 0 = off",
        unit="m",
        low=0.0,
        high=1.0,
    )
    sigma: bool = param(
        False, "add a field sigma (float32, m) to the cloud; NaN where the model tells none (model.uncertainty)"
    )


@dataclass(frozen=True)
class MeshConfig:
    """Snapshots: the cleaned cloud and the mesh of one frame, or of the map."""

    source: str = param(
        "auto",
        "what save_mesh and save_cloud take: the newest frame, or the fused map; auto = the map where fusion.enabled",
        choices=("auto", "frame", "fused"),
    )
    method: str = param(
        "poisson",
        "surface: poisson (smooth), grid (triangulated depth image, fast), ball_pivoting",
        choices=("poisson", "grid", "ball_pivoting"),
    )
    format: str = param("ply", "file format of save_mesh", choices=("ply", "obj", "stl", "glb"))
    directory: str = param("", "where files go; empty = mono_depth_recon in the ROS home (~/.ros)")
    voxel_size: float = param(0.02, "one frame: voxel grid of the cleaned cloud; 0 = off", unit="m", low=0.0, high=1.0)
    outlier_neighbors: int = param(20, "statistical outliers: neighbours looked at; 0 = off", low=0, high=200)
    outlier_std: float = param(
        2.0, "statistical outliers: farther than mean + this many standard deviations", low=0.1, high=20.0
    )
    poisson_depth: int = param(8, "depth of the Poisson octree", low=4, high=11)
    trim_quantile: float = param(0.05, "Poisson: share of vertices of lowest density cut away", low=0.0, high=0.9)
    edge_ratio: float = param(
        0.05,
        "grid: triangles whose depths differ by more than this share of their distance are cut",
        low=0.001,
        high=1.0,
    )
    outlier_radius: float = param(
        0.0,
        "radius outliers: a point with fewer than 8 others this near is dropped; 0 = off",
        unit="m",
        low=0.0,
        high=10.0,
    )
    hole_size: float = param(
        0.0, "holes of the surface up to this width are closed; 0 = off", unit="m", low=0.0, high=10.0
    )
    smoothing: int = param(0, "rounds of Taubin smoothing, which keeps the volume; 0 = off", low=0, high=100)
    triangles: int = param(0, "triangles at most (quadric decimation); 0 = all", low=0, high=10_000_000)
    texture: bool = param(False, "obj and glb of one frame: the image itself as texture, finer than vertex colours")
    marker_triangles: int = param(10000, "triangles of the RViz marker at most; 0 = no marker", low=0, high=100000)


@dataclass(frozen=True)
class Config:
    """All parameters of the node; one immutable value per frame."""

    image_transport: str = param(
        "raw",
        "raw subscribes image, compressed subscribes image/compressed (JPEG, PNG)",
        choices=("raw", "compressed"),
        live=False,
    )
    max_rate: float = param(
        0.0, "frames processed per second at most; 0 = as many as come", unit="Hz", low=0.0, high=1000.0
    )
    cpu_threads: int = param(0, "threads of the model; 0 = all cores", low=0, high=256, live=False)
    autostart: bool = param(True, "configure and activate at start; false = wait for lifecycle transitions", live=False)
    model: ModelConfig = ModelConfig()
    scale: ScaleConfig = ScaleConfig()
    camera: CameraConfig = CameraConfig()
    qos: QosConfig = QosConfig()
    depth: DepthConfig = DepthConfig()
    filter: FilterConfig = FilterConfig()
    cloud: CloudConfig = CloudConfig()
    mesh: MeshConfig = MeshConfig()
    fusion: MappingConfig = MappingConfig()  # noqa: RUF009 - they are frozen
    evaluation: LiveEvaluationConfig = LiveEvaluationConfig()  # noqa: RUF009

    def __post_init__(self) -> None:
        if self.filter.min_range >= self.filter.max_range:
            raise ConfigError(
                f"filter.min_range ({self.filter.min_range:g} m) must be below "
                f"filter.max_range ({self.filter.max_range:g} m)"
            )

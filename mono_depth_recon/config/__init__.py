"""Every parameter once: frozen dataclasses (`groups`, `fusion`, `evaluation`) and the table that is made of them."""

from .evaluation import LiveEvaluationConfig
from .fusion import FusionConfig, MappingConfig
from .groups import (
    CameraConfig,
    CloudConfig,
    Config,
    DepthConfig,
    FilterConfig,
    MeshConfig,
    ModelConfig,
    QosConfig,
    ScaleConfig,
)
from .param import Value, param
from .table import (
    OFFLINE_FUSION,
    PARAMETERS,
    Parameter,
    nearest,
    parameter,
    rows_of,
    table_text,
    value_of,
    with_values,
    yaml_text,
)

__all__ = [
    "OFFLINE_FUSION",
    "PARAMETERS",
    "CameraConfig",
    "CloudConfig",
    "Config",
    "DepthConfig",
    "FilterConfig",
    "FusionConfig",
    "LiveEvaluationConfig",
    "MappingConfig",
    "MeshConfig",
    "ModelConfig",
    "Parameter",
    "QosConfig",
    "ScaleConfig",
    "Value",
    "nearest",
    "param",
    "parameter",
    "rows_of",
    "table_text",
    "value_of",
    "with_values",
    "yaml_text",
]

"""All parameters, as frozen dataclasses (`groups` and the files beside it), and the mechanism behind all settings.

`param` declares a field, `Parameter.check` checks a value, `build` makes a dataclass from plain values (YAML, JSON),
`add_flag` makes a command-line flag, `finite_number` reads the number of another one. Parameters of the node, settings
of nodes, training and data, and model cards all use it.
"""

from ..param import Parameter, Value, nearest, param, rows_of, shown
from .cameras import PointsAllConfig
from .evaluation import LiveEvaluationConfig
from .flags import add_flag, finite_number
from .fusion import MAP_SUFFIX, FusionConfig, MappingConfig
from .groups import (
    CameraConfig,
    CloudConfig,
    CompressionConfig,
    Config,
    DepthConfig,
    FilterConfig,
    MeshConfig,
    ModelConfig,
    QosConfig,
)
from .guard import GuardConfig
from .navigation import SafeConfig
from .per_camera import NodeConfig, camera_of, names_in, row_of
from .table import OFFLINE_FUSION, PARAMETERS, parameter, table_text, value_of, with_values, yaml_text
from .text import parse_yaml, read_json, read_yaml
from .tree import build

__all__ = [
    "MAP_SUFFIX",
    "OFFLINE_FUSION",
    "PARAMETERS",
    "CameraConfig",
    "CloudConfig",
    "CompressionConfig",
    "Config",
    "DepthConfig",
    "FilterConfig",
    "FusionConfig",
    "GuardConfig",
    "LiveEvaluationConfig",
    "MappingConfig",
    "MeshConfig",
    "ModelConfig",
    "NodeConfig",
    "Parameter",
    "PointsAllConfig",
    "QosConfig",
    "SafeConfig",
    "Value",
    "add_flag",
    "build",
    "camera_of",
    "finite_number",
    "names_in",
    "nearest",
    "param",
    "parameter",
    "parse_yaml",
    "read_json",
    "read_yaml",
    "row_of",
    "rows_of",
    "shown",
    "table_text",
    "value_of",
    "with_values",
    "yaml_text",
]

"""Parameters of single cameras: `<camera>.<name>` takes the place of `<name>` for that camera."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..errors import ConfigError
from ..param import Parameter, Value, shown
from .groups import Config
from .table import PARAMETERS, parameter, value_of, with_values

# What may differ between cameras; the rest is the node's: the model, the map, files and quality of service.
GROUPS = ("scale", "camera", "depth", "compression", "filter", "cloud", "safe", "evaluation")
SINGLE = ("image_transport", "max_rate")


@dataclass(frozen=True)
class NodeConfig:
    """All parameters of a node: the `general` ones, `own` of cameras by their full names, and what follows for each.

    `cameras` maps each name to its Config; without several cameras it is that of '', the only one.
    """

    general: Config
    own: Mapping[str, Value]
    cameras: Mapping[str, Config]

    @classmethod
    def of(cls, values: Mapping[str, object]) -> NodeConfig:
        """The defaults with `{"filter.max_range": 5.0, "front.filter.max_range": 3.0}`. Raises ConfigError."""
        return cls(Config(), {}, {}).changed(values)

    def changed(self, values: Mapping[str, object]) -> NodeConfig:
        """A copy with these values, each checked; None takes back that of a camera, which then has the general one.

        Raises ConfigError.
        """
        names = names_in(values.get("cameras", self.general.cameras))
        ours = {name: value for name, value in values.items() if camera_of(name, names) or name in self.own}
        checked = {name: row_of(name, names).check(value) for name, value in values.items() if name not in ours}
        general = with_values(self.general, checked)
        kept = {name: value for name, value in {**self.own, **ours}.items() if value is not None}
        _check_dropped(kept, names)
        own = {name: row_of(name, names).check(value) for name, value in kept.items()}
        return NodeConfig(general, own, {name: _config_of(name, general, own) for name in names or ("",)})

    def value(self, name: str) -> Value:
        """The value of the parameter `name`, which may be a camera's: its own or the general one."""
        camera = camera_of(name, self.general.camera_names)
        return value_of(self.cameras[camera], name[len(camera) + 1 :]) if camera else value_of(self.general, name)


def names_in(cameras: object) -> tuple[str, ...]:
    """The names in a value of the parameter `cameras`. Raises ConfigError."""
    return dataclasses.replace(Config(), cameras=str(parameter("cameras").check(cameras))).camera_names


def camera_of(name: str, cameras: tuple[str, ...]) -> str:
    """The camera that the parameter `name` is of; '' for a general one."""
    first, _, rest = name.partition(".")
    return first if rest and first in cameras else ""


def row_of(name: str, cameras: tuple[str, ...]) -> Parameter:
    """The row of the table for `name`, under that name. Raises ConfigError where there is none."""
    camera = camera_of(name, cameras)
    if not camera:
        first, _, rest = name.partition(".")
        if rest in names_per_camera():
            raise ConfigError(f"unknown parameter {shown(name)}: cameras does not name {shown(first)}")
        return parameter(name)
    general = name[len(camera) + 1 :]
    try:
        row = parameter(general)
    except ConfigError as error:
        raise ConfigError(f"camera {camera}: {error}") from error
    if general not in SINGLE and general.partition(".")[0] not in GROUPS:
        raise ConfigError(
            f"{shown(name)} cannot be set for one camera, only {general} for all: a camera has {', '.join(SINGLE)} and "
            f"the groups {', '.join(GROUPS)} of its own"
        )
    return dataclasses.replace(row, name=name, help=f"{row.help}; of camera {camera}")


def names_per_camera() -> list[str]:
    """The parameters that a camera may have of its own."""
    return [name for name in PARAMETERS if name in SINGLE or name.partition(".")[0] in GROUPS]


def _check_dropped(own: Iterable[str], names: tuple[str, ...]) -> None:
    """ConfigError where a camera that `cameras` no longer names has parameters of its own."""
    left = sorted(name for name in own if not camera_of(name, names))
    if left:
        camera, more = left[0].partition(".")[0], f" and {len(left) - 1} more" if left[1:] else ""
        raise ConfigError(
            f"cameras must name {shown(camera)} while that camera has parameters of its own, {left[0]}{more}: delete "
            f"them before (ros2 param delete NODE {left[0]}), or restart the node without them"
        )


def _config_of(camera: str, general: Config, own: Mapping[str, Value]) -> Config:
    """The configuration of one camera. Raises ConfigError where its values do not go together."""
    values = {name[len(camera) + 1 :]: value for name, value in own.items() if name.startswith(f"{camera}.")}
    try:
        return with_values(general, values) if values else general
    except ConfigError as error:
        raise ConfigError(f"camera {camera}: {error}") from error

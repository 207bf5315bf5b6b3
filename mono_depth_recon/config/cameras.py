"""Several cameras in one node: their names, and the parameter group `points_all`."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from ..errors import ConfigError
from ..param import param, shown

_NAME = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*_?")


@dataclass(frozen=True)
class PointsAllConfig:
    """The clouds of all cameras as one."""

    enabled: bool = param(
        False, "publish points_all: the clouds of all cameras as one, in safe.base_frame, by TF", live=False
    )
    rate: float = param(10.0, "maximum rate of points_all", unit="Hz", low=0.1, high=1000.0)
    max_age: float = param(
        0.5, "a cloud whose stamp is farther from the newest one's is left out", unit="s", low=0.0, high=60.0
    )


def camera_names(text: str, taken: Collection[str]) -> tuple[str, ...]:
    """The names in the parameter `cameras`: 'front, left'; none of an empty text.

    Raises ConfigError for what is no name in ROS, for a name that is there twice, and for one of `taken`.
    """
    names = tuple(name.strip() for name in text.split(",")) if text.strip() else ()
    for name in names:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"cameras must hold names separated by commas, of letters, digits and single underscores, a letter "
                f"first, got {shown(name)}"
            )
        if names.count(name) > 1:
            raise ConfigError(f"cameras must name each camera once, got {shown(name)} {names.count(name)} times")
        if name in taken:
            raise ConfigError(f"cameras must not hold {shown(name)}, which other parameters begin with: choose another")
    return names

"""Values of parameters that only the machine or ROS can judge: refused when they are set, not when they are used."""

from __future__ import annotations

import os

from rclpy.node import Node

from ...atomic import check_folder
from ...config import Config
from ...errors import ConfigError, DataError
from ...paths import expanded
from ...workers.map import check_device


def check_places(config: Config) -> None:
    """Raises ConfigError where nothing can be saved in `mesh.directory` or as `fusion.map_file`; makes nothing.

    A map that exists may be one to load only.
    """
    try:
        if config.mesh.directory:
            check_folder(expanded(config.mesh.directory).absolute())
    except DataError as error:
        raise ConfigError(f"mesh.directory: {error}") from error
    if config.fusion.map_file:
        _check_map_file(config.fusion.map_file)


def check_at_configure(node: Node, config: Config) -> None:
    """Raises ConfigError as `check_places`, for a topic that cannot be, and for a `fusion.device` that is missing."""
    check_places(config)
    if config.fusion.poses:
        try:
            node.resolve_topic_name(config.fusion.poses)
        except RuntimeError as error:  # rclpy's class for this has no public name
            reason = str(error).partition(", at ")[0].rpartition(": ")[2]
            raise ConfigError(f"fusion.poses must be a topic, got '{config.fusion.poses}': {reason}") from error
    check_device(config.fusion)


def _check_map_file(name: str) -> None:
    path = expanded(name).absolute()
    if os.path.isdir(path):
        raise ConfigError(f"fusion.map_file must be a file, {path} is a folder")
    if os.path.exists(path):
        return
    try:
        check_folder(path.parent)
    except DataError as error:
        raise ConfigError(f"fusion.map_file: {error}") from error

"""Evaluates a launch file into node command lines, with the real launch where it is installed, else with a stand-in.

The wheels bring no launch and no launch_ros. The stand-in knows the few classes that recon.launch.py uses, each doing
what the real one does to a command line, and nothing else: a launch file that uses more fails on import.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Launched:
    """The result of a launch file: the command line of each node by name, and its log messages."""

    nodes: dict[str, list[str]]
    messages: list[str]
    arguments: dict[str, str]  # name: description


def evaluate(launch_file: Path, given: Mapping[str, str]) -> Launched:
    """What `ros2 launch FILE name:=value ...` would start; raises what the launch file raises."""
    if importlib.util.find_spec("launch_ros") is not None:
        return _evaluate_for_real(launch_file, given)
    with _standin_modules():
        description = _load(launch_file).generate_launch_description()
        context = LaunchContext(dict(given))
        result = Launched({}, [], {})
        _visit(description.entities, context, result)
        return result


# The stand-in: the parts of launch and launch_ros that are used.


@dataclass
class LaunchContext:
    """Carries the values of the launch arguments."""

    launch_configurations: dict[str, str]


@dataclass
class LaunchDescription:
    """A list of actions."""

    entities: list[Any]


@dataclass
class DeclareLaunchArgument:
    """A launch argument with an optional default."""

    name: str
    default_value: str
    description: str


@dataclass
class OpaqueFunction:
    """A function of the context that returns more actions."""

    function: Callable[[LaunchContext], list[Any]]


@dataclass
class LogInfo:
    """A message for the screen."""

    msg: str


@dataclass
class Shutdown:
    """Ends the launch."""

    reason: str


@dataclass
class Node:
    """An executable of a ROS package with its names, remappings and parameters."""

    package: str
    executable: str
    name: str
    namespace: str = ""
    output: str = "log"
    arguments: list[str] = field(default_factory=list)
    parameters: list[str | dict[str, Any]] = field(default_factory=list)
    remappings: list[tuple[str, str]] = field(default_factory=list)
    on_exit: list[Any] = field(default_factory=list)

    def command_line(self) -> list[str]:
        """The command line that launch_ros would run, with dict parameters as -p instead of a temporary file."""
        words = [str(executable_path(self.package, self.executable)), *self.arguments, "--ros-args"]
        words += ["-r", f"__node:={self.name}"]
        if self.namespace:
            words += ["-r", f"__ns:=/{self.namespace.strip('/')}"]
        for given in self.parameters:
            if isinstance(given, dict):
                words += [word for name, value in given.items() for word in ("-p", f"{name}:={_yaml_word(value)}")]
            else:
                words += ["--params-file", given]
        return words + [word for old, new in self.remappings for word in ("-r", f"{old}:={new}")]


def executable_path(package: str, executable: str) -> Path:
    """Where `ros2 run` finds it: lib/<package>/<executable> of the first prefix that has the package."""
    for prefix in os.environ["AMENT_PREFIX_PATH"].split(os.pathsep):
        if (Path(prefix) / "share/ament_index/resource_index/packages" / package).exists():
            path = Path(prefix) / "lib" / package / executable
            if not os.access(path, os.X_OK):
                raise FileNotFoundError(f"package {package} in {prefix} has no executable {executable}")
            return path
    raise FileNotFoundError(f"no package {package} in {os.environ['AMENT_PREFIX_PATH']}")


def _yaml_word(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n").removesuffix("\n...")


def _visit(entities: list[Any], context: LaunchContext, result: Launched) -> None:
    for entity in entities:
        if isinstance(entity, DeclareLaunchArgument):
            context.launch_configurations.setdefault(entity.name, entity.default_value)
            result.arguments[entity.name] = entity.description
        elif isinstance(entity, OpaqueFunction):
            _visit(entity.function(context), context, result)
        elif isinstance(entity, LogInfo):
            result.messages.append(entity.msg)
        else:
            result.nodes[entity.name] = entity.command_line()


@contextmanager
def _standin_modules() -> Iterator[None]:
    names: dict[str, tuple[type, ...]] = {
        "launch": (LaunchContext, LaunchDescription),
        "launch.actions": (DeclareLaunchArgument, LogInfo, OpaqueFunction, Shutdown),
        "launch_ros": (),
        "launch_ros.actions": (Node,),
    }
    for name, offered in names.items():
        module = types.ModuleType(name)
        module.__dict__.update({each.__name__: each for each in offered})
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def _load(launch_file: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("recon_launch", launch_file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The real ones, if ROS 2 is installed.


def _evaluate_for_real(launch_file: Path, given: Mapping[str, str]) -> Launched:
    import launch
    from launch.utilities import perform_substitutions

    context = launch.LaunchContext()
    context.launch_configurations.update(given)
    result = Launched({}, [], {})
    pending = list(_load(launch_file).generate_launch_description().entities)
    while pending:
        entity = pending.pop(0)
        if isinstance(entity, launch.actions.DeclareLaunchArgument):
            result.arguments[entity.name] = entity.description
        if isinstance(entity, launch.actions.LogInfo):
            result.messages.append(perform_substitutions(context, entity.msg))
        elif hasattr(entity, "node_executable"):
            name, words = _real_command_line(entity, context)
            result.nodes[name] = words
        else:
            pending = [*(entity.execute(context) or []), *pending]
    return result


def _real_command_line(node: Any, context: Any) -> tuple[str, list[str]]:
    from launch.utilities import perform_substitutions

    node._perform_substitutions(context)
    names = {"name": f"__node:={node.node_name.rpartition('/')[2]}", "ns": f"__ns:={node.expanded_node_namespace}"}
    context.extend_locals({"ros_specific_arguments": names})
    return node.node_name.rpartition("/")[2], [perform_substitutions(context, word) for word in node.cmd]

"""The parameter table of `config` as ROS parameters: declared with descriptors, checked, changed at run time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from ..config import PARAMETERS, NodeConfig, Parameter, camera_of, row_of, value_of
from ..errors import ConfigError, MonoDepthError

_ROS_OWN = ("use_sim_time", "start_type_description_service")


class NodeParameters:
    """Declares every parameter on `node` and keeps the current immutable `config`.

    The node must be created with `automatically_declare_parameters_from_overrides=True`, so that an unknown
    name in a YAML file or on the command line is a ConfigError and not ignored, and with
    `allow_undeclared_parameters=True`: parameters of single cameras are declared when they are first given.
    `on_change(config)` is called after a change; its MonoDepthError undoes the change. `settled()` tests whether the
    node is configured; only live parameters may then change.
    """

    def __init__(self, node: Node, on_change: Callable[[NodeConfig], None], settled: Callable[[], bool]) -> None:
        self._node, self._on_change, self._settled = node, on_change, settled
        self._lock = threading.Lock()
        self._declaring = False
        given = overrides(node)
        self.config = NodeConfig.of(given)
        for row in PARAMETERS.values():
            if row.name in given:
                node.undeclare_parameter(row.name)
            value = value_of(self.config.general, row.name)
            node.declare_parameter(row.name, value, descriptor(row), ignore_override=True)
        for name in self.config.own:
            node.undeclare_parameter(name)
        self._declare_own()
        node.add_on_set_parameters_callback(self._on_set)

    def _on_set(self, parameters: list[RosParameter]) -> SetParametersResult:
        changes = {p.name: p.value for p in parameters if _is_ours(p.name)}
        before = self.config
        if self._declaring:
            return SetParametersResult(successful=True)
        try:
            with self._lock:
                self._refuse_settled(changes)
                self.config = before.changed(changes)
            self._on_change(self.config)
        except MonoDepthError as error:
            self.config = before
            return SetParametersResult(successful=False, reason=str(error))
        self._declare_own()
        return SetParametersResult(successful=True)

    def _declare_own(self) -> None:
        """Declares the parameters of cameras that are not: of a type that may change, so that they can be deleted."""
        self._declaring = True
        names = self.config.general.camera_names
        for name, value in self.config.own.items():
            if not self._node.has_parameter(name):
                made = descriptor(row_of(name, names))
                made.dynamic_typing = True
                self._node.declare_parameter(name, value, made, ignore_override=True)
        self._declaring = False

    def _refuse_settled(self, changes: dict[str, Any]) -> None:
        names = self.config.general.camera_names
        fixed = [
            name
            for name, value in changes.items()
            if name.removeprefix(f"{camera_of(name, names)}.") in PARAMETERS
            and not row_of(name, names).live
            and value != self.config.value(name)
        ]
        if fixed and self._settled():
            raise ConfigError(
                f"{', '.join(fixed)} cannot change while the node is configured: "
                "clean it up first (lifecycle cleanup), or restart it with the new value"
            )


def overrides(node: Node) -> dict[str, Any]:
    """The values given in YAML files and on the command line, by name, without ROS's own parameters.

    The node must be created with `automatically_declare_parameters_from_overrides=True` and must not
    have declared any parameter yet.
    """
    return {name: p.value for name, p in node.get_parameters_by_prefix("").items() if _is_ours(name)}


def _is_ours(name: str) -> bool:
    return name not in _ROS_OWN and not name.startswith("qos_overrides.")


def descriptor(row: Parameter) -> ParameterDescriptor:
    """Description, valid values and range, as `ros2 param describe` shows them."""
    made = ParameterDescriptor(description=row.help + (f" [{row.unit}]" if row.unit else ""))
    made.additional_constraints = row.range_text + ("" if row.live else " (takes effect at configure)")
    if row.low is not None and row.high is not None:
        if row.type is float:
            made.floating_point_range = [
                FloatingPointRange(from_value=float(row.low), to_value=float(row.high), step=0.0)
            ]
        else:
            made.integer_range = [IntegerRange(from_value=int(row.low), to_value=int(row.high), step=1)]
    return made

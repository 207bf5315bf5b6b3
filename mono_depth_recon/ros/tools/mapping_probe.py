"""mapping_probe: measures what fusion costs the frames of a running recon_node, by turning it off and on."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2

from ...atomic import write_atomically
from ...config import Value
from ...errors import DataError
from ..conversions import nanoseconds
from ..node_settings import declare_settings, parse_flags, run_node, setting
from .frame_log import FrameLog

_SETTLE_S = 3.0
_WAIT_S = 60.0
_COUNTS = ("frames_integrated", "frames_dropped")


@dataclass(frozen=True)
class MappingProbeSettings:
    """Length of the measurement, and where the result goes."""

    output: str = setting("mapping.json", "file of the result")
    off_first: bool = setting(True, "whether fusion is off in the first of the two turns")
    seconds: float = setting(10.0, "length of each turn", unit="s", low=1.0, high=1e5)
    node: str = setting("recon_node", "name of the node that fuses")


class MappingProbe:
    """Times images and the clouds that the node makes of them, and reads the figures of its map."""

    def __init__(self, node: Node, target: str) -> None:
        self._node, self._target = node, target
        self._log = FrameLog()
        self._changed = threading.Condition()
        self._said: dict[str, dict[str, str]] = {}  # by name of the status
        self._reports = 0
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
        node.create_subscription(Image, "image", self._on_image, qos)
        node.create_subscription(PointCloud2, "points", self._on_points, qos)
        node.create_subscription(PointCloud2, "map_points", lambda _: None, qos)  # stands for a viewer
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos)
        self._parameters: Any = node.create_client(SetParameters, f"{target}/set_parameters")

    def turn(self, fusing: bool, seconds: float) -> dict[str, Any]:
        """A measurement with fusion on or off: of the frames, and with it on of the map. Raises DataError."""
        self._set("fusion.enabled", fusing)
        time.sleep(_SETTLE_S)
        before, begin = self._figures(fusing), time.monotonic()
        time.sleep(seconds)
        after, end = self._figures(fusing), time.monotonic()
        result: dict[str, Any] = {
            "fusing": fusing,
            "frames": asdict(self._log.measure(begin, begin + seconds)),
            "node_p50_ms": float(after[self._target]["latency_p50_ms"]),
        }
        if fusing:
            was, now = (said[self._map] for said in (before, after))
            counts = {name: int(now[name]) - int(was[name]) for name in _COUNTS}
            result["map"] = counts | {
                "seconds": end - begin,
                "memory_mib": float(now["memory_mib"]),
                "blocks": int(now["blocks"]),
            }
        return result

    @property
    def _map(self) -> str:
        return f"{self._target}: map"

    def _set(self, name: str, value: bool) -> None:
        if not self._parameters.wait_for_service(_WAIT_S):
            raise DataError(f"expected the service {self._parameters.srv_name}: is {self._target} running?")
        done = threading.Event()
        future = self._parameters.call_async(
            SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        )
        future.add_done_callback(lambda _: done.set())
        if not done.wait(_WAIT_S):
            raise DataError(f"{self._parameters.srv_name} did not answer within {_WAIT_S:g} s")
        result = future.result().results[0]
        if not result.successful:
            raise DataError(f"{name} was refused: {result.reason}")

    def _figures(self, fusing: bool) -> dict[str, dict[str, str]]:
        """The figures of the node and of its map in the next diagnostics. Raises DataError where none come."""
        with self._changed:
            last = self._reports

            def came() -> bool:
                return self._reports > last and fusing == (self._map in self._said)

            if not self._changed.wait_for(came, _WAIT_S):
                raise DataError(
                    f"no diagnostics {'of a map' if fusing else 'without a map'} within {_WAIT_S:g} s: "
                    f"is {self._target} running, and fusion.enabled {str(fusing).lower()}?"
                )
            return self._said

    def _on_image(self, msg: Image) -> None:
        self._log.add_input(nanoseconds(msg.header.stamp), time.monotonic())

    def _on_points(self, msg: PointCloud2) -> None:
        stamp = nanoseconds(msg.header.stamp)
        self._log.add_output(stamp, time.monotonic(), age=time.time() - stamp / 1e9)

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        said = {
            status.name.removeprefix("/"): {pair.key: pair.value for pair in status.values} for status in msg.status
        }
        if self._target in said:
            with self._changed:
                self._said, self._reports = said, self._reports + 1
                self._changed.notify_all()


def serve(node: Node, flags: Mapping[str, Value]) -> None:
    """Measures a turn with fusion off and one with it on, and writes both. Raises DataError without answers."""
    settings = declare_settings(node, MappingProbeSettings, flags)
    probe, turns = MappingProbe(node, settings.node), []
    for fusing in (not settings.off_first, settings.off_first):
        turns.append(probe.turn(fusing, settings.seconds))
        median = turns[-1]["frames"]["latency_p50_ms"]
        shown = "no frame" if median is None else f"{median:.1f} ms from image to cloud"
        node.get_logger().info(f"fusion {'on' if fusing else 'off'}: {shown}")
    write_atomically(Path(settings.output), [(json.dumps(turns, indent=2) + "\n").encode()])


def main(args: Sequence[str] | None = None) -> int:
    """Measures once; 0 when done or stopped by SIGINT or SIGTERM, 1 with one line where it failed."""
    arguments = list(sys.argv if args is None else args)
    flags = parse_flags("mapping_probe", __doc__ or "", MappingProbeSettings, arguments)
    return run_node("mapping_probe", lambda node: serve(node, flags), arguments)


if __name__ == "__main__":
    sys.exit(main())

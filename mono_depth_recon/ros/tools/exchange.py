"""exchange: an image to another process and its cloud back, through recon_node and a relay that computes nothing.

As `--relay` it is that relay: it answers every image with the same cloud.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from ...atomic import write_atomically
from ...benchmark.scene import room
from ...camera import PinholeCamera
from ...cloud.back_projection import back_project
from ...config import Value
from ...errors import DataError
from ..conversions import CloudMessage, info_to_msg, nanoseconds, rgb_to_msg
from ..node_settings import declare_settings, parse_flags, run_node, setting

SIDES = ("bare", "node")  # the namespaces of the relay and of recon_node
_CAMERA = PinholeCamera.from_hfov(640, 480, 60)
_CONNECT_S, _AGAIN_S, _ANSWER_S = 120.0, 1.0, 10.0
_PAUSE_S = 0.02
_WARM_UP = 20
_MODEL_MS = "step_model_ms"


@dataclass(frozen=True)
class ExchangeSettings:
    """Which of the two processes it is, and the measurement."""

    relay: bool = setting(False, "answer every image with the same cloud")
    frames: int = setting(60, "images to each side, in turns", low=1, high=100_000)
    output: str = setting("exchange.json", "file of the result")


class Exchange:
    """Sends images to both sides and times the clouds that come back."""

    def __init__(self, node: Node) -> None:
        self._node, self._changed = node, threading.Condition()
        self._came: dict[str, tuple[int, float]] = {}
        self._model_ms: list[float] = []
        self._images = {side: node.create_publisher(Image, f"/{side}/image", _qos()) for side in SIDES}
        self._infos = {side: node.create_publisher(CameraInfo, f"/{side}/camera_info", _qos()) for side in SIDES}
        for side in SIDES:
            node.create_subscription(PointCloud2, f"/{side}/points", lambda msg, side=side: self._on(side, msg), _qos())
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, _qos())
        self._rgb = room(_CAMERA)[1]

    def measure(self, frames: int) -> dict[str, float]:
        """Median milliseconds from image to cloud by either way, and of the model. Raises DataError without answers."""
        for side in SIDES:
            self._connect(side)
        taken: dict[str, list[float]] = {side: [] for side in SIDES}
        for number in range(_WARM_UP + frames):
            for side in SIDES:  # in turns: what disturbs one disturbs the other
                seconds = self._round_trip(side, _ANSWER_S)
                if seconds is None:
                    raise DataError(f"no cloud came back on /{side}/points within {_ANSWER_S:g} s: is it running?")
                if number >= _WARM_UP:
                    taken[side].append(1e3 * seconds)
                time.sleep(_PAUSE_S)
        return {f"{side}_ms": median(values) for side, values in taken.items()} | {"model_ms": self._model()}

    def _connect(self, side: str) -> None:
        end = time.monotonic() + _CONNECT_S
        while self._round_trip(side, _AGAIN_S) is None:
            if time.monotonic() > end:
                raise DataError(f"no cloud came back on /{side}/points within {_CONNECT_S:g} s: is it running?")

    def _round_trip(self, side: str, patience_s: float) -> float | None:
        """Seconds from publishing an image to its cloud; None where none comes."""
        header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id="camera")
        stamp, image = nanoseconds(header.stamp), rgb_to_msg(self._rgb, header)
        self._infos[side].publish(info_to_msg(_CAMERA, header))
        start = time.monotonic()
        self._images[side].publish(image)
        with self._changed:
            if not self._changed.wait_for(lambda: self._came.get(side, (0, 0.0))[0] == stamp, patience_s):
                return None
            return self._came[side][1] - start

    def _model(self) -> float:
        """The model's milliseconds, the mean of the last frames, in the next diagnostics."""
        with self._changed:
            self._model_ms.clear()
            if not self._changed.wait_for(lambda: self._model_ms, _ANSWER_S):
                raise DataError(f"no diagnostics of the node within {_ANSWER_S:g} s: is it running?")
            return self._model_ms[-1]

    def _on(self, side: str, msg: PointCloud2) -> None:
        with self._changed:
            self._came[side] = nanoseconds(msg.header.stamp), time.monotonic()
            self._changed.notify_all()

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        said = [float(pair.value) for status in msg.status for pair in status.values if pair.key == _MODEL_MS]
        with self._changed:
            self._model_ms += said
            self._changed.notify_all()


def relay(node: Node) -> None:
    """From now on every image is answered."""
    depth, rgb = room(_CAMERA)
    cloud = CloudMessage()
    back_project(depth, _CAMERA, rgb, out=cloud.points(*depth.shape))
    publisher = node.create_publisher(PointCloud2, "points", _qos())
    node.create_subscription(Image, "image", lambda msg: publisher.publish(cloud.stamped(msg.header)), _qos())


def serve(node: Node, flags: Mapping[str, Value]) -> None:
    """Is the relay, or measures and writes the result. Raises DataError without answers."""
    settings = declare_settings(node, ExchangeSettings, flags)
    if settings.relay:
        relay(node)
        threading.Event().wait()  # for a signal
    result = Exchange(node).measure(settings.frames)
    write_atomically(Path(settings.output), [(json.dumps(result) + "\n").encode()])


def _qos() -> QoSProfile:
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE)


def main(args: Sequence[str] | None = None) -> int:
    """Measures once; 0 when done or stopped by SIGINT or SIGTERM, 1 with one line where it failed."""
    arguments = list(sys.argv if args is None else args)
    flags = parse_flags("exchange", __doc__ or "", ExchangeSettings, arguments)
    return run_node("exchange", lambda node: serve(node, flags), arguments)


if __name__ == "__main__":
    sys.exit(main())

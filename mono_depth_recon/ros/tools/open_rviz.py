"""open_rviz: opens RViz in the frame of the images that recon_node receives, once the first has come."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo

from ...config import Value
from ...errors import DataError
from ...transforms import frame_name
from ..node_settings import declare_settings, parse_flags, run_node, setting

_LOOK_S = 0.5


@dataclass(frozen=True)
class OpenRvizSettings:
    """What RViz shows."""

    view: str = setting("", "RViz configuration (.rviz); empty: RViz's own")


class Opener:
    """Waits for the frame of the images; `command` then is RViz's, with `ros_arguments` handed on."""

    def __init__(self, flags: Mapping[str, Value], ros_arguments: Sequence[str]) -> None:
        self._flags, self._ros_arguments = flags, ros_arguments
        self._frame, self._came = "", threading.Event()
        self.command: list[str] = []

    def serve(self, node: Node) -> None:
        """Returns when a frame has come. Raises DataError where RViz is not installed."""
        view = declare_settings(node, OpenRvizSettings, self._flags).view
        rviz = rviz_path()
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        subscription = node.create_subscription(CameraInfo, "rgb/camera_info", self._take, qos)
        node.get_logger().info(f"RViz opens with the first frame on {subscription.topic_name}")
        while not self._came.wait(_LOOK_S):  # see ReconNode.wait
            pass
        chosen = ["-d", view] if view else []
        self.command = [str(rviz), *chosen, "-f", self._frame, *self._ros_arguments]

    def _take(self, msg: CameraInfo) -> None:
        if not self._came.is_set():
            self._frame = frame_name(msg.header.frame_id)
            self._came.set()


def rviz_path() -> Path:
    """The executable rviz2. Raises DataError where it is not installed."""
    try:
        return Path(get_package_prefix("rviz2")) / "lib" / "rviz2" / "rviz2"
    except PackageNotFoundError as error:
        raise DataError("rviz2 is not installed: sudo apt install ros-$ROS_DISTRO-rviz2") from error


def main(args: Sequence[str] | None = None) -> int:
    """Becomes RViz; 0 where SIGINT or SIGTERM comes before, 1 with one line where it is not installed."""
    arguments = list(sys.argv if args is None else args)
    flags = parse_flags("open_rviz", __doc__ or "", OpenRvizSettings, arguments)
    start = arguments.index("--ros-args") if "--ros-args" in arguments else len(arguments)
    opener = Opener(flags, arguments[start:])
    status = run_node("open_rviz", opener.serve, arguments)
    if opener.command:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)  # ignored since the node's end, which RViz would inherit
        os.execv(opener.command[0], opener.command)
    return status


if __name__ == "__main__":
    sys.exit(main())

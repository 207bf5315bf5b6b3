"""recorder: measures what comes out of recon_node for what goes in, and leaves one frame with its mesh as files."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from ..atomic import writable_folder, write_atomically
from ..config import Value
from ..errors import DataError
from ..mesh import cloud_from_organised
from ..mesh_files import write_cloud
from ..pictures import write_depth_png, write_png
from .conversions import depth_from_msg, image_from_msg, points_from_msg
from .frame_log import FrameLog, Measurement
from .node_settings import declare_settings, parse_flags, run_node, setting

TOPICS: dict[str, type[Any]] = {
    "image": Image,
    "points": PointCloud2,
    "depth/image_rect": Image,
    "rgb/image_rect": Image,
    "depth/preview": Image,
}
_INPUT = "image"
_WAITING_STAMPS = 60  # 2 s of a camera at 30 Hz: most of them hold no more than the image
_HELD_FRAMES = 8
_AS_SHARP = 0.97
_LAST_FRAMES_S = 0.5  # after a measurement: for what is still on its way
_REPORT_S = 3.0
_REPLY = re.compile(r"(?P<path>.+\.\w+): \d+ (vertices|points)")


@dataclass(frozen=True)
class RecorderSettings:
    """How long is measured, and where the files go."""

    output: str = setting("recording", "folder of the files; made where it is missing")
    duration: float = setting(10.0, "length of the measurement", unit="s", low=0.5, high=1e5)
    warm_up: float = setting(1.0, "time from the first frame to the measurement", unit="s", low=0.0, high=1e4)
    timeout: float = setting(
        60.0, "longest wait for the first frame, and for each service", unit="s", low=1.0, high=1e5
    )
    sharp: float = setting(
        5.0,
        "longest wait for an image as sharp as the sharpest of the measurement; 0 = take any",
        unit="s",
        low=0.0,
        high=1e4,
    )
    snapshots: bool = setting(True, "call save_mesh and save_cloud when the measurement is done")


class Recorder:
    """Subscribes to `TOPICS`: counts and times every frame, keeps the newest complete one, on request some more."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.log = FrameLog()
        self._changed = threading.Condition()
        self._parts: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._newest: dict[str, Any] | None = None
        self._held: list[dict[str, Any]] | None = None
        self._seen: set[str] = set()
        self._sharpness = self._best_sharpness = 0.0
        self._mesh_stamp: int | None = None
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
        for topic, kind in TOPICS.items():
            node.create_subscription(kind, topic, lambda msg, topic=topic: self._on_message(topic, msg), qos)
        node.create_subscription(Marker, "mesh", self._on_mesh, qos)

    def wait_for_frame(self, timeout_s: float) -> None:
        """Blocks until every topic has come with one stamp. Raises DataError naming what is missing."""
        with self._changed:
            if self._changed.wait_for(lambda: self._newest is not None, timeout_s):
                return
        missing = [self._node.resolve_topic_name(topic) for topic in TOPICS if topic not in self._seen]
        lack = f"nothing came on {', '.join(missing)}" if missing else "the topics had no stamp in common"
        raise DataError(f"expected a frame within {timeout_s:g} s, {lack}: see whether camera and node run")

    def wait_for_sharp_image(self, timeout_s: float) -> bool:
        """Blocks until an image comes that is as sharp as the sharpest so far; False where none came in time."""
        with self._changed:
            wanted, self._sharpness = _AS_SHARP * self._best_sharpness, 0.0
            return self._changed.wait_for(lambda: self._sharpness >= wanted, timeout_s)

    def hold(self) -> None:
        """From now on keeps complete frames: the newest and some that come next."""
        with self._changed:
            self._held = [] if self._newest is None else [self._newest]

    def frame_of_mesh(self) -> dict[str, Any]:
        """The held frame, by topic, whose stamp is nearest to the newest mesh's; the first where there is no mesh."""
        with self._changed:
            frames = list(self._held or ())
        wanted = self.mesh_stamp
        if not frames:
            raise DataError("no frame was held: no complete frame has come")
        if wanted is None:
            return frames[0]
        return min(frames, key=lambda parts: abs(_nanoseconds(parts[_INPUT].header.stamp) - wanted))

    @property
    def mesh_stamp(self) -> int | None:
        """Stamp (nanoseconds) of the frame that the newest mesh was made of; None before the first mesh."""
        with self._changed:
            return self._mesh_stamp

    def call(self, service: str, timeout_s: float) -> str:
        """Calls a std_srvs/Trigger service and returns its message. Raises DataError where it fails or is silent."""
        client: Any = self._node.create_client(Trigger, service)
        if not client.wait_for_service(timeout_s):
            raise DataError(f"expected the service {client.service_name} within {timeout_s:g} s: is recon_node active?")
        answered = threading.Event()
        future = client.call_async(Trigger.Request())
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(timeout_s):
            raise DataError(f"{client.service_name} did not answer within {timeout_s:g} s")
        reply = future.result()
        if not reply.success:
            raise DataError(f"{client.service_name} failed: {reply.message}")
        return str(reply.message)

    def _on_message(self, topic: str, msg: Any) -> None:
        arrival, stamp = time.monotonic(), _nanoseconds(msg.header.stamp)
        if topic == _INPUT:
            self.log.add_input(stamp, arrival)
        elif topic == "points":
            self.log.add_output(stamp, arrival, age=time.time() - stamp / 1e9)
        sharpness = _sharpness(msg) if topic == _INPUT else None
        with self._changed:
            self._seen.add(topic)
            if sharpness is not None:
                self._sharpness, self._best_sharpness = sharpness, max(sharpness, self._best_sharpness)
            self._collect(topic, stamp, msg)
            self._changed.notify_all()

    def _collect(self, topic: str, stamp: int, msg: Any) -> None:
        if topic == _INPUT:  # a recording that is played again brings its stamps again
            self._parts.pop(stamp, None)
        parts = self._parts.setdefault(stamp, {})
        parts[topic] = msg
        if len(parts) == len(TOPICS):
            self._newest = parts
            if self._held is not None and len(self._held) < _HELD_FRAMES:
                self._held.append(parts)
            while self._parts.popitem(last=False)[0] != stamp:  # those before it were dropped
                pass
        while len(self._parts) > _WAITING_STAMPS:
            self._parts.popitem(last=False)

    def _on_mesh(self, msg: Marker) -> None:
        with self._changed:
            self._mesh_stamp = _nanoseconds(msg.header.stamp)


def _sharpness(image: Image) -> float:
    """Variance of the Laplacian (Pertuz et al., Pattern Recognition 2013): larger is sharper, within one scene."""
    grey = cv2.cvtColor(image_from_msg(image), cv2.COLOR_RGB2GRAY)
    return float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))[1][0, 0]) ** 2


def serve(node: Node, flags: Mapping[str, Value]) -> None:
    """Measures, calls the services, writes the files. Raises DataError where something of that is impossible."""
    settings = declare_settings(node, RecorderSettings, flags)
    output = writable_folder(Path(settings.output).expanduser())
    recorder, say = Recorder(node), node.get_logger().info
    say(f"waiting for frames on {node.resolve_topic_name('points')}")
    recorder.wait_for_frame(settings.timeout)
    time.sleep(settings.warm_up)
    results: dict[str, Any] = {"steady": asdict(_measure(recorder.log, settings.duration, say))}
    if settings.sharp and not recorder.wait_for_sharp_image(settings.sharp):
        say(f"no image in {settings.sharp:g} s was as sharp as the sharpest before: the newest is taken")
    recorder.hold()
    if settings.snapshots:
        results |= {name: _snapshot(recorder, name, output, settings.timeout, say) for name in ("mesh", "cloud")}
    frame = recorder.frame_of_mesh()
    results["frame"] = {"stamp": _nanoseconds(frame[_INPUT].header.stamp), "mesh_stamp": recorder.mesh_stamp}
    _write_frame(frame, output)
    text = json.dumps(results, indent=2) + "\n"
    write_atomically(output / "recording.json", [text.encode()])
    say("done")


def _measure(log: FrameLog, seconds: float, say: Any) -> Measurement:
    begin = time.monotonic()
    while (left := begin + seconds - time.monotonic()) > 0:
        time.sleep(min(_REPORT_S, left))
        now = time.monotonic()
        say(f"{now - begin:.0f} of {seconds:g} s: {log.measure(max(begin, now - _REPORT_S), now).text}")
    end = time.monotonic()
    time.sleep(_LAST_FRAMES_S)
    return log.measure(begin, end)


def _snapshot(recorder: Recorder, name: str, output: Path, timeout_s: float, say: Any) -> dict[str, Any]:
    """Calls save_<name>; how frames flowed meanwhile, and the file's copy in `output` where this machine has it."""
    begin = time.monotonic()
    reply = recorder.call(f"save_{name}", timeout_s)
    end = time.monotonic()
    say(f"save_{name} answered after {end - begin:.1f} s")
    made = _REPLY.match(reply)
    if made is None:
        raise DataError(f"expected save_{name} to answer 'file: ... vertices' or points, got '{reply}'")
    path, copy = Path(made["path"]), ""
    if path.is_file():
        copy = ("mesh" if name == "mesh" else "cloud_cleaned") + path.suffix
        write_atomically(output / copy, [path.read_bytes()])
    time.sleep(_LAST_FRAMES_S)
    return {"seconds": end - begin, "reply": reply, "file": copy, "meanwhile": asdict(recorder.log.measure(begin, end))}


def _write_frame(frame: Mapping[str, Any], output: Path) -> None:
    write_png(output / "rgb.png", image_from_msg(frame["rgb/image_rect"]))
    write_depth_png(output / "depth.png", depth_from_msg(frame["depth/image_rect"]))
    write_png(output / "depth_plasma.png", image_from_msg(frame["depth/preview"]))
    write_cloud(cloud_from_organised(points_from_msg(frame["points"])), output / "cloud.ply")


def _nanoseconds(stamp: Time) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def main(args: Sequence[str] | None = None) -> int:
    """Records once; 0 when done or stopped by SIGINT or SIGTERM, 1 with one line where it failed."""
    arguments = list(sys.argv if args is None else args)
    flags = parse_flags("recorder", __doc__ or "", RecorderSettings, arguments)
    return run_node("recorder", lambda node: serve(node, flags), arguments)


if __name__ == "__main__":
    sys.exit(main())

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
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from ...atomic import writable_folder, write_atomically
from ...cloud.clean_up import clean_cloud
from ...cloud.cloud import cloud_from_organised
from ...config import MeshConfig, Value, parameter
from ...errors import DataError
from ...mesh.files import write_cloud
from ...messages import depth_of
from ...paths import expanded
from ...pictures.panels import write_depth_png, write_png
from ..conversions import image_from_msg, nanoseconds, points_from_msg
from ..node_settings import declare_settings, parse_flags, run_node, setting
from .frame_log import FrameLog, Measurement

TOPICS: dict[str, type[Any]] = {
    "image": Image,
    "points": PointCloud2,
    "depth/image_rect": Image,
    "rgb/image_rect": Image,
    "depth/preview": Image,
}
_INPUT = "image"
_WAITING_STAMPS = 60  # 2 s of a camera at 30 Hz: most of them hold no more than the image
_HELD_FRAMES = 16  # a second of them at 15 Hz; one of 640x480 pixels takes 9 MB
_AS_SHARP = 0.97
_ATTEMPTS = 5  # a frame that the node has published may be lost on its way, or be none that this observer holds
_MARKER_S = 10.0  # the marker may come after the service's reply
_LAST_FRAMES_S = 0.5  # after a measurement: for messages that are still on their way
_UNKNOWN_FRAME = (
    "no marker came on {topic} within {seconds:g} s, so the frame of the mesh is unknown: see mesh.marker_triangles"
)
_OTHER_FRAME = "the mesh was of a frame that did not come out, {count} times: see whether this machine is overloaded"
_REPORT_S = 3.0
_ONLY_WITH_SNAPSHOTS = ("cloud_cleaned.ply", *(f"mesh.{form}" for form in parameter("mesh.format").choices))
_REPLY = re.compile(r"(?P<path>.+\.\w+): \d+ (vertices|points)")


@dataclass(frozen=True)
class RecorderSettings:
    """Length of the measurement, and where the files go."""

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
    """Subscribes to `TOPICS`: counts and times every frame, keeps the newest complete one, and on request some more."""

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
        self.mesh_topic = node.resolve_topic_name("mesh")
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
        """From now on keeps complete frames, the newest and some that come next, and forgets meshes that came."""
        with self._changed:
            self._held = [] if self._newest is None else [self._newest]
            self._mesh_stamp = None

    def newest_frame(self) -> dict[str, Any]:
        """The newest complete frame, by topic. Raises DataError before the first."""
        with self._changed:
            if self._newest is None:
                raise DataError("no complete frame has come")
            return self._newest

    def mesh_stamp(self, timeout_s: float) -> int | None:
        """Stamp (nanoseconds) of the first mesh after `hold`, waited for; None where none came in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._mesh_stamp is not None, timeout_s)
            return self._mesh_stamp

    def held_frame(self, stamp: int, timeout_s: float) -> dict[str, Any] | None:
        """The held frame, by topic, of `stamp` (nanoseconds), waited for; None where it did not come in time."""

        def found() -> dict[str, Any] | None:
            return next((parts for parts in self._held or () if _stamp(parts) == stamp), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None, timeout_s)
            return found()

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
        arrival, stamp = time.monotonic(), nanoseconds(msg.header.stamp)
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
            if self._mesh_stamp is None:
                self._mesh_stamp = nanoseconds(msg.header.stamp)
                self._changed.notify_all()


def _sharpness(image: Image) -> float:
    """Variance of the Laplacian (Pertuz et al., Pattern Recognition 2013): larger is sharper, within one scene."""
    grey = cv2.cvtColor(image_from_msg(image), cv2.COLOR_RGB2GRAY)
    return float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))[1][0, 0]) ** 2


def serve(node: Node, flags: Mapping[str, Value]) -> None:
    """Measures, calls the services, writes the files. Raises DataError where one of these fails."""
    settings = declare_settings(node, RecorderSettings, flags)
    output = writable_folder(expanded(settings.output))
    for name in _ONLY_WITH_SNAPSHOTS:  # of an earlier run: they would be of another frame
        (output / name).unlink(missing_ok=True)
    recorder, say = Recorder(node), node.get_logger().info
    say(f"waiting for frames on {node.resolve_topic_name('points')}")
    recorder.wait_for_frame(settings.timeout)
    time.sleep(settings.warm_up)
    results: dict[str, Any] = {"steady": asdict(_measure(recorder.log, settings.duration, say))}
    if settings.snapshots:
        frame, results["mesh"] = _frame_with_mesh(recorder, settings, output, say)
        _, results["cloud"] = _snapshot(recorder, "save_cloud", settings.timeout, say)
    else:
        _wait_for_sharp_image(recorder, settings.sharp, say)
        frame = recorder.newest_frame()
    results["frame"] = {"stamp": _stamp(frame)}
    _write_frame(frame, output, cleaned=settings.snapshots)
    text = json.dumps(results, indent=2) + "\n"
    write_atomically(output / "recording.json", [text.encode()])
    say("done")


def _wait_for_sharp_image(recorder: Recorder, timeout_s: float, say: Any) -> None:
    if timeout_s and not recorder.wait_for_sharp_image(timeout_s):
        say(f"no image in {timeout_s:g} s was as sharp as the sharpest before: the newest is taken")


def _measure(log: FrameLog, seconds: float, say: Any) -> Measurement:
    begin = time.monotonic()
    while (left := begin + seconds - time.monotonic()) > 0:
        time.sleep(min(_REPORT_S, left))
        now = time.monotonic()
        say(f"{now - begin:.0f} of {seconds:g} s: {log.measure(max(begin, now - _REPORT_S), now).text}")
    end = time.monotonic()
    time.sleep(_LAST_FRAMES_S)
    return log.measure(begin, end)


def _frame_with_mesh(
    recorder: Recorder, settings: RecorderSettings, output: Path, say: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A complete frame and what save_mesh did; the mesh is copied to `output` only where it is of that frame."""
    left_out, stamp = "", None
    for attempt in range(1, _ATTEMPTS + 1):
        _wait_for_sharp_image(recorder, settings.sharp, say)
        recorder.hold()
        path, result = _snapshot(recorder, "save_mesh", settings.timeout, say)
        stamp = recorder.mesh_stamp(_MARKER_S)
        if stamp is None:
            left_out = _UNKNOWN_FRAME.format(topic=recorder.mesh_topic, seconds=_MARKER_S)
            break
        frame = recorder.held_frame(stamp, _LAST_FRAMES_S)
        if frame is not None:
            return frame, result | {"stamp": stamp, "attempts": attempt, "file": _copied(path, output), "left_out": ""}
        left_out = _OTHER_FRAME.format(count=attempt)
        say(f"attempt {attempt} of {_ATTEMPTS}: the mesh is of a frame that did not come out")
    say(f"mesh left out: {left_out}")
    return recorder.newest_frame(), result | {"stamp": stamp, "attempts": attempt, "file": "", "left_out": left_out}


def _snapshot(recorder: Recorder, service: str, timeout_s: float, say: Any) -> tuple[Path, dict[str, Any]]:
    """Calls a service of recon_node; the file that it made, and how frames flowed meanwhile."""
    begin = time.monotonic()
    reply = recorder.call(service, timeout_s)
    end = time.monotonic()
    say(f"{service} answered after {end - begin:.1f} s")
    made = _REPLY.match(reply)
    if made is None:
        raise DataError(f"expected {service} to answer 'file: ... vertices' or points, got '{reply}'")
    time.sleep(_LAST_FRAMES_S)
    meanwhile = asdict(recorder.log.measure(begin, end))
    return Path(made["path"]), {"seconds": end - begin, "reply": reply, "meanwhile": meanwhile}


def _copied(path: Path, output: Path) -> str:
    """Name of the mesh's copy in `output`; empty where this machine does not have the file."""
    if not path.is_file():
        return ""
    copy = "mesh" + path.suffix
    write_atomically(output / copy, [path.read_bytes()])
    return copy


def _write_frame(frame: Mapping[str, Any], output: Path, cleaned: bool) -> None:
    write_png(output / "rgb.png", image_from_msg(frame["rgb/image_rect"]))
    write_depth_png(output / "depth.png", depth_of(frame["depth/image_rect"]))
    write_png(output / "depth_plasma.png", image_from_msg(frame["depth/preview"]))
    cloud = cloud_from_organised(points_from_msg(frame["points"]))
    write_cloud(cloud, output / "cloud.ply")
    if cleaned:  # here, since save_cloud writes a later frame than that of the mesh
        write_cloud(clean_cloud(cloud, MeshConfig()), output / "cloud_cleaned.ply")


def _stamp(parts: Mapping[str, Any]) -> int:
    return nanoseconds(parts[_INPUT].header.stamp)


def main(args: Sequence[str] | None = None) -> int:
    """Records once; 0 when done or stopped by SIGINT or SIGTERM, 1 with one line where it failed."""
    arguments = list(sys.argv if args is None else args)
    flags = parse_flags("recorder", __doc__ or "", RecorderSettings, arguments)
    return run_node("recorder", lambda node: serve(node, flags), arguments)


if __name__ == "__main__":
    sys.exit(main())

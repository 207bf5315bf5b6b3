"""What this package's cameras share: frames on a schedule, loaded ahead of it, published as a driver would."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from ...errors import DataError
from ...frames import Sample
from ...printing import printable
from ..conversions import depth_to_msg, info_to_msg, odometry_to_msg, rgb_to_msg
from ..tf_messages import TfPublisher

WORLD_FRAME = "world"
_LOADERS = 2
_LOADED_AHEAD = 4
_CLOCK_PERIOD_S = 0.01
_POLL_S = 0.02
_WARN_PERIOD_S = 5.0


@dataclass(frozen=True)
class ScheduledFrame:
    """A frame of a schedule: due `at` seconds after the first at rate 1, `stamp` seconds in the recording's own time.

    `load` runs in a thread of its own and raises DataError where the frame is broken.
    """

    at: float
    stamp: float
    load: Callable[[], Sample]


class CameraTopics:
    """Publishers of one camera: image, camera_info, reference/image, reference/camera_info, odometry, perhaps /clock.

    Reference depth is 32FC1 metres or 16UC1 millimetres; odometry is the pose of the optical frame in `world_frame`,
    and so is /tf, where tf2_msgs is installed.
    """

    def __init__(
        self, node: Node, frame_id: str, reference_encoding: str, clock: bool = False, world_frame: str = WORLD_FRAME
    ) -> None:
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE)
        self._frame_id, self._world_frame, self._encoding = frame_id, world_frame, reference_encoding
        self.image = node.create_publisher(Image, "image", qos)
        self._info = node.create_publisher(CameraInfo, "camera_info", qos)
        self._reference = node.create_publisher(Image, "reference/image", qos)
        self._reference_info = node.create_publisher(CameraInfo, "reference/camera_info", qos)
        self._odometry = node.create_publisher(Odometry, "odometry", qos)
        self._tf = TfPublisher(node)
        self._clock = node.create_publisher(Clock, "/clock", qos) if clock else None

    @property
    def poses_text(self) -> str:
        """Where the poses go and in which frame, for the log."""
        tf = self._tf.topic or "not on /tf: tf2_msgs is not installed"
        return f"poses, if any, in frame '{self._world_frame}' on {self._odometry.topic_name} ({tf})"

    @property
    def has_clock(self) -> bool:
        """Whether /clock is published."""
        return self._clock is not None

    def publish_clock(self, stamp: float) -> None:
        """Publishes the time `stamp`, seconds, on /clock."""
        if self._clock is not None:
            self._clock.publish(Clock(clock=time_from_seconds(stamp)))

    def publish(self, sample: Sample, stamp: Time) -> None:
        """Sends one frame; camera_info and pose go first, so that they have arrived when the image does."""
        header = Header(stamp=stamp, frame_id=self._frame_id)
        self._info.publish(info_to_msg(sample.camera, header))
        if sample.T_world_camera is not None:
            world = Header(stamp=stamp, frame_id=self._world_frame)
            self._odometry.publish(odometry_to_msg(sample.T_world_camera, world, self._frame_id))
            self._tf.send(sample.T_world_camera, world, self._frame_id)
        if _subscribed(self.image):
            self.image.publish(rgb_to_msg(sample.rgb, header))
        if sample.depth is not None and _subscribed(self._reference_info):
            self._reference_info.publish(info_to_msg(sample.camera, header))
        if sample.depth is not None and _subscribed(self._reference):
            self._reference.publish(depth_to_msg(sample.depth, header, self._encoding))

    def wait_for_subscribers(self, count: int) -> None:
        """Blocks until `count` nodes subscribe to image."""
        while self.image.get_subscription_count() < count:
            time.sleep(_POLL_S)

    def flush(self, seconds: float) -> None:
        """Waits at most `seconds` until subscribers have all that was published. What is unsent by then is lost."""
        end = time.monotonic() + seconds
        sent = (self._info, self._odometry, self._tf.publisher, self.image, self._reference_info, self._reference)
        for publisher in (each for each in sent if each is not None):
            publisher.wait_for_all_acked(Duration(seconds=max(0.0, end - time.monotonic())))


class Player:
    """Publishes frames at absolute times, so that nothing drifts; frames that cannot be loaded in time are skipped.

    `rate` is the speed. With `original_stamps` a frame keeps its recorded stamp and topics' /clock follows the
    recording, also between frames; otherwise it is stamped with the node's time when it goes out. The schedule
    continues when subscribers have the first frame, at most `first_s` seconds after it: a subscriber that has not found
    its publisher yet would miss what the publisher's short history no longer holds.
    """

    def __init__(
        self, node: Node, topics: CameraTopics, rate: float = 1.0, original_stamps: bool = False, first_s: float = 0.0
    ) -> None:
        self._node, self._topics, self._rate, self._original = node, topics, rate, original_stamps
        self._first_s = first_s
        self._begin: float | None = None  # time.monotonic of at = 0
        self.published = 0
        self.skipped = 0

    def play(self, schedule: Iterable[ScheduledFrame]) -> None:
        """Plays to the end of `schedule`, which may be endless."""
        pool = ThreadPoolExecutor(_LOADERS, thread_name_prefix="load")
        try:
            previous = 0.0
            for frame, loading in self._ahead(schedule, pool):
                gap, previous = frame.at - previous, frame.at
                if self._is_late(frame, gap) and loading.cancel():
                    self._skip()
                else:
                    self._play_one(frame, loading)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _ahead(
        self, schedule: Iterable[ScheduledFrame], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[ScheduledFrame, Future[Sample]]]:
        """Frames in their order, the next few of them already loading."""
        loading: deque[tuple[ScheduledFrame, Future[Sample]]] = deque()
        previous = 0.0
        for frame in schedule:
            gap, previous = frame.at - previous, frame.at
            if self._is_late(frame, gap):  # not worth loading
                self._skip()
                continue
            loading.append((frame, pool.submit(frame.load)))
            if len(loading) > _LOADED_AHEAD:
                yield loading.popleft()
        yield from loading

    def _is_late(self, frame: ScheduledFrame, gap: float) -> bool:
        """Whether the next frame, a gap later, is due too."""
        return self._begin is not None and time.monotonic() - self._due(frame, self._begin) > gap / self._rate

    def _due(self, frame: ScheduledFrame, begin: float) -> float:
        return begin + frame.at / self._rate

    def _play_one(self, frame: ScheduledFrame, loading: Future[Sample]) -> None:
        error = loading.exception()
        self._wait(frame)
        if isinstance(error, DataError):
            self._skip()
            self._node.get_logger().warning(printable(f"frame skipped: {error}"), throttle_duration_sec=_WARN_PERIOD_S)
            return
        self._topics.publish_clock(frame.stamp)
        stamp = time_from_seconds(frame.stamp) if self._original else self._node.get_clock().now().to_msg()
        self._topics.publish(loading.result(), stamp)
        if not self.published and self._first_s:
            self._topics.flush(self._first_s)
            self._begin = time.monotonic() - frame.at / self._rate
        self.published += 1

    def _wait(self, frame: ScheduledFrame) -> None:
        if self._begin is None:
            self._begin = time.monotonic() - frame.at / self._rate
        due = self._due(frame, self._begin)
        while (left := due - time.monotonic()) > 0:
            if self._topics.has_clock:
                self._topics.publish_clock(frame.stamp - left * self._rate)
            time.sleep(min(left, _CLOCK_PERIOD_S) if self._topics.has_clock else left)

    def _skip(self) -> None:
        self.skipped += 1


def time_from_seconds(seconds: float) -> Time:
    """Seconds since 1970 -> stamp, to the microsecond: the precision of float64 at that size."""
    sec, microseconds = divmod(round(seconds * 1e6), 1_000_000)
    return Time(sec=sec, nanosec=microseconds * 1000)


def _subscribed(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count() > 0)

"""The running node between activate and deactivate: messages in, frames out.

on_image -> mailbox -> worker: convert, pair with camera_info, `DepthReconstructor.process`, publish, offer to the map.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from ...alignment import no_metres, not_needed
from ...arrays import Points
from ...camera import PinholeCamera
from ...config import Config
from ...errors import DataError, MonoDepthError
from ...frames import Frame
from ...messages import rgb_of
from ...pipeline import DepthReconstructor, Wanted
from ..complaints import Complaints
from ..conversions import image_from_msg
from ..frame_worker import FrameStats, FrameWorker
from ..mapping.mapping import Mapping
from ..publications import Publications
from ..subscriptions import AdaptiveSubscription, CameraInfos
from .live_evaluation import LiveEvaluation
from .reference_depth import ReferenceDepths

_AnyImage: TypeAlias = Image | CompressedImage
_DEPTH = Wanted(depth=True, points=False)


@dataclass(frozen=True)
class _Arrival:
    msg: _AnyImage
    time: float  # time.monotonic


class FrameLine:
    """Subscribes, computes in one worker thread, publishes. `close` ends all of it and frees what it kept."""

    def __init__(
        self,
        node: LifecycleNode,
        reconstructor: DepthReconstructor,
        publications: Publications,
        stats: FrameStats,
        mapping: Mapping,
        config: Config,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._node, self._reconstructor, self._publications, self._stats = node, reconstructor, publications, stats
        self._mapping = mapping
        self._computing = threading.Lock()  # the model serves the worker and the snapshot services
        self._newest: _Arrival | None = None
        self._last: tuple[_Arrival, Frame] | None = None
        self._waiting: _Arrival | None = None
        self._complaints = Complaints(node)
        self._references = ReferenceDepths(node, config.qos.subscribe)
        self._live = LiveEvaluation(self._references)
        self.apply(config)
        self._worker = FrameWorker(self._process, self._refuse, lambda: reconstructor.config.max_rate, failed)
        compressed = config.image_transport == "compressed"
        topic = node.resolve_topic_name("image")
        self._infos = CameraInfos(_is_rectified(config.camera.input, topic))
        self._info_subscription = AdaptiveSubscription(
            node, CameraInfo, "camera_info", self._on_info, config.qos.subscribe, depth=10
        )
        self._image_subscription = AdaptiveSubscription(
            node,
            CompressedImage if compressed else Image,
            topic + "/compressed" if compressed else topic,
            self._on_image,
            config.qos.subscribe,
        )

    @property
    def relative(self) -> bool:
        """Whether the model answers disparity."""
        return self._reconstructor.model.output == "relative_disparity"

    def apply(self, config: Config) -> None:
        """Follows what asks for reference depth with its subscription; to be called where callbacks run."""
        model, source = self._reconstructor.model.name, config.scale.source
        self._references.listen((self.relative and source == "reference") or config.evaluation.enabled)
        self._live.apply(config.evaluation)
        if self.relative and source == "none":
            self._complaints.remark(no_metres(model))
        if not self.relative and source != "none":
            self._complaints.remark(not_needed(model, source))

    def close(self) -> None:
        """Ends subscriptions and worker; the current frame finishes."""
        self._image_subscription.destroy()
        self._info_subscription.destroy()
        self._references.listen(False)
        self._worker.close()
        self._newest = self._last = self._waiting = None

    @property
    def evaluation(self) -> dict[str, str] | None:
        """What /diagnostics says of the comparison with reference depth, where there is one."""
        return self._live.values()

    def idle_reason(self) -> str:
        """Why no image is being processed, for people."""
        if self._waiting is not None:
            return f"images come, but no camera_info on {self._info_subscription.topic} yet"
        if not self._image_subscription.publishers:
            return f"nobody publishes {self._image_subscription.topic}"
        if self._newest is None:
            return f"no image on {self._image_subscription.topic} yet"
        return f"no image on {self._image_subscription.topic} for {time.monotonic() - self._newest.time:.0f} s"

    def warn_if_waiting(self) -> None:
        """Says once in a while that camera_info is missing."""
        if self._waiting is not None:
            self._complaints.warn(f"{self.idle_reason()}: remap camera_info, or publish it")

    def snapshot(self) -> tuple[Frame, Header]:
        """The newest image as a Frame, computed now if nobody needed its depth before. Raises DataError."""
        arrival = self._newest
        if arrival is None:
            raise DataError(f"no frame yet: {self.idle_reason()}")
        last = self._last
        if last is not None and last[0] is arrival:
            return last[1], arrival.msg.header
        return self._compute(arrival, _DEPTH), arrival.msg.header

    def _on_image(self, msg: _AnyImage) -> None:
        arrival = _Arrival(msg, time.monotonic())
        if not self._infos.any():  # the first camera_info is waited for
            self._stats.count_received(replaced=self._waiting is not None)
            self._waiting = arrival
            return
        self._hand_over(arrival)

    def _on_info(self, msg: CameraInfo) -> None:
        self._infos.add(msg)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._newest = waiting
            self._worker.put(waiting)

    def _hand_over(self, arrival: _Arrival) -> None:
        self._newest = arrival
        self._stats.count_received(self._worker.put(arrival))

    def _process(self, arrival: _Arrival) -> None:
        config = self._reconstructor.config
        wanted = self._publications.wanted(metres=not self.relative or config.scale.source != "none")
        if wanted is None or not wanted.depth:
            self._offer(arrival, lambda: self._compute(arrival, _DEPTH))
        if wanted is None:
            return
        frame = self._compute(arrival, wanted)
        started = time.perf_counter()
        self._publications.publish(frame, arrival.msg.header, config)
        frame.timings["publish"] = time.perf_counter() - started
        if frame.depth is not None:
            self._last = (arrival, frame)
        self._judge(frame, config)
        self._stats.count_published(time.monotonic() - arrival.time, frame.timings)
        if wanted.depth:
            self._offer(arrival, lambda: frame)

    def _offer(self, arrival: _Arrival, make: Callable[[], Frame]) -> None:
        """Leaves the frame, computed now if nobody needed its depth before, for those who look at some frames."""
        self._mapping.offer(arrival.msg.header, make)
        self._live.offer(arrival.msg.header.stamp, make, lambda frame: self._camera(arrival.msg, *frame.camera.size))

    def _judge(self, frame: Frame, config: Config) -> None:
        """Says what a frame lacks."""
        self._stats.scale = frame.scale
        if frame.depth is not None and not np.isfinite(frame.depth).any():
            self._complaints.warn(
                "no pixel of the frame has depth: check camera_info, camera.mask and the filter parameters"
            )
        if frame.no_metres and config.scale.source != "none":
            self._stats.count_without_metres(frame.no_metres)
            self._complaints.warn(f"frame without metres: {frame.no_metres}")
        asked = self._publications.wants_sigma() or config.cloud.sigma or config.filter.max_sigma
        if asked and frame.depth is not None and frame.sigma is None:
            self._complaints.remark(
                f"model {self._reconstructor.model.name} tells no sigma: depth/sigma is silent, the cloud's field "
                "sigma is NaN and filter.max_sigma drops nothing; set model.uncertainty"
            )

    def _compute(self, arrival: _Arrival, wanted: Wanted) -> Frame:
        started = time.perf_counter()
        rgb = image_from_msg(arrival.msg) if isinstance(arrival.msg, Image) else rgb_of(arrival.msg)
        camera = self._camera(arrival.msg, rgb.shape[1], rgb.shape[0])
        converted = time.perf_counter() - started
        stamp = arrival.msg.header.stamp
        with self._computing:
            frame = self._reconstructor.process(
                rgb,
                camera,
                wanted,
                self._cloud_buffer(rgb.shape[:2]) if wanted.points else None,
                lambda: self._references.depth(stamp),
            )
        frame.timings["convert"] = converted
        return frame

    def _camera(self, msg: _AnyImage, width: int, height: int) -> PinholeCamera:
        info = self._infos.message(msg.header.stamp)
        if info.header.frame_id != msg.header.frame_id:
            self._complaints.warn(
                f"camera_info has frame_id '{info.header.frame_id}', the image '{msg.header.frame_id}': "
                "the image's is used; let the driver publish equal ones"
            )
        return self._infos.camera(info, width, height)

    def _cloud_buffer(self, shape: tuple[int, ...]) -> Points | None:
        """Where the points are written at once; a voxel grid does not know its size before."""
        settings = self._reconstructor.config.cloud
        if settings.voxel_size:
            return None
        rows, columns = (int(np.ceil(n / settings.stride)) for n in shape)
        return self._publications.cloud.points(rows, columns, settings.sigma)

    def _refuse(self, error: MonoDepthError) -> None:
        self._stats.count_refused(str(error))
        self._complaints.warn(f"frame dropped: {error}")


def _is_rectified(setting: str, topic: str) -> bool:
    """auto: image_proc and drivers name rectified images image_rect, image_rect_color, rect/image, rectified ..."""
    words = re.split("[/_]", topic)
    return setting == "rectified" or (setting == "auto" and ("rect" in words or "rectified" in words))

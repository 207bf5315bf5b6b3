"""The running node between activate and deactivate: messages in, frames out.

on_image -> pair with camera_info and evidence -> mailbox -> worker: convert, `DepthReconstructor.process`, publish,
offer to the map.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from ...arrays import Points
from ...camera import PinholeCamera
from ...config import Config
from ...decoding import StreamBits
from ...errors import DataError, MonoDepthError
from ...frames import Frame, Judgement
from ...messages import encoding_of, is_depth, is_rectified
from ...models.base import needs_prompt
from ...once import Once
from ...pipeline import DepthReconstructor, Wanted
from ...scale.base import ScaleSource
from ...scale.evidence import Evidence
from ...scale.reference import REFERENCE_DEPTH
from ...scale.table import idle_varying, no_metres, not_needed, source_in_effect, source_of
from ...transforms import frame_name
from ..conversions import image_from_msg
from ..frame_worker import FrameStats, FrameWorker
from ..publications import Publications
from ..subscriptions import AdaptiveSubscription, CameraInfos
from ..throttled_log import ThrottledLog
from .arrival import AnyImage, Arrival, RawView
from .diagnostics import UNCALIBRATED
from .evidence_inputs import EvidenceInputs
from .large_clouds import warn_of_large_clouds
from .live_evaluation import LiveEvaluation
from .missing_inputs import MissingInputs
from .navigation import Navigation

_SILENCE_S = 1.5
_DEPTH = Wanted(depth=True, points=False)


class FrameLine:
    """Subscribes, computes in one worker thread, publishes. `close` ends all of it and frees what it kept.

    All steps of a frame use one immutable configuration: the current one when the worker takes the frame. `node` may be
    a part of a node, for one of its cameras. `to_map(header, make)` and `beside(header, frame, config)` receive frames
    for the map and for what is made of several cameras.
    """

    def __init__(
        self,
        node: LifecycleNode,
        reconstructor: DepthReconstructor,
        publications: Publications,
        stats: FrameStats,
        to_map: Callable[[Header, Callable[[], Frame]], None],
        beside: Callable[[Header, Frame, Config], None],
        config: Config,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._node, self._reconstructor, self._publications, self._stats = node, reconstructor, publications, stats
        self._to_map, self._beside = to_map, beside
        self._newest: Arrival | None = None
        self._waiting: tuple[AnyImage, float, Evidence] | None = None  # until the first camera_info arrives
        self._log = ThrottledLog(node)
        self._bits = StreamBits(self._log.once)
        self._inputs = EvidenceInputs(node)
        self._published: Arrival | None = None  # the newest with depth for subscribers; None while they want none
        self._live = LiveEvaluation()
        self._navigation = Navigation(node, publications, self._log, failed)
        self.apply(config)
        self._worker = FrameWorker(self._process, self._refuse, lambda: self._config.max_rate, failed)
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
        self._missing = MissingInputs(node, self._image_subscription, self._info_subscription, self._log)

    @property
    def relative(self) -> bool:
        """Whether the model predicts disparity."""
        return self._reconstructor.model.output == "relative_disparity"

    @property
    def gives_metres(self) -> bool:
        """Whether frames can have metres, from the model or from the scale source."""
        return not self.relative or source_of(self._config.scale).gives_metres

    @property
    def source(self) -> type[ScaleSource] | None:
        """The scale source in effect; None where a metric model keeps its metres."""
        return source_in_effect(self._config.scale, not self.relative)

    def apply(self, config: Config) -> None:
        """Applies changed parameters, including to subscriptions; call it from the thread that runs callbacks."""
        model, source = self._reconstructor.model.name, source_of(config.scale)
        in_effect = source_in_effect(config.scale, not self.relative)
        fitted_to = () if in_effect is None else in_effect.needed(config.scale)
        prompted = needs_prompt(self._reconstructor.model)
        compared_with = (REFERENCE_DEPTH,) if config.evaluation.enabled or prompted else ()
        self._inputs.listen({*fitted_to, *compared_with}, config)
        self._config = config
        self._live.apply(config.evaluation)
        if self.relative and not source.gives_metres:
            self._log.once(no_metres(model))
        if in_effect is None and source.gives_metres:
            self._log.once(not_needed(model, source.name))
        if idle := idle_varying(config.scale):
            self._log.once(idle)

    def close(self) -> None:
        """Ends the subscriptions and the worker, after the current frame."""
        self._image_subscription.destroy()
        self._info_subscription.destroy()
        self._inputs.close()
        self._worker.close()
        self._navigation.close()
        self._newest = self._waiting = None

    @property
    def evaluation(self) -> dict[str, str] | None:
        """The values for /diagnostics of the comparison with reference depth, None while it is off."""
        return self._live.values()

    @property
    def frame_id(self) -> str:
        """The frame of the newest image; empty before the first."""
        newest = self._newest
        return "" if newest is None else frame_name(newest.msg.header.frame_id)

    def idle_reason(self) -> str:
        """Why no image is being processed; empty while images come."""
        if self._waiting is not None:
            return f"images come, but no camera_info on {self._info_subscription.topic} yet"
        if not self._image_subscription.publishers:
            return f"nobody publishes {self._image_subscription.topic}"
        if self._newest is None:
            return f"no image on {self._image_subscription.topic} yet"
        silence = time.monotonic() - self._newest.time
        return f"no image on {self._image_subscription.topic} for {silence:.0f} s" if silence > _SILENCE_S else ""

    @property
    def guess(self) -> str:
        """What stands for a calibration that is missing; empty where there is one."""
        hfov = self._infos.guess if self._config.camera.hfov else 0.0
        return f"guessed from camera.hfov={hfov:g}" if hfov else ""

    def look(self) -> None:
        """Takes an image that waits in vain for a camera_info, warns of what is missing; called every second."""
        waiting = self._waiting
        if waiting is not None and self._infos.ready(self._config.camera.hfov):
            self._waiting = None
            self._hand_over(*waiting)
        self._navigation.look()
        self._missing.check(self._newest is not None or self._waiting is not None, self._waiting is None)
        warn_of_large_clouds(self._node, self._publications, self._log)

    def snapshot(self) -> tuple[Frame, Header]:
        """The newest image as a Frame, computed now unless its depth exists already. Raises DataError."""
        arrival, config = self._newest, self._config
        if arrival is None:
            raise DataError(f"no frame yet: {self.idle_reason()}")
        # A node that drops frames has most likely dropped the newest: subscribers would never see what was saved.
        chosen = self._published or arrival
        frame = chosen.snapshot(config, lambda: self._compute(chosen, _DEPTH, config))
        return frame, chosen.msg.header

    def _on_image(self, msg: AnyImage) -> None:
        new = msg, time.monotonic(), self._inputs.pair(msg.header)
        replaced, self._waiting = self._waiting is not None, None
        if self._infos.ready(self._config.camera.hfov):
            replaced |= self._hand_over(*new)
        else:  # wait for the first one
            self._waiting = new
        self._stats.count_received(replaced)

    def _on_info(self, msg: CameraInfo) -> None:
        self._infos.add(msg)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._hand_over(*waiting)

    def _hand_over(self, msg: AnyImage, arrived: float, evidence: Evidence) -> bool:
        """Returns whether it replaces an image that was not processed."""
        info = self._infos.pair(msg.header.stamp)
        self._newest = Arrival(msg, arrived, Once(lambda: self._view(msg, info)), evidence)
        return self._worker.put(self._newest)

    def _process(self, arrival: Arrival) -> None:
        with self._stats.working():
            self._work(arrival, self._config)

    def _work(self, arrival: Arrival, config: Config) -> None:
        source = source_of(config.scale)
        wanted = self._publications.wanted(metres=not self.relative or source.gives_metres)
        if wanted is not None:
            frame = self._publish(arrival, wanted, config)
        else:
            self._stats.count_unwanted()
        if wanted is not None and wanted.depth:
            self._offer(arrival, lambda: frame)
        else:
            self._offer(arrival, lambda: arrival.frame(config, lambda: self._compute(arrival, _DEPTH, config)))

    def _publish(self, arrival: Arrival, wanted: Wanted, config: Config) -> Frame:
        frame = self._wanted_frame(arrival, wanted, config)
        started = time.perf_counter()
        self._publications.publish(frame, arrival.msg.header, config)
        self._navigation.offer(arrival.msg.header, frame, config)
        self._beside(arrival.msg.header, frame, config)
        frame = replace(frame, timings={**frame.timings, "publish": time.perf_counter() - started})
        self._judge(frame, config)
        self._stats.count_published(time.monotonic() - arrival.time, frame.timings)
        return frame

    def _wanted_frame(self, arrival: Arrival, wanted: Wanted, config: Config) -> Frame:
        if not wanted.depth:  # no model
            return self._compute(arrival, wanted, config)
        frame = arrival.frame(config, lambda: self._compute(arrival, wanted, config), wanted.points)
        self._published = arrival
        return frame

    def _offer(self, arrival: Arrival, make: Callable[[], Frame]) -> None:
        """Offers the frame to the map and the live evaluation, which compute it only if they take it."""
        self._to_map(arrival.msg.header, make)
        self._live.offer(arrival.evidence, make, lambda: arrival.view().camera)
        if self._published is not arrival:  # nobody wants depth any more
            self._published = None

    def _judge(self, frame: Frame, config: Config) -> None:
        """Reports missing depth, metres or sigma, and a scale that is stale or in doubt."""
        self._stats.scale = frame.scale
        withheld = self._report(frame.judgement)
        if frame.scale is not None and frame.scale.stale:
            self._log.warn(f"depth is stale: {frame.scale.reason}", "stale depth")
        elif frame.scale is not None and frame.scale.doubt:
            self._log.warn(
                f"scale.source={frame.scale.source} fits badly: {frame.scale.doubt}: check its transform to the "
                "camera, and the stamps",
                "scale in doubt",
            )
        if frame.depth is not None and not np.isfinite(frame.depth).any():
            self._log.warn("no pixel of the frame has depth: check camera_info, camera.mask and the filter parameters")
        if frame.no_metres and not withheld and (source_of(config.scale).gives_metres or not self.relative):
            self._stats.count_without_metres(frame.no_metres)
            self._log.warn(f"frame without metres: {frame.no_metres}")
        wanted = self._publications.wants_sigma() or config.cloud.sigma or config.filter.max_sigma
        if wanted and frame.depth is not None and frame.sigma is None:
            self._log.once(
                f"model {self._reconstructor.model.name} has no sigma: depth/sigma is not published, the cloud's "
                "field sigma is NaN and filter.max_sigma has no effect; set model.uncertainty"
            )
        doubted = self._publications.wants_confidence() or config.filter.min_confidence
        if doubted and frame.depth is not None and frame.confidence is None:
            self._log.once(
                f"model {self._reconstructor.model.name} has no confidence: depth/confidence is not published and "
                "filter.min_confidence has no effect"
            )

    def _report(self, judgement: Judgement | None) -> bool:
        """Counts and reports what the guard says; whether the frame is withheld for it.

        What is merely noticed is in diagnostics: models flicker too often for the log.
        """
        if judgement is None:
            return False
        self._stats.count_judged(judgement)
        if judgement.level == "ERROR":
            what = "frame withheld" if judgement.withheld else "unreliable frame"
            self._log.warn(f"{what}: {judgement.reason}", f"{what}: {judgement.kind}")
        return judgement.withheld

    def _compute(self, arrival: Arrival, wanted: Wanted, config: Config) -> Frame:
        view = arrival.view()
        frame = self._reconstructor.process(
            view.rgb,
            view.camera,
            wanted,
            self._cloud_buffer(view.rgb.shape[:2], config) if wanted.points else None,
            arrival.evidence,
            config,
            arrival.time,
        )
        return replace(frame, timings={"convert": view.seconds, **frame.timings})

    def _view(self, msg: AnyImage, info: Callable[[], CameraInfo | None]) -> RawView:
        started = time.perf_counter()
        topic = self._image_subscription.topic
        if is_depth(msg, topic):
            self._log.once(
                f"{topic} looks like depth ({encoding_of(msg)}) and is taken as grey: remap image to a colour camera"
            )
        rgb = image_from_msg(msg, self._config.camera.max_megapixels, self._bits)
        camera = self._camera(msg, info(), rgb.shape[1], rgb.shape[0])
        return RawView(rgb, camera, time.perf_counter() - started)

    def _camera(self, msg: AnyImage, info: CameraInfo | None, width: int, height: int) -> PinholeCamera:
        if msg.header.frame_id.startswith("/"):
            self._log.once(
                f"frame_id '{msg.header.frame_id}' of the image begins with a slash, which TF of ROS 2 refuses: its "
                f"pose is that of '{frame_name(msg.header.frame_id)}', outputs keep the slash; let the driver drop it"
            )
        if not msg.header.frame_id:
            self._log.once(
                "the image has no frame_id, and so have the outputs: TF, RViz and the map cannot place them; let the "
                "driver set the camera's optical frame"
            )
        if info is not None and frame_name(info.header.frame_id) != frame_name(msg.header.frame_id):
            self._log.warn(
                f"camera_info has frame_id '{info.header.frame_id}', the image '{msg.header.frame_id}': "
                "the image's is used; let the driver publish equal ones"
            )
        before = self._infos.guess
        camera = self._infos.camera(info, width, height, self._config.camera.hfov)
        if self._infos.guess:
            lack = "no camera_info has come" if info is None else "camera_info has no calibration"
            self._log.once(f"{lack}: the camera is {self.guess}, and its metres with it; {UNCALIBRATED}")
        elif before:
            self._log.once("camera_info has a calibration now, which takes the place of camera.hfov")
        return camera

    def _cloud_buffer(self, shape: tuple[int, ...], config: Config) -> Points | None:
        """The message's buffer for the points; None for a voxel grid, whose size is not known in advance."""
        settings = config.cloud
        if settings.voxel_size:
            return None
        rows, columns = (int(np.ceil(n / settings.stride)) for n in shape)
        return self._publications.cloud.points(rows, columns, settings.sigma)

    def _refuse(self, error: MonoDepthError) -> None:
        self._stats.count_refused(str(error))
        self._log.warn(f"frame dropped: {error}")


def _is_rectified(setting: str, topic: str) -> bool:
    return is_rectified(topic) if setting == "auto" else setting == "rectified"

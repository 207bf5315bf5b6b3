"""Image and camera_info subscriptions: QoS chosen by what publishers offer, cameras paired by stamp."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription, SubscriptionEventCallbacks
from sensor_msgs.msg import CameraInfo

from ..camera import PinholeCamera
from ..errors import CalibrationError
from ..messages import camera_of_info, is_uncalibrated
from .pairing import StampedMessages
from .timers import steady_timer

MISSING_AFTER_S = 5.0  # what has not come by then is missing
_CHECK_PERIOD_S = 0.5
_PAIR_WAIT_S, _STEADY_WAIT_S = 0.05, 0.005  # for a camera_info that arrives after its image
_STEADY = 30  # equal camera_info in a row: after that many, a late message is hardly waited for


class AdaptiveSubscription:
    """A subscription that is reliable while every publisher of its topic is, and best effort otherwise.

    A reliable subscription does not match a best-effort publisher; a best-effort one loses most images on
    default transports. `reliability` is auto, reliable or best_effort. It is transient local too while every publisher
    is, and so receives what was published once before it; where only some are, a second subscription receives that.
    """

    def __init__(
        self,
        node: Node,
        msg_type: type[Any],
        topic: str,
        callback: Callable[[Any], None],
        reliability: str,
        depth: int = 1,
    ) -> None:
        self._node, self._type, self._callback, self._depth = node, msg_type, callback, depth
        self._topic = topic
        self._auto = reliability == "auto"
        self.reliable = reliability != "best_effort"
        self.latched = False
        self._subscription = self._subscribe(self._callback, False)
        self.topic = str(self._subscription.topic_name)  # resolved; to be read by any thread, also after `destroy`
        self._past: Subscription[Any] | None = None
        self._past_came = False
        self._timer = steady_timer(node, _CHECK_PERIOD_S, self._check)

    @property
    def type_name(self) -> str:
        """The message type as ROS writes it: sensor_msgs/msg/Image."""
        package, kind, *_ = self._type.__module__.split(".")
        return f"{package}/{kind}/{self._type.__name__}"

    @property
    def publishers(self) -> int:
        """How many publishers offer the topic now."""
        return self._node.count_publishers(self.topic)

    def destroy(self) -> None:
        """Ends the subscription."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)
        self._follow_past(False)

    def _subscribe(self, callback: Callable[[Any], None], latched: bool) -> Subscription[Any]:
        policy = ReliabilityPolicy.RELIABLE if self.reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=self._depth if self.reliable else 5,
            reliability=policy,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        events = SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible)
        return self._node.create_subscription(self._type, self._topic, callback, qos, event_callbacks=events)

    def _on_incompatible(self, _: Any) -> None:
        """In place of rclpy's own line, which is false where the subscription adapts."""
        if not self._auto and self.reliable:
            self._node.get_logger().warning(
                f"a publisher of {self.topic} is best effort, which qos.subscribe=reliable does not receive: "
                "set qos.subscribe to auto"
            )

    def _check(self) -> None:
        offers = [offer.qos_profile for offer in self._node.get_publishers_info_by_topic(self.topic)]
        if not offers:
            return
        reliable = all(offer.reliability != ReliabilityPolicy.BEST_EFFORT for offer in offers)
        reliable = reliable if self._auto else self.reliable
        kept = [offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers]
        if (reliable, all(kept)) != (self.reliable, self.latched):
            self.reliable, self.latched = reliable, all(kept)
            self._node.destroy_subscription(self._subscription)
            self._subscription = self._subscribe(self._callback, self.latched)
        self._follow_past(any(kept) and not self.latched)

    def _follow_past(self, wanted: bool) -> None:
        """Subscribes to what some publishers keep; what they publish from now on comes by the other subscription."""
        if wanted and self._past is None:
            self._past = self._subscribe(self._on_past, True)
        elif not wanted and self._past is not None:
            self._node.destroy_subscription(self._past)
            self._past = None

    def _on_past(self, msg: Any) -> None:
        if not self._past_came:
            self._past_came = True
            self._callback(msg)


class CameraInfos:
    """Recent CameraInfo messages, and the camera made from the newest; any thread may call.

    `rectified` as in `camera_of_info`, `clock` in seconds. A horizontal field of view `hfov` (degrees) stands for a
    calibration where there is none; 0 does not.
    """

    def __init__(self, rectified: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._rectified, self._clock = rectified, clock
        self._missing_since: float | None = None
        self._messages: StampedMessages[CameraInfo] = StampedMessages(0.0, lambda recent, _: recent[-1], self.patience)
        self._newest: tuple[object, ...] = ()  # its calibration
        self._equal = 0  # messages in a row of that calibration
        self._making = threading.Lock()
        self._made: tuple[tuple[object, ...], PinholeCamera] | None = None
        self.guess = 0.0  # the field of view that the newest camera was guessed by; 0 for a calibrated one

    def add(self, msg: CameraInfo) -> None:
        """Stores the message for its own image and for later ones."""
        calibration = _calibration_key(msg)
        self._equal = self._equal + 1 if calibration == self._newest else 1
        self._newest = calibration
        self._messages.add(msg.header.stamp, msg)

    def ready(self, hfov: float) -> bool:
        """Whether an image need not wait: a message has arrived, or `hfov` stands for it 5 s after the first call."""
        if self._messages.any():
            return True
        now = self._clock()
        self._missing_since = now if self._missing_since is None else self._missing_since
        return hfov > 0 and now - self._missing_since >= MISSING_AFTER_S

    def patience(self) -> float:
        """How long (s) the camera_info of an image is waited for, which may arrive after it.

        The wait is shorter if the calibration has not changed for long: the latest message is then as good.
        """
        return _STEADY_WAIT_S if self._equal >= _STEADY else _PAIR_WAIT_S

    def pair(self, stamp: Time) -> Callable[[], CameraInfo | None]:
        """To be called when an image arrives: the CameraInfo of equal stamp, else the latest so far, None if none."""
        pair = self._messages.pair(stamp)

        def message() -> CameraInfo | None:
            found = pair()
            return None if found is None else found[1]

        return message

    def camera(self, msg: CameraInfo | None, width: int, height: int, hfov: float = 0.0) -> PinholeCamera:
        """The camera of `msg` for an image of width x height, rebuilt only when the calibration changes.

        By `hfov` where `msg` is None or has no calibration. Raises CalibrationError if there is neither, or if the
        message is for another image size.
        """
        if hfov and (msg is None or is_uncalibrated(msg, self._rectified)):
            key = width, height, hfov
            return self._kept(key, lambda: PinholeCamera.from_hfov(width, height, hfov), hfov)
        if msg is None:
            raise CalibrationError("no camera_info has come: publish it, or set camera.hfov for a guess")
        camera = self._kept(_calibration_key(msg), lambda: camera_of_info(msg, self._rectified), 0.0)
        if camera.size != (width, height):
            raise CalibrationError(
                f"camera_info is for {camera.width}x{camera.height} pixels, the image has {width}x{height}: "
                "publish the camera_info of this image (after resizing, image_proc's resize node does)"
            )
        return camera

    def _kept(self, key: tuple[object, ...], make: Callable[[], PinholeCamera], guess: float) -> PinholeCamera:
        with self._making:
            if self._made is None or self._made[0] != key:
                self._made = (key, make())
            self.guess = guess
            return self._made[1]


def _calibration_key(msg: CameraInfo) -> tuple[object, ...]:
    roi = msg.roi
    return (
        msg.width,
        msg.height,
        msg.distortion_model,
        msg.d.tobytes(),
        msg.k.tobytes(),
        msg.r.tobytes(),
        msg.p.tobytes(),
        msg.binning_x,
        msg.binning_y,
        roi.x_offset,
        roi.y_offset,
        roi.width,
        roi.height,
    )

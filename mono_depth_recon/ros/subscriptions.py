"""Image and camera_info subscriptions: reliability chosen by what publishers offer, cameras paired by stamp."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo

from ..camera import PinholeCamera
from ..errors import CalibrationError
from ..messages import camera_of_info

_CHECK_PERIOD_S = 0.5
_PAIR_WAIT_S, _STEADY_WAIT_S = 0.05, 0.005  # for a camera_info that comes after its image
_STEADY = 30  # camera_info in a row: a calibration that has stayed so long is not waited for, should a message be late


class AdaptiveSubscription:
    """A subscription that stays reliable while every publisher of its topic is, and is best effort otherwise.

    A reliable subscription does not match a best-effort publisher; a best-effort one loses most images on
    default transports. `reliability` is auto, reliable or best_effort.
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
        self._subscription = self._subscribe()
        self._timer = node.create_timer(_CHECK_PERIOD_S, self._check) if self._auto else None

    @property
    def topic(self) -> str:
        """The resolved topic name."""
        return str(self._subscription.topic_name)

    @property
    def publishers(self) -> int:
        """How many publishers offer the topic now."""
        return self._node.count_publishers(self.topic)

    def destroy(self) -> None:
        """Ends the subscription."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)

    def _subscribe(self) -> Subscription[Any]:
        policy = ReliabilityPolicy.RELIABLE if self.reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=self._depth if self.reliable else 5,
            reliability=policy,
            durability=DurabilityPolicy.VOLATILE,
        )
        return self._node.create_subscription(self._type, self._topic, self._callback, qos)

    def _check(self) -> None:
        offers = self._node.get_publishers_info_by_topic(self.topic)
        reliable = all(offer.qos_profile.reliability != ReliabilityPolicy.BEST_EFFORT for offer in offers)
        if offers and reliable != self.reliable:
            self.reliable = reliable
            self._node.destroy_subscription(self._subscription)
            self._subscription = self._subscribe()


class CameraInfos:
    """Recent CameraInfo messages, and the camera that the newest of them made.

    `rectified` as in `camera_of_info`.
    """

    def __init__(self, rectified: bool) -> None:
        self._rectified = rectified
        self._arrived = threading.Condition()
        self._recent: OrderedDict[tuple[int, int], CameraInfo] = OrderedDict()
        self._paired = False  # the last image had a camera_info of its own stamp
        self._newest: tuple[object, ...] = ()  # its calibration
        self._equal = 0  # messages in a row of that calibration
        self._made: tuple[tuple[object, ...], PinholeCamera] | None = None

    def add(self, msg: CameraInfo) -> None:
        """Keeps the message; the newest eight stamps stay."""
        calibration = _calibration_key(msg)
        with self._arrived:
            self._equal = self._equal + 1 if calibration == self._newest else 1
            self._newest = calibration
            self._recent[_key(msg.header.stamp)] = msg
            self._recent.move_to_end(_key(msg.header.stamp))
            while len(self._recent) > 8:
                self._recent.popitem(last=False)
            self._arrived.notify_all()

    def any(self) -> bool:
        """True once one has come."""
        return bool(self._recent)

    def message(self, stamp: Time) -> CameraInfo:
        """The CameraInfo of equal stamp, else the latest; `any` must hold.

        Of drivers that pair their messages the equal one is waited for a moment: it may arrive after its image. That is
        a shorter one where the calibration has not changed for long: the latest then is as good.
        """
        key = _key(stamp)
        with self._arrived:
            patience = _STEADY_WAIT_S if self._equal >= _STEADY else _PAIR_WAIT_S
            patience = patience if self._paired else 0.0
            self._paired = self._arrived.wait_for(lambda: key in self._recent, patience)
            return self._recent[key] if self._paired else next(reversed(self._recent.values()))

    def camera(self, msg: CameraInfo, width: int, height: int) -> PinholeCamera:
        """The camera of `msg` for an image of width x height, rebuilt only when the calibration changes.

        Raises CalibrationError where the message is no calibration, or one of another image size.
        """
        key = _calibration_key(msg)
        if self._made is None or self._made[0] != key:
            self._made = (key, camera_of_info(msg, self._rectified))
        camera = self._made[1]
        if camera.size != (width, height):
            raise CalibrationError(
                f"camera_info is for {camera.width}x{camera.height} pixels, the image has {width}x{height}: "
                "publish the camera_info of this image (after resizing, image_proc's resize node does)"
            )
        return camera


def _key(stamp: Time) -> tuple[int, int]:
    return stamp.sec, stamp.nanosec


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

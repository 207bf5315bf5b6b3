"""The little of tf2_ros that the node uses, for machines without it: its names, arguments and exceptions.

As tf2 does, it interpolates over any gap, keeps fixed transforms when it is cleared, and may be used by many threads.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Header

from mono_depth_recon.errors import DataError
from mono_depth_recon.ros.tf_messages import tf_qos, transform_to_msg
from mono_depth_recon.transforms import NoPose, Transform, TransformTree, transforms_of


class TransformException(Exception):
    pass


class LookupException(TransformException):
    pass


class ConnectivityException(TransformException):
    pass


class ExtrapolationException(TransformException):
    pass


class _One:
    """A message of one transform."""

    def __init__(self, transform: TransformStamped) -> None:
        self.transforms = [transform]


_P, _R = ParamSpec("_P"), TypeVar("_R")


def _locked(method: Callable[Concatenate[Buffer, _P], _R]) -> Callable[Concatenate[Buffer, _P], _R]:
    @functools.wraps(method)
    def inner(buffer: Buffer, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with buffer.lock:
            return method(buffer, *args, **kwargs)

    return inner


class Buffer:
    def __init__(self, cache_time: Any = None, node: Node | None = None) -> None:
        assert node is None, "the service of the buffer is not wanted"
        self.lock = threading.RLock()
        self._fixed: list[Transform] = []
        self._newest: dict[str, float] = {}
        self._parents: dict[str, str] = {}
        self.clear()

    @_locked
    def clear(self) -> None:
        self._newest.clear()
        self._tree = TransformTree(max_gap_s=1e9)
        for transform in self._fixed:
            self._tree.add(transform)

    @_locked
    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        for each in transforms_of(_One(transform), False):
            self._take(each)
            self._newest[each.child] = max(each.stamp, self._newest.get(each.child, 0.0))

    @_locked
    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        for each in transforms_of(_One(transform), True):
            self._take(each)
            self._fixed.append(each)

    def _take(self, transform: Transform) -> None:
        self._parents[transform.child] = transform.parent
        self._tree.add(transform)

    @_locked
    def lookup_transform(self, target_frame: str, source_frame: str, time: Time) -> TransformStamped:
        known = {*self._parents, *self._parents.values()}
        for frame in (target_frame, source_frame):
            if frame not in known:
                raise LookupException(f'"{frame}" passed to lookupTransform argument does not exist.')
        try:
            T = self._tree.pose(target_frame, source_frame, time.nanoseconds / 1e9)
        except NoPose as error:
            raise ExtrapolationException(f"Lookup would require extrapolation: {error}") from error
        except DataError as error:
            raise ConnectivityException(f"Tf has two or more unconnected trees: {error}") from error
        return transform_to_msg(T, Header(stamp=time.to_msg(), frame_id=target_frame), source_frame)

    @_locked
    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        return Time(nanoseconds=round(1e9 * min(self._newest.values())))

    @_locked
    def all_frames_as_yaml(self) -> str:
        return "\n".join(f"{child}:\n  parent: '{parent}'" for child, parent in self._parents.items()) or "{}"


class TransformListener:
    def __init__(self, buffer: Buffer, node: Node, *, spin_thread: bool = False) -> None:
        from tf2_msgs.msg import TFMessage

        self._node = node
        self._subscriptions = [
            node.create_subscription(TFMessage, topic, lambda msg, take=take: self._take(msg, take), tf_qos(fixed))
            for topic, take, fixed in (
                ("/tf", buffer.set_transform, False),
                ("/tf_static", buffer.set_transform_static, True),
            )
        ]

    def _take(self, msg: Any, take: Any) -> None:
        for transform in msg.transforms:
            take(transform, "default_authority")

    def unregister(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

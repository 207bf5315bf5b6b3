"""TF as a source of poses: tf2_ros if it is installed; with tf2_msgs alone, its messages and our own tree.

All users in a node share one subscription of /tf, so that its messages are read once.
"""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import yaml
from builtin_interfaces.msg import Time
from rclpy import time as rclpy_time
from rclpy.node import Node

from ...arrays import Matrix
from ...errors import DataError
from ...poses import pose_matrix
from ...transforms import NoPose, NotYet, TransformTree, seconds, transforms_of, unknown_frame
from ..tf_messages import tf_message_type, tf_qos
from ..throttled_log import ThrottledLog

_MAX_GAP_S = 0.5
_KEEP_S = 10.0  # as tf2 does
_RETRY_S = 0.02  # tf2_ros does not notify of new transforms
_RESTART_S = 1.0  # a transform older than the newest by less was overtaken in transit; by more, time jumped back


class TransformSource(Protocol):
    """Transforms between frames at the stamps of images, until `close`; `refused` counts faulty ones."""

    refused: int

    def pose(self, target: str, source: str, stamp: Time) -> Matrix:
        """Pose (4, 4) of the frame `source` in `target`; raises as `TransformTree.pose`."""

    def close(self) -> None:
        """Ends the subscriptions."""


def transform_source(node: Node, changed: threading.Condition, warn: Callable[[str], None]) -> TransformSource | None:
    """TF as received by `node`, None if neither tf2_ros nor tf2_msgs is installed.

    To be called and closed in the thread that runs callbacks: all sources of a node share what it receives, until the
    last is closed. `changed` is notified of new transforms (by tf2_ros not); `warn(text)` receives faulty ones.
    """
    if node not in _SHARED:
        users = _Users()
        transforms = received_by(node, users.notice)
        if transforms is None:
            return None
        _SHARED[node] = transforms, users
    return _Use(node, changed, warn)


class TransformsWhileWanted:
    """A `transform_source` for as long as somebody needs it. `absent` is logged where TF is not installed.

    `look` and `close` are for the thread that runs callbacks, `source` for any.
    """

    def __init__(self, node: Node, changed: threading.Condition, log: ThrottledLog, absent: str) -> None:
        self._node, self._changed, self._log, self._absent = node, changed, log, absent
        self.source: TransformSource | None = None

    def look(self, wanted: bool) -> None:
        """Begins to listen to TF, or ends it."""
        if not wanted:
            self.close()
        elif self.source is None:
            self.source = transform_source(self._node, self._changed, lambda text: self._log.warn(text, "transform"))
            if self.source is None:
                self._log.once(self._absent)

    def close(self) -> None:
        """Ends the subscriptions."""
        source, self.source = self.source, None
        if source is not None:
            source.close()


def received_by(node: Node, noticed: Callable[[list[str]], None]) -> Tf2 | TfMessages | None:
    """All that `node` receives of TF; `noticed(refused)` is called after each message, except by tf2_ros."""
    try:
        import tf2_ros
    except ImportError:
        message = tf_message_type()
        return None if message is None else TfMessages(node, message, noticed)
    return Tf2(node, tf2_ros)


def tf_is_installed() -> bool:
    """Whether a node can receive TF here."""
    return importlib.util.find_spec("tf2_ros") is not None or tf_message_type() is not None


def awaited(
    lookup: Callable[[], Matrix], changed: threading.Condition, patience_s: float, ended: Callable[[], bool]
) -> Matrix:
    """The pose that `lookup()` finds, called with `changed` held, and again while it raises NotYet.

    Raises that error after `patience_s` or once `ended()`, which is to be notified by `changed`.
    """
    end = time.monotonic() + patience_s
    with changed:
        while True:
            try:
                return lookup()
            except NotYet:
                left = end - time.monotonic()
                if left <= 0 or ended():
                    raise
                changed.wait(min(left, _RETRY_S))


def live_tree() -> TransformTree:
    """A tree for live transforms: it interpolates over gaps of up to 0.5 s and keeps 10 s."""
    return TransformTree(_MAX_GAP_S, keep_s=_KEEP_S, restart_s=_RESTART_S)


class _Users:
    """Those who share what a node receives, and how often they found that a new run began."""

    def __init__(self) -> None:
        self.restarts = 0
        self._all: tuple[_Use, ...] = ()

    def add(self, user: _Use) -> None:
        self._all = (*self._all, user)

    def remove(self, user: _Use) -> bool:
        """Whether that leaves none."""
        self._all = tuple(each for each in self._all if each is not user)
        return not self._all

    def notice(self, refused: list[str]) -> None:
        """Tells them of a message, of which those transforms are faulty; the first of them is to say so."""
        for index, user in enumerate(self._all):
            user.notice(refused, say=index == 0)


_SHARED: dict[Node, tuple[Tf2 | TfMessages, _Users]] = {}


class _Use:
    """The TransformSource of one user."""

    def __init__(self, node: Node, changed: threading.Condition, warn: Callable[[str], None]) -> None:
        self.refused = 0
        self._node, self._changed, self._warn = node, changed, warn
        self._transforms, self._users = _SHARED[node]
        self._last, self._restarts = -1.0, self._users.restarts
        self._users.add(self)

    def pose(self, target: str, source: str, stamp: Time) -> Matrix:
        """See TransformSource. A new run has begun if the stamps jump back: what lies in its future is forgotten."""
        at, users = seconds(stamp), self._users
        if at < self._last - _RESTART_S and self._restarts == users.restarts:
            users.restarts += 1
            self._transforms.restart()
        self._last, self._restarts = at, users.restarts
        return self._transforms.pose(target, source, stamp)

    def notice(self, refused: list[str], say: bool) -> None:
        """A message has come, with so many faulty transforms."""
        with self._changed:
            self.refused += len(refused)
            self._changed.notify_all()
        for text in refused if say else ():
            self._warn(text)

    def close(self) -> None:
        """Ends the subscriptions if nobody else needs them."""
        if self._users.remove(self):
            _SHARED.pop(self._node)[0].close()


class Tf2:
    """TF by tf2_ros, which interpolates between any two transforms of the last 10 s that enclose the stamp.

    tf2 logs faulty transforms itself; they are not counted here, nor is anybody notified.
    """

    def __init__(self, node: Node, tf2_ros: Any) -> None:
        self._tf2 = tf2_ros
        self._buffer = tf2_ros.Buffer()  # without the node: with it there is a service /tf2_frames that nothing ends
        self._listener = tf2_ros.TransformListener(self._buffer, node)

    def restart(self) -> None:
        """Forgets all: tf2 keeps what lies in the future."""
        self._buffer.clear()

    def pose(self, target: str, source: str, stamp: Time) -> Matrix:
        """See TransformSource."""
        at = seconds(stamp)
        try:
            found = self._buffer.lookup_transform(target, source, rclpy_time.Time.from_msg(stamp)).transform
        except self._tf2.ExtrapolationException as error:
            newest = self._buffer.get_latest_common_time(target, source).nanoseconds / 10**9
            if newest < at:
                raise NotYet(
                    f"the last pose of '{source}' in '{target}' is {at - newest:.2f} s older than the image"
                ) from error
            raise NoPose(f"the poses of '{source}' in '{target}' begin after the image's stamp") from error
        except self._tf2.LookupException as error:
            known = self._frames()
            missing = next((name for name in (target, source) if name not in known), target)
            raise DataError(unknown_frame(missing, known)) from error
        except self._tf2.TransformException as error:
            raise DataError(f"no transforms lead from '{target}' to '{source}': {error}") from error
        t, q = found.translation, found.rotation
        return pose_matrix((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))

    def close(self) -> None:
        """Ends the subscriptions."""
        self._listener.unregister()

    def _frames(self) -> set[str]:
        """The names of all known frames: tf2 lists each with its parent."""
        listed = yaml.safe_load(self._buffer.all_frames_as_yaml()) or {}
        return {*listed, *(about["parent"] for about in listed.values())}


class TfMessages:
    """TF from its messages, in our own tree, which notices by itself where time jumps back."""

    def __init__(self, node: Node, message: type[Any], noticed: Callable[[list[str]], None]) -> None:
        self._node, self._noticed, self._lock = node, noticed, threading.Lock()
        self._tree, self._frames = live_tree(), set[str]()
        self._subscriptions = [
            node.create_subscription(message, topic, lambda msg, fixed=fixed: self._take(msg, fixed), tf_qos(fixed))
            for topic, fixed in (("/tf", False), ("/tf_static", True))
        ]

    def restart(self) -> None:
        """The tree does so when a message comes."""

    def pose(self, target: str, source: str, stamp: Time) -> Matrix:
        """See TransformSource. Moving frames are kept only if such calls need them."""
        with self._lock:
            self._frames |= {target, source}
            self._tree.follow(*sorted(self._frames))
            return self._tree.pose(target, source, seconds(stamp))

    def close(self) -> None:
        """Ends the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _take(self, msg: Any, fixed: bool) -> None:
        refused = []
        with self._lock:
            for transform in transforms_of(msg, fixed):
                try:
                    self._tree.add(transform)
                except DataError as error:
                    refused.append(str(error))
        self._noticed(refused)

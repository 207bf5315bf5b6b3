"""Frames and the transforms between them over time: a tree, the chain between two of its frames, the pose at a stamp.

The part of tf2 that camera poses need, for bags and for nodes without tf2_ros.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .arrays import Matrix
from .errors import DataError
from .poses import Trajectory, checked_numbers, pose_matrix

_LISTED_FRAMES = 30


class NoPose(DataError):
    """The frames are connected, but no transforms enclose the time closely enough."""


class NotYet(NoPose):
    """The pose of that time may still come."""


class Transform(NamedTuple):
    """Pose of the frame `child` in `parent` at `stamp` seconds: metres, quaternion x y z w; `fixed` for all time."""

    parent: str
    child: str
    stamp: float
    numbers: tuple[float, ...]
    fixed: bool


class TransformTree:
    """Every frame has one parent; fixed transforms hold for all time, the others at their stamps and in between.

    Between two transforms at most `max_gap_s` apart it interpolates; otherwise the nearest is used if it is nearer than
    `max_difference` seconds. Moving transforms are kept for `keep_s` seconds. One that is older than the newest is
    ignored; where it is older by `restart_s` or more, time went back and all poses so far are dropped.
    A robot has many joints: once `follow` has named frames, only what leads to these is kept. Not thread-safe.
    """

    def __init__(
        self, max_gap_s: float, max_difference: float = 0.0, keep_s: float = math.inf, restart_s: float = math.inf
    ) -> None:
        self._max_gap_s, self._max_difference = max_gap_s, max_difference
        self._keep_s, self._restart_s = keep_s, restart_s
        self._parents: dict[str, str] = {}
        self._fixed: dict[str, Matrix] = {}
        self._moving: dict[str, Trajectory] = {}
        self._followed: tuple[str, ...] = ()
        self._needed: set[str] | None = None

    @property
    def frames(self) -> set[str]:
        """The names of all known frames."""
        return {*self._parents, *self._parents.values()}

    @property
    def moves(self) -> bool:
        """Whether any pose changes over time: fixed mounts alone say nothing about a moving camera."""
        return bool(self._moving)

    @property
    def span(self) -> tuple[float, float]:
        """First and last stamp of all that moves, in seconds; something must."""
        spans = [trajectory.span for trajectory in self._moving.values() if len(trajectory)]
        return min(first for first, _ in spans), max(last for _, last in spans)

    def root(self, frame: str) -> str:
        """The topmost frame above `frame`."""
        return self.line(frame)[-1]

    def follow(self, *frames: str) -> None:
        """Keeps what leads to these frames, and drops moving frames that do not."""
        if frames != self._followed:
            self._followed = frames
            self._choose()

    def connect(self, parent: str, child: str) -> None:
        """Puts the frame `child` below `parent`; what is known of it below another one is dropped."""
        if self._parents.get(child) != parent:
            self._parents[child] = parent
            self._moving.pop(child, None)
            self._fixed.pop(child, None)
            self._choose()

    def add(self, transform: Transform) -> None:
        """Adds a transform.

        Raises DataError where it is not finite, its quaternion is not of length 1, or a frame is its own parent.
        """
        child = transform.child
        if transform.parent == child:
            raise DataError(f"the pose of '{child}' in '{child}' relates a frame to itself")
        self.connect(transform.parent, child)
        if transform.fixed:
            numbers = _checked(transform)
            self._fixed[child] = pose_matrix(numbers[:3], numbers[3:])
        elif self._needed is None or child in self._needed:
            numbers = _checked(transform)
            self._fixed.pop(child, None)
            trajectory = self._moving.setdefault(child, Trajectory(self._keep_s))
            if trajectory.newest is not None and trajectory.newest - transform.stamp >= self._restart_s:
                trajectory.clear()
            trajectory.add(transform.stamp, numbers)

    def add_recorded(self, transforms: Iterable[Transform]) -> list[str]:
        """Adds the transforms of a recording, in which they need not be in the order of their stamps.

        Returns the reason for each that had to be left out (`add`).
        """
        refused = []
        needed = (each for each in transforms if self._needed is None or each.child in self._needed)
        for transform in sorted(needed, key=lambda each: each.stamp):
            try:
                self.add(transform)
            except DataError as error:
                refused.append(str(error))
        return refused

    def fix_what_never_moved(self) -> None:
        """Treats moving transforms that never changed as fixed: for a recording that was read to its end."""
        for child in [child for child, trajectory in self._moving.items() if not trajectory.moves]:
            trajectory = self._moving.pop(child)
            pose = None if trajectory.newest is None else trajectory.pose(trajectory.newest, 0.0)
            if pose is not None:
                self._fixed[child] = pose

    def pose(self, target: str, source: str, stamp: float) -> Matrix:
        """The pose (4, 4) of the frame `source` in `target` at `stamp` seconds.

        Raises NotYet where a transform is still older than `stamp`, NoPose where no transforms enclose the stamp
        closely enough, and DataError where a frame is not known (named, with those that are), the two are not
        connected or the parents of one form a loop.
        """
        for name in (target, source):
            if name not in self._parents and name not in self._parents.values():
                raise DataError(unknown_frame(name, self.frames))
        up, down = self.line(source), self.line(target)
        for line in (up, down):
            self._check_end(line)
        common = next((name for name in up if name in down), None)
        if common is None:
            raise DataError(
                f"no transforms lead from '{target}' to '{source}': '{target}' is below '{down[-1]}', "
                f"'{source}' below '{up[-1]}'"
            )
        T_common_source = self._product(up[: up.index(common)], stamp)
        T_common_target = self._product(down[: down.index(common)], stamp)
        return np.linalg.inv(T_common_target) @ T_common_source

    def _product(self, line: Iterable[str], stamp: float) -> Matrix:
        T = np.eye(4)
        for child in line:
            T = self._link(child, stamp) @ T
        return T

    def _link(self, child: str, stamp: float) -> Matrix:
        """Pose of `child` in its parent."""
        if child in self._fixed:
            return self._fixed[child]
        name = f"'{child}' in '{self._parents[child]}'"
        trajectory = self._moving.get(child)
        if trajectory is None or trajectory.newest is None:
            raise NotYet(f"the pose of {name} is not known yet")
        pose = trajectory.pose(stamp, self._max_gap_s, self._max_difference)
        if pose is not None:
            return pose
        if trajectory.newest < stamp:
            raise NotYet(f"the last pose of {name} is {stamp - trajectory.newest:.2f} s older than the image")
        raise NoPose(
            f"the poses of {name} have a gap of more than {self._max_gap_s:g} s at the image's stamp, or begin after it"
        )

    def line(self, frame: str) -> list[str]:
        """A frame, its parent, and so on to the topmost."""
        line = [frame]
        while (parent := self._parents.get(line[-1])) is not None and parent not in line:
            line.append(parent)
        return line

    def check_root(self, frame: str) -> None:
        """Raises DataError if the parents of `frame` form a loop, so that there is no topmost frame."""
        self._check_end(self.line(frame))

    def _check_end(self, line: list[str]) -> None:
        if (again := self._parents.get(line[-1])) is not None:
            raise DataError(
                f"no transforms lead from '{line[0]}' to a topmost frame: {' below '.join([*line, again])} is a loop"
            )

    def _choose(self) -> None:
        if not self._followed:
            return
        self._needed = {name for frame in self._followed for name in self.line(frame)}
        self._moving = {child: each for child, each in self._moving.items() if child in self._needed}


def _checked(transform: Transform) -> tuple[float, ...]:
    try:
        return checked_numbers(transform.numbers)
    except DataError as error:
        raise DataError(f"the pose of '{transform.child}' in '{transform.parent}' {error}") from error


def unknown_frame(name: str, known: Iterable[str]) -> str:
    """The message about a frame that no transform names."""
    names = sorted(known)
    if not names:
        return f"no transform names the frame '{name}': none has come yet"
    listed = ", ".join(names[:_LISTED_FRAMES]) + (", ..." if len(names) > _LISTED_FRAMES else "")
    return f"no transform names the frame '{name}', only {listed}"


def transforms_of(msg: Any, fixed: bool) -> Iterator[Transform]:
    """The transforms of a TFMessage; `fixed` on /tf_static."""
    for each in msg.transforms:
        t, q = each.transform.translation, each.transform.rotation
        yield Transform(
            frame_name(each.header.frame_id),
            frame_name(each.child_frame_id),
            seconds(each.header.stamp),
            (t.x, t.y, t.z, q.x, q.y, q.z, q.w),
            fixed,
        )


def transform_of_odometry(msg: Any, frame: str) -> Transform:
    """The pose of an Odometry or TransformStamped, of its child frame; or of `frame` where the message names none.

    The latter: PoseStamped and PoseWithCovarianceStamped.
    """
    child = frame_name(getattr(msg, "child_frame_id", "")) or frame
    if hasattr(msg, "transform"):
        p, q = msg.transform.translation, msg.transform.rotation
    else:
        pose = msg.pose.pose if hasattr(msg.pose, "pose") else msg.pose
        p, q = pose.position, pose.orientation
    return Transform(
        frame_name(msg.header.frame_id), child, seconds(msg.header.stamp), (p.x, p.y, p.z, q.x, q.y, q.z, q.w), False
    )


def frame_name(name: str) -> str:
    """A frame id as ROS 2 expects it: the leading slash of ROS 1 is dropped."""
    return name.lstrip("/")


def seconds(stamp: Any) -> float:
    """A message's stamp in seconds, the nearest float64 to its decimal."""
    nanoseconds = int(stamp.sec) * 10**9 + int(stamp.nanosec)
    return nanoseconds / 10**9

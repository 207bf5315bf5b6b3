"""Frames and the transforms between them over time, as TF has them: the little of tf2 that poses of a camera need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ...arrays import Matrix
from ...datasets.bags.poses import Transform
from ...datasets.tum import pose_matrix
from ...errors import DataError
from ...fusion.poses import PoseBuffer, checked_pose

_KEEP_S = 10.0
_LATE_S = 1.0  # a transform older than the newest by less was overtaken; by more, time went back
_SHOWN_FRAMES = 30
_UNIT = 1e-2  # of a quaternion's length


class NotYet(DataError):
    """The pose of that time may still come."""


class TransformTree:
    """Every frame has one parent; fixed transforms hold for all time, the others at their stamps and in between.

    Between two transforms at most `max_gap_s` apart it interpolates, and it never extrapolates. A robot has many
    joints: once `follow` has named two frames, only what leads to these is kept. Not for two threads at once.
    """

    def __init__(self, max_gap_s: float = 0.5) -> None:
        self._max_gap_s = max_gap_s
        self._parents: dict[str, str] = {}
        self._fixed: dict[str, Matrix] = {}
        self._moving: dict[str, PoseBuffer] = {}
        self._followed: tuple[str, ...] = ()
        self._needed: set[str] | None = None

    @property
    def frames(self) -> list[str]:
        """The names of all known frames."""
        return sorted({*self._parents, *self._parents.values()})

    def follow(self, *frames: str) -> None:
        """Keeps what leads to these frames, and forgets moving frames that do not."""
        if frames != self._followed:
            self._followed = frames
            self._choose()

    def add(self, transform: Transform) -> None:
        """Takes a transform. Raises DataError where it is NaN or no rotation."""
        child = transform.child
        if self._parents.get(child) != transform.parent:
            self._parents[child] = transform.parent
            self._moving.pop(child, None)
            self._choose()
        if transform.fixed:
            self._fixed[child] = checked_pose(_matrix(transform))
        elif self._needed is None or child in self._needed:
            self._fixed.pop(child, None)
            buffer = self._moving.setdefault(child, PoseBuffer(self._max_gap_s, _KEEP_S))
            late = (buffer.newest or -np.inf) - transform.stamp
            if not 0 < late < _LATE_S:
                buffer.add(transform.stamp, _matrix(transform))

    def pose(self, world: str, camera: str, stamp: float) -> Matrix:
        """T_world_camera (4, 4) at `stamp` seconds.

        Raises NotYet where a transform is older than `stamp` by now, and DataError where a frame is not known (named,
        with those that are), the two do not hang together, or no transforms enclose the stamp closely enough.
        """
        up, down = self._line(camera), self._line(world)
        known = self.frames
        for name in (world, camera):
            if name not in known:
                listed = ", ".join(known[:_SHOWN_FRAMES]) + (", ..." if len(known) > _SHOWN_FRAMES else "")
                raise DataError(
                    f"no transform tells of the frame '{name}', only of {listed}"
                    if known
                    else f"no transform tells of the frame '{name}': none has come yet"
                )
        common = next((name for name in up if name in down), None)
        if common is None:
            raise DataError(
                f"no transforms lead from '{world}' to '{camera}': '{world}' is below '{down[-1]}', "
                f"'{camera}' below '{up[-1]}'"
            )
        T_common_camera = self._product(up[: up.index(common)], stamp)
        T_common_world = self._product(down[: down.index(common)], stamp)
        return np.linalg.inv(T_common_world) @ T_common_camera

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
        buffer = self._moving.get(child)
        if buffer is None or buffer.newest is None:
            raise NotYet(f"the pose of {name} is not known yet")
        pose = buffer.pose(stamp)
        if pose is not None:
            return pose
        if buffer.newest < stamp:
            raise NotYet(f"the last pose of {name} is {stamp - buffer.newest:.2f} s older than the image")
        raise DataError(
            f"the poses of {name} have a gap of more than {self._max_gap_s:g} s at the image's stamp, or begin after it"
        )

    def _line(self, frame: str) -> list[str]:
        """A frame, its parent, and so on to the topmost."""
        line = [frame]
        while (parent := self._parents.get(line[-1])) is not None and parent not in line:
            line.append(parent)
        return line

    def _choose(self) -> None:
        if not self._followed:
            return
        self._needed = {name for frame in self._followed for name in self._line(frame)}
        self._moving = {child: buffer for child, buffer in self._moving.items() if child in self._needed}


def _matrix(transform: Transform) -> Matrix:
    """Its pose (4, 4); a quaternion that is nearly one is made exact. Raises DataError for any other."""
    numbers = np.asarray(transform.numbers, np.float64)
    length = float(np.linalg.norm(numbers[3:]))
    if not (np.isfinite(numbers).all() and abs(length - 1) < _UNIT):
        raise DataError(
            f"the pose of '{transform.child}' in '{transform.parent}' must be finite numbers and a unit "
            f"quaternion, got {np.array2string(numbers, precision=3)}"
        )
    return pose_matrix(numbers[:3], numbers[3:] / length)


def without_child(transforms: Iterable[Transform], child: str) -> Iterator[Transform]:
    """Those of other frames than `child`, which something else tells."""
    return (transform for transform in transforms if transform.child != child)

"""Poses out of a bag: transforms and odometry as a tree of frames, of which one chain is followed over time."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ...arrays import Matrix
from ..tum import Trajectory, pose_matrix


class Transform(NamedTuple):
    """Pose of the frame `child` in `parent` at `stamp` seconds: metres, quaternion x y z w; `fixed` for all time."""

    parent: str
    child: str
    stamp: float
    numbers: tuple[float, ...]
    fixed: bool


@dataclass
class _Edge:
    """What is known of one child in its parent: a row of 8 numbers (stamp, position, quaternion) per change."""

    parent: str
    rows: array[float] = field(default_factory=lambda: array("d"))
    fixed: bool = False

    def add(self, transform: Transform) -> None:
        """Appends a transform; of a fixed one the last counts, and what is not newer than the last is left out."""
        if self.fixed:
            self.rows = array("d")
        elif self.rows and transform.stamp <= self.rows[-8]:
            return
        self.rows.extend((transform.stamp, *transform.numbers))

    def trajectory(self) -> Trajectory:
        """The rows as a trajectory with unit quaternions."""
        table = np.frombuffer(self.rows, np.float64).reshape(-1, 8)
        quaternions = table[:, 4:] / np.linalg.norm(table[:, 4:], axis=1, keepdims=True)
        return Trajectory(table[:, 0], table[:, 1:4], quaternions)


class Chain:
    """The transforms from the topmost known frame `root` down to a frame."""

    def __init__(self, root: str, edges: list[_Edge]) -> None:
        self.root = root
        self._links: list[Trajectory | Matrix] = []
        for edge in edges:
            path = edge.trajectory()
            still = edge.fixed or not np.ptp(np.c_[path.positions, path.quaternions], axis=0).any()
            self._links.append(pose_matrix(path.positions[0], path.quaternions[0]) if still else path)

    @property
    def moves(self) -> bool:
        """Whether anything in it changes over time: a mount alone tells no pose."""
        return any(isinstance(link, Trajectory) for link in self._links)

    def pose(self, stamp: float, max_difference: float = 0.02) -> Matrix | None:
        """Pose (4, 4) of the frame in `root` at `stamp`, or None where a moving link is not known then."""
        T = np.eye(4)
        for link in self._links:
            step = link.pose(stamp, max_difference) if isinstance(link, Trajectory) else link
            if step is None:
                return None
            T = T @ step
        return T


def chain_to(frame: str, transforms: Iterable[Transform], again: Iterable[Transform]) -> Chain | None:
    """The chain down to `frame`, None where no transform leads to it.

    Both iterables give the same transforms: from the first the parents are learnt, from the second only what the
    chain needs is kept, so that a robot's other joints take no memory.
    """
    parents: dict[str, tuple[str, bool]] = {}
    for parent, child, _, _, fixed in transforms:
        parents.setdefault(child, (parent, fixed))
    edges: dict[str, _Edge] = {}
    at = frame
    while at in parents and at not in edges:  # a loop of frames ends where it closes
        edges[at] = _Edge(parents[at][0], fixed=parents[at][1])
        at = parents[at][0]
    if not edges:
        return None
    for transform in again:
        edge = edges.get(transform.child)
        if edge is not None and edge.parent == transform.parent:
            edge.add(transform)
    return Chain(at, list(edges.values())[::-1])


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
    """The pose of an Odometry, of its child frame; or of a PoseStamped, of `frame`."""
    child = frame_name(getattr(msg, "child_frame_id", "")) or frame
    pose = msg.pose.pose if hasattr(msg.pose, "pose") else msg.pose
    p, q = pose.position, pose.orientation
    return Transform(
        frame_name(msg.header.frame_id), child, seconds(msg.header.stamp), (p.x, p.y, p.z, q.x, q.y, q.z, q.w), False
    )


def frame_name(name: str) -> str:
    """A frame id as ROS 2 wants it: ROS 1's leading slash is dropped."""
    return name.lstrip("/")


def seconds(stamp: Any) -> float:
    """A message's stamp in seconds, the nearest float64 to its decimal."""
    nanoseconds = int(stamp.sec) * 10**9 + int(stamp.nanosec)
    return nanoseconds / 10**9

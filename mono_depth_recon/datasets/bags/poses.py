"""Poses out of a bag: its transforms and odometry as a tree of frames, of which one chain is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ...arrays import Matrix
from ...errors import DataError
from ...transforms import NoPose, Transform, TransformTree
from ..tum import MAX_POSE_GAP_S


@dataclass(frozen=True)
class FramePoses:
    """Poses of `frame` in `root`, the topmost frame above it, over time.

    `refused` has the reason for each transform that had to be left out.
    """

    root: str
    frame: str
    tree: TransformTree
    refused: tuple[str, ...] = ()

    def pose(self, stamp: float) -> Matrix | None:
        """Pose (4, 4) at `stamp` seconds, None where it is not known."""
        try:
            return self.tree.pose(self.root, self.frame, stamp)
        except NoPose:
            return None


def poses_of(
    frame: str, transforms: Callable[[], Iterable[Transform]], max_difference: float = 0.02
) -> FramePoses | None:
    """The poses of `frame`, None where no moving transform leads to it.

    `transforms()` is called twice and must give the same ones: first the parents of all frames are read, of which the
    first counts, then what the chain needs, so that a robot's other joints take no memory. Poses are interpolated as
    in `Trajectory.pose`.
    """
    first: dict[str, Transform] = {}
    for transform in transforms():
        first.setdefault(transform.child, transform)
    if frame not in first:
        return None
    tree, refused = TransformTree(MAX_POSE_GAP_S, max_difference), []
    for transform in first.values():
        tree.connect(transform.parent, transform.child)
    tree.follow(frame)
    for transform in transforms():
        known = first[transform.child]
        if transform.parent == known.parent:
            try:
                tree.add(transform._replace(fixed=known.fixed))
            except DataError as error:
                refused.append(str(error))
    tree.fix_what_never_moved()
    return FramePoses(tree.root(frame), frame, tree, tuple(refused)) if tree.moves else None

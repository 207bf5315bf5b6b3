"""Poses out of a bag: its transforms and one topic of poses as a tree of frames, of which one chain is kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from ...arrays import Matrix
from ...errors import DataError
from ...transforms import NoPose, Transform, TransformTree, transform_of_odometry
from ..stamped_lists import out_of_range
from ..tum import MAX_POSE_GAP_S
from .index import MAYBE_WANTED, POSES, TRANSFORMS, BagIndex, Track

_NO_MEASUREMENT = re.compile(  # poses that somebody wants
    r"goal|target|waypoint|initial_?pose|clicked|destination|plan(?:n(?:er|ed))?(?![a-z])|set_?point|desired|reference"
    r"|command|cmd",
    re.IGNORECASE,
)
_TRIED_FRAMES = 100


@dataclass(frozen=True)
class FramePoses:
    """Poses of `frame` in `root`, the topmost frame above it, over time.

    `span` is the first and last stamp of the transforms that count, in seconds.
    """

    root: str
    frame: str
    tree: TransformTree
    span: tuple[float, float]

    def pose(self, stamp: float) -> Matrix | None:
        """Pose (4, 4) at `stamp` seconds, None where it is not known."""
        try:
            return self.tree.pose(self.root, self.frame, stamp)
        except NoPose:
            return None


def poses_of(
    frame: str, transforms: Callable[[], Iterable[Transform]], refused: list[str], max_difference: float = 0.02
) -> FramePoses | None:
    """The poses of `frame`, None where no moving transform leads to it.

    `refused` gets the reason for each transform that had to be left out.

    `transforms()` is called twice and must give the same ones: first the parents of all frames are read, of which the
    first counts, then what the chain needs, so that a robot's other joints take no memory. Poses are interpolated as
    in `Trajectory.pose`.
    """
    first: dict[str, Transform] = {}
    for transform in transforms():
        if transform.parent != transform.child:
            first.setdefault(transform.child, transform)
    tree = TransformTree(MAX_POSE_GAP_S, max_difference)
    for transform in first.values():
        tree.connect(transform.parent, transform.child)
    tree.follow(frame)
    try:
        tree.check_root(frame)
    except DataError as error:
        refused.append(str(error))
        return None
    known = ((first.get(each.child, each), each) for each in transforms())
    refused += tree.add_recorded(
        each._replace(fixed=its.fixed) for its, each in known if each.parent in (its.parent, each.child)
    )
    if not tree.moves:
        return None
    span = tree.span
    tree.fix_what_never_moved()
    return FramePoses(tree.root(frame), frame, tree, span) if tree.moves else None


class BagPoses:
    """Chooses among a bag's transforms and topics of poses what leads to the camera's frame.

    Transforms come first, then odometry, then other poses; topics of goals only where they are named. A topic of poses
    needs the bag's transforms where it is about another frame than the camera's. `stamps` are those of the frames.
    """

    def __init__(self, index: BagIndex, frame: str, stamps: Sequence[float], max_difference: float) -> None:
        self._index, self._frame, self._stamps, self._max_difference = index, frame, stamps, max_difference
        self._topics = [track for kind in POSES for track in sorted(index.topics((kind,)), key=len, reverse=True)]

    def chosen(self, name: str, path: str, notes: list[str]) -> FramePoses | None:
        """The poses of the topic `name` (`/tf`: of transforms alone), empty: the first that covers frames.

        None where nothing leads to the frame. `notes` gets what was chosen among several, what was left out and, where
        no frame has a pose, both spans. DataError where the named topic is missing or gives no pose of the frame.
        """
        offered = self._offered()
        chains: dict[str, FramePoses] = {}
        for topic in [self._named(name, offered, path)] if name else self._measured(offered):
            refused: list[str] = []
            chain = poses_of(self._frame, partial(self._transforms, offered[topic]), refused, self._max_difference)
            left_out = f"{len(refused)} poses are left out: {refused[0]}" if refused else ""
            if chain is None and name and refused:
                raise DataError(f"{path}: {name} gives no pose of the camera's frame '{self._frame}': {left_out}")
            notes += [f"{path}, {topic}: {left_out}"] if refused else []
            if chain is not None:
                chains[topic] = chain
                if self._covers(chain):
                    break
        if not chains:
            if name:
                raise DataError(f"{path}: {name} does not lead to the camera's frame '{self._frame}' by any transform")
            return None
        covering = [topic for topic, chain in chains.items() if self._covers(chain)]
        topic = covering[0] if covering else next(iter(chains))
        others = [] if name else [each for each in offered if each != topic]
        self._note(topic, chains[topic], others, bool(name), path, notes)
        return chains[topic]

    def _offered(self) -> dict[str, Track | None]:
        """What there is, best first; None stands for transforms alone."""
        transforms: dict[str, Track | None] = {"/tf": None} if self._index.topics(TRANSFORMS) else {}
        return transforms | {track.channel.topic: track for track in self._topics}

    def _measured(self, offered: Iterable[str]) -> list[str]:
        return [topic for topic in offered if not _NO_MEASUREMENT.search(topic)]

    def _named(self, name: str, offered: Iterable[str], path: str) -> str:
        if name not in offered:
            raise DataError(f"{path}: has no topic of poses {name}; it has {', '.join(offered) or 'none'}")
        return name

    def _covers(self, chain: FramePoses) -> bool:
        step = max(1, len(self._stamps) // _TRIED_FRAMES)
        return any(chain.pose(stamp) is not None for stamp in self._stamps[::step])

    def _note(self, topic: str, chain: FramePoses, others: list[str], named: bool, path: str, notes: list[str]) -> None:
        if any(each != "/tf" for each in others):
            notes.append(f"{path}: poses are from {topic}; not {', '.join(others)} (pose_topic names another)")
        elif not named and topic in {track.channel.topic for track in self._index.topics(MAYBE_WANTED)}:
            notes.append(f"{path}: poses are from {topic} (pose_topic names another, poses 'none' leaves them out)")
        if self._names_no_child(topic):
            notes.append(
                f"{path}, {topic}: its child_frame_id is empty: its poses are taken for those of the camera's frame "
                f"'{self._frame}'"
            )
        notes += out_of_range(f"{path}, {topic}", chain.span, self._stamps)

    def _names_no_child(self, topic: str) -> bool:
        """Whether a topic whose messages have a child frame leaves it empty."""
        track = next((each for each in self._topics if each.channel.topic == topic), None)
        first = None if track is None else next(self._index.readable(track), None)
        return first is not None and not getattr(first, "child_frame_id", "unknown")

    def _transforms(self, topic: Track | None) -> Iterator[Transform]:
        """Those of the topic, then those of /tf and /tf_static about other frames."""
        own = set()
        if topic is not None:
            for stamp, msg in self._index.stamped(topic):
                transform = transform_of_odometry(msg, self._frame)._replace(stamp=stamp)
                own.add(transform.child)
                yield transform
        yield from (each for each in self._index.transforms() if each.child not in own)

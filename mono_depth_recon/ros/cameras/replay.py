"""replay: plays a data set as a camera: colour, calibration, reference depth and pose as ROS 2 topics.

A TUM RGB-D folder or its .tgz, a ROS 1 bag (no conversion needed), a ROS 2 bag; also NYU Depth V2, KITTI and folders of
image pairs, whose frames follow each other 15 times a second.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
from rclpy.node import Node

from ...config import Value
from ...datasets.dataset import Dataset, Recording
from ...datasets.limits import MAX_CHUNK_BYTES, MAX_UNPACKED_BYTES
from ...datasets.opening import OpenOptions, open_dataset
from ...errors import ConfigError, DataError
from ...frames import Sample
from ...printing import printable, readable
from ...transforms import frame_name
from ..node_settings import declare_settings, parse_flags, run_node, setting
from .player import WORLD_FRAME, CameraTopics, Player, ScheduledFrame

_CACHE_BYTES = 512 * 1024**2
_DEFAULT_GAP_S = 1 / 15
_FLUSH_S = 5.0  # longest wait for subscribers to receive what was published
_FRAME_ID = "camera_optical_frame"


@dataclass(frozen=True)
class ReplaySettings:
    """What is played, and how."""

    path: str = setting("", "a TUM RGB-D folder or its .tgz, a ROS 1 bag, a ROS 2 bag, or another data set")
    rate: float = setting(1.0, "speed; 2 is twice as fast", low=0.01, high=100.0)
    loop: bool = setting(False, "start over at the end")
    start: float = setting(0.0, "time that is skipped at the beginning", unit="s", low=0.0, high=1e6)
    duration: float = setting(0.0, "played length in recorded time; 0 = to the end", unit="s", low=0.0, high=1e6)
    stamps: str = setting(
        "now",
        "now: the time of publication; original: the recorded time, which /clock follows",
        choices=("now", "original"),
    )
    first: int = setting(0, "first frame by position (of TUM folders: in rgb.txt), from 0", low=0, high=10**9)
    last: int = setting(-1, "last frame by position; -1 is the end", low=-1, high=10**9)
    max_gap: float = setting(0.0, "longer pauses are shortened to this; 0 = as recorded", unit="s", low=0.0, high=1e6)
    camera: str = setting(
        "",
        "intrinsics 'fx fy cx cy [k1 k2 p1 p2 [k3]]' in pixels, or freiburg1 to 3; empty: the bag's camera_info, or by "
        "the name (freiburg1 to 3)",
    )
    colour_topic: str = setting("", "colour topic in the bag; empty: found by type and name")
    depth_topic: str = setting("", "depth topic in the bag; empty: found by type and name")
    depth_factor: float = setting(
        0.0, "depth units per metre; 0: 5000 in TUM folders, in bags 1000 in 16UC1, 1 in 32FC1", low=0.0, high=1e6
    )
    poses: str = setting(
        "", "groundtruth.txt of the poses, or none; empty: the bag's transforms or odometry, else one beside it"
    )
    pose_topic: str = setting(
        "", "topic of a bag that gives the poses; empty: transforms, then odometry, then other poses"
    )
    max_chunk_bytes: int = setting(
        MAX_CHUNK_BYTES, "largest chunk or message of a bag, in memory", unit="bytes", low=1, high=2**40
    )
    max_unpacked_bytes: int = setting(
        MAX_UNPACKED_BYTES, "largest sum of unpacked files of a recording", unit="bytes", low=1, high=2**50
    )
    wait_subscribers: int = setting(0, "start when this many nodes subscribe to image", low=0, high=1000)
    frame_id: str = setting("", "frame of the images; empty: the bag's own, else camera_optical_frame")
    world_frame: str = setting("", "frame of the poses; empty: the bag's own, else world")
    reference_encoding: str = setting(
        "32FC1", "reference depth: 32FC1 metres or 16UC1 millimetres", choices=("32FC1", "16UC1")
    )


@dataclass(frozen=True)
class Playlist:
    """What is played of a recording: `stamps` seconds (growing), `load(i)` reads frame i."""

    stamps: Sequence[float]
    load: Callable[[int], Sample]

    def schedule(self, loop: bool, max_gap: float) -> Iterator[ScheduledFrame]:
        """Every frame with its time, the first at 0; pauses above `max_gap` seconds (0 = none) are shortened."""
        gaps = np.diff(self.stamps)
        typical = float(np.median(gaps)) if len(gaps) else _DEFAULT_GAP_S
        gaps = np.minimum([*gaps, typical], max_gap or np.inf)  # the last one separates two rounds
        starts = np.concatenate([[0.0], np.cumsum(gaps)]).tolist()
        for begin in (k * starts[-1] for k in (count() if loop else (0,))):
            for i, stamp in enumerate(self.stamps):
                yield ScheduledFrame(begin + starts[i], stamp, functools.partial(self.load, i))


def open_recording(settings: ReplaySettings) -> Dataset:
    """The recording that the settings name. Raises DataError, CalibrationError or ConfigError."""
    if not settings.path:
        raise ConfigError(
            "path must name a TUM RGB-D folder, its .tgz, a bag or another data set, got nothing: replay PATH"
        )
    options = OpenOptions(
        camera=settings.camera,
        colour_topic=settings.colour_topic,
        depth_topic=settings.depth_topic,
        depth_factor=settings.depth_factor,
        poses=settings.poses,
        need_depth=False,
        pose_topic=settings.pose_topic,
        max_chunk_bytes=settings.max_chunk_bytes,
        max_unpacked_bytes=settings.max_unpacked_bytes,
    )
    return open_dataset(Path(settings.path), options)


def open_playlist(settings: ReplaySettings) -> Playlist:
    """The part of the recording that the settings select. Raises as `open_recording` and `playlist` do."""
    return playlist(open_recording(settings), settings)


def playlist(recording: Dataset, settings: ReplaySettings) -> Playlist:
    """The frames that first, last, start and duration choose. Raises ConfigError where they leave none."""
    chosen = _chosen(recording, settings)
    load = functools.partial(_load, recording, chosen)
    if settings.loop and len(chosen) * _frame_bytes(recording, chosen[0]) <= _CACHE_BYTES:
        load = functools.cache(load)  # type: ignore[assignment]
    stamps = _stamps(recording)
    return Playlist([stamps[i] for i in chosen], load)


def _stamps(dataset: Dataset) -> list[float]:
    """Those of a recording; other data sets get stamps at 15 Hz."""
    stamps = dataset.stamps
    return [i * _DEFAULT_GAP_S for i in range(len(dataset))] if stamps is None else stamps


def _frame_bytes(dataset: Dataset, i: int) -> int:
    """Colour and float32 depth of one frame; in a data set without one camera, of the size of frame i."""
    camera = dataset.camera if isinstance(dataset, Recording) else dataset[i].camera
    return camera.width * camera.height * 7


def _load(recording: Dataset, chosen: Sequence[int], i: int) -> Sample:
    sample = recording[chosen[i]]
    return sample if recording.stamps is not None else replace(sample, stamp=_stamps(recording)[chosen[i]])


def _chosen(recording: Dataset, settings: ReplaySettings) -> list[int]:
    positions, stamps = recording.positions, _stamps(recording)
    last = settings.last if settings.last >= 0 else positions[-1]
    within = [i for i, position in enumerate(positions) if settings.first <= position <= last]
    if not within:
        raise ConfigError(
            f"first to last must contain a frame, got {settings.first} to {last} of {positions[0]} to {positions[-1]}"
        )
    begin = stamps[within[0]] + settings.start
    end = begin + settings.duration if settings.duration else np.inf
    chosen = [i for i in within if begin <= stamps[i] <= end]
    if not chosen:
        raise ConfigError(
            f"start must be at most {stamps[within[-1]] - stamps[within[0]]:.3f} s, the last frame's time, and "
            f"duration reach a frame, got {settings.start:g} and {settings.duration:g}"
        )
    return chosen


def serve(node: Node, flags: Mapping[str, Value]) -> None:
    """Plays the recording of the settings to its end. Raises a MonoDepthError where that is impossible."""
    settings = declare_settings(node, ReplaySettings, flags)
    recording = open_recording(settings)
    try:
        _play(node, recording, settings)
    finally:
        recording.close()


def _play(node: Node, recording: Dataset, settings: ReplaySettings) -> None:
    for note in recording.notes:
        node.get_logger().warning(printable(readable(note)))
    played = playlist(recording, settings)
    original = settings.stamps == "original"
    own = (recording.frame_id, recording.world_frame) if isinstance(recording, Recording) else ("", "")
    frame_id = frame_name(settings.frame_id) or own[0] or _FRAME_ID
    world = frame_name(settings.world_frame) or own[1] or WORLD_FRAME
    topics = CameraTopics(node, frame_id, settings.reference_encoding, original, world)
    topics.wait_for_subscribers(settings.wait_subscribers)
    node.get_logger().info(topics.poses_text)
    node.get_logger().info(
        f"ready: {len(played.stamps)} frames of {printable(settings.path)}, speed {settings.rate:g}, on "
        f"{topics.image.topic_name}"
    )
    player = Player(node, topics, settings.rate, original, _FLUSH_S if settings.wait_subscribers else 0.0)
    player.play(played.schedule(settings.loop, settings.max_gap))
    topics.flush(_FLUSH_S)
    node.get_logger().info(f"played {player.published} frames, skipped {player.skipped}")
    if not player.published:
        raise DataError(f"{settings.path}: none of its {player.skipped} frames can be read: see the warnings above")


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node to the end of the recording, or until SIGINT or SIGTERM; 1 where it cannot start."""
    arguments = list(sys.argv if args is None else args)
    flags = parse_flags("replay", __doc__ or "", ReplaySettings, arguments, positional="path")
    return run_node("replay", lambda node: serve(node, flags), arguments)


if __name__ == "__main__":
    sys.exit(main())

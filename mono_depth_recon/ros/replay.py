"""replay: plays a TUM RGB-D folder as a camera: colour, calibration, reference depth and pose as ROS 2 topics."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from rclpy.node import Node

from ..camera import PinholeCamera
from ..config import Value
from ..datasets.tum import TumFolder, read_list, read_rgb
from ..errors import ConfigError, DataError
from ..frames import Sample
from .camera_source import CameraTopics, Cue, Player
from .node_settings import declare_settings, parse_flags, run_node, setting

_CACHE_BYTES = 512 * 1024**2
_DEFAULT_GAP_S = 1 / 15
_FLUSH_S = 1.0


@dataclass(frozen=True)
class ReplaySettings:
    """What is played, and how."""

    path: str = setting("", "folder with rgb.txt, depth.txt and, for poses, groundtruth.txt")
    rate: float = setting(1.0, "speed; 2 is twice as fast", low=0.01, high=100.0)
    loop: bool = setting(False, "begin again at the end")
    start: float = setting(0.0, "what is left out at the beginning", unit="s", low=0.0, high=1e6)
    stamps: str = setting(
        "now",
        "now: the time when a frame goes out; original: the recorded time, which /clock follows",
        choices=("now", "original"),
    )
    first: int = setting(0, "first frame by position in rgb.txt, from 0", low=0, high=10**9)
    last: int = setting(-1, "last frame by position in rgb.txt; -1 is the end", low=-1, high=10**9)
    max_gap: float = setting(0.0, "longer pauses are shortened to this; 0 = as recorded", unit="s", low=0.0, high=1e6)
    camera: str = setting(
        "", "intrinsics 'fx fy cx cy [k1 k2 p1 p2 [k3]]' in pixels; empty: by the folder's name (freiburg1 to 3)"
    )
    wait_subscribers: int = setting(0, "play when so many nodes subscribe to image", low=0, high=1000)
    frame_id: str = setting("camera_optical_frame", "frame of the images")
    reference_encoding: str = setting(
        "32FC1", "reference depth: 32FC1 metres or 16UC1 millimetres", choices=("32FC1", "16UC1")
    )


@dataclass(frozen=True)
class Recording:
    """A recording that can be played: `stamps` seconds (growing), `load(i)` reads frame i."""

    stamps: Sequence[float]
    load: Callable[[int], Sample]

    def cues(self, loop: bool, max_gap: float) -> Iterator[Cue]:
        """Every frame with its time, the first at 0; pauses above `max_gap` seconds (0 = none) are shortened."""
        gaps = np.diff(self.stamps)
        typical = float(np.median(gaps)) if len(gaps) else _DEFAULT_GAP_S
        gaps = np.minimum([*gaps, typical], max_gap or np.inf)  # the last one parts two rounds
        starts = np.concatenate([[0.0], np.cumsum(gaps)]).tolist()
        for begin in (k * starts[-1] for k in (count() if loop else (0,))):
            for i, stamp in enumerate(self.stamps):
                yield Cue(begin + starts[i], stamp, functools.partial(self.load, i))


def open_tum(settings: ReplaySettings) -> Recording:
    """The frames of a TUM folder that the settings choose. Raises DataError, CalibrationError or ConfigError."""
    if not settings.path:
        raise ConfigError("path must name a TUM RGB-D folder, got nothing: replay FOLDER")
    if not Path(settings.path).is_dir():
        raise DataError(f"path must name a TUM RGB-D folder, got {settings.path}, which is none")
    folder = TumFolder(settings.path, _camera(settings))
    chosen = _chosen(folder, settings)
    load = functools.partial(_load, folder, chosen)
    frame_bytes = folder.camera.width * folder.camera.height * 7  # rgb and float32 depth
    if settings.loop and len(chosen) * frame_bytes <= _CACHE_BYTES:
        load = functools.cache(load)  # type: ignore[assignment]
    return Recording([folder.colour[folder.pairs[i][0]].stamp for i in chosen], load)


def _load(folder: TumFolder, chosen: Sequence[int], i: int) -> Sample:
    sample: Sample = folder[chosen[i]]
    return sample


def _chosen(folder: TumFolder, settings: ReplaySettings) -> list[int]:
    last = settings.last if settings.last >= 0 else len(folder.colour) - 1
    within = [i for i, position in enumerate(folder.positions) if settings.first <= position <= last]
    if not within:
        raise ConfigError(
            f"first to last must hold a frame with depth, got {settings.first} to {last} of {len(folder.colour)} frames"
        )
    stamps = [folder.colour[folder.positions[i]].stamp for i in within]
    chosen = [i for i, stamp in zip(within, stamps, strict=True) if stamp >= stamps[0] + settings.start]
    if not chosen:
        raise ConfigError(
            f"start must be at most {stamps[-1] - stamps[0]:.3f} s, the last frame's time, got {settings.start:g}"
        )
    return chosen


def _camera(settings: ReplaySettings) -> PinholeCamera | None:
    """The camera that `camera` describes, of the size of the first colour image; None where it is empty."""
    if not settings.camera:
        return None
    try:
        numbers = [float(word) for word in settings.camera.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) not in (4, 8, 9):
        raise ConfigError(f"camera must be 'fx fy cx cy [k1 k2 p1 p2 [k3]]', got '{settings.camera}'")
    height, width = read_rgb(read_list(Path(settings.path) / "rgb.txt")[0].file).shape[:2]
    fx, fy, cx, cy, *distortion = numbers
    return PinholeCamera.from_intrinsics(width, height, fx, fy, cx, cy, distortion)


def serve(node: Node, flags: Mapping[str, Value]) -> None:
    """Plays what the settings name to its end. Raises a MonoDepthError where that is impossible."""
    settings = declare_settings(node, ReplaySettings, flags)
    recording = open_tum(settings)
    original = settings.stamps == "original"
    topics = CameraTopics(node, settings.frame_id, settings.reference_encoding, clock=original)
    topics.wait_for_subscribers(settings.wait_subscribers)
    node.get_logger().info(
        f"ready: {len(recording.stamps)} frames of {settings.path}, speed {settings.rate:g}, "
        f"on {topics.image.topic_name}"
    )
    player = Player(node, topics, settings.rate, original)
    player.play(recording.cues(settings.loop, settings.max_gap))
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

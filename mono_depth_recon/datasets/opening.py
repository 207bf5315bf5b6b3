"""One door to every recording: a TUM folder, its archive, a ROS 1 bag, a ROS 2 bag, recognised by what they contain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..messages import MILLIMETRES
from .bags.bag import Bag
from .bags.index import is_bag
from .recording import Recording
from .tum import DEPTH_PER_METRE, TumFolder
from .tum_archive import TumArchive, is_archive

_USUAL_M = (0.45, 5.0)  # where the median depth of what a depth camera sees lies: a wrong factor is 4 to 20 times off
_LIKELY_M = (0.6, 4.5)
_FACTORS = (1000.0, 5000.0, 256.0, 10000.0, 1.0)  # millimetres, TUM, KITTI, tenths of millimetres, metres


@dataclass(frozen=True)
class OpenOptions:
    """How a recording is read; the defaults suit TUM's own data and bags with a camera_info.

    `camera` preset name (freiburg1 to 3) or 'fx fy cx cy [k1 k2 p1 p2 [k3]]' in pixels; empty: as the recording says.
    `depth_factor` integer depth per metre; 0: 5000 in TUM folders, 1000 in bags. `poses` a groundtruth.txt that
    replaces the recording's own, "none" for none. `max_difference` seconds between colour and depth, exclusive.
    `colour_topic`, `depth_topic` only for bags; `need_depth` False takes a bag without depth too.
    """

    camera: str = ""
    colour_topic: str = ""
    depth_topic: str = ""
    depth_factor: float = 0.0
    max_difference: float = 0.02
    poses: str = ""
    rectified: bool = False
    need_depth: bool = True


def open_dataset(path: Path | str, options: OpenOptions | None = None) -> Recording:
    """The recording at `path`. Its `notes` name what was unreadable, chosen or suspicious.

    Raises DataError where the path is none of these kinds or has no pairs, CalibrationError where no camera is known.
    """
    path, options = Path(path), options or OpenOptions()
    if not path.exists():
        raise DataError(f"{path} does not exist: expected a TUM folder or .tgz, a ROS 1 .bag, or a ROS 2 bag")
    recording = _opened(path, options)
    recording.notes += depth_notes(recording)
    return recording


def _opened(path: Path, options: OpenOptions) -> Recording:
    shared = (options.camera, options.max_difference, options.rectified)
    if path.is_dir() and (path / "rgb.txt").is_file():
        _no_topics(path, options)
        return TumFolder(path, *shared, options.depth_factor or DEPTH_PER_METRE, options.poses)
    if is_bag(path):
        return Bag(
            path,
            options.camera,
            options.colour_topic,
            options.depth_topic,
            options.max_difference,
            options.rectified,
            options.depth_factor or MILLIMETRES,
            options.poses,
            options.need_depth,
        )
    if path.is_file() and is_archive(path):
        _no_topics(path, options)
        return TumArchive(path, *shared, options.depth_factor or DEPTH_PER_METRE, options.poses)
    raise DataError(
        f"{path} is no recording: expected a TUM folder (with rgb.txt and depth.txt) or its .tgz, a ROS 1 "
        "bag (.bag), or a ROS 2 bag (.db3, .mcap, or their folder)"
    )


def _no_topics(path: Path, options: OpenOptions) -> None:
    if options.colour_topic or options.depth_topic:
        raise DataError(f"{path}: topics can be named for bags only, this is a TUM sequence")


def depth_notes(recording: Recording) -> list[str]:
    """What is suspicious about the depth of the pair in the middle: a median that few scenes have, and the cause.

    No note where that pair cannot be read or has no depth.
    """
    try:
        depth = recording[len(recording) // 2].depth
    except DataError:
        return []
    known = np.isfinite(depth) if depth is not None else np.zeros(0, np.bool_)
    if depth is None or not known.any():
        return []
    median = float(np.median(depth[known]))
    if _USUAL_M[0] <= median <= _USUAL_M[1]:
        return []
    return [
        f"{recording.path}: median depth is {median:.3g} m, which few scenes have ({_USUAL_M[0]:g} to "
        f"{_USUAL_M[1]:g} m){_likely(median, recording)}"
    ]


def _likely(median: float, recording: Recording) -> str:
    factor = getattr(recording, "depth_factor", 1.0)
    fitting = [each for each in _FACTORS if _LIKELY_M[0] <= median * factor / each <= _LIKELY_M[1]]
    if not fitting:
        return ": see the depth of the recording"
    if fitting[0] == factor:
        return ""
    return (
        f": depth_factor is {factor:g} per metre, likely is {fitting[0]:g} "
        f"(median {median * factor / fitting[0]:.2g} m)"
    )

"""A kind of data set: how a path is recognised and opened, and how a training configuration describes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..config import param
from ..errors import ConfigError
from .dataset import Dataset
from .limits import MAX_CHUNK_BYTES, MAX_UNPACKED_BYTES, Limits

MAX_DEPTH_FACTOR, MAX_DIFFERENCE_S = 1e6, 10.0
WHOLE = ("train", "validation", "test")  # of `split`: the whole source goes there


@dataclass(frozen=True)
class OpenOptions:
    """How a data set is read; the defaults suit what is published, and bags with a camera_info.

    `camera` preset name (freiburg1 to 3) or 'fx fy cx cy [k1 k2 p1 p2 [k3]]' in pixels; empty: that of the recording;
    of image folders also a file below the folder (empty: camera.txt). `depth_factor` depth units per metre; 0: 5000
    in TUM folders, 1 in 32FC1 of bags, 1000 elsewhere. `poses` a groundtruth.txt that replaces the recording's own,
    "none" for none; `pose_topic` the topic of a bag that gives them, empty: chosen. `max_chunk_bytes` bounds a chunk or
    message of a bag in memory, `max_unpacked_bytes` what a compressed recording may unpack to on the disk.
    `max_difference` seconds between colour and depth, exclusive. `colour_topic`, `depth_topic` only for bags;
    `need_depth` False takes a bag without depth too. `colour_pattern`, `depth_pattern` only for image folders.
    `split`: train, validation or test of the official split, or all; empty: the test part where there is one.
    """

    camera: str = ""
    colour_topic: str = ""
    depth_topic: str = ""
    depth_factor: float = 0.0
    max_difference: float = 0.02
    poses: str = ""
    rectified: bool = False
    need_depth: bool = True
    colour_pattern: str = ""
    depth_pattern: str = ""
    split: str = ""
    pose_topic: str = ""
    max_chunk_bytes: int = MAX_CHUNK_BYTES
    max_unpacked_bytes: int = MAX_UNPACKED_BYTES

    def __post_init__(self) -> None:
        for name, high in (("depth_factor", MAX_DEPTH_FACTOR), ("max_difference", MAX_DIFFERENCE_S)):
            if not 0 <= (value := getattr(self, name)) <= high:
                raise ConfigError(f"{name} must be 0 to {high:g}, got {value:g}")

    @property
    def limits(self) -> Limits:
        """What a compressed recording may expand to."""
        return Limits(self.max_chunk_bytes, self.max_unpacked_bytes)


@dataclass(frozen=True)
class SourceSettings:
    """What every source of a training configuration has."""

    kind: ClassVar[str] = ""

    name: str = param("", "name in tables and in the split file; empty = the kind")
    weight: float = param(
        1.0, "share of the training draws, relative to the other sources' weights", low=1e-6, high=1e6
    )
    split: str = param("scene", "how it is cut", choices=("scene", *WHOLE))


@dataclass(frozen=True)
class DatasetKind:
    """A row of the table of data sets.

    `settings` describe it in a training configuration, `from_settings(settings, file)` opens it from there, where
    `file` turns a text into a path. `recognises` decides whether a path with its options is of this kind, `open` opens
    it, `text` names it in messages. `takes` names the options of OpenOptions that have a meaning here.
    """

    text: str
    settings: type[SourceSettings]
    recognises: Callable[[Path, OpenOptions], bool]
    open: Callable[[Path, OpenOptions], Dataset]
    from_settings: Callable[[Any, Callable[[str], Path]], Dataset]
    takes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name in a training configuration."""
        return self.settings.kind

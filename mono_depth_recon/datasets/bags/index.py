"""The index of a bag: for each topic of interest the stamps and places of its messages, 48 bytes each.

One pass over the bag makes it; images are then read one by one, so that memory does not grow with the bag's length.
"""

from __future__ import annotations

import struct
import weakref
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...config import parse_yaml
from ...errors import ConfigError, DataError
from ...temporary import TemporaryFolder
from ...text import read_text
from ...transforms import Transform, transforms_of
from ..limits import Limits, UnpackedFiles
from .blocks import HEAD_BYTES, Channel, Entry, Place, Store
from .codecs import is_zstd, message_head, unpack_file, unpacked_message
from .mcap import McapBag, is_mcap
from .message_types import types_of
from .ros1 import Ros1Bag, is_ros1_bag
from .sqlite import SqliteBag, is_sqlite

IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
TRANSFORMS = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
POSES = (  # the likeliest first
    "nav_msgs/msg/Odometry",
    "geometry_msgs/msg/TransformStamped",
    "geometry_msgs/msg/PoseWithCovarianceStamped",
    "geometry_msgs/msg/PoseStamped",
)
MAYBE_WANTED = POSES[2:]  # a pose of these types may be a wanted one, too
_WANTED = {*IMAGES, CAMERA_INFO, *TRANSFORMS, *POSES}
_ZSTD = ".zstd"
_INFORMATION = "rosbag2_bagfile_information"
_SUFFIXES = (".db3", ".mcap", ".db3.zstd", ".mcap.zstd")
_LISTED = 5
_LAST_NS = 2**63 - 1
_ROW = 6  # header stamp and receipt in ns, store, block, offset, size


@dataclass
class Track:
    """The messages of one topic, in the order of the file."""

    channel: Channel
    rows: array[int] = field(default_factory=lambda: array("q"))

    def __len__(self) -> int:
        return len(self.rows) // _ROW

    @property
    def stamps_ns(self) -> list[int]:
        """Header stamp of every message; where the headers have none, the time of receipt."""
        stamps = self.rows[0::_ROW].tolist()
        return stamps if any(stamps) else self.rows[1::_ROW].tolist()

    def place(self, index: int) -> tuple[int, Place]:
        """Number of the store and place of message `index`."""
        store, *place = self.rows[index * _ROW + 2 : (index + 1) * _ROW]
        return store, Place(*place)


class BagIndex:
    """All files of a bag and the places of their messages; `notes` lists what could not be read.

    Raises DataError where the path is no bag, or nothing in it can be read.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self.notes: list[str] = []
        self._limits = limits
        self._stores: list[Store] = []
        self._counter: UnpackedFiles | None = None
        self._temporary: list[TemporaryFolder] = []  # one where a file of the bag is compressed
        self._close = weakref.finalize(self, _close, self._stores, self._temporary)
        self.tracks: dict[str, Track] = {}
        self._types: dict[Channel, Any] = {}
        try:
            for file in bag_files(path, self.notes):
                self._stores.append(self._open(file, path))
                self._scan(len(self._stores) - 1)
            if not self.tracks:
                reason = "; ".join(self.problems) or "it is empty, or has other topics only"
                raise DataError(
                    f"{path}: no message of an image, camera_info, transform or odometry can be read: {reason}"
                )
            self.notes += self._unreadable(path)
        except DataError:
            self._close()  # at once: what was unpacked may be large
            raise

    @property
    def problems(self) -> list[str]:
        """Why a topic may be missing: encodings that are not read, and the first of what could not be read."""
        return [*self.foreign, *self.notes[:_LISTED]]

    @property
    def foreign(self) -> list[str]:
        """In one line, the topics whose encoding is not read; no line where there are none."""
        topics = {topic: text for store in self._stores for topic, text in store.foreign.items()}
        if not topics:
            return []
        listed = "; ".join(f"{topic} ({text})" for topic, text in list(topics.items())[:_LISTED])
        return [f"{len(topics)} topics are in another encoding than cdr and ros1: {listed}"]

    def _unreadable(self, path: Path) -> Iterator[str]:
        """A line for each topic that the bag's own definitions make unreadable."""
        for track in self.tracks.values():
            try:
                self._types_of(track.channel)
            except DataError as error:
                yield f"{path}, {error}"

    def _open(self, file: Path, bag: Path) -> Store:
        with file.open("rb") as stream:
            packed = is_zstd(stream.read(4))
        if packed:
            file = self._unpacked(file, bag)
        if is_ros1_bag(file):
            return Ros1Bag(file, self._limits)
        return McapBag(file, self._limits) if is_mcap(file) else SqliteBag(file, self._limits)

    def _unpacked(self, file: Path, bag: Path) -> Path:
        if self._counter is None:
            self._temporary.append(TemporaryFolder())
            self._counter = UnpackedFiles(bag, self._temporary[0].path, self._limits)
        target = self._temporary[0].path / file.stem
        if problem := unpack_file(file, target, self._counter):
            self.notes.append(f"{file}: {problem}; the part before it is used")
        return target

    def _scan(self, number: int) -> None:
        store = self._stores[number]
        for entry in store.entries():
            if entry.channel.type not in _WANTED:
                continue
            track = self.tracks.setdefault(entry.channel.topic, Track(entry.channel))
            stamp = _stamp_ns(entry, store) if entry.channel.type not in TRANSFORMS else 0
            track.rows.extend((stamp, min(entry.received_ns, _LAST_NS), number, *entry.place))
        self.notes += store.notes

    def topics(self, types: Sequence[str]) -> list[Track]:
        """The topics of these message types, sorted by name."""
        return [track for _, track in sorted(self.tracks.items()) if track.channel.type in types]

    def message(self, track: Track, index: int) -> Any:
        """Message `index` of a topic, deserialised. DataError where it is damaged."""
        store, place = track.place(index)
        return self._deserialised(track.channel, unpacked_message(self._stores[store].read(place), self._limits))

    def info_beside(self, images: Track) -> Track | None:
        """The topic of camera_info that belongs to a topic of images by its name, None where there is none."""
        infos = {track.channel.topic: track for track in self.topics((CAMERA_INFO,))}
        parts = images.channel.topic.split("/")
        for beside in (  # of /camera/image_raw, /camera/image_raw/compressed, and RealSense's .../Color_0/image/data
            [*parts[:-1], "camera_info"],
            [*parts[:-2], "camera_info"],
            [*parts[:-2], "info", "camera_info"],
        ):
            if "/".join(beside) in infos:
                return infos["/".join(beside)]
        return None

    def readable(self, track: Track) -> Iterator[Any]:
        """The messages of a topic that can be read, one after the other."""
        return (msg for _, msg in self.stamped(track))

    def stamped(self, track: Track) -> Iterator[tuple[float, Any]]:
        """The messages of a topic that can be read, with their `Track.stamps_ns` in seconds."""
        for i, stamp_ns in enumerate(track.stamps_ns):
            try:
                msg = self.message(track, i)
            except DataError:
                continue
            yield stamp_ns / 10**9, msg

    def transforms(self) -> Iterator[Transform]:
        """The transforms of all topics; moving ones without a stamp have the time of receipt."""
        for track in self.topics(TRANSFORMS):
            fixed = track.channel.topic.endswith("tf_static")
            for received, msg in self.stamped(track):
                for each in transforms_of(msg, fixed):
                    yield each if each.stamp or fixed else each._replace(stamp=received)

    def picture(self, track: Track) -> Any:
        """The first message of a topic of images that can be read and holds data: drivers start with empty ones.

        None where there is none.
        """
        return next((msg for msg in self.readable(track) if len(msg.data)), None)

    def _deserialised(self, channel: Channel, data: bytes) -> Any:
        from rosbags.serde import SerdeError

        types = self._types_of(channel)
        try:
            if channel.encoding == "ros1":
                return types.deserialize_ros1(data, channel.type)
            return types.deserialize_cdr(data, channel.type)
        except (SerdeError, struct.error, ValueError, LookupError, AssertionError) as error:
            reason = f"a message of {len(data)} bytes is no {channel.type} ({error})"
            raise DataError(f"{channel.topic}: {reason}") from error

    def _types_of(self, channel: Channel) -> Any:
        return self._types.get(channel) or self._types.setdefault(channel, types_of(channel))

    def close(self) -> None:
        """Closes the files and removes what was unpacked."""
        self._close()


def _close(stores: list[Store], temporary: list[TemporaryFolder]) -> None:
    for store in stores:
        store.close()
    for folder in temporary:
        folder.remove()


def _stamp_ns(entry: Entry, store: Store) -> int:
    """The stamp of the header, with which all these messages begin, after 4 bytes (a sequence number, or CDR's)."""
    head = message_head(store.read(entry.place), HEAD_BYTES) if is_zstd(entry.head) else entry.head
    if len(head) < 12:
        return 0
    ros2 = entry.channel.encoding == "cdr"  # where seconds have a sign
    swapped = ros2 and head[1] == 0  # big-endian CDR
    sec, nanosec = struct.unpack_from(f"{'>' if swapped else '<'}{'i' if ros2 else 'I'}I", head, 4)
    return int(sec) * 10**9 + int(nanosec)


def is_bag(path: Path) -> bool:
    """Whether the path is a bag's file, or a folder with one of ROS 2."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or bool(_files_in(path))
    if not path.is_file():
        return False
    return is_ros1_bag(path) or is_mcap(path) or is_sqlite(path) or path.name.endswith((".db3.zstd", ".mcap.zstd"))


def bag_files(path: Path, notes: list[str] | None = None) -> list[Path]:
    """The files of a bag in the order of recording: of a folder those that metadata.yaml names, else all.

    `notes` gets a line about files that are missing or not read. DataError where there is no file.
    """
    notes = [] if notes is None else notes
    if not path.is_dir():
        return [path]
    found = {file.name: file for file in sorted(_files_in(path), key=lambda file: _natural(file.name))}
    if not found:
        raise DataError(f"{path}: expected a ROS 2 bag, the folder has no file *.db3 or *.mcap")
    names = _named(path / "metadata.yaml", notes)
    chosen = [file for file in (found.get(name) or found.get(_other_form(name)) for name in names) if file is not None]
    if names and len(chosen) < len(names):
        notes.append(f"{path}: {len(names) - len(chosen)} of {len(names)} files that metadata.yaml names are missing")
    candidates = {file.name: file for file in chosen or found.values()}
    once = [file for name, file in candidates.items() if name.removesuffix(_ZSTD) not in candidates.keys() - {name}]
    unnamed = chosen and len(once) == len(candidates)
    reason = "metadata.yaml does not name them" if unnamed else "the same files are there decompressed"
    left_out = [name for name, file in found.items() if file not in once]
    if left_out:
        notes.append(f"{path}: {len(left_out)} files are not read, {reason}: {', '.join(left_out[:_LISTED])}")
    return once


def _other_form(name: str) -> str:
    """The name of the same file compressed or not."""
    return name.removesuffix(_ZSTD) if name.endswith(_ZSTD) else name + _ZSTD


def _files_in(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.is_file() and file.name.endswith(_SUFFIXES)]


def _named(path: Path, notes: list[str]) -> list[str]:
    """The files that metadata.yaml names; none where the recorder was killed before or while writing it."""
    try:
        text = read_text(path) if path.is_file() else ""
        if not text.strip():
            return []
        return [Path(name).name for name in parse_yaml(text, "it")[_INFORMATION]["relative_file_paths"]]
    except (OSError, ConfigError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        notes.append(f"{path}: is not the metadata of a ROS 2 bag ({reason}); all files beside it are read")
        return []


def _natural(name: str) -> tuple[int, str]:
    """bag_10 after bag_9."""
    stem = name.removesuffix(_ZSTD).rpartition(".")[0]
    digits = stem.rpartition("_")[2]
    return (int(digits) if digits.isdecimal() else 0), name

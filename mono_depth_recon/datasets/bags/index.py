"""The index of a bag: for each topic of interest the stamps and places of its messages, 48 bytes each.

One pass over the bag makes it; images are then read one by one, so that memory does not grow with the bag's length.
"""

from __future__ import annotations

import struct
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import DataError
from .blocks import Channel, Entry, Place, Store, is_zstd, needs_library, unpack_file, unpacked_message
from .mcap import McapBag, is_mcap
from .ros1 import Ros1Bag, is_ros1_bag
from .sqlite import SqliteBag, is_sqlite

IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
TRANSFORMS = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
POSES = ("nav_msgs/msg/Odometry", "geometry_msgs/msg/PoseStamped")
_WANTED = {*IMAGES, CAMERA_INFO, *TRANSFORMS, *POSES}
_SUFFIXES = (".db3", ".mcap", ".db3.zstd", ".mcap.zstd")
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

    def __init__(self, path: Path) -> None:
        self.notes: list[str] = []
        self._temporary = tempfile.TemporaryDirectory(prefix="mono_depth_recon_")
        self._stores: list[Store] = []
        self._close = weakref.finalize(self, _close, self._stores, self._temporary)
        self.tracks: dict[str, Track] = {}
        self._types: dict[Channel, Any] = {}
        for file in bag_files(path):
            self._stores.append(self._open(file))
            self._scan(len(self._stores) - 1)
        if not self.tracks:
            reason = "; ".join(self.notes) or "it is empty, or has other topics only"
            raise DataError(f"{path}: no message of an image, camera_info, transform or odometry can be read: {reason}")

    def _open(self, file: Path) -> Store:
        with file.open("rb") as stream:
            packed = is_zstd(stream.read(4))
        if packed:
            target = Path(self._temporary.name) / file.stem
            if problem := unpack_file(file, target):
                self.notes.append(f"{file}: {problem}; the part before it is used")
            file = target
        if is_ros1_bag(file):
            return Ros1Bag(file)
        return McapBag(file) if is_mcap(file) else SqliteBag(file)

    def _scan(self, number: int) -> None:
        store = self._stores[number]
        for entry in store.entries():
            if entry.channel.type not in _WANTED:
                continue
            track = self.tracks.setdefault(entry.channel.topic, Track(entry.channel))
            stamp = _stamp_ns(entry, store) if entry.channel.type not in TRANSFORMS else 0
            track.rows.extend((stamp, entry.received_ns, number, *entry.place))
        self.notes += store.notes

    def topics(self, types: Sequence[str]) -> list[Track]:
        """The topics of these message types, sorted by name."""
        return [track for _, track in sorted(self.tracks.items()) if track.channel.type in types]

    def message(self, track: Track, index: int) -> Any:
        """Message `index` of a topic, deserialised. DataError where it is damaged."""
        store, place = track.place(index)
        return self._deserialised(track.channel, unpacked_message(self._stores[store].read(place)))

    def messages(self, track: Track) -> Iterator[Any]:
        """All messages of a topic, one after the other."""
        return (self.message(track, i) for i in range(len(track)))

    def _deserialised(self, channel: Channel, data: bytes) -> Any:
        from rosbags.serde import SerdeError

        types = self._types.get(channel) or self._types.setdefault(channel, _types(channel))
        try:
            if channel.encoding == "ros1":
                return types.deserialize_ros1(data, channel.type)
            return types.deserialize_cdr(data, channel.type)
        except (SerdeError, struct.error, ValueError, IndexError, AssertionError) as error:
            reason = f"a message of {len(data)} bytes is no {channel.type} ({error})"
            raise DataError(f"{channel.topic}: {reason}") from error

    def close(self) -> None:
        """Closes the files and removes what was unpacked."""
        self._close()


def _close(stores: list[Store], temporary: tempfile.TemporaryDirectory[str]) -> None:
    for store in stores:
        store.close()
    temporary.cleanup()


def _types(channel: Channel) -> Any:
    """The message types of a topic: by its own definition in ROS 1 (they changed over the years), else standard."""
    try:
        from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
    except ImportError:
        raise needs_library() from None
    if channel.encoding != "ros1":
        return get_typestore(Stores.ROS2_HUMBLE)
    types = get_typestore(Stores.EMPTY)
    try:
        types.register(get_types_from_msg(channel.definition, channel.type))
    except TypesysError as error:
        raise DataError(f"{channel.topic}: the bag's definition of {channel.type} cannot be read ({error})") from error
    return types


def _stamp_ns(entry: Entry, store: Store) -> int:
    """The stamp of the header, with which all these messages begin, after 4 bytes (a sequence number, or CDR's)."""
    head = unpacked_message(store.read(entry.place))[:16] if is_zstd(entry.head) else entry.head
    if len(head) < 12:
        return 0
    swapped = entry.channel.encoding == "cdr" and head[1] == 0  # big-endian CDR
    sec, nanosec = struct.unpack_from(">II" if swapped else "<II", head, 4)
    return int(sec) * 10**9 + int(nanosec)


def is_bag(path: Path) -> bool:
    """Whether the path is a bag's file, or a folder with one of ROS 2."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or bool(_files_in(path))
    return is_ros1_bag(path) or is_mcap(path) or is_sqlite(path) or path.name.endswith((".db3.zstd", ".mcap.zstd"))


def bag_files(path: Path) -> list[Path]:
    """The files of a bag in the order of recording. DataError where there is none."""
    if not path.is_dir():
        return [path]
    found = _files_in(path)
    if not found:
        raise DataError(f"{path}: expected a ROS 2 bag, the folder has no file *.db3 or *.mcap")
    order = _order_by_metadata(path / "metadata.yaml")
    return sorted(found, key=lambda file: (order.get(file.name, len(order)), _natural(file.name)))


def _files_in(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.is_file() and file.name.endswith(_SUFFIXES)]


def _order_by_metadata(path: Path) -> dict[str, int]:
    """Place of every file that metadata.yaml names; nothing where the recorder was killed before writing it."""
    import yaml

    if not path.is_file():
        return {}
    try:
        information = yaml.safe_load(path.read_text(encoding="utf-8"))["rosbag2_bagfile_information"]
        return {Path(name).name: place for place, name in enumerate(information["relative_file_paths"])}
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected the metadata of a ROS 2 bag, got something else ({error})") from error


def _natural(name: str) -> tuple[int, str]:
    """bag_10 after bag_9."""
    digits = name.split(".")[0].rpartition("_")[2]
    return (int(digits) if digits.isdigit() else 0), name

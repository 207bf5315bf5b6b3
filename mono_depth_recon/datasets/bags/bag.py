"""ROS 1 and ROS 2 bags as recordings: which topics, which camera, which pairs, which poses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from ...arrays import Matrix, Rgb
from ...camera import PinholeCamera
from ...config import param
from ...decoding import StreamBits
from ...encoding import MILLIMETRES
from ...errors import CalibrationError, ConfigError, DataError, MonoDepthError
from ...frames import Sample
from ...messages import depth_of, encoding_of, is_depth, is_rectified, rgb_of
from ...poses import Trajectory
from ...transforms import frame_name
from ..dataset import Dataset, Recording
from ..joined import RecordingSettings, joined
from ..kind import DatasetKind, OpenOptions
from ..limits import MAX_CHUNK_BYTES, Limits
from ..stamped_lists import out_of_range, read_trajectory
from ..tum import CAMERAS, MAX_POSE_GAP_S, NO_POSES, associate, camera_of_name, parse_camera
from .depth_camera import DepthRegistration, first_camera, registration_of
from .index import CAMERA_INFO, IMAGES, BagIndex, Track, is_bag
from .poses import BagPoses, FramePoses

_FACTORY = (525.0, 525.0, 319.5, 239.5)  # what OpenNI drivers publish for any uncalibrated camera, also in TUM's bags


class Bag(Recording):
    """The colour/depth pairs of a bag, by TUM's rule on the stamps of the headers, read one at a time.

    Topics are found by type, encoding and name, or given. The camera is the given one (a text is parsed by
    `parse_camera`), else that of camera_info; where that has the factory defaults of a TUM camera, the preset that
    the file's name implies. Depth has
    `depth_factor` units per metre; 0: 1000 in 16UC1, 1 in 32FC1. `need_depth` False also accepts a bag
    without depth, of which every image is a sample.
    Poses come from `poses` (a groundtruth.txt), else from `pose_topic` or what `BagPoses` chooses, else from a
    groundtruth.txt beside it; `poses` "none" looks for none. Raises DataError or CalibrationError.
    """

    def __init__(
        self,
        path: Path | str,
        camera: PinholeCamera | str | None = None,
        colour_topic: str = "",
        depth_topic: str = "",
        max_difference: float = 0.02,
        rectified: bool = False,
        depth_factor: float = 0.0,
        poses: str = "",
        need_depth: bool = True,
        pose_topic: str = "",
        limits: Limits | None = None,
    ) -> None:
        super().__init__(Path(path).name, path=Path(path))
        if poses and pose_topic:
            raise ConfigError(f"{path}: poses ('{poses}') and pose_topic exclude each other: leave one of them out")
        self.rectified, self.max_difference = rectified, max_difference
        self._poses, self._pose_topic = poses, pose_topic
        self._index = BagIndex(self.path, limits or Limits())
        self.notes = self._index.notes
        try:
            self._colour, self._depth = self._choose_topics(colour_topic, depth_topic, need_depth)
            self._find(camera, depth_factor, need_depth)
        except MonoDepthError:
            self.close()  # at once: what was unpacked may be large
            raise

    def _find(self, camera: PinholeCamera | str | None, depth_factor: float, need_depth: bool) -> None:
        """Camera, pairs, poses and bits of the chosen topics."""
        self._per_metre = depth_factor or (1.0 if self._is_float else MILLIMETRES)
        first = self._first_colour()
        self.frame_id = frame_name(first.header.frame_id)
        self.camera = self._camera(camera, rgb_of(first).shape)
        self._registration = self._registered(need_depth)
        self._pairs = self._associated()
        self.bits = self.bits_of_some(self._rgb)
        self.world_frame = self._chain.root if self._chain is not None else ""

    @property
    def stamps(self) -> list[float]:
        """Colour stamp of every pair in seconds."""
        return [stamp for stamp, _, _ in self._pairs]

    @property
    def topics(self) -> tuple[str, str]:
        """The colour and the depth topic, the latter empty where there is none."""
        return self._colour.channel.topic, "" if self._depth is None else self._depth.channel.topic

    def read(self, index: int) -> Sample:
        """Pair `index`. DataError where one of its messages is damaged or of another size than the camera."""
        stamp, _, depth = self._pairs[index]
        name = f"{stamp:.6f}"
        try:
            rgb = np.require(self._rgb(index, self.bits), requirements=["O", "W"])
            metres = None
            if self._depth is not None:
                metres = depth_of(self._index.message(self._depth, depth), self.per_metre(index))
                if self._is_float and self.per_metre(index) != 1:
                    metres /= np.float32(self.per_metre(index))
                if self._registration is not None:
                    metres = self._registration(metres, self.camera, stamp)
        except DataError as error:
            raise DataError(f"{self.path}, frame {name}: {error}") from error
        return self.sample(rgb, metres, stamp, name, self._pose(stamp))

    def _rgb(self, index: int, bits: StreamBits) -> Rgb:
        return rgb_of(self._index.message(self._colour, self._pairs[index][1]), stream=bits)

    @property
    def _is_float(self) -> bool:
        return self._depth is not None and self._encoding(self._depth).startswith("32FC1")

    def close(self) -> None:
        """Closes the bag's files."""
        self._index.close()

    def _choose_topics(self, colour: str, depth: str, need_depth: bool) -> tuple[Track, Track | None]:
        images = self._index.topics(IMAGES)
        kinds = {track.channel.topic: self._is_depth(track) for track in images}
        colours, depths = ([t for t in images if kinds[t.channel.topic] is kind] for kind in (False, True))
        names = [depth] if depth else [t.channel.topic for t in depths]
        chosen = self._topic("colour", colour, colours, lambda t: (_colour_rank(t), _shared(t.channel.topic, names)))
        if not depths and not depth and not need_depth:
            return chosen, None
        if kinds.get(colour):
            self.notes.append(f"{self.path}: colour is {colour}, which holds depth ({self._encoding(chosen)})")
        own, others = [chosen.channel.topic], [t.channel.topic for t in colours]

        def rank(track: Track) -> tuple[bool, int, int]:  # depth of another camera comes last
            shared = _shared(track.channel.topic, own)
            return _shared(track.channel.topic, others) <= shared, _depth_rank(track), shared

        return chosen, self._topic("depth", depth, depths, rank)

    def _topic(self, what: str, name: str, candidates: list[Track], rank: Any) -> Track:
        listed = ", ".join(f"{t.channel.topic} ({self._encoding(t)})" for t in self._index.topics(IMAGES)) or "none"
        listed = "; ".join([listed, *self._index.problems])
        if name:
            named = {t.channel.topic: t for t in self._index.topics(IMAGES)}
            if name not in named:
                raise DataError(f"{self.path}: has no image topic {name}; its image topics: {listed}")
            return named[name]
        if not candidates:
            wanted = "16UC1, 32FC1 or compressedDepth" if what == "depth" else "rgb8, bgr8, Bayer, mono8 or JPEG"
            raise DataError(f"{self.path}: has no {what} topic (images in {wanted}); its image topics: {listed}")
        best = max(candidates, key=lambda t: (rank(t), len(t)))
        if len(candidates) > 1:
            others = ", ".join(t.channel.topic for t in candidates if t is not best)
            self.notes.append(f"{self.path}: {what} is {best.channel.topic}; not {others}")
        return best

    def _is_depth(self, track: Track) -> bool:
        msg = self._readable(track)
        return msg is not None and is_depth(msg, track.channel.topic)

    def _encoding(self, track: Track) -> str:
        msg = self._readable(track)
        if msg is not None:
            return encoding_of(msg)
        try:
            return encoding_of(self._index.message(track, 0))
        except DataError as error:
            return f"unreadable: {error}"

    def _readable(self, track: Track) -> Any:
        """The first message that can be read and is not empty, else that can be read, None where none can."""
        return self._index.picture(track) or next(self._index.readable(track), None)

    def _first_colour(self) -> Any:
        """The first colour message whose picture is whole."""
        problem = "it is empty"
        for i in range(len(self._colour)):
            try:
                msg = self._index.message(self._colour, i)
                rgb_of(msg)
            except DataError as error:
                problem = str(error)
                continue
            return msg
        raise DataError(f"{self.path}: no image of {self._colour.channel.topic} can be read: {problem}")

    def _camera(self, given: PinholeCamera | str | None, shape: tuple[int, ...]) -> PinholeCamera:
        if given:
            return parse_camera(given, (shape[1], shape[0])) if isinstance(given, str) else given
        preset = next((key for key in CAMERAS if key in self.path.name), "")
        topic = self._info_topic()
        if topic is None:
            if preset:
                return camera_of_name(self.path.name)
            raise CalibrationError(
                f"{self.path}: has no camera_info for {self.topics[0]} and its name none of "
                f"{', '.join(CAMERAS)}: give the camera's intrinsics"
            )
        camera = self._recorded_camera(topic)
        if preset and (camera.fx, camera.fy, camera.cx, camera.cy) == _FACTORY and not camera.is_distorted:
            self.notes.append(f"{self.path}: camera_info has the factory defaults, the calibration of {preset} is used")
            return camera_of_name(self.path.name)
        if camera.size != (shape[1], shape[0]):
            raise CalibrationError(
                f"{self.path}: camera_info is of {camera.width}x{camera.height} pixels, the images "
                f"of {self.topics[0]} have {shape[1]}x{shape[0]}: give the intrinsics"
            )
        return camera

    def _recorded_camera(self, topic: Track) -> PinholeCamera:
        """The first calibration of camera_info, with a note where another one follows."""
        name = f"{self.path}, {topic.channel.topic}"
        try:
            camera, other = first_camera(self._index, topic, is_rectified(self.topics[0]))
        except (CalibrationError, DataError) as error:
            raise type(error)(f"{name}: {error}") from error
        if other is not None:
            self.notes.append(
                f"{name}: the calibration changes within the bag (fx {camera.fx:g}, later {other.fx:g}, "
                f"{camera.width}x{camera.height}, later {other.width}x{other.height} pixels); all frames get "
                "the first: cut the bag there"
            )
        return camera

    def _registered(self, need_depth: bool) -> DepthRegistration | None:
        """How depth of another camera is registered; depth that cannot be is left out where it is not needed."""
        if self._depth is None or any(key in self.path.name for key in CAMERAS):  # TUM's depth is registered
            return None
        try:
            return registration_of(self._index, self._colour, self._depth, self.max_difference)
        except (CalibrationError, DataError) as error:
            if need_depth:
                raise type(error)(f"{self.path}: {error}") from error
            self.notes.append(f"{self.path}: left out: {error}")
            self._depth = None
            return None

    def _info_topic(self) -> Track | None:
        infos = self._index.topics((CAMERA_INFO,))
        return self._index.info_beside(self._colour) or (infos[0] if len(infos) == 1 else None)

    def _associated(self) -> list[tuple[float, int, int]]:
        colour = [ns / 10**9 for ns in self._colour.stamps_ns]
        if self._depth is None:
            return sorted((stamp, i, -1) for i, stamp in enumerate(colour))
        depth = [ns / 10**9 for ns in self._depth.stamps_ns]
        pairs = associate(colour, depth, self.max_difference)
        if not pairs:
            spans = " and ".join(f"{min(s):.3f} to {max(s):.3f} s" for s in (colour, depth))
            raise DataError(
                f"{self.path}: no colour image has a depth image within {self.max_difference:g} s; the "
                f"stamps of {self.topics[0]} and {self.topics[1]} are {spans}"
            )
        return [(colour[i], i, j) for i, j in pairs]

    def _pose(self, stamp: float) -> Matrix | None:
        if self._chain is not None:
            return self._chain.pose(stamp)
        return None if self._file_poses is None else self._file_poses.pose(stamp, MAX_POSE_GAP_S, self.max_difference)

    @cached_property
    def _file_poses(self) -> Trajectory | None:
        """The given file, else one beside the bag as TUM ships it."""
        if self._poses:
            return None if self._poses == NO_POSES else self._trajectory(Path(self._poses))
        beside = (self.path.with_name(f"{self.path.stem}-groundtruth.txt"), self.path.with_name("groundtruth.txt"))
        found = next((file for file in beside if file.is_file()), None)
        return None if found is None else self._trajectory(found)

    def _trajectory(self, file: Path) -> Trajectory:
        trajectory = read_trajectory(file, self.notes)
        self.notes += out_of_range(str(file), trajectory.span, self.stamps)
        return trajectory

    @cached_property
    def _chain(self) -> FramePoses | None:
        """The camera's poses by the bag's own transforms or topics, None where these give none or are not used."""
        if self._poses:
            return None
        found = BagPoses(self._index, self.frame_id, self.stamps, self.max_difference)
        return found.chosen(self._pose_topic, str(self.path), self.notes)


def _shared(topic: str, others: Iterable[str]) -> int:
    """How many leading words a topic shares at most with others: those of its camera, in the habit of drivers."""
    words = topic.split("/")
    pairs = (zip(words, other.split("/"), strict=False) for other in others)
    return max((sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], each)) for each in pairs), default=0)


def _colour_rank(track: Track) -> int:
    """Higher for what is likely the colour camera's main topic."""
    name, raw = track.channel.topic.lower(), track.channel.type == IMAGES[0]
    is_colour = any(word in name for word in ("rgb", "color", "colour"))
    is_infrared = any(word in name for word in ("/ir", "infra", "depth", "disparity", "mask"))
    return 4 * is_colour - 4 * is_infrared + 2 * name.endswith(("image_color", "color/image_raw")) + raw


def _depth_rank(track: Track) -> int:
    """Higher for depth that is registered to colour."""
    name, raw = track.channel.topic.lower(), track.channel.type == IMAGES[0]
    return 4 * any(word in name for word in ("registered", "aligned", "reference")) + 2 * ("depth" in name) + raw


@dataclass(frozen=True)
class BagSettings(RecordingSettings):
    """ROS 1 and ROS 2 bags."""

    kind = "bag"

    path: str = param("", "bag file or folder; * and ? name several")
    colour_topic: str = param("", "empty = found by type, encoding and name")
    depth_topic: str = param("", "likewise")
    max_chunk_bytes: int = param(MAX_CHUNK_BYTES, "largest chunk or message", unit="bytes", low=1, high=2**40)


def open_bag(path: Path, options: OpenOptions) -> Recording:
    """The bag at `path`. Raises DataError, CalibrationError."""
    return Bag(
        path,
        options.camera,
        options.colour_topic,
        options.depth_topic,
        options.max_difference,
        options.rectified,
        options.depth_factor,
        options.poses,
        options.need_depth,
        options.pose_topic,
        options.limits,
    )


def _of_settings(settings: BagSettings, file: Callable[[str], Path]) -> Dataset:
    path = file(settings.path)
    if path.exists() and not is_bag(path):
        raise ConfigError(f"{path}: is of kind tum, not bag: change kind")
    options = OpenOptions(
        colour_topic=settings.colour_topic, depth_topic=settings.depth_topic, max_chunk_bytes=settings.max_chunk_bytes
    )
    return joined(settings, path, open_bag, options)


BAG = DatasetKind(
    "a ROS 1 or ROS 2 bag",
    BagSettings,
    lambda path, _: path.exists() and is_bag(path),
    open_bag,
    _of_settings,
    takes=(
        "camera",
        "colour_topic",
        "depth_topic",
        "depth_factor",
        "max_difference",
        "poses",
        "pose_topic",
        "max_chunk_bytes",
        "max_unpacked_bytes",
    ),
)

"""KITTI depth (outdoor): colour of the raw recordings with the annotated depth maps of the depth benchmark.

Raw: `DATE/DRIVE_sync/image_02/data/0000000005.png`, intrinsics in `DATE/calib_cam_to_cam.txt` (P_rect_02). Depth:
`train|val/DRIVE_sync/proj_depth/groundtruth/image_02/0000000005.png`, 16-bit PNG, metres = value / 256, 0 = missing:
about 16 % of the pixels have a depth, none near the top. Sources: Geiger et al., "Vision meets Robotics", IJRR 2013;
Uhrig et al., "Sparsity Invariant CNNs", 3DV 2017; lists: Eigen et al., NeurIPS 2014.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..camera import PinholeCamera
from ..config import param
from ..errors import DataError
from ..frames import Sample
from ..paths import names_file
from ..photo import read_depth, read_photo
from ..plausibility import plausible
from ..text import comma_advice, read_text
from .dataset import Dataset, paired
from .kind import WHOLE, DatasetKind, OpenOptions, SourceSettings

PER_METRE = 256.0
MAX_DEPTH_M = 80.0
_RATE_HZ = 10.0
_FOLDERS = ("train", "val")  # of the annotated depth
_CAMERAS = {"left": ("02",), "right": ("03",), "both": ("02", "03")}
_SIDES = {"l": "02", "r": "03"}  # in lists
_FRAME = re.compile(r"[0-9]{1,10}")
_DRIVE = re.compile(r"(\d{4}_\d{2}_\d{2})_drive_\d{4}_sync")


@dataclass(frozen=True)
class KittiFrame:
    """One image: `camera` is "02" (left colour) or "03", `number` its digits, `origin` where it was named."""

    drive: str
    camera: str
    number: str
    folder: str
    origin: str


class KittiDepth(Dataset):
    """The annotated images of both folders, or of lists.

    `path` is the raw recordings' folder, `depth_path` the one with `train` and `val`. `camera` is "left", "right" or
    "both". `lists` maps "train", "validation" and "test" to files whose lines are those of Eigen's split, in one of
    the two forms in use (`read_list`); images without annotated depth are left out, with a note.
    Without lists, `train` is the official training part and `val` the test. Raises DataError.
    """

    protocol = "kitti"

    def __init__(
        self, name: str, path: Path, depth_path: Path, camera: str = "left", lists: Mapping[str, Path] | None = None
    ) -> None:
        super().__init__(name, MAX_DEPTH_M, PER_METRE, path)
        self.depth_path = depth_path
        for root in (path, depth_path):
            if not root.is_dir():
                raise DataError(
                    f"{root} is not a folder: expected KITTI's raw recordings (DATE/DRIVE_sync) as path and "
                    "data_depth_annotated as depth_path"
                )
        self._cameras: dict[tuple[str, str], PinholeCamera] = {}
        self._frames: list[KittiFrame] = []
        self._official: dict[str, list[int]] = {}
        if lists:
            for split, file in lists.items():
                self._add(split, self._annotated(file))
        else:
            for split, folder in zip(("train", "test"), _FOLDERS, strict=True):
                self._add(split, list(_found(depth_path, folder, _CAMERAS[camera])))
        self.splits = tuple(split for split, frames in self._official.items() if frames)
        if not self._frames:
            raise DataError(
                f"{depth_path}: expected train|val/DRIVE_sync/proj_depth/groundtruth/image_02/*.png (02 "
                f"left, 03 right), found none for camera {camera}"
            )

    def __len__(self) -> int:
        return len(self._frames)

    def read(self, i: int) -> Sample:
        """Image i; its stamp counts from the start of the drive. DataError where a file is missing or malformed."""
        frame, (colour, depth) = self._frames[i], self.files(i)
        if not names_file(colour):
            raise DataError(
                f"{self.origin(i)}: needs {colour}, which is missing: download the raw recording {frame.drive}"
            )
        camera = self._camera(_date(frame.drive), frame.camera)
        name = f"{frame.drive}/{frame.camera}/{frame.number}"
        try:
            return paired(read_photo(colour), read_depth(depth, PER_METRE), camera, int(frame.number) / _RATE_HZ, name)
        except DataError as error:
            raise DataError(f"{self.origin(i)}: {error}") from error

    def origin(self, i: int) -> str:
        """The list's line, or the depth file."""
        return self._frames[i].origin

    def scene(self, i: int) -> str:
        """The drive."""
        return self._frames[i].drive

    def files(self, i: int) -> tuple[Path, ...]:
        """Colour and depth of image i; colour may have been converted to JPEG."""
        frame = self._frames[i]
        colour = self.path / _date(frame.drive) / frame.drive / f"image_{frame.camera}" / "data" / f"{frame.number}.png"
        jpeg = colour.with_suffix(".jpg")
        return jpeg if names_file(jpeg) else colour, self.depth_path / frame.folder / _depth_file(frame)

    def official(self) -> dict[str, list[int]]:
        """The folders train and val (as test), or the lists."""
        return {split: list(frames) for split, frames in self._official.items()}

    def _add(self, split: str, frames: list[KittiFrame]) -> None:
        self._official[split] = list(range(len(self._frames), len(self._frames) + len(frames)))
        self._frames += frames

    def _annotated(self, file: Path) -> list[KittiFrame]:
        """The frames of a list that have a depth map."""
        listed, there = read_list(file), []
        for frame in listed:
            folder = next((f for f in _FOLDERS if names_file(self.depth_path / f / _depth_file(frame))), None)
            if folder is not None:
                there.append(KittiFrame(frame.drive, frame.camera, frame.number, folder, frame.origin))
        if not there:
            raise DataError(f"{file}: none of its {len(listed)} images has a depth map below {self.depth_path}")
        if len(there) < len(listed):
            self.notes.append(f"{file}: {len(listed) - len(there)} of {len(listed)} images have no annotated depth")
        return there

    def _camera(self, date: str, camera: str) -> PinholeCamera:
        if (date, camera) not in self._cameras:
            self._cameras[date, camera] = read_camera(self.path / date / "calib_cam_to_cam.txt", camera)
        return self._cameras[date, camera]


def read_camera(file: Path, camera: str = "02") -> PinholeCamera:
    """The rectified camera "02" or "03" of a calib_cam_to_cam.txt. DataError with the line where it is malformed.

    The fourth column of P_rect is the offset to camera 0, irrelevant to a single image.
    """
    try:
        lines = read_text(file).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read ({error}): it comes with the raw recordings of that day") from error
    values: dict[str, tuple[int, list[str]]] = {}
    for number, line in enumerate(lines, 1):
        key, _, text = line.partition(":")
        values[key.strip()] = number, text.split()
    width, height = _numbers(file, values, f"S_rect_{camera}", 2)
    P = np.reshape(_numbers(file, values, f"P_rect_{camera}", 12), (3, 4))
    return plausible(PinholeCamera(int(width), int(height), P[:, :3]), str(file))


def _numbers(file: Path, values: Mapping[str, tuple[int, list[str]]], key: str, count: int) -> list[float]:
    if key not in values:
        raise DataError(f"{file}: expected a line '{key}:', got none: take calib_cam_to_cam.txt of the raw recordings")
    line, words = values[key]
    text = " ".join(words)
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise DataError(f"{file}:{line}: {key} must be {count} finite numbers, got '{text[:60]}'{comma_advice(text)}")
    return numbers


def read_list(file: Path) -> list[KittiFrame]:
    """The images of a list; DataError with file and line where one is malformed.

    A line is `DATE/DRIVE_sync/image_02/data/NUMBER.png [depth file or None] [focal length]`, or
    `DATE/DRIVE_sync FRAME l|r`, without what follows a #. The second and third field of the first form are not needed.
    """
    try:
        lines = read_text(file).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read ({error}): expected a list of KITTI images") from error
    rows = [(number, line.split("#")[0].split()) for number, line in enumerate(lines, 1)]
    frames = [_listed(file, number, fields) for number, fields in rows if fields]
    if not frames:
        raise DataError(f"{file}: expected lines 'DATE/DRIVE_sync/image_02/data/NUMBER.png ...', got none")
    return frames


def _listed(file: Path, line: int, fields: list[str]) -> KittiFrame:
    parts = fields[0].split("/")
    drive = parts[1] if len(parts) > 1 else ""
    if _DRIVE.fullmatch(drive):
        if len(parts) == 5 and parts[2][:6] == "image_" and parts[2][6:] in _SIDES.values():
            number = parts[4].split(".")[0]
            if _FRAME.fullmatch(number):
                return KittiFrame(drive, parts[2][6:], number, "", f"{file}:{line}")
        elif len(parts) == 2 and len(fields) == 3 and _FRAME.fullmatch(fields[1]) and fields[2] in _SIDES:
            return KittiFrame(drive, _SIDES[fields[2]], f"{int(fields[1]):010d}", "", f"{file}:{line}")
    raise DataError(
        f"{file}:{line}: expected 'DATE/DRIVE_sync/image_02/data/NUMBER.png ...' or 'DATE/DRIVE_sync FRAME "
        f"l|r', got '{' '.join(fields)[:80]}'"
    )


def _found(depth_path: Path, folder: str, cameras: tuple[str, ...]) -> Iterator[KittiFrame]:
    for drive in sorted((depth_path / folder).glob("*_sync")):
        for camera in cameras:
            for file in sorted((drive / "proj_depth" / "groundtruth" / f"image_{camera}").glob("*.png")):
                yield KittiFrame(drive.name, camera, file.stem, folder, str(file))


def _depth_file(frame: KittiFrame) -> Path:
    return Path(frame.drive, "proj_depth", "groundtruth", f"image_{frame.camera}", f"{frame.number}.png")


def _date(drive: str) -> str:
    return drive[:10]


@dataclass(frozen=True)
class KittiSettings(SourceSettings):
    """KITTI depth."""

    kind = "kitti"

    path: str = param("", "folder of the raw recordings")
    depth_path: str = param("", "folder of the annotated depth")
    split: str = param(
        "official", "official = folders train and val, or the lists", choices=("official", "scene", *WHOLE)
    )
    camera: str = param("left", "colour camera", choices=("left", "right", "both"))
    train_list: str = param("", "Eigen's list of training images")
    validation_list: str = param("", "likewise")
    test_list: str = param("", "likewise")


def _of_settings(settings: KittiSettings, file: Callable[[str], Path]) -> Dataset:
    named = {"train": settings.train_list, "validation": settings.validation_list, "test": settings.test_list}
    lists = {split: file(path) for split, path in named.items() if path}
    return KittiDepth(settings.name, file(settings.path), file(settings.depth_path), settings.camera, lists)


def _folders(path: Path) -> tuple[Path | None, Path | None]:
    """The raw recordings and the annotated depth: `path` itself or folders in it."""
    places = [path, *sorted(each for each in path.iterdir() if each.is_dir())] if path.is_dir() else []
    raw = next((each for each in places if next(each.glob("????_??_??/calib_cam_to_cam.txt"), None)), None)
    depth = next((each for each in places for part in _FOLDERS if next(each.glob(f"{part}/*_sync"), None)), None)
    return raw, depth


def _recognises(path: Path, _: OpenOptions) -> bool:
    listed = path.is_file() and path.suffix == ".txt"
    return any(_folders(path.parent if listed else path))


def _open(path: Path, _: OpenOptions) -> Dataset:
    """The folder of both, or a list of images in it, which then are the test part."""
    root, lists = (path.parent, {"test": path}) if path.is_file() else (path, None)
    raw, depth = _folders(root)
    if raw is None or depth is None:
        raise DataError(
            f"{root}: expected KITTI's raw recordings (DATE/DRIVE_sync, DATE/calib_cam_to_cam.txt) and the annotated "
            f"depth (train|val/DRIVE_sync), each here or one folder below, found no {'depth' if raw else 'recordings'}"
        )
    return KittiDepth(path.stem if path.is_file() else path.name, raw, depth, lists=lists)


KITTI = DatasetKind(
    "a KITTI folder (raw recordings and annotated depth)",
    KittiSettings,
    _recognises,
    _open,
    _of_settings,
)

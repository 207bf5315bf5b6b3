"""Folders of image pairs: colour and 16-bit depth files that two patterns find, for example your own recordings."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arrays import Rgb
from ..camera import PinholeCamera
from ..config import param
from ..errors import CalibrationError, ConfigError, DataError
from ..frames import Sample
from ..photo import read_depth, read_photo
from ..plausibility import plausible
from ..text import comma_advice, read_text
from .dataset import MAX_DEPTH_M, Dataset, Problem, paired
from .kind import WHOLE, DatasetKind, OpenOptions, SourceSettings
from .tum import parse_camera

_PLACES = ("{scene}", "{frame}")
_COLOUR, _DEPTH = "{scene}/rgb/{frame}.png", "{scene}/depth/{frame}.png"
_CAMERA_FILE = "camera.txt"
Key = tuple[str, str]


class ImageFolder(Dataset):
    """The pairs of files below `path` whose names agree in {scene} and {frame}, in natural order.

    `colour` and `depth` are patterns like "{scene}/rgb/{frame}.jpg"; each matches a part of one name, and without
    {scene} everything is one scene. `depth_factor` integers are a metre, 0 is missing. `camera` is a text for
    `parse_camera` (pixels of the colour image) or a file below `path`, whose name may hold {scene}: such a text, or a
    matrix of 3x3 or 4x4 numbers. Distorted pairs are rectified. A colour image without depth is a gap.
    Raises ConfigError for patterns that cannot match, DataError where there are no pairs.
    """

    def __init__(
        self, name: str, path: Path, colour: str, depth: str, depth_factor: float, camera: str, max_depth: float
    ) -> None:
        super().__init__(name, max_depth, depth_factor, path)
        self._camera_text = camera
        if not camera:
            raise CalibrationError(f"{name}: camera is needed: 'fx fy cx cy [k1 k2 p1 p2 [k3]]' in pixels, or a file")
        colours, depths = find(path, colour), find(path, depth)
        self._keys = sorted(colours.keys() & depths.keys(), key=_natural)
        self._files = [(colours[key], depths[key]) for key in self._keys]
        self.gaps += [
            Problem(str(colours[key]), f"has no depth image {depth} beside it")
            for key in sorted(colours.keys() - depths.keys(), key=_natural)
        ]
        if not self._keys:
            raise DataError(
                f"{path}: no pair of '{colour}' ({len(colours)} files) and '{depth}' ({len(depths)} "
                "files): both names must have the same {scene} and {frame}"
            )
        self._cameras: dict[str, PinholeCamera] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def read(self, i: int) -> Sample:
        """Pair i. DataError where a file is malformed or of another size than the scene's other images."""
        colour, depth = self._files[i]
        try:
            metres = read_depth(depth, self.per_metre(i))
            return paired(read_photo(colour), metres, self._camera(self.scene(i)), 0.0, "/".join(self._keys[i]))
        except DataError as error:
            raise DataError(f"{self.origin(i)}: {error}") from error

    def origin(self, i: int) -> str:
        """The colour file."""
        return str(self._files[i][0])

    def scene(self, i: int) -> str:
        """What {scene} matched, the source's name without it."""
        return self._keys[i][0] or self.name

    def files(self, i: int) -> tuple[Path, ...]:
        """Colour and depth."""
        return self._files[i]

    def shared_files(self) -> tuple[Path, ...]:
        """The cameras' files, where they stand in some."""
        scenes = dict.fromkeys(scene for scene, _ in self._keys)
        files = [self.path / self._camera_text.replace("{scene}", scene) for scene in scenes]
        return tuple(dict.fromkeys(file for file in files if file.is_file()))

    def _camera(self, scene: str) -> PinholeCamera:
        if scene not in self._cameras:
            first = self._first_whole(scene)
            self._cameras[scene] = self._read_camera(scene, (first.shape[1], first.shape[0]))
        return self._cameras[scene]

    def _first_whole(self, scene: str) -> Rgb:
        """The first colour image of a scene that can be read: the others must have its size."""
        problem: DataError | None = None
        for i in range(len(self)):
            if self.scene(i) == scene:
                try:
                    return read_photo(self._files[i][0])
                except DataError as error:
                    problem = problem or error
        raise problem or DataError(f"{self.name}: has no scene {scene}")

    def _read_camera(self, scene: str, size: tuple[int, int]) -> PinholeCamera:
        file = self.path / self._camera_text.replace("{scene}", scene)
        if not file.is_file():
            if file.suffix in (".txt", ".csv") or "{scene}" in self._camera_text:
                raise CalibrationError(f"{file} is missing: it was given as the camera's file")
            return parse_camera(self._camera_text, size)
        try:
            text = read_text(file)
        except (OSError, UnicodeDecodeError) as error:
            raise CalibrationError(f"{file} cannot be read as the text of a camera ({error})") from error
        if advice := comma_advice(text):
            raise CalibrationError(f"{file}: expected numbers, got '{' '.join(text.split())[:60]}'{advice}")
        lines = [line.split("#")[0].replace(",", " ").split() for line in text.splitlines()]
        rows = [words for words in lines if words]
        if len(rows) in (3, 4) and all(len(row) >= 3 for row in rows):
            return _camera_of_matrix(file, rows, size)
        try:
            return parse_camera(" ".join(" ".join(row) for row in rows), size)
        except ConfigError as error:
            raise CalibrationError(f"{file}: {error}") from error


def find(path: Path, pattern: str) -> dict[Key, Path]:
    """Files below `path` by what {scene} (empty without it) and {frame} stand for. ConfigError."""
    rest = re.sub(r"\{(scene|frame)\}", "", pattern)
    if "{frame}" not in pattern or Path(pattern).is_absolute() or re.search(r"[{}*]", rest):
        raise ConfigError(
            f"pattern must be a relative path with {{frame}} and perhaps {{scene}} in it, got '{pattern}'"
        )
    if not path.is_dir():
        raise DataError(f"{path} is not a folder: expected one with files '{pattern}'")
    text, wild = re.escape(pattern), glob.escape(pattern)
    for place in _PLACES:
        name = place[1:-1]
        text = text.replace(re.escape(place), f"(?P<{name}>[^/]+)", 1).replace(re.escape(place), f"(?P={name})")
        wild = wild.replace(place, "*")
    found = {}
    for file in path.glob(wild):
        match = re.fullmatch(text, file.relative_to(path).as_posix())
        if match and file.is_file():
            found[match.groupdict().get("scene", ""), match["frame"]] = file
    return found


def _camera_of_matrix(file: Path, rows: list[list[str]], size: tuple[int, int]) -> PinholeCamera:
    try:
        K = np.array([[float(word) for word in row[:3]] for row in rows[:3]])
    except ValueError as error:
        raise CalibrationError(f"{file}: expected a matrix of numbers, got '{' '.join(rows[0])[:60]}'") from error
    return plausible(PinholeCamera(*size, K), str(file))


def _natural(key: Key) -> list[tuple[int, str]]:
    """Sorts 9 before 10."""
    words = re.split(r"(\d+)", "\0".join(key))  # every second one is a number
    return [(int(word), "") if place % 2 else (-1, word) for place, word in enumerate(words)]


@dataclass(frozen=True)
class ImageFolderSettings(SourceSettings):
    """Folders of image pairs."""

    kind = "image_folder"

    path: str = param("", "folder that the patterns start from")
    split: str = param("scene", "time = stretches of each scene, in natural order", choices=("scene", "time", *WHOLE))
    colour: str = param(_COLOUR, "pattern of the colour images")
    depth: str = param(_DEPTH, "pattern of the 16-bit depth images")
    depth_factor: float = param(1000.0, "integer depth per metre", low=1e-3, high=1e6)
    camera: str = param("", "'fx fy cx cy [k1 k2 p1 p2 [k3]]' in pixels, or a text file with that or with a matrix")
    max_depth: float = param(10.0, "farthest depth there can be", unit="m", low=0.1, high=1000.0)


def _of_settings(settings: ImageFolderSettings, file: Callable[[str], Path]) -> Dataset:
    return ImageFolder(
        settings.name,
        file(settings.path),
        settings.colour,
        settings.depth,
        settings.depth_factor,
        settings.camera,
        settings.max_depth,
    )


def _patterns(path: Path, options: OpenOptions) -> tuple[str, str]:
    """Those of the options, else SCENE/rgb and SCENE/depth, or rgb and depth alone."""
    prefix = "" if (path / "rgb").is_dir() else "{scene}/"
    return (
        options.colour_pattern or _COLOUR.replace("{scene}/", prefix),
        options.depth_pattern or _DEPTH.replace("{scene}/", prefix),
    )


def _recognises(path: Path, options: OpenOptions) -> bool:
    if not path.is_dir():
        return False
    given = options.colour_pattern or options.depth_pattern
    return bool(given) or any(next(path.glob(f"{folder}/*.png"), None) for folder in ("rgb", "*/rgb"))


def _open(path: Path, options: OpenOptions) -> Dataset:
    camera = options.camera or (_CAMERA_FILE if (path / _CAMERA_FILE).is_file() else "")
    factor = options.depth_factor or 1000.0
    return ImageFolder(path.name, path, *_patterns(path, options), factor, camera, MAX_DEPTH_M)


IMAGE_FOLDER = DatasetKind(
    "a folder of image pairs (rgb/N.png, depth/N.png)",
    ImageFolderSettings,
    _recognises,
    _open,
    _of_settings,
    takes=("camera", "depth_factor", "colour_pattern", "depth_pattern"),
)

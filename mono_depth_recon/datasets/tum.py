"""Folders of the TUM RGB-D benchmark (Sturm et al., IROS 2012): rgb.txt, depth.txt and groundtruth.txt.

Depth is 16-bit PNG, metres = value / 5000, 0 = missing, registered to colour.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..arrays import Rgb
from ..camera import PinholeCamera
from ..errors import CalibrationError, ConfigError, DataError
from ..frames import Sample
from ..paths import names_file
from ..photo import read_depth, read_photo
from ..plausibility import plausible
from .dataset import Recording
from .stamped_lists import Entry, out_of_range, read_list, read_trajectory

DEPTH_PER_METRE = 5000.0
NO_POSES = "none"
MAX_POSE_GAP_S = 0.1  # between two poses farther apart nothing is known: the motion capture lost the camera
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
# fx fy cx cy, k1 k2 p1 p2 k3 of the colour cameras, 640x480 (calibration page of the benchmark)
CAMERAS = {
    "freiburg1": ((517.306, 516.469, 318.643, 255.314), (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    "freiburg2": ((520.909, 521.007, 325.141, 249.702), (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    "freiburg3": ((535.4, 539.2, 320.1, 247.6), ()),
}


class TumFolder(Recording):
    """The colour/depth pairs of a folder, in the order of colour stamps, read when indexed.

    `camera` is the raw colour camera, or a text for `parse_camera`; without one it comes from the folder's name
    (`CAMERAS`). Samples are raw (distorted) images with the raw camera, or with `rectified` both maps on the
    rectified grid.
    `positions[i]` is the place of pair i's colour image in rgb.txt, counted from 0: splits are made by it.
    `partial` leaves out files that the lists name and that are missing, with a note. Depth has `depth_factor` units per
    metre. `poses` replaces groundtruth.txt, NO_POSES means none. Raises DataError for missing files and malformed
    lines, CalibrationError where no camera is known.
    """

    def __init__(
        self,
        path: Path | str,
        camera: PinholeCamera | str | None = None,
        max_difference: float = 0.02,
        rectified: bool = False,
        depth_factor: float = DEPTH_PER_METRE,
        poses: str = "",
        partial: bool = False,
    ) -> None:
        super().__init__(Path(path).name, per_metre=depth_factor, path=Path(path))
        self.rectified = rectified
        self.colour = self._entries("rgb.txt", partial)
        self.camera = self._camera(camera)
        self.depth = self._entries("depth.txt", partial)
        self.pairs = associate([e.stamp for e in self.colour], [e.stamp for e in self.depth], max_difference)
        truth = Path(poses) if poses else self.path / "groundtruth.txt"
        given = poses not in ("", NO_POSES)
        self.trajectory = read_trajectory(truth, self.notes) if given or truth.exists() else None
        self.max_difference = max_difference
        if not self.pairs:
            raise DataError(
                f"{self.path}: no colour image has a depth image within {max_difference:g} s "
                f"({len(self.colour)} in rgb.txt, {len(self.depth)} in depth.txt; {self._spans()})"
            )
        if self.trajectory is not None:
            self.notes += out_of_range(str(truth), self.trajectory.span, self.stamps)
        self.bits = self.bits_of_some(lambda i, bits: read_photo(self.files(i)[0], stream=bits))

    def _camera(self, given: PinholeCamera | str | None) -> PinholeCamera:
        if isinstance(given, PinholeCamera):
            return given
        if not given:
            return camera_of_name(self.path.name)
        height, width = _first_whole(self.colour).shape[:2]
        return parse_camera(given, (width, height))

    def _entries(self, name: str, partial: bool) -> list[Entry]:
        entries = read_list(self.path / name, self.notes, missing_ok=partial)
        there = [entry for entry in entries if not partial or names_file(entry.file)]
        if len(there) < len(entries):
            self.notes.append(f"{self.path}: {len(entries) - len(there)} of {len(entries)} files of {name} are missing")
        return there

    def _spans(self) -> str:
        spans = [(entries[0].stamp, entries[-1].stamp) for entries in (self.colour, self.depth) if entries]
        return "stamps " + " and ".join(f"{first:.3f} to {last:.3f} s" for first, last in spans)

    @property
    def positions(self) -> list[int]:
        """Index in rgb.txt of every pair's colour image."""
        return [colour for colour, _ in self.pairs]

    @property
    def stamps(self) -> list[float]:
        """Colour stamp of every pair in seconds."""
        return [self.colour[colour].stamp for colour, _ in self.pairs]

    def __len__(self) -> int:
        return len(self.pairs)

    def origin(self, i: int) -> str:
        """The colour file of pair i."""
        return str(self.files(i)[0])

    def files(self, i: int) -> tuple[Path, ...]:
        """Colour and depth of pair i."""
        colour, depth = self.pairs[i]
        return self.colour[colour].file, self.depth[depth].file

    def read(self, index: int) -> Sample:
        """Pair `index`, read from its files (DataError where they are malformed)."""
        colour, depth = (entries[i] for entries, i in zip((self.colour, self.depth), self.pairs[index], strict=True))
        metres = read_depth(depth.file, self.per_metre(index))
        trajectory = self.trajectory
        pose = None if trajectory is None else trajectory.pose(colour.stamp, MAX_POSE_GAP_S, self.max_difference)
        return self.sample(read_photo(colour.file, stream=self.bits), metres, colour.stamp, colour.file.name, pose)


def camera_of_name(name: str) -> PinholeCamera:
    """The colour camera of a sequence by its folder's name. CalibrationError where the name has none of `CAMERAS`."""
    for key, (intrinsics, distortion) in CAMERAS.items():
        if key in name:
            return PinholeCamera.from_intrinsics(640, 480, *intrinsics, D=distortion)
    raise CalibrationError(
        f"folder '{name}' names none of {', '.join(CAMERAS)}: give the camera's intrinsics in "
        "pixels (replay and demo: --camera 'fx fy cx cy [k1 k2 p1 p2 [k3]]')"
    )


def parse_camera(text: str, size: tuple[int, int]) -> PinholeCamera:
    """The camera of images of `size` (width, height) that a text describes: a preset of `CAMERAS`, or numbers.

    ConfigError where the text is neither, CalibrationError where its numbers are not a valid camera.
    """
    if text in CAMERAS:
        return camera_of_name(text)
    words = text.split()
    if len(words) > 1 and any(_DECIMAL_COMMA.fullmatch(word) for word in words):
        raise ConfigError(f"camera must be numbers with decimal points and spaces between them, got '{text}'")
    try:
        numbers = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) not in (4, 8, 9):
        presets = ", ".join(CAMERAS)
        raise ConfigError(f"camera must be 'fx fy cx cy [k1 k2 p1 p2 [k3]]' or one of {presets}, got '{text}'")
    fx, fy, cx, cy, *distortion = numbers
    return plausible(PinholeCamera.from_intrinsics(*size, fx, fy, cx, cy, distortion), f"camera '{text}'")


def associate(first: Sequence[float], second: Sequence[float], max_difference: float = 0.02) -> list[tuple[int, int]]:
    """Pairs (index in first, index in second) of stamps nearer than max_difference seconds, one to one.

    The benchmark's rule: of all such pairs the nearest is taken first, then the next of what is left (ties: the
    earlier stamps). The result is in the order of the first stamps.
    """
    order = np.argsort(np.asarray(second, np.float64), kind="stable")
    later = np.asarray(second, np.float64)[order]
    candidates = []
    for i, stamp in enumerate(first):
        reach = max_difference + 1e-6  # above the rounding of stamps; the strict test below decides
        low, high = np.searchsorted(later, (stamp - reach, stamp + reach))
        near = ((abs(stamp - later[j]), stamp, later[j], i, int(order[j])) for j in range(low, high))
        candidates += [c for c in near if c[0] < max_difference]
    taken_first, taken_second, pairs = set(), set(), []
    for _, stamp, _, i, j in sorted(candidates):
        if i not in taken_first and j not in taken_second:
            taken_first.add(i)
            taken_second.add(j)
            pairs.append((stamp, i, j))
    return [(i, j) for _, i, j in sorted(pairs)]


def _first_whole(entries: Sequence[Entry]) -> Rgb:
    """The first colour image that can be read; DataError, of the last, where none can."""
    if not entries:
        raise DataError("expected colour images, whose size the camera has, got none")
    for entry in entries[:-1]:
        try:
            return read_photo(entry.file)
        except DataError:
            continue
    return read_photo(entries[-1].file)

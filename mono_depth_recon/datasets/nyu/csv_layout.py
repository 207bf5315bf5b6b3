"""NYU Depth V2 in the csv layout: `data/nyu2_train.csv` and `data/nyu2_test.csv`, lines "colour,depth" without header.

The two lists store depth in different ways, and reading one as the other is the classic error of this layout:
training depth is 8-bit PNG, metres = value / 255 * 10 (steps of 3.9 cm), test depth 16-bit PNG in millimetres.
Source: Alhashim and Wonka, "High Quality Monocular Depth Estimation via Transfer Learning", 2018 (training part);
Hu et al., "Revisiting Single Image Depth Estimation", WACV 2019 (test part).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...arrays import Depth
from ...errors import DataError
from ...frames import Sample
from ..depth_units import frame_problem
from ..frame_source import FrameSource, paired
from ..tum import read_depth, read_rgb
from .camera import MAX_DEPTH_M, nyu_camera, nyu_scene, without_border

TRAIN_PER_METRE = 255 / MAX_DEPTH_M
TEST_PER_METRE = 1000.0


@dataclass(frozen=True)
class Pair:
    """One line of a list."""

    list_file: Path
    line: int
    colour: Path
    depth: Path


class NyuCsv(FrameSource):
    """The pairs of both lists; training ones come first. Paths count from the folder that holds `data`.

    `path` is that folder, `data` itself, or a folder with both. `mask_border` makes depth unknown where it was filled
    in outside the depth camera's view. Raises DataError where the list is missing or its first line points nowhere;
    later lines that do are named when they are read.
    """

    def __init__(self, name: str, path: Path, mask_border: bool = False) -> None:
        super().__init__(name, MAX_DEPTH_M)
        self._mask_border = mask_border
        train = read_pairs(_list_file(path, "nyu2_train.csv"))
        test_file = train[0].list_file.with_name("nyu2_test.csv")
        self._pairs = train + (read_pairs(test_file) if test_file.is_file() else [])
        self._trained = len(train)

    def __len__(self) -> int:
        return len(self._pairs)

    def read(self, i: int) -> Sample:
        """Pair i. DataError with the list's line where a file is missing, malformed, stored in the other way, or where
        its depth cannot be that of a room.
        """
        pair = self._pairs[i]
        try:
            for file in self.files(i):
                if not file.is_file():
                    raise DataError(f"names {file}, which is missing")
            rgb = read_rgb(pair.colour)
            depth = read_depth_8bit(pair.depth) if i < self._trained else read_depth(pair.depth, TEST_PER_METRE)
            depth = without_border(depth) if self._mask_border else depth
            if problem := frame_problem(depth, self.max_depth, self.per_metre(i)):
                raise DataError(problem)
            camera = nyu_camera(rgb.shape[1], rgb.shape[0])
            return paired(rgb, depth, camera, 0.0, f"{pair.colour.parent.name}/{pair.colour.name}")
        except DataError as error:
            raise DataError(f"{self.origin(i)}: {error}") from error

    def origin(self, i: int) -> str:
        """The list and its line."""
        return f"{self._pairs[i].list_file}:{self._pairs[i].line}"

    def scene(self, i: int) -> str:
        """The scene that the folder of pair i names."""
        return nyu_scene(self._pairs[i].colour.parent.name)

    def files(self, i: int) -> tuple[Path, ...]:
        """Colour and depth of pair i."""
        return self._pairs[i].colour, self._pairs[i].depth

    def per_metre(self, i: int) -> float:
        """25.5 in the training list, 1000 in the test list."""
        return TRAIN_PER_METRE if i < self._trained else TEST_PER_METRE

    def pool(self) -> Sequence[int]:
        """The training list: the test list stays what it is, and tells no scenes."""
        return range(self._trained)

    def official(self) -> dict[str, list[int]]:
        """Training and test list."""
        if self._trained == len(self):
            raise DataError(
                f"{self._pairs[0].list_file.with_name('nyu2_test.csv')} is missing: the official split "
                "needs it; copy it, or set split: scene"
            )
        return {"train": list(range(self._trained)), "test": list(range(self._trained, len(self)))}


def read_pairs(file: Path) -> list[Pair]:
    """The lines of a list. DataError with file and line where one is no pair or the first points nowhere."""
    rows: list[tuple[int, list[str]]] = []
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            reader = csv.reader(stream)
            rows = [(reader.line_num, [field.strip() for field in row]) for row in reader if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read ({error}): expected lines 'colour,depth'") from error
    for line, row in rows:
        if len(row) != 2 or not all(row):
            raise DataError(f"{file}:{line}: expected 'colour,depth', got {len(row)} fields: '{','.join(row)[:80]}'")
    if not rows:
        raise DataError(f"{file}: expected lines 'colour,depth', got none")
    root = _root_of(file, *rows[0])
    return [Pair(file, line, root / colour, root / depth) for line, (colour, depth) in rows]


def _root_of(file: Path, line: int, row: list[str]) -> Path:
    """The folder from which the paths of a list count."""
    roots = (file.parent.parent, file.parent)
    for root in roots:
        if (root / row[0]).is_file():
            return root
    raise DataError(
        f"{file}:{line}: names {row[0]}, which is neither in {roots[0]} nor in {roots[1]}: paths count "
        "from the folder that holds data/"
    )


def _list_file(path: Path, name: str) -> Path:
    candidates = [path / name, path / "data" / name]
    found = next((file for file in candidates if file.is_file()), None)
    if found is None:
        raise DataError(
            f"{path}: expected {name} in it or in its folder data, found neither: name the folder of the "
            "csv layout of NYU Depth V2"
        )
    return found


def read_depth_8bit(path: Path) -> Depth:
    """A training depth image (H, W) float32 metres, NaN where it is 0. DataError unless it is one channel of 8 bits."""
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise DataError(f"{path}: expected an 8-bit PNG, got a file that cannot be decoded")
    if image.dtype != np.uint8 or image.ndim != 2:
        raise DataError(
            f"{path}: training depth must be one channel of 8 bits (255 = 10 m), got {image.dtype} of "
            f"shape {image.shape}; 16 bits are what the test list names"
        )
    return np.where(image == 0, np.float32(np.nan), image.astype(np.float32) / np.float32(TRAIN_PER_METRE))

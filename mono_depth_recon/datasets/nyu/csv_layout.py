"""NYU Depth V2 in the csv layout: `data/nyu2_train.csv` and `data/nyu2_test.csv`, lines "colour,depth" without header.

The two lists store depth in different ways, and reading one as the other is the classic error of this layout:
training depth is 8-bit PNG, metres = value / 255 * 10 (steps of 3.9 cm), test depth 16-bit PNG in millimetres.
Source: Alhashim and Wonka, "High Quality Monocular Depth Estimation via Transfer Learning", 2018 (training part);
Hu et al., "Revisiting Single Image Depth Estimation", WACV 2019 (test part).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...config import param
from ...errors import DataError
from ...frames import Sample
from ...paths import names_file
from ...photo import read_depth, read_photo
from ...text import read_text
from ..dataset import Dataset, paired
from ..depth_units import frame_problem
from ..kind import WHOLE, DatasetKind, SourceSettings
from .camera import MAX_DEPTH_M, nyu_camera, nyu_scene, without_border

TRAIN_PER_METRE = 255 / MAX_DEPTH_M
TEST_PER_METRE = 1000.0
_LISTS = {"train": "nyu2_train.csv", "test": "nyu2_test.csv"}


@dataclass(frozen=True)
class Pair:
    """One line of a list."""

    list_file: Path
    line: int
    colour: Path
    depth: Path


class NyuCsv(Dataset):
    """The pairs of both lists; training ones come first. Paths count from the folder that holds `data`.

    `path` is that folder, `data` itself, a folder with both, or one of the two lists, which then is all. `mask_border`
    makes depth unknown where it was filled in outside the depth camera's view. Raises DataError where there is no list
    or all its lines point nowhere; single lines that do are named when they are read.
    """

    splits: tuple[str, ...] = ("train", "test")
    benchmark = "nyu"

    def __init__(self, name: str, path: Path, mask_border: bool = False) -> None:
        super().__init__(name, MAX_DEPTH_M, path=path)
        self._mask_border = mask_border
        self._lists = _list_files(path)
        if path.is_file():
            self.splits = tuple(self._lists)
        train, test = (read_pairs(self._lists[split]) if split in self._lists else [] for split in _LISTS)
        self._pairs, self._trained = train + test, len(train)

    def __len__(self) -> int:
        return len(self._pairs)

    def read(self, i: int) -> Sample:
        """Pair i. DataError with the list's line where a file is missing, malformed, stored in the other way, or where
        its depth cannot be that of a room.
        """
        pair = self._pairs[i]
        try:
            for file in self.files(i):
                if not names_file(file):
                    raise DataError(f"names {file}, which is missing")
            rgb = read_photo(pair.colour)
            depth = read_depth(pair.depth, self.per_metre(i), bits=8 if i < self._trained else 16)
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
        """The training list: the test list is kept as it is, and has no scenes."""
        return range(self._trained)

    def official(self) -> dict[str, list[int]]:
        """The lists that are there. DataError where a folder has no test list."""
        if "test" in self.splits and "test" not in self._lists:
            raise DataError(
                f"{self._pairs[0].list_file.with_name(_LISTS['test'])} is missing: the official split needs it; copy "
                "it, or do without it (in training split: scene, in evaluation --split all)"
            )
        frames = {"train": range(self._trained), "test": range(self._trained, len(self))}
        return {split: list(frames[split]) for split in self._lists}


def read_pairs(file: Path) -> list[Pair]:
    """The lines of a list. DataError with file and line where one is no pair, or where all point nowhere."""
    rows: list[tuple[int, list[str]]] = []
    try:
        reader = csv.reader(read_text(file).splitlines())
        rows = [(reader.line_num, [field.strip() for field in row]) for row in reader if any(map(str.strip, row))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read ({error}): expected lines 'colour,depth'") from error
    for line, row in rows:
        if len(row) != 2 or not all(row):
            raise DataError(f"{file}:{line}: expected 'colour,depth', got {len(row)} fields: '{','.join(row)[:80]}'")
    if not rows:
        raise DataError(f"{file}: expected lines 'colour,depth', got none")
    root = _root_of(file, rows)
    return [Pair(file, line, root / colour, root / depth) for line, (colour, depth) in rows]


def _root_of(file: Path, rows: Sequence[tuple[int, list[str]]]) -> Path:
    """The folder from which the paths of a list count: where the first colour image is that is there at all."""
    roots = (file.parent.parent, file.parent)
    for _, row in rows:
        for root in roots:
            if names_file(root / row[0]):
                return root
    line, row = rows[0]
    raise DataError(
        f"{file}:{line}: names {row[0]}, which is neither in {roots[0]} nor in {roots[1]}: paths count "
        "from the folder that holds data/"
    )


def _list_files(path: Path) -> dict[str, Path]:
    """The lists at `path` by split. DataError where there is none."""
    if path.is_file():
        found = {split: path for split, name in _LISTS.items() if path.name == name}
    else:
        places = (path, path / "data")
        folder = next((each for each in places for name in _LISTS.values() if (each / name).is_file()), path)
        found = {split: folder / name for split, name in _LISTS.items() if (folder / name).is_file()}
    if not found:
        raise DataError(
            f"{path}: expected nyu2_train.csv or nyu2_test.csv in it or in its folder data, found neither: name the "
            "folder of the csv layout of NYU Depth V2"
        )
    return found


@dataclass(frozen=True)
class NyuCsvSettings(SourceSettings):
    """NYU Depth V2 in the csv layout."""

    kind = "nyu_csv"

    path: str = param("", "folder with data/nyu2_train.csv")
    split: str = param("official", "official = the two lists", choices=("official", "scene", *WHOLE))
    mask_border: bool = param(False, "depth is unknown outside the depth camera's view")


def _of_settings(settings: NyuCsvSettings, file: Callable[[str], Path]) -> Dataset:
    return NyuCsv(settings.name, file(settings.path), settings.mask_border)


NYU_CSV = DatasetKind(
    "NYU Depth V2 in the csv layout (data/nyu2_test.csv)",
    NyuCsvSettings,
    lambda path, _: any(
        path.name == name or (path / name).is_file() or (path / "data" / name).is_file() for name in _LISTS.values()
    ),
    lambda path, _: NyuCsv(path.stem if path.is_file() else path.name, path),
    _of_settings,
)

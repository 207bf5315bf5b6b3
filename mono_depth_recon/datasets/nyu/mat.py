"""NYU Depth V2, the labelled set: one MATLAB file of 1449 images with depth, and `splits.mat` with the official split.

`nyu_depth_v2_labeled.mat` is MATLAB 7.3, that is HDF5 with the dimensions reversed: `images` (N, 3, W, H) uint8,
`depths` (in-filled) and `rawDepths` (0 missing) (N, W, H) float32 metres, `scenes` and `rawRgbFilenames` (1, N)
references to UTF-16 texts. `splits.mat` is MATLAB 5 as published; `trainNdxs` and `testNdxs` count from 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import Depth
from ...config import param
from ...decoding import check_size
from ...errors import DataError
from ...frames import Sample
from ...paths import regular_file
from ..dataset import Dataset, PerProcess, paired
from ..kind import WHOLE, DatasetKind, SourceSettings
from ..limits import MAX_CHUNK_BYTES
from .camera import MAX_DEPTH_M, nyu_camera, nyu_scene, without_border
from .mat5 import read_numbers

if TYPE_CHECKING:
    from h5py import File

_LONGEST_TEXT = 4096
_DEPTHS = {"filled": "depths", "raw": "rawDepths"}
_KINDS = {"iuf": "numbers", "O": "references to texts"}
_MOST_NUMBERS = 1_000_000  # of splits.mat
_DAMAGED = (OSError, RuntimeError, KeyError, ValueError, TypeError)  # what h5py raises where bytes are wrong
_FILTERS = {1, 2, 3}  # of HDF5: deflate, shuffle, fletcher32; for others it may load a library
_STAMP = re.compile(r"r-(\d+\.\d+)-")  # of a raw file name: seconds


class NyuMat(Dataset):
    """The images of the labelled file, opened by each process when it first reads one.

    `splits` None looks for splits.mat beside the file, when the official split is used. `depth` is "filled" or
    "raw"; `mask_border` makes depth unknown where it was filled in outside the depth camera's view.
    Raises DataError for a file that is cut short, of another version of MATLAB or of other contents.
    """

    splits = ("train", "test")
    benchmark = "nyu"

    def __init__(
        self, name: str, path: Path, splits: Path | None = None, depth: str = "filled", mask_border: bool = False
    ) -> None:
        super().__init__(name, MAX_DEPTH_M, path=path)
        self._splits, self._depths = splits or path.with_name("splits.mat"), _DEPTHS[depth]
        self._mask_border = mask_border
        self._file = PerProcess(partial(open_mat, path))
        try:
            with open_mat(path) as file:
                self._count, width, height = _checked_shapes(file, path, self._depths)
                self._scenes = [nyu_scene(_text(file, path, "scenes", i)) for i in range(self._count)]
        except _DAMAGED as error:
            raise DataError(f"{path} is damaged ({error}): download it again") from error
        self._camera = nyu_camera(width, height)

    def __len__(self) -> int:
        return self._count

    def read(self, i: int) -> Sample:
        """Image i. DataError where the file is damaged there."""
        file = self._file.get()
        try:
            rgb = np.ascontiguousarray(file["images"][i].transpose(2, 1, 0))
            stored = np.ascontiguousarray(file[self._depths][i].T)
            raw_name = _text(file, self.path, "rawRgbFilenames", i) if _has(file, "rawRgbFilenames") else ""
            match = _STAMP.search(raw_name)
        except _DAMAGED as error:
            raise DataError(f"{self.origin(i)} cannot be read ({error}): download the file again") from error
        depth: Depth = np.where(stored > 0, stored, np.float32(np.nan)).astype(np.float32)
        depth = without_border(depth) if self._mask_border else depth
        return paired(rgb, depth, self._camera, float(match[1]) if match else 0.0, f"{self._scenes[i]}/{i + 1:04d}")

    def shared_files(self) -> tuple[Path, ...]:
        """The file of all images."""
        return (self.path,)

    def origin(self, i: int) -> str:
        """The file and the image's number, from 1 as MATLAB counts."""
        return f"{self.path}: image {i + 1}"

    def scene(self, i: int) -> str:
        """Where image i was taken."""
        return self._scenes[i]

    def official(self) -> dict[str, list[int]]:
        """Training and test of splits.mat (795 and 654 images). DataError where it does not fit the file."""
        if not self._splits.is_file():
            raise DataError(
                f"{self.name}: the official split needs {self._splits}, which is missing: download "
                "splits.mat, or do without it (in training split: scene, in evaluation --split all)"
            )
        split = {key: read_indices(self._splits, f"{key}Ndxs", self._count) for key in ("train", "test")}
        both = set(split["train"]) & set(split["test"])
        if both:
            raise DataError(
                f"{self._splits}: image {min(both) + 1} and {len(both) - 1} more stand in trainNdxs and in "
                "testNdxs: download it again"
            )
        return split


def open_mat(path: Path) -> File:
    """A MATLAB 7.3 file, for reading. DataError where it is cut short, missing or of another kind."""
    try:
        import h5py
    except ImportError:
        raise _needs("h5py") from None
    try:
        return h5py.File(regular_file(path), "r")
    except OSError as error:
        raise DataError(_unreadable(path, error)) from error


def read_indices(path: Path, key: str, count: int) -> list[int]:
    """Numbers of a .mat file of either version as indices from 0; MATLAB counts 1 to `count`. DataError."""
    values = _new_numbers(path, key) if _is_hdf5(path) else read_numbers(path, key)
    if values is None or not values.size:
        raise DataError(f"{path}: expected {key}, the numbers of images, got none")
    whole = values.size <= count and bool((values == np.rint(values)).all())  # NaN equals nothing
    if not whole or values.min() < 1 or values.max() > count or len(np.unique(values)) < values.size:
        raise DataError(
            f"{path}: {key} must hold different numbers from 1 to {count}, got {values.min():g} to "
            f"{values.max():g}: it belongs to another file"
        )
    return [int(number) - 1 for number in values]


def _is_hdf5(path: Path) -> bool:
    try:
        import h5py
    except ImportError:
        raise _needs("h5py") from None
    return bool(h5py.is_hdf5(path))


def _new_numbers(path: Path, key: str) -> NDArray[np.float64] | None:
    try:
        with open_mat(path) as file:
            if not _has(file, key):
                return None
            found = _dataset(file, path, key, "iuf")
            if found.size > _MOST_NUMBERS:
                raise DataError(f"{path}: {key} must hold the numbers of images, got {found.size}")
            return np.ravel(found[()]).astype(np.float64)
    except _DAMAGED as error:
        raise DataError(f"{path} is damaged ({error}): download it again") from error


def _dataset(file: File, path: Path, key: str, kinds: str) -> Any:
    """The array `key`. DataError where it is something else, or not of one of numpy's `kinds` of type."""
    import h5py

    if file.id.links.get_info(key.encode()).type != h5py.h5l.TYPE_HARD:
        raise DataError(f"{path}: {key} must be an array in the file, got a link to another place: download it again")
    found = _own(file[key], path, key)
    if not isinstance(found, h5py.Dataset) or found.shape is None or found.dtype.kind not in kinds:
        came = found.dtype if isinstance(found, h5py.Dataset) else type(found).__name__.lower()
        raise DataError(f"{path}: {key} must be an array of {_KINDS[kinds]}, got {came}: download it again")
    return found


def _has(file: File, key: str) -> bool:
    """Whether the file has an entry `key`; where a link leads is not looked at."""
    return bool(file.id.links.exists(key.encode()))


def _own(found: Any, path: Path, key: str) -> Any:
    """`found`. DataError where it is an array whose values are in other files, or packed as MATLAB does not.

    HDF5 opens whatever file an array names, a pipe too.
    """
    import h5py

    if not isinstance(found, h5py.Dataset):
        return found
    stored = found.id.get_create_plist()
    filters = [stored.get_filter(i)[0] for i in range(stored.get_nfilters())]
    if stored.get_layout() == h5py.h5d.VIRTUAL or stored.get_external_count():
        what = "in other files"
    elif unknown := sorted(set(filters) - _FILTERS):
        what = f"packed by filter {unknown[0]}"
    elif stored.get_layout() == h5py.h5d.CHUNKED and _chunk_bytes(found) > MAX_CHUNK_BYTES:
        what = f"in pieces of {_chunk_bytes(found)} bytes"
    else:
        return found
    raise DataError(f"{path}: {key} must be in the file itself, as MATLAB writes it, but is {what}: download it again")


def _chunk_bytes(array: Any) -> int:
    return math.prod(array.chunks) * int(array.dtype.itemsize)


def _needs(library: str) -> DataError:
    return DataError(f"MATLAB files of NYU Depth V2 need the library {library}: pip install {library}")


def _unreadable(path: Path, error: OSError) -> str:
    if not path.is_file():
        return f"{path} is missing: expected nyu_depth_v2_labeled.mat"
    size = path.stat().st_size
    if "truncated" in str(error):
        expected = re.search(r"stored_eof = (\d+)", str(error))
        whole = f" of {expected[1]}" if expected else ""
        return f"{path} is cut short, it has {size}{whole} bytes: download it again"
    with path.open("rb") as file:
        header = file.read(19)
    if header == b"MATLAB 5.0 MAT-file":
        return f"{path}: expected MATLAB 7.3 (HDF5), got MATLAB 5: save it with -v7.3"
    return f"{path}: expected MATLAB 7.3 (HDF5), got another file of {size} bytes: download it again"


def _checked_shapes(file: File, path: Path, depths: str) -> tuple[int, int, int]:
    """Number, width and height of the images."""
    missing = [key for key in ("images", depths, "scenes") if not _has(file, key)]
    if missing:
        raise DataError(
            f"{path}: expected images, {depths} and scenes, as the labelled NYU Depth V2 has them; "
            f"missing: {', '.join(missing)}"
        )
    images = _dataset(file, path, "images", "iuf")
    shape = images.shape
    if len(shape) != 4 or shape[1] != 3 or images.dtype != np.uint8:
        raise DataError(
            f"{path}: images must be uint8 of (N, 3, width, height), as MATLAB writes them, got "
            f"{images.dtype} of {shape}"
        )
    expected, depth = (shape[0], *shape[2:]), _dataset(file, path, depths, "iuf")
    if depth.dtype.kind != "f" or depth.shape != expected:
        raise DataError(
            f"{path}: {depths} must be metres, float of {expected} as the images, got {depth.dtype} of {depth.shape}"
        )
    check_size(shape[2], shape[3], f"{path}: an image")
    if (named := _dataset(file, path, "scenes", "O").size) != shape[0]:
        raise DataError(f"{path}: scenes must name the scene of each of the {shape[0]} images, got {named}")
    return int(shape[0]), int(shape[2]), int(shape[3])


def _text(file: File, path: Path, key: str, i: int) -> str:
    """Entry i of a cell array of texts."""
    import h5py

    cells = _dataset(file, path, key, "O")
    if cells.ndim != 2 or 1 not in cells.shape or i >= cells.size:
        raise DataError(f"{path}: {key} must be one row of texts, of every image one, got shape {cells.shape}")
    reference = cells[0, i] if cells.shape[0] == 1 else cells[i, 0]
    if not isinstance(reference, h5py.Reference):
        raise DataError(f"{path}: {key} must be a cell array of texts, entry {i + 1} is not")
    text = _own(file[reference], path, key)
    if not isinstance(text, h5py.Dataset) or text.shape is None or text.dtype.kind not in "iu":
        raise DataError(f"{path}: {key} must be a cell array of texts, entry {i + 1} is not")
    if text.size > _LONGEST_TEXT:
        raise DataError(f"{path}: {key} must hold names, entry {i + 1} has {text.size} letters")
    return np.asarray(text).astype("<u2").tobytes().decode("utf-16-le", "replace")


@dataclass(frozen=True)
class NyuMatSettings(SourceSettings):
    """NYU Depth V2, the labelled .mat file."""

    kind = "nyu_mat"

    path: str = param("", "nyu_depth_v2_labeled.mat")
    split: str = param("official", "official = splits.mat", choices=("official", "scene", *WHOLE))
    splits: str = param("", "splits.mat; empty = beside the file")
    depth: str = param("filled", "in-filled depth, or raw with holes", choices=("filled", "raw"))
    mask_border: bool = param(False, "depth is unknown outside the depth camera's view")


def _of_settings(settings: NyuMatSettings, file: Callable[[str], Path]) -> Dataset:
    splits = file(settings.splits) if settings.splits else None
    return NyuMat(settings.name, file(settings.path), splits, settings.depth, settings.mask_border)


NYU_MAT = DatasetKind(
    "nyu_depth_v2_labeled.mat",
    NyuMatSettings,
    lambda path, _: path.suffix == ".mat" and path.is_file(),
    lambda path, _: NyuMat(path.stem, path),
    _of_settings,
)

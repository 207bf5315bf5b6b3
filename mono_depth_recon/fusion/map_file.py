"""The file of a map (.npz): everything is read and checked before anything is made of it."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atomic import write_atomically
from ..config import MAP_SUFFIX, parameter
from ..errors import DAMAGED_NPZ, ConfigError, DataError
from ..npz import read_array
from ..paths import regular_file
from .integration import BLOCK, MAX_WEIGHT
from .lookup import KEY_LIMIT

FORMAT = 1
CHANNELS = {"tsdf": 1, "weight": 1, "color": 3}
_RANGES = {"tsdf": (-1.0, 1.0), "weight": (0.0, MAX_WEIGHT), "color": (0.0, 255.0)}
_LARGEST_KEYS = 2**28  # bytes
_BLOCK_BYTES = BLOCK**3 * max(CHANNELS.values()) * 8  # of one array, at most
_ROUNDING = 1e-4  # relative to the end of a range: weighted means in float32


@dataclass(frozen=True, eq=False)
class StoredMap:
    """The blocks of a map. `voxel_size` metres; distances are truncated at `truncation` voxels.

    `keys` (B, 3) int32 coordinates of blocks of 8x8x8 voxels; `seen` (B,) int64: the last of `frames` frames that saw
    each; `tsdf` (-1 to 1), `weight` and `color` (0 to 255): float32, (B, 8, 8, 8, channels).
    """

    voxel_size: float
    truncation: float
    frames: int
    keys: NDArray[np.int32]
    seen: NDArray[np.int64]
    tsdf: NDArray[np.float32]
    weight: NDArray[np.float32]
    color: NDArray[np.float32]


def write_map(path: Path, stored: StoredMap) -> None:
    """Writes the map, whole or not at all. Raises DataError for another suffix and as `write_atomically`."""
    if path.suffix != MAP_SUFFIX:
        raise DataError(f"a map is written as {MAP_SUFFIX}, got '{path.name}'")
    text = io.BytesIO()
    np.savez(text, format=FORMAT, **vars(stored))
    write_atomically(path, [text.getvalue()])


def read_map(path: Path, max_blocks: int) -> StoredMap:
    """The map that `write_map` wrote. Raises DataError where the file cannot be read, is damaged or another one.

    No length that the file states is used before it is compared with the length of the file; arrays are checked for
    shape, type, finite values and ranges, keys for repetition. More than `max_blocks` blocks are refused.
    """
    arrays = _read_arrays(path, max_blocks)
    try:
        stored = _checked(arrays)
    except (ConfigError, DataError) as error:
        raise DataError(f"map {path} cannot be used: {error}") from error
    return stored


def _read_arrays(path: Path, max_blocks: int) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz of stored, not compressed, members; no more of them than `max_blocks` blocks have."""
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(regular_file(path)) as archive:
            for name in ("format", *(field.name for field in fields(StoredMap))):  # keys before what grows with them
                largest = _LARGEST_KEYS if name == "keys" else _BLOCK_BYTES * max_blocks
                arrays[name] = read_array(archive, name, largest)
                if name == "keys" and arrays[name].ndim and (count := len(arrays[name])) > max_blocks:
                    raise DataError(
                        f"map {path} cannot be used: it has {count} blocks, over the limit of {max_blocks}: raise "
                        "fusion.max_blocks"
                    )
        return arrays
    except OSError as error:
        raise DataError(f"map {path} cannot be read: {error.strerror or error}") from error
    except DAMAGED_NPZ as error:
        raise DataError(
            f"map {path} must be a file that save_map wrote, got another or a damaged one ({error}): save it again"
        ) from error


def _checked(arrays: dict[str, NDArray[Any]]) -> StoredMap:
    """The arrays as a map. Raises DataError or ConfigError, which name the array and what is wrong with it."""
    version = _number(arrays, "format")
    if version != FORMAT:
        raise DataError(f"it has format {version:g}, expected {FORMAT}: save it again by this version")
    count, frames = _checked_keys(arrays), _number(arrays, "frames")
    if not 0 <= frames < 2**62 or frames != int(frames):
        raise DataError(f"frames must be a whole number, got {frames:g}")
    sides = (BLOCK, BLOCK, BLOCK)
    _check(arrays, "seen", (count,), 0, frames, "i")
    for name, (low, high) in _RANGES.items():
        slack = _ROUNDING * high
        _check(arrays, name, (count, *sides, CHANNELS[name]), low - slack, high + slack, "f")
    return StoredMap(
        float(parameter("fusion.voxel_size").check(float(_number(arrays, "voxel_size")))),
        float(parameter("fusion.truncation").check(float(_number(arrays, "truncation")))),
        int(frames),
        arrays["keys"].astype(np.int32),
        arrays["seen"].astype(np.int64),
        *(np.asarray(arrays[name], np.float32) for name in CHANNELS),
    )


def _checked_keys(arrays: dict[str, NDArray[Any]]) -> int:
    """The number of blocks."""
    keys = arrays["keys"]
    count = len(keys) if keys.ndim else 1
    _check(arrays, "keys", (count, 3), -KEY_LIMIT, KEY_LIMIT, "i")
    if not count or len(np.unique(keys, axis=0)) < count:
        raise DataError(f"keys must be one or more different blocks, got {count}{', some of them equal' * (count > 0)}")
    return count


def _number(arrays: dict[str, NDArray[Any]], name: str) -> float:
    value = arrays[name]
    if value.shape != ():
        raise DataError(f"{name} must be one number, got an array of shape {value.shape}")
    number: float = value.item()
    return number


def _check(
    arrays: dict[str, NDArray[Any]], name: str, shape: tuple[int, ...], low: float, high: float, kind: str
) -> None:
    """DataError unless an array has this shape, kind of type and range."""
    array = arrays[name]
    if array.shape != shape or array.dtype.kind != kind:
        raise DataError(f"{name} must be of shape {shape} and type {kind}, got {array.shape} of {array.dtype}")
    if array.size and not (array.min() >= low and array.max() <= high):  # NaN is in no range
        raise DataError(f"{name} must be {low:g} to {high:g}, got {array.min():g} to {array.max():g}")

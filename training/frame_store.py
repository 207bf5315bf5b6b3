"""Frames on disk as memory maps, made once: reading a frame needs no decoding, rectifying or rendering."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mono_depth_recon.atomic import writable_folder
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.errors import ConfigError, DataError, MonoDepthError
from mono_depth_recon.frames import Sample

_ARRAYS = ("rgb", "depth", "intrinsics")
_ERRORS = "errors.json"


class Frames(Protocol):
    """Samples by number, made or read when asked for."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, i: int, /) -> Sample:
        """Sample i."""


class FrameStore:
    """N rectified frames of one size: rgb uint8, depth float16 metres (NaN unknown), intrinsics (N, 4) fx fy cx cy.

    A frame that could not be made is kept as its error, which reading it raises.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            arrays = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS]
            self._errors: dict[str, str] = json.loads((folder / _ERRORS).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"frame store {folder} cannot be read ({error}): remove it, and it is rebuilt") from error
        self.rgb, self.depth, self.intrinsics = arrays

    def __len__(self) -> int:
        return len(self.rgb)

    def __getitem__(self, i: int) -> Sample:
        if (error := self._errors.get(str(i))) is not None:
            raise DataError(error)
        height, width = self.rgb.shape[1:3]
        fx, fy, cx, cy = map(float, self.intrinsics[i])
        camera = PinholeCamera.from_intrinsics(width, height, fx, fy, cx, cy)
        depth = self.depth[i].astype(np.float32)
        return Sample(np.asarray(self.rgb[i]), camera, depth, name=f"{self.folder.name}[{i}]")


def open_or_make(
    cache: Path,
    name: str,
    identity: Mapping[str, object],
    count: int,
    samples: Callable[[], Iterable[Sample | MonoDepthError]],
) -> FrameStore:
    """The store for what `identity` describes (JSON-able); made from `samples()` where the cache lacks it.

    It is written beside its place and renamed when whole, so that a stopped run leaves no half store; a second process
    that needs the same one waits for the first.
    """
    folder = store_folder(writable_folder(cache), name, identity)
    with _locked(cache / f".{folder.name}.lock"):
        if not folder.is_dir():
            partial = cache / f"{folder.name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            (partial / "identity.json").write_text(json.dumps(identity, indent=1, sort_keys=True), encoding="utf-8")
            write_store(partial, count, samples())
            partial.rename(folder)
    return FrameStore(folder)


def store_folder(cache: Path, name: str, identity: Mapping[str, object]) -> Path:
    """Where the store for what `identity` describes is kept, once it is made."""
    key = hashlib.sha256(json.dumps([2, identity], sort_keys=True).encode()).hexdigest()[:12]
    return cache / f"{name}-{key}"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_store(folder: Path, count: int, samples: Iterable[Sample | MonoDepthError]) -> None:
    """Writes exactly `count` rectified samples of one size, errors in place of those that could not be made.

    DataError where there are more or fewer samples, or errors only; ConfigError for samples of different sizes.
    """
    arrays: list[np.memmap[Any, Any]] = []
    errors: dict[int, str] = {}
    written = -1
    for written, sample in enumerate(samples):
        if written == count:
            raise DataError(f"{folder}: expected {count} frames, got more")
        if isinstance(sample, MonoDepthError):
            errors[written] = str(sample)
            continue
        if not arrays:
            arrays = _allocate(folder, count, *sample.rgb.shape[:2])
        _write(arrays, written, sample)
    if written + 1 != count:
        raise DataError(f"{folder}: expected {count} frames, got {written + 1}")
    if not arrays:
        raise DataError(f"none of {count} frames can be read, such as: {errors[0]}")
    for array in arrays:
        array.flush()
    (folder / _ERRORS).write_text(json.dumps(errors), encoding="utf-8")


def _write(arrays: list[np.memmap[Any, Any]], place: int, sample: Sample) -> None:
    assert sample.depth is not None and sample.camera.is_rectified, "stores hold rectified frames with depth"
    camera, (height, width) = sample.camera, arrays[0].shape[1:3]
    if camera.size != (width, height):
        raise ConfigError(
            f"{sample.name}: {camera.width}x{camera.height} pixels beside frames of {width}x{height}: "
            "frames of several sizes cannot be kept prepared, set loader.keep_frames to 0"
        )
    arrays[0][place], arrays[1][place] = sample.rgb, sample.depth
    arrays[2][place] = (camera.fx, camera.fy, camera.cx, camera.cy)


def _allocate(folder: Path, count: int, height: int, width: int) -> list[np.memmap[Any, Any]]:
    shapes = ((count, height, width, 3), (count, height, width), (count, 4))
    return [
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)
        for name, dtype, shape in zip(_ARRAYS, (np.uint8, np.float16, np.float64), shapes, strict=True)
    ]

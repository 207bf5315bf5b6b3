"""Frames on disk as memory maps, made once: reading one costs no decoding, rectifying or rendering."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.errors import DataError
from mono_depth_recon.frames import Sample

_ARRAYS = ("rgb", "depth", "intrinsics")


class Frames(Protocol):
    """Samples by number, made or read when asked for."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, i: int, /) -> Sample:
        """Sample i."""


class FrameStore:
    """N rectified frames of one size: rgb uint8, depth float16 metres (NaN unknown), intrinsics (N, 4) fx fy cx cy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            arrays = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS]
        except (OSError, ValueError) as error:
            raise DataError(f"frame store {folder} cannot be read ({error}): remove it, it is made again") from error
        self.rgb, self.depth, self.intrinsics = arrays

    def __len__(self) -> int:
        return len(self.rgb)

    def __getitem__(self, i: int) -> Sample:
        height, width = self.rgb.shape[1:3]
        fx, fy, cx, cy = map(float, self.intrinsics[i])
        camera = PinholeCamera.from_intrinsics(width, height, fx, fy, cx, cy)
        depth = self.depth[i].astype(np.float32)
        return Sample(np.asarray(self.rgb[i]), camera, depth, name=f"{self.folder.name}[{i}]")


def open_or_make(cache: Path, name: str, identity: Mapping[str, object], count: int,
                 samples: Callable[[], Iterable[Sample]]) -> FrameStore:
    """The store for what `identity` describes (JSON-able); made from `samples()` where the cache lacks it.

    It is written beside its place and renamed when whole, so that a stopped run leaves no half store.
    """
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    folder = cache / f"{name}-{key}"
    if not folder.is_dir():
        partial = cache / f"{name}-{key}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        (partial / "identity.json").write_text(json.dumps(identity, indent=1, sort_keys=True), encoding="utf-8")
        write_store(partial, count, samples())
        partial.rename(folder)
    return FrameStore(folder)


def write_store(folder: Path, count: int, samples: Iterable[Sample]) -> None:
    """Writes exactly `count` rectified samples of one size. DataError where there are more or fewer."""
    arrays: list[np.memmap[Any, Any]] = []
    written = 0
    for sample in samples:
        if written == count:
            raise DataError(f"{folder}: expected {count} frames, got more")
        if not arrays:
            arrays = _allocate(folder, count, *sample.rgb.shape[:2])
        assert sample.depth is not None and sample.camera.is_rectified, "stores hold rectified frames with depth"
        camera = sample.camera
        arrays[0][written], arrays[1][written] = sample.rgb, sample.depth
        arrays[2][written] = (camera.fx, camera.fy, camera.cx, camera.cy)
        written += 1
    if written != count:
        raise DataError(f"{folder}: expected {count} frames, got {written}")
    for array in arrays:
        array.flush()


def _allocate(folder: Path, count: int, height: int, width: int) -> list[np.memmap[Any, Any]]:
    shapes = ((count, height, width, 3), (count, height, width), (count, 4))
    return [np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)
            for name, dtype, shape in zip(_ARRAYS, (np.uint8, np.float16, np.float64), shapes, strict=True)]

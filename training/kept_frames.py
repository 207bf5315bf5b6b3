"""A data source whose frames are prepared once and then read from memory maps."""

from __future__ import annotations

import multiprocessing
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mono_depth_recon.datasets.dataset import Dataset, Part
from mono_depth_recon.errors import MonoDepthError
from mono_depth_recon.frames import Sample

from .frame_store import FrameStore, open_or_make, store_folder

BLOCK = 64  # frames, about, that one process makes at a time: a stopped run keeps the finished blocks


class KeptFrames(Dataset):
    """`source` with the frames of one of its parts in stores, block after block; the others cannot be read."""

    def __init__(self, source: Dataset, blocks: Sequence[Sequence[int]], stores: Sequence[FrameStore]) -> None:
        super().__init__(source.name, source.max_depth, path=source.path)
        self.notes, self.gaps = source.notes, source.gaps
        self._source = source
        self._folders = [store.folder for store in stores]
        self._stores: list[FrameStore] = []
        self._place = {
            frame: (number, place) for number, block in enumerate(blocks) for place, frame in enumerate(block)
        }

    def __len__(self) -> int:
        return len(self._source)

    def read(self, i: int) -> Sample:
        """Frame i, from its store."""
        block, place = self._place[i]
        return self._opened()[block][place]

    def sizes(self) -> set[tuple[int, int]]:
        """(height, width) of the kept frames, pixels."""
        return {store.rgb.shape[1:3] for store in self._opened()}

    def _opened(self) -> list[FrameStore]:
        if not self._stores:
            self._stores = [FrameStore(folder) for folder in self._folders]
        return self._stores

    def origin(self, i: int) -> str:
        """As in the source."""
        return self._source.origin(i)

    def scene(self, i: int) -> str:
        """As in the source."""
        return self._source.scene(i)

    def files(self, i: int) -> tuple[Path, ...]:
        """As in the source."""
        return self._source.files(i)

    def shared_files(self) -> tuple[Path, ...]:
        """As in the source."""
        return self._source.shared_files()

    def per_metre(self, i: int) -> float:
        """As in the source."""
        return self._source.per_metre(i)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_stores": []}  # memory maps would travel as their bytes


def keep(part: Part, cache: Path, processes: int) -> None:
    """Prepares the frames of a part, where the cache lacks them, by several processes, and lets the part read them."""
    if not len(part):
        return
    blocks = _blocks(part)
    first = _fingerprint(part)
    missing = [block for block in blocks if not store_folder(cache, *_named(part.source, block, first)).is_dir()]
    if missing:
        _make(part, _own_first(missing), cache, first, min(processes, len(missing)))
    part.source = KeptFrames(part.source, blocks, [_block(part.source, block, cache, first) for block in blocks])


def _make(part: Part, blocks: Sequence[Sequence[int]], cache: Path, first: int, processes: int) -> None:
    with ExitStack() as stack:
        making: Iterable[object]
        if processes > 1:
            pool = stack.enter_context(ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")))
            futures = [pool.submit(_block, part.source, block, cache, first) for block in blocks]
            making = (future.result() for future in as_completed(futures))
        else:
            making = (_block(part.source, block, cache, first) for block in blocks)
        quiet = os.environ.get("LOCAL_RANK", "0") != "0"  # one bar for all processes of a training
        for _ in tqdm(making, f"{part.name}: blocks of {BLOCK} frames", total=len(blocks), disable=quiet):
            pass


def _own_first(blocks: list[list[int]]) -> list[list[int]]:
    """Processes that torchrun starts begin at places of their own, so that none waits for another's block."""
    rank, size = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    start = len(blocks) * rank // size
    return [*blocks[start:], *blocks[:start]]


def _blocks(part: Part) -> list[list[int]]:
    """The frames of a part, cut into blocks; rendered ones where the scene changes, since making a scene takes long."""
    blocks: list[list[int]] = [[]]
    for place, frame in enumerate(part.frames):
        inside = part.is_rendered and place and part.scene(place) == part.scene(place - 1)
        if len(blocks[-1]) >= BLOCK and not inside:
            blocks.append([])
        blocks[-1].append(frame)
    return blocks


def _block(source: Dataset, frames: Sequence[int], cache: Path, first: int) -> FrameStore:
    name, identity = _named(source, frames, first)
    return open_or_make(cache, name, identity, len(frames), lambda: _samples(source, frames))


def _named(source: Dataset, frames: Sequence[int], first: int) -> tuple[str, dict[str, object]]:
    """What identifies a block: where its frames stand, its files with size and time, the part's first frame."""
    identity: dict[str, object] = {"origins": [source.origin(i) for i in frames], "first": first}
    files = [*source.shared_files(), *(file for i in frames for file in source.files(i))]
    if files:
        identity["files"] = [_stat(file) for file in files]
    return source.name.replace("/", "_"), identity


def _stat(file: Path) -> list[int]:
    if not file.is_file():
        return []
    found = file.stat()
    return [found.st_size, found.st_mtime_ns]


def _samples(source: Dataset, frames: Sequence[int]) -> Iterator[Sample | MonoDepthError]:
    for i in frames:
        try:
            yield source[i]
        except MonoDepthError as error:
            yield error


def _fingerprint(part: Part) -> int:
    """Changes with the pixels, depth and camera of the part's first whole frame: with sizes, units and rendering."""
    for sample in _samples(part.source, part.frames):
        if isinstance(sample, Sample) and sample.depth is not None:
            whole = [np.ascontiguousarray(each).tobytes() for each in (sample.rgb, sample.depth, sample.camera.K)]
            return zlib.crc32(b"".join(whole))
    return 0

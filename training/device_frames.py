"""Frames kept on the device that trains, where they fit: a loading process then names them instead of reading them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.datasets.dataset import Part
from mono_depth_recon.datasets.mixture.tolerant import read_checked
from mono_depth_recon.frames import Sample

from .augment import known_depth
from .device_augment import Bank
from .kept_frames import KeptFrames
from .recipes import Delivered, Held

SHARE = 0.5  # of the device's free memory that frames may take: the rest is the training's
_BYTES = 5  # of a pixel: three of colour, two of depth
_CHUNK = 64  # frames that go to the device together
Source = tuple[Held | Delivered, PinholeCamera]


@dataclass(frozen=True)
class HeldPart:
    """The frames of a part on the device, in rows of one bank from `first` on, with what is wrong with each."""

    bank: int
    first: int
    cameras: list[PinholeCamera | None]
    problems: list[str]

    def read(self, i: int) -> tuple[Source | None, str]:
        """Place and camera of frame i, None where it could not be read, and what is wrong with it."""
        camera = self.cameras[i]
        return None if camera is None else (Held(self.bank, self.first + i), camera), self.problems[i]


def read_source(part: Part, i: int) -> tuple[Source | None, str]:
    """Frame i of a part that is not on the device, as `HeldPart.read`."""
    sample, problem = read_checked(part.source, part.frames[i])
    return None if sample is None else delivered(sample), problem


def delivered(sample: Sample) -> Source:
    """A sample's pixels as they travel, and its camera."""
    return Delivered(np.asarray(sample.rgb), known_depth(sample).astype(np.float16)), sample.camera


def free_memory(device: torch.device) -> int:
    """Free bytes of a device; of the CPU, those of the machine."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def hold(parts: Sequence[Part], device: torch.device, free: int) -> tuple[list[Bank], dict[str, HeldPart], str]:
    """The banks of the parts whose prepared frames fit into `SHARE` of `free` bytes, the parts by name, and one line.

    Parts are taken in their order; those that are not prepared (`loader.keep_frames`) or do not fit are left out.
    """
    sizes: dict[tuple[int, int], list[Part]] = {}
    rest = free * SHARE
    for part in parts:
        found = part.source.sizes() if isinstance(part.source, KeptFrames) else set()
        if len(found) == 1 and (size := part_bytes(part, *next(iter(found)))) <= rest:
            sizes.setdefault(next(iter(found)), []).append(part)
            rest -= size
    banks, held = [], {}
    for number, ((height, width), chosen) in enumerate(sizes.items()):
        count = sum(map(len, chosen))
        bank = Bank(
            torch.zeros((count, 3, height, width), dtype=torch.uint8, device=device),
            torch.zeros((count, height, width), dtype=torch.float16, device=device),
        )
        first = 0
        for part in chosen:
            held[part.name] = _filled(part, bank, number, first)
            first += len(part)
        banks.append(bank)
    return banks, held, _line(parts, held, device, free, free * SHARE - rest)


def part_bytes(part: Part, height: int, width: int) -> int:
    """Bytes that the frames of a part take on a device."""
    return len(part) * height * width * _BYTES


def _filled(part: Part, bank: Bank, number: int, first: int) -> HeldPart:
    """Reads the frames of a part into rows of a bank, several at a time; the row of a bad one is black."""
    cameras: list[PinholeCamera | None] = [None] * len(part)
    problems = [""] * len(part)
    height, width = bank.depth.shape[1:]
    for start, chunk in _chunks(part, lambda i: read_source(part, i)):
        rgb = np.zeros((len(chunk), height, width, 3), np.uint8)
        depth = np.zeros((len(chunk), height, width), np.float16)
        for place, (source, problem) in enumerate(chunk):
            problems[start + place] = problem
            if source is not None and isinstance(source[0], Delivered):
                rgb[place], depth[place], cameras[start + place] = source[0].rgb, source[0].depth, source[1]
        rows = slice(first + start, first + start + len(chunk))
        bank.rgb[rows] = torch.from_numpy(rgb).to(bank.rgb.device).permute(0, 3, 1, 2)
        bank.depth[rows] = torch.from_numpy(depth).to(bank.depth.device)
    return HeldPart(number, first, cameras, problems)


def _chunks(
    part: Part, read: Callable[[int], tuple[Source | None, str]]
) -> Iterator[tuple[int, list[tuple[Source | None, str]]]]:
    with ThreadPoolExecutor(os.cpu_count()) as readers:
        for start in range(0, len(part), _CHUNK):
            yield start, list(readers.map(read, range(start, min(start + _CHUNK, len(part)))))


def _line(parts: Sequence[Part], held: dict[str, HeldPart], device: torch.device, free: int, taken: float) -> str:
    left = [part.name for part in parts if part.name not in held]
    count = sum(len(part) for part in parts if part.name in held)
    text = (
        f"frames on {device}: {count} of {sum(map(len, parts))}, {taken / 2**30:.1f} GiB of {free / 2**30:.1f} GiB free"
    )
    return f"{text}; the loading processes read {', '.join(left)}" if left else text

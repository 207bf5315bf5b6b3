"""Where training frames come from: TUM folders, synthetic rooms, and made-up scenes that need neither (smoke run)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset
from tqdm import tqdm

from mono_depth_recon.arrays import Matrix
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.datasets.tum import TumFolder
from mono_depth_recon.errors import DataError
from mono_depth_recon.frames import Sample

from .frame_store import Frames, FrameStore, open_or_make
from .settings import RoomSettings, Settings, TumSettings

ROOMS_PER_BLOCK = 8


@dataclass(frozen=True)
class Sources:
    """Training and validation frames of each source that takes part, by name ("tum", "rooms", "made")."""

    train: dict[str, Frames]
    validation: dict[str, Frames]


def open_sources(settings: Settings, data: Path | None, cache: Path) -> Sources:
    """The sources that `rooms_share` asks for. DataError where TUM takes part and `data` is None or lacks it."""
    sources = Sources({}, {})
    if settings.rooms_share < 1:
        for split, ends in (("train", settings.tum.train), ("validation", settings.tum.validation)):
            getattr(sources, split)["tum"] = tum_store(settings.tum, data, ends, cache)
    if settings.rooms_share > 0:
        rooms = settings.rooms
        for split, first, count in (("train", rooms.first_seed, rooms.rooms),
                                    ("validation", rooms.first_validation_seed, rooms.validation_rooms)):
            getattr(sources, split)["rooms"] = room_store(rooms, first, count, cache, settings.threads)
    return sources


def tum_store(settings: TumSettings, data: Path | None, ends: list[int], cache: Path) -> Frames:
    """Rectified pairs whose colour image stands at positions ends[0] to ends[1] (included) in rgb.txt."""
    if data is None:
        raise DataError("TUM frames take part in this run: name the data folder (--data or MONO_DEPTH_RECON_DATA), "
                        "or rooms_share 1")
    folder = TumFolder(data / settings.folder, rectified=True)
    chosen = [i for i, position in enumerate(folder.positions) if ends[0] <= position <= ends[1]]
    identity = {"folder": settings.folder, "ends": ends}
    return open_or_make(cache, "tum", identity, len(chosen), lambda: (folder[i] for i in tqdm(chosen, "TUM frames")))


def room_store(settings: RoomSettings, first_seed: int, rooms: int, cache: Path, processes: int = 1) -> Frames:
    """Rendered frames of `rooms` rooms with seeds from first_seed on, kept in blocks of rooms.

    Blocks are made by several processes, and a stopped run loses no finished one.
    """
    seeds = range(first_seed, first_seed + rooms)
    blocks = [list(seeds[i:i + ROOMS_PER_BLOCK]) for i in range(0, rooms, ROOMS_PER_BLOCK)]
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        made = [pool.submit(_room_block, settings, block, cache) for block in blocks]
        for done in tqdm(as_completed(made), "blocks of rooms", total=len(made)):
            done.result()
    return ConcatDataset([_room_block(settings, block, cache) for block in blocks])


def _room_block(settings: RoomSettings, seeds: list[int], cache: Path) -> FrameStore:
    identity = {"seeds": seeds, "frames": settings.frames_per_room, "size": [settings.width, settings.height],
                "hfov_deg": settings.hfov_deg, "tilt_deg": settings.tilt_deg}
    return open_or_make(cache, "rooms", identity, len(seeds) * settings.frames_per_room,
                        lambda: (frame for seed in seeds for frame in room_frames(settings, seed)))


def room_frames(settings: RoomSettings, seed: int) -> Iterator[Sample]:
    """Views of one room along its path, each with its own field of view and a random tilt (pitch, roll) on top."""
    from mono_depth_recon.datasets.rooms import RoomSequence

    rng = np.random.default_rng((seed, 7))
    size = settings.width, settings.height
    path = RoomSequence(seed, PinholeCamera.from_hfov(*size, 60.0), length=settings.frames_per_room, rate_hz=1.0)
    for i in range(settings.frames_per_room):
        camera = PinholeCamera.from_hfov(*size, rng.uniform(settings.hfov_deg[0], settings.hfov_deg[1]))
        pose = path.pose(i) @ _tilt(rng.uniform(-settings.tilt_deg, settings.tilt_deg, 2))
        rgb, depth = path.room.render(camera, pose)
        yield Sample(rgb, camera, depth, name=f"room {seed} view {i}")


def _tilt(pitch_roll_deg: NDArray[np.float64]) -> Matrix:
    pitch, roll = np.radians(pitch_roll_deg)
    T = np.eye(4)
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    T[:3, :3] = about_x @ about_z
    return T


def made_scene(seed: int, width: int, height: int) -> Sample:
    """A floor and a wall at a random distance, brighter where nearer: just enough for a network to learn depth from."""
    rng = np.random.default_rng((seed, 3))
    camera = PinholeCamera.from_hfov(width, height, rng.uniform(50, 90))
    _, y = camera.rays
    floor = rng.uniform(0.8, 1.8) / np.maximum(y, 1e-3)
    depth = np.broadcast_to(np.minimum(floor, rng.uniform(1.5, 5.0))[:, None], (height, width)).astype(np.float32)
    canonical = depth * 0.8 * width / camera.fx
    grey = 255 * np.exp(-canonical / 3)[..., None] * rng.uniform(0.9, 1.0, 3)
    return Sample(np.clip(grey + rng.normal(0, 3, (height, width, 3)), 0, 255).astype(np.uint8), camera, depth)


def made_sources(count: int, width: int, height: int) -> Sources:
    """Made-up scenes: `count` to train on and a quarter as many to validate."""
    return Sources({"made": [made_scene(i, width, height) for i in range(count)]},
                   {"made": [made_scene(10_000 + i, width, height) for i in range(max(1, count // 4))]})

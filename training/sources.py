"""Sources of frames: TUM pairs, synthetic rooms kept in the cache, and made-up scenes that need no data."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.datasets.dataset import MAX_DEPTH_M, Part
from mono_depth_recon.datasets.joined import Joined
from mono_depth_recon.datasets.kind import OpenOptions
from mono_depth_recon.datasets.rooms.source import ManyRooms, RoomViewOptions
from mono_depth_recon.datasets.tum_archive import open_tum
from mono_depth_recon.frames import Sample

from .frame_store import Frames
from .kept_frames import keep
from .settings import RoomSettings, TumSettings


def tum_store(settings: TumSettings, data: Path, ends: list[int], cache: Path) -> Frames:
    """Rectified pairs whose colour image stands at positions ends[0] to ends[1] (included) in rgb.txt."""
    source = Joined("tum", data / settings.folder, open_tum, OpenOptions(), MAX_DEPTH_M)
    chosen = [i for i, position in enumerate(source.positions) if ends[0] <= position <= ends[1]]
    part = Part(source, "train", chosen)
    keep(part, cache, 1)
    return part


def room_store(settings: RoomSettings, first_seed: int, rooms: int, cache: Path, processes: int = 1) -> Frames:
    """Rendered frames of `rooms` rooms with seeds from first_seed on, made by several processes."""
    options = RoomViewOptions(
        rooms,
        settings.frames_per_room,
        first_seed,
        settings.width,
        settings.height,
        settings.hfov_deg[0],
        settings.hfov_deg[1],
        settings.tilt_deg,
    )
    part = Part(ManyRooms("rooms", options), "train", range(rooms * settings.frames_per_room))
    keep(part, cache, processes)
    return part


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

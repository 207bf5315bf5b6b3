"""Makes a small training set in the layout of NYU Depth V2: `python -m training.small_set small_data`.

Rendered rooms as `FOLDER/nyu_data/data/nyu2_train.csv` with colour as JPEG and depth as 8-bit PNG (metres / 10 * 255),
and `nyu2_test.csv` with 16-bit depth in millimetres: enough to try every training command, too little for a good model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mono_depth_recon.atomic import writable_folder, write_atomically
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.datasets.nyu.camera import MAX_DEPTH_M, nyu_camera
from mono_depth_recon.datasets.nyu.csv_layout import TEST_PER_METRE, TRAIN_PER_METRE
from mono_depth_recon.datasets.rooms.room import RoomSequence
from mono_depth_recon.errors import ConfigError
from mono_depth_recon.frames import Sample

from .augment import known_depth
from .command import exit_code

SIZE = (320, 240)  # pixels
FIRST_SEED = 300_000  # rooms that are used nowhere else


def write_small_set(folder: Path, rooms: int, frames: int, size: tuple[int, int] = SIZE) -> Path:
    """Writes `rooms` rooms with `frames` views each, the last room as test list; returns FOLDER/nyu_data.

    ConfigError for fewer than two rooms or no frames, DataError where it cannot be written.
    """
    if rooms < 2 or frames < 1:
        raise ConfigError(f"a set needs at least 2 rooms and 1 frame of each, got {rooms} and {frames}")
    root = folder / "nyu_data"
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for number in tqdm(range(rooms), "rooms"):
        split = "test" if number == rooms - 1 else "train"
        scene = f"data/nyu2_{split}" + (f"/room_{number + 1:04d}_out" if split == "train" else "")
        for i, sample in enumerate(_views(FIRST_SEED + number, frames, nyu_camera(*size)), 1):
            lists[split].append(",".join(_write_pair(root, f"{scene}/{i}", sample, split == "train")))
    for split, lines in lists.items():
        write_atomically(root / "data" / f"nyu2_{split}.csv", ["".join(f"{line}\n" for line in lines).encode()])
    return root


def _views(seed: int, frames: int, camera: PinholeCamera) -> RoomSequence:
    return RoomSequence(seed, camera, length=frames, rate_hz=1.0)


def _write_pair(root: Path, name: str, sample: Sample, training: bool) -> tuple[str, str]:
    """Writes colour and depth of a view; the paths as the list names them."""
    depth = np.nan_to_num(np.clip(known_depth(sample), 0, MAX_DEPTH_M))
    stored = np.rint(depth * TRAIN_PER_METRE).astype(np.uint8)
    if not training:
        stored = np.rint(depth * TEST_PER_METRE).astype(np.uint16)
    paths = (f"{name}.jpg", f"{name}.png") if training else (f"{name}_colors.png", f"{name}_depth.png")
    writable_folder((root / name).parent)
    for path, pixels in zip(paths, (sample.rgb[..., ::-1], stored), strict=True):
        write_atomically(root / path, [cv2.imencode(Path(path).suffix, pixels)[1].tobytes()])
    return paths


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; expected failures end in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the set goes")
    parser.add_argument("--rooms", type=int, default=12, help="rooms, the last one for testing (default: 12)")
    parser.add_argument("--frames", type=int, default=12, help="views of each room (default: 12)")
    arguments = parser.parse_args(argv)
    return exit_code(lambda: write_small_set(arguments.folder, arguments.rooms, arguments.frames))


if __name__ == "__main__":
    sys.exit(main())

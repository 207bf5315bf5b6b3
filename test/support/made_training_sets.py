"""Small training sets with known colour and depth (`colour`, `depth`), in exactly the published formats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 64, 48
KITTI_WIDTH, KITTI_HEIGHT = 124, 37
CALIBRATION = """calib_time: 09-Jan-2012 13:57:47
corner_dist: 9.950000e-02
S_02: 1.392000e+03 5.120000e+02
K_02: 9.597910e+02 0.000000e+00 6.960217e+02 0.000000e+00 9.569251e+02 2.241806e+02 \
0.000000e+00 0.000000e+00 1.000000e+00
S_rect_02: 1.240000e+02 3.700000e+01
P_rect_02: 7.215377e+01 0.000000e+00 6.095593e+01 4.485728e+01 0.000000e+00 7.215377e+01 1.728540e+01 2.163791e-01 \
0.000000e+00 0.000000e+00 1.000000e+00 2.745884e-03
S_rect_03: 1.240000e+02 3.700000e+01
P_rect_03: 7.215377e+01 0.000000e+00 6.095593e+01 -3.395242e+02 0.000000e+00 7.215377e+01 1.728540e+01 2.199936e+00 \
0.000000e+00 0.000000e+00 1.000000e+00 2.729905e-03
"""


def colour(i: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Red grows to the right, green downwards, blue is the frame: (H, W, 3), no two pixels equal."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([columns * 2, rows * 2, np.full_like(rows, 7 * i % 256)], axis=2).astype(np.uint8)


def depth(i: int, width: int = WIDTH, height: int = HEIGHT, far: float = 6.0) -> NDArray[np.float32]:
    """A slope from far / 6 m at the left to `far` at the right, a little nearer below, moved by the frame: metres."""
    columns, rows = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return (far * (1 + 4 * columns - 0.5 * rows + 0.1 * (i % 5)) / 6).astype(np.float32)


def write_png(path: Path, pixels: NDArray[Any]) -> None:
    """Writes an image file; colour is RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)


def write_nyu_mat(path: Path, scenes: Sequence[str], holes: bool = True) -> Path:
    """The labelled file as MATLAB 7.3 writes it: dimensions reversed, texts as references, a header of 512 bytes."""
    import h5py

    count = len(scenes)
    images = np.stack([colour(i) for i in range(count)], axis=3)  # in MATLAB: H x W x 3 x N
    depths = np.stack([depth(i) for i in range(count)], axis=2)  # in MATLAB: H x W x N
    raw = depths.copy()
    if holes:
        raw[:4] = 0
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, array in (("images", images), ("depths", depths), ("rawDepths", raw)):
            file.create_dataset(key, data=array.T)
        names = [f"{scene}/r-{1294886360 + i}.208451-2996770081.ppm" for i, scene in enumerate(scenes)]
        for key, texts in (("scenes", scenes), ("rawRgbFilenames", names)):
            references = [_text(file, f"{key}{i}", text) for i, text in enumerate(texts)]
            file.create_dataset(key, data=np.array([references], dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Feb 27 16:02:14 2012".ljust(116))
    return path


def _text(file: Any, name: str, text: str) -> Any:
    cell = file.create_dataset(f"#refs#/{name}", data=np.frombuffer(text.encode("utf-16-le"), np.uint16)[:, None])
    cell.attrs["MATLAB_class"] = np.bytes_("char")
    return cell.ref


def write_splits(path: Path, train: Sequence[int], test: Sequence[int], old: bool = True) -> Path:
    """splits.mat with numbers from 1, as MATLAB 5 (`old`) or 7.3."""
    columns = {"trainNdxs": np.array(train, np.uint16)[:, None], "testNdxs": np.array(test, np.uint16)[:, None]}
    if old:
        from scipy.io import savemat

        savemat(path, columns)
    else:
        import h5py

        with h5py.File(path, "w", userblock_size=512) as file:
            for key, column in columns.items():
                file.create_dataset(key, data=column.T)
    return path


def write_nyu_csv(path: Path, scenes: Sequence[str], frames: int = 3, tests: int = 4) -> Path:
    """`data/` with both lists: 8-bit depth in the training folders, 16-bit millimetres in the test folder."""
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for s, scene in enumerate(scenes):
        for k in range(1, frames + 1):
            name = f"data/nyu2_train/{scene}_out/{k}"
            write_png(path / f"{name}.png", np.rint(depth(10 * s + k) / 10 * 255).astype(np.uint8))
            write_png(path / f"{name}.jpg", colour(10 * s + k))
            lines["train"].append(f"{name}.jpg,{name}.png")
    for k in range(tests):
        name = f"data/nyu2_test/{k:05d}"
        write_png(path / f"{name}_colors.png", colour(k))
        write_png(path / f"{name}_depth.png", np.rint(depth(k) * 1000).astype(np.uint16))
        lines["test"].append(f"{name}_colors.png,{name}_depth.png")
    for split, rows in lines.items():
        (path / f"data/nyu2_{split}.csv").write_text("".join(f"{row}\n" for row in rows))
    return path


def kitti_known(i: int) -> NDArray[np.bool_]:
    """Where the laser measured: one pixel in five, none in the upper third."""
    known = np.random.default_rng(i).random((KITTI_HEIGHT, KITTI_WIDTH)) < 0.2
    known[: KITTI_HEIGHT // 3] = False
    return known


def write_kitti(path: Path, drives: dict[str, str], frames: int = 3) -> tuple[Path, Path]:
    """Raw recordings and annotated depth of `drives` (name -> train or val), frames 5, 6, ... of the left camera."""
    raw, annotated = path / "raw", path / "data_depth_annotated"
    for drive, folder in drives.items():
        date = drive[:10]
        (raw / date).mkdir(parents=True, exist_ok=True)
        (raw / date / "calib_cam_to_cam.txt").write_text(CALIBRATION)
        for k in range(5, 5 + frames):
            write_png(raw / date / drive / f"image_02/data/{k:010d}.png", colour(k, KITTI_WIDTH, KITTI_HEIGHT))
            metres = depth(k, KITTI_WIDTH, KITTI_HEIGHT, far=60.0)
            stored = np.where(kitti_known(k), np.rint(metres * 256), 0).astype(np.uint16)
            write_png(annotated / folder / drive / f"proj_depth/groundtruth/image_02/{k:010d}.png", stored)
    return raw, annotated


def write_pairs(path: Path, scenes: Sequence[str], frames: int = 4, per_metre: float = 1000.0) -> Path:
    """Folders SCENE/rgb/N.png and SCENE/depth/N.png."""
    for s, scene in enumerate(scenes):
        for k in range(frames):
            write_png(path / scene / f"rgb/{k}.png", colour(10 * s + k))
            write_png(path / scene / f"depth/{k}.png", np.rint(depth(10 * s + k) * per_metre).astype(np.uint16))
    return path

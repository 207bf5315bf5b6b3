"""New views of a recorded scene: `python -m training.novel_views RECORDING:FIRST:LAST views --views 2000`.

A short recording shows its scene from few places, and a network memorises those pictures. Where depth and poses
are known, the same surfaces can be seen from others: depth is that of the fused frames (TSDF), colour that of the
recorded frames which see the same point. Writes `FOLDER/rgb/*.jpg`, `FOLDER/depth/*.png` (16 bit, 1/5000 m) and
`FOLDER/camera.txt`, a source of kind image_folder for every training command. Only frames FIRST to LAST are read.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mono_depth_recon.arrays import Depth, Mask, Matrix, Rgb
from mono_depth_recon.atomic import writable_folder, write_atomically
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import finite_number
from mono_depth_recon.datasets.dataset import Recording
from mono_depth_recon.datasets.opening import OpenOptions, open_dataset
from mono_depth_recon.errors import ConfigError, DataError
from mono_depth_recon.evaluation.fusion import depth_caster
from mono_depth_recon.evaluation.plan import PartOfRecording
from mono_depth_recon.frames import Sample
from mono_depth_recon.fusion.tsdf_map import TsdfMap

from .augment import known_depth
from .changes import rotation_about_axis
from .command import exit_code

Pixels = TypeVar("Pixels", Rgb, Depth)
PER_METRE = 5000
VOXEL_M, DEPTH_MAX_M = 0.01, 5.0  # voxels no smaller than a pixel at the scene's distance
_SOURCES = 12  # recorded frames that may colour a view
_TRIES = 200
_KNOWN_SHARE = 0.5  # of a view's pixels have depth
_AGREE = 0.05  # a frame sees a point whose distance it agrees with to this share
_BORDER_PX = 9  # about the edge of a rectified picture, where resampling mixes black in
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class ViewOptions:
    """How far new views lie from a recorded one, and how much of a view must have been seen in colour.

    A view is `width` pixels wide and shaped as the recording's. `shift_m` is the standard deviation of each coordinate
    of the place, `tilt_deg` that of the optical axis about the camera's x and y; the roll is any. `coverage` is a share
    of the pixels. `camera` is that of the recording, where it contains none (`OpenOptions`).
    """

    width: int = 320
    shift_m: float = 0.12
    tilt_deg: float = 10.0
    coverage: float = 0.9
    seed: int = 0
    camera: str = ""


class ScenePictures:
    """The fused surface of rectified samples with poses, and their pictures to colour it, where the `raw` camera saw.

    Raises DataError where a sample has no depth or no pose, or where nothing can be fused.
    """

    def __init__(self, samples: Sequence[Sample], raw: PinholeCamera) -> None:
        bare = [sample.name for sample in samples if sample.depth is None or sample.T_world_camera is None]
        if bare or not samples:
            raise DataError(
                "every frame needs depth and a pose, "
                + (f"{len(bare)} have not: {bare[0]} first" if bare else "and there is no frame")
            )
        self._samples = samples
        self.poses = np.array([sample.T_world_camera for sample in samples])
        pixel = float(np.nanmedian([np.nanmedian(known_depth(sample)) for sample in samples])) / samples[0].camera.fx
        surface = TsdfMap(max(VOXEL_M, pixel), max_blocks=200_000)
        for sample, pose in zip(tqdm(samples, "fusing"), self.poses, strict=True):
            surface.integrate(known_depth(sample), sample.rgb, sample.camera, pose, depth_max=DEPTH_MAX_M)
        self._cast = depth_caster(surface.mesh())
        self.camera = samples[0].camera
        self._depths = [self._filled(pose)[0] for pose in tqdm(self.poses, "what frames see")]
        if (covered := None if raw.is_rectified else raw.rectified_valid) is not None:
            blind = cv2.dilate((~covered).astype(np.uint8), np.ones((_BORDER_PX, _BORDER_PX))) > 0
            for depth in self._depths:
                depth[blind] = -1.0

    def view(self, camera: PinholeCamera, pose: Matrix) -> tuple[Rgb, Depth, float]:
        """Colour, depth (NaN where the surface was not seen) and the share of pixels with a colour of their own."""
        filled, depth = self._filled(pose, camera)
        x, y = camera.rays
        rays = np.stack(np.broadcast_arrays(x[None, :], y[:, None], np.float32(1)), axis=-1)
        points = (rays * filled[..., None]) @ pose[:3, :3].T + pose[:3, 3]
        rgb = np.zeros((camera.height, camera.width, 3), np.uint8)
        open_ = np.ones(depth.shape, bool)
        for i in self._nearest(pose):
            seen, columns, rows = self._sees(i, points)
            new = seen & open_
            if new.any():
                picture = cv2.remap(self._samples[i].rgb, columns, rows, cv2.INTER_LINEAR)
                rgb[new] = picture[new]
                open_ &= ~new
            if not open_.any():
                break
        share = 1.0 - float(open_.mean())
        return (_spread(rgb, open_) if share else rgb), depth, share

    def _nearest(self, pose: Matrix) -> NDArray[np.intp]:
        """The recorded frames whose axis and place are nearest, the nearest first."""
        angle = 1.0 - self.poses[:, :3, 2] @ pose[:3, 2]
        away = np.linalg.norm(self.poses[:, :3, 3] - pose[:3, 3], axis=1)
        return np.argsort(angle + away)[:_SOURCES]

    def _sees(self, i: int, points: NDArray[np.float64]) -> tuple[Mask, NDArray[np.float32], NDArray[np.float32]]:
        """Which of `points` (H, W, 3) frame i sees, and at which column and row of its picture."""
        local = (points - self.poses[i, :3, 3]) @ self.poses[i, :3, :3]
        z = np.maximum(local[..., 2], 1e-6)
        columns = (local[..., 0] / z * self.camera.fx + self.camera.cx).astype(np.float32)
        rows = (local[..., 1] / z * self.camera.fy + self.camera.cy).astype(np.float32)
        inside = (columns >= 0) & (columns <= self.camera.width - 1) & (rows >= 0) & (rows <= self.camera.height - 1)
        own = cv2.remap(self._depths[i], columns, rows, cv2.INTER_NEAREST, borderValue=-1.0)
        return inside & (local[..., 2] > 0) & (np.abs(own - z) < _AGREE * z), columns, rows

    def _filled(self, pose: Matrix, camera: PinholeCamera | None = None) -> tuple[Depth, Depth]:
        """Depth of the surface with its holes filled by the nearest known pixel, and without."""
        depth = self._cast(camera or self.camera, pose)
        unknown = np.isnan(depth)
        return (depth if unknown.all() or not unknown.any() else _spread(depth, unknown)), depth


def _spread(image: Pixels, missing: Mask) -> Pixels:
    """`image` with every missing pixel as its nearest one that is there."""
    _, labels = cv2.distanceTransformWithLabels(
        missing.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    there = ~missing
    values = np.zeros((int(labels.max()) + 1, *image.shape[2:]), image.dtype)
    values[labels[there]] = image[there]
    filled: Pixels = values[labels]
    return filled


def random_pose(poses: NDArray[np.float64], options: ViewOptions, rng: np.random.Generator) -> Matrix:
    """T_world_camera (4, 4) near one of `poses` (N, 4, 4), rolled by any angle."""
    base = poses[rng.integers(len(poses))]
    tilt = cv2.Rodrigues(np.array([*np.radians(rng.normal(0, options.tilt_deg, 2)), 0.0]))[0]
    pose = np.eye(4)
    pose[:3, :3] = base[:3, :3] @ tilt @ rotation_about_axis(rng.uniform(-math.pi, math.pi))
    pose[:3, 3] = base[:3, 3] + rng.normal(0, options.shift_m, 3)
    return pose


def write_views(recording: str, folder: Path, count: int, options: ViewOptions) -> str:
    """Writes `count` new views of a part of a recording; returns a summary.

    DataError for frames without depth or pose and where views see too little, ConfigError for a bad count or part.
    """
    if count < 1 or options.width < 16:
        raise ConfigError(f"--views must be at least 1 and --width 16, got {count} and {options.width}")
    part = PartOfRecording.parse(recording)
    opened = open_dataset(part.path, OpenOptions(options.camera, rectified=True))
    if not isinstance(opened, Recording):
        raise DataError(f"{part.path}: expected a recording with poses, got another data set")
    chosen = [i for i, position in enumerate(opened.positions) if part.first <= position <= part.last]
    scene = ScenePictures([opened[i] for i in chosen], opened.camera)
    camera = scene.camera.resized(options.width, round(options.width * opened.camera.height / opened.camera.width))
    for name in ("rgb", "depth"):
        writable_folder(folder / name)
    intrinsics = f"{camera.fx:.6f} {camera.fy:.6f} {camera.cx:.6f} {camera.cy:.6f}\n"
    write_atomically(folder / "camera.txt", [intrinsics.encode()])
    rng = np.random.default_rng(options.seed)
    for i in tqdm(range(count), "views"):
        _write(folder, i, *_random_view(scene, camera, options, rng))
    return f"{count} views of {len(chosen)} frames in {folder}"


def _random_view(
    scene: ScenePictures, camera: PinholeCamera, options: ViewOptions, rng: np.random.Generator
) -> tuple[Rgb, Depth]:
    for _ in range(_TRIES):
        rgb, depth, share = scene.view(camera, random_pose(scene.poses, options, rng))
        if share >= options.coverage and np.isfinite(depth).mean() > _KNOWN_SHARE:
            return rgb, depth
    raise DataError(
        f"none of {_TRIES} views has {options.coverage:.0%} of its pixels in the frames: lower --coverage, "
        "--shift or --tilt"
    )


def _write(folder: Path, i: int, rgb: Rgb, depth: Depth) -> None:
    stored = np.rint(np.nan_to_num(depth) * PER_METRE).clip(0, 65535).astype(np.uint16)
    jpeg = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    write_atomically(folder / f"rgb/{i:05d}.jpg", [jpeg.tobytes()])
    write_atomically(folder / f"depth/{i:05d}.png", [cv2.imencode(".png", stored)[1].tobytes()])


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; expected failures end in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "recording",
        metavar="RECORDING:FIRST:LAST",
        help="TUM RGB-D folder or bag with poses, and which of its frames, by position",
    )
    parser.add_argument("folder", type=Path, help="where the views go")
    parser.add_argument("--views", type=int, default=2000, help="how many (default: 2000)")
    defaults = ViewOptions()
    parser.add_argument(
        "--width", type=int, default=defaults.width, metavar="PX", help=f"of a view (default: {defaults.width})"
    )
    parser.add_argument(
        "--shift",
        type=finite_number(),
        default=defaults.shift_m,
        metavar="M",
        help=f"standard deviation of the place per axis (default: {defaults.shift_m})",
    )
    parser.add_argument(
        "--tilt",
        type=finite_number(),
        default=defaults.tilt_deg,
        metavar="DEG",
        help=f"standard deviation of the axis (default: {defaults.tilt_deg})",
    )
    parser.add_argument(
        "--coverage",
        type=finite_number(),
        default=defaults.coverage,
        metavar="SHARE",
        help=f"share of a view's pixels that frames have seen (default: {defaults.coverage})",
    )
    parser.add_argument("--seed", type=int, default=defaults.seed, help=f"of the places (default: {defaults.seed})")
    parser.add_argument(
        "--camera",
        default="",
        metavar="NAME|'FX FY CX CY [K1 K2 P1 P2 [K3]]'",
        help="camera of the recording, where it contains none",
    )
    given = parser.parse_args(argv)
    options = ViewOptions(given.width, given.shift, given.tilt, given.coverage, given.seed, given.camera)
    return exit_code(lambda: write_views(given.recording, given.folder, given.views, options))


if __name__ == "__main__":
    sys.exit(main())

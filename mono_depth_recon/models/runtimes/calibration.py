"""The images that int8 is calibrated on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...arrays import Rgb
from ...errors import DataError, ModelError
from ...paths import expanded
from ...photo import read_photo
from .base import Batch, Feeds, GraphFile, Network

_MOST = 64  # images, spread evenly over the folder: more change the ranges little and cost time
_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def images_of(folder: str) -> list[Path]:
    """At most 64 image files of `model.calibration`, in order of their names. Raises ModelError."""
    if not folder:
        raise ModelError(
            "model.precision int8 is calibrated on images: set model.calibration to a folder of some "
            "dozen images that are typical of the camera"
        )
    path = expanded(folder)
    found = sorted(file for file in path.glob("*") if file.suffix.lower() in _ENDINGS)
    if not found:
        raise ModelError(f"model.calibration must name a folder of images ({', '.join(_ENDINGS)}), {path} has none")
    chosen = np.linspace(0, len(found) - 1, min(len(found), _MOST)).round().astype(int)
    return [found[i] for i in chosen]


def files_key(paths: list[Path]) -> str:
    """A string that changes with the names and contents of the files, as far as size and modification time show."""
    stats = [(path, path.stat()) for path in paths]
    return " ".join(f"{path.name} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats)


def calibration_batches(paths: list[Path], network: Network, shape: tuple[int, ...]) -> list[Batch]:
    """Each image as a batch of `shape`, through the model's own preprocessing, cut to the aspect of `shape` before.

    Raises ModelError where a file is no image or the preprocessing makes another size of it.
    """
    if network.preprocess is None:
        raise ModelError(f"{network.name} cannot run in int8: its preprocessing is not known to the runtime")
    batches = []
    for path in paths:
        batch = network.preprocess(_cut(_read(path), shape[3] / shape[2]))
        if batch.shape[1:] != shape[1:]:
            raise _other_size(network.name, path, batch.shape[2:], shape[2:])
        batches.append(np.repeat(batch, shape[0], axis=0))
    return batches


def calibration_feeds(paths: list[Path], file: GraphFile, shape: tuple[int, ...]) -> list[Feeds]:
    """The inputs of an ONNX file for each image, cut to the aspect of `shape` before, that of the input for images.

    Raises ModelError as `calibration_batches`.
    """
    rows, columns = shape[1:3] if file.nhwc else shape[2:]
    made = []
    for path in paths:
        feeds = file.prepare(_cut(_read(path), columns / rows), shape[0])
        found = feeds[file.image].shape
        if found != shape:
            raise _other_size(file.name, path, found[1:3] if file.nhwc else found[2:], (rows, columns))
        made.append(feeds)
    return made


def _other_size(name: str, path: Path, found: Sequence[int], expected: Sequence[int]) -> ModelError:
    """`found` and `expected` are rows and columns."""
    return ModelError(
        f"{name} sees {path} as {found[1]}x{found[0]}, but is to run at {expected[1]}x{expected[0]}: give "
        "model.calibration images of the camera's size"
    )


def _read(path: Path) -> Rgb:
    try:
        return read_photo(path)
    except DataError as error:
        raise ModelError(f"model.calibration: {path} is not a readable image: remove it") from error


def _cut(rgb: Rgb, aspect: float) -> Rgb:
    """The middle of the image, with columns / rows = `aspect` to the nearest pixel."""
    rows, columns = rgb.shape[:2]
    width, height = min(columns, round(rows * aspect)), min(rows, round(columns / aspect))
    top, left = (rows - height) // 2, (columns - width) // 2
    return rgb[top : top + height, left : left + width]

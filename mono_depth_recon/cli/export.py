"""`mono-depth-recon export`: a model of the table as an ONNX file."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import writable_folder
from ..camera import PinholeCamera
from ..config import ModelConfig
from ..errors import ConfigError, DataError, ModelError
from ..models import load_model
from ..models.ensemble import PREFIX
from ..models.runtimes import difference_of_onnx, export_onnx
from ..models.table import is_onnx_file
from ..paths import checked
from .parameters import add_flags, config_of

_FLAGS = ("model.name", "model.checkpoint", "model.output", "model.accept_noncommercial", "model.input_size")


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser(
        "export",
        help="write a model as ONNX",
        allow_abbrev=False,
        description="Writes the network of a model as ONNX, float32, for one size: input `image` (1, 3, rows, columns) "
        "as the model's preprocessing makes it, output `depth` (1, 1, rows, columns); of depth_pro a second channel, "
        "the focal length over the image's width.",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the ONNX file")
    parser.add_argument(
        "--image-size",
        type=_size,
        default=(640, 480),
        metavar="WxH",
        help="size of the camera's image, from which the model makes its input (default: 640x480)",
    )
    add_flags(parser, _FLAGS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Exports, compares the file with float32 torch where ONNX Runtime is installed, and prints the result."""
    shape, difference = export(config_of(arguments).model, arguments.output, arguments.image_size)
    print(f"written to {arguments.output}: image {shape} -> depth")
    print(
        "not compared with torch: pip install 'mono_depth_recon[onnxruntime]'"
        if difference is None
        else f"differs from float32 torch by {difference:.1e} on ONNX Runtime (largest, over the mean)"
    )
    return 0


def export(settings: ModelConfig, path: Path, image_size: tuple[int, int]) -> tuple[tuple[int, ...], float | None]:
    """Writes the network of `settings` for images of (width, height) to `path`, whole or not at all.

    Returns the input's shape and the file's relative difference from float32 torch, None without ONNX Runtime.
    Weights over 2 GB lie beside the file, as `<name>.data`. Raises ModelError, ConfigError for a name that is too long,
    DataError where the disk is full.
    """
    checked(path)  # before the network is made
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: name the file in it, such as {path / f'{settings.name}.onnx'}")
    if settings.name.startswith(PREFIX):
        raise ModelError(f"{settings.name} is not one network: export its members one by one")
    if is_onnx_file(settings.name):
        raise ModelError(f"{settings.name} is an ONNX file already: copy that")
    settings = dataclasses.replace(settings, runtime="torch", device="cpu", precision="f32", uncertainty="none")
    model: Any = load_model(settings)  # any but an ensemble has a `network` and its input
    camera = PinholeCamera.from_hfov(*image_size, 60)
    image = model.network_input((np.zeros((image_size[1], image_size[0], 3), np.uint8), camera))
    try:
        with tempfile.TemporaryDirectory(dir=writable_folder(path.parent)) as folder:
            made = Path(folder) / path.name
            export_onnx(model.network, image.shape, made)
            difference = difference_of_onnx(model.network, made, image)
            for file in sorted(made.parent.iterdir(), reverse=True):  # the weights before the file that names them
                os.replace(file, path.parent / file.name)
    except OSError as error:
        raise DataError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose a folder on another disk"
        ) from error
    return image.shape, difference


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"must be WIDTHxHEIGHT in pixels such as 640x480, got '{text}'")
    return int(found[1]), int(found[2])

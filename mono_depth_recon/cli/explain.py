"""`mono-depth-recon explain`: what made a region of an image near or far, as pictures."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Rgb
from ..atomic import writable_folder
from ..camera import PinholeCamera
from ..config import finite_number
from ..frames import Prediction
from ..models import load_model
from ..models.explain import METHODS, Explanation, Region, explain
from ..photo import read_photo
from ..pictures.explanation import answer_panel, influence_panel, region_panel
from ..pictures.panels import Panel, colorize_disparity, compose, depth_panel, write_png
from .parameters import add_flags, config_of

_TITLES = {"gradcam": "Grad-CAM", "rollout": "Attention roll-out", "shap": "SHAP values"}
_WAYS = """\
Methods: gradcam for convolutional networks (features weighted by their gradient), rollout for transformers (where the
region's tokens took their content from, through all blocks), shap for any network (GradientShap: what each part of the
image adds against uniform images). Red pushed the region farther, blue nearer; roll-out has no sign.

Writes DIR/IMAGE_METHOD.png: the image with the region, the depth, and the influences over the image."""


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser(
        "explain",
        help="what made a region near or far",
        allow_abbrev=False,
        description="Shows what made a region of an image near or far.",
        epilog=_WAYS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", metavar="IMAGE", type=Path, help="JPEG, PNG, TIFF, WebP or BMP file")
    parser.add_argument(
        "--region",
        type=_region,
        required=True,
        metavar="X,Y,W,H",
        help="rectangle in pixels of the upright image: left, top, width, height",
    )
    parser.add_argument("--method", choices=METHODS, required=True, help="see below")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("explanation"),
        metavar="DIR",
        help="where the picture goes (default: explanation)",
    )
    parser.add_argument(
        "--hfov",
        type=finite_number(),
        default=60.0,
        metavar="DEG",
        help="horizontal field of view; it scales the metres shown and nothing else (default: 60)",
    )
    add_flags(
        parser,
        (
            "model.name",
            "model.checkpoint",
            "model.output",
            "model.accept_noncommercial",
            "model.input_size",
            "cpu_threads",
        ),
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes the picture and prints its line."""
    config = config_of(arguments)
    rgb = read_photo(arguments.image)
    camera = PinholeCamera.from_hfov(rgb.shape[1], rgb.shape[0], arguments.hfov)
    arguments.region.check(*camera.size)
    folder = writable_folder(arguments.output)
    # gradients come from float32 torch alone
    settings = replace(config.model, runtime="torch", device="cpu", precision="f32", uncertainty="none")
    model = load_model(settings, config.cpu_threads)
    found = explain(model, (rgb, camera), arguments.region, arguments.method)
    prediction = model.predict([(rgb, camera)])[0]
    picture = _picture(
        rgb,
        prediction,
        found,
        arguments.region,
        f"{arguments.image.name} by {model.name}: what made the region near or far",
    )
    path = folder / f"{arguments.image.stem}_{arguments.method}.png"
    write_png(path, picture)
    print(f"{arguments.image}: {_TITLES[found.method]} of {model.name}, {found.note} -> {path}")
    return 0


def _region(text: str) -> Region:
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be x,y,width,height in whole pixels, got '{text}'") from error
    return Region(x, y, width, height)


def _picture(rgb: Rgb, prediction: Prediction, found: Explanation, region: Region, title: str) -> Rgb:
    place = (region.x, region.y, region.width, region.height)
    return compose(
        [
            region_panel(rgb, place, "Region", "x {} y {}, {} x {} pixels".format(*place)),
            _answer_panel(prediction, region, place),
            influence_panel(rgb, found.values, found.signed, place, _TITLES[found.method], found.note),
        ],
        title,
    )


def _answer_panel(prediction: Prediction, region: Region, place: tuple[int, int, int, int]) -> Panel:
    if prediction.depth is not None:
        inside = prediction.depth[region.y : region.y + region.height, region.x : region.x + region.width]
        height, width = prediction.depth.shape
        return answer_panel(depth_panel(prediction.depth), (width, height), place, f"region {np.median(inside):.2f} m")
    assert prediction.disparity is not None, "a Prediction holds depth or disparity"
    return region_panel(colorize_disparity(prediction.disparity), place, "Relative disparity", "blue near, yellow far")

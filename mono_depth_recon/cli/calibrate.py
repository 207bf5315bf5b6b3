"""`mono-depth-recon calibrate`: a camera's intrinsics from images of a calibration board."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..arrays import Rgb
from ..atomic import writable_folder
from ..calibration.board import DICTIONARY, Board, Sighting
from ..calibration.camera_file import write_camera
from ..calibration.intrinsics import LEAST_VIEWS, MODELS, calibrate, summary
from ..config import finite_number
from ..errors import CalibrationError, DataError
from ..photo import read_photo
from ..pictures.calibration import calibration_picture
from ..pictures.panels import write_png
from ..printing import one_line

_WAYS = """\
Print a chessboard (or, better, a ChArUco board, of which a part is enough) on something flat, and take 15 to 30 images:
near and far, tilted to all sides by 20 to 45 degrees, and with the board in every corner of the image.

Writes FILE.yaml, which camera drivers load as camera_info_url (camera_info_manager), and FILE.png, to look at: where
corners were seen, and an image without its distortion. `ros2 run mono_depth_recon calibrate_camera` does it live."""


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser(
        "calibrate",
        help="a camera's intrinsics from images of a board",
        description="Calibrates a camera.",
        epilog=_WAYS,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("images", metavar="IMAGE", nargs="+", type=Path, help="images of one camera and one size")
    parser.add_argument(
        "--board", required=True, metavar="CxR", help="inner corners of a chessboard, or squares of a ChArUco board"
    )
    parser.add_argument("--square", required=True, type=finite_number(), metavar="M", help="side of a square in metres")
    parser.add_argument(
        "--marker", type=finite_number(), default=0.0, metavar="M", help="side of a marker: a ChArUco board"
    )
    parser.add_argument(
        "--dictionary", default=DICTIONARY, metavar="DICT", help="of the markers, as in OpenCV (default: %(default)s)"
    )
    parser.add_argument(
        "--model", choices=MODELS, default=MODELS[0], help="of the lens; equidistant for fisheye (default: %(default)s)"
    )
    parser.add_argument("--name", default="camera", help="camera_name in the file (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, default=Path("camera.yaml"), metavar="FILE", help="file (default: %(default)s)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Calibrates, writes and prints. Returns 0."""
    board = Board.parse(arguments.board, arguments.square, arguments.marker, arguments.dictionary)
    writable_folder(arguments.output.absolute().parent)
    views, example, lines = _sightings(arguments.images, board)
    made = calibrate(views, (example.shape[1], example.shape[0]), arguments.model)
    write_camera(arguments.output, made.camera, arguments.name)
    picture = arguments.output.with_suffix(".png")
    write_png(picture, calibration_picture(made, views, example, arguments.name))
    print("\n".join([*lines, *summary(made)]))
    print(f"written to {arguments.output}, with the picture {picture}")
    return 0


def _sightings(paths: list[Path], board: Board) -> tuple[dict[str, Sighting], Rgb, list[str]]:
    """The board in the images by name, one of them, and a line for each that is no use."""
    import cv2

    views: dict[str, Sighting] = {}
    example: Rgb | None = None
    lines = []
    for path in tqdm(paths, "images", file=sys.stderr, disable=None):
        try:
            image = read_photo(path)
        except DataError as error:
            lines.append(f"left out: {one_line(str(error))}")
            continue
        found = board.find(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
        if found is None:
            lines.append(f"{one_line(str(path))}: the board is not seen")
        elif example is not None and image.shape != example.shape:
            got, first = (f"{each.shape[1]}x{each.shape[0]}" for each in (image, example))
            raise CalibrationError(f"{path}: expected images of one size, got {got} after {first} pixels")
        else:
            views[str(path)] = found
            example = image
    if example is None:
        what = "squares" if board.marker_m else "inner corners"
        raise CalibrationError(
            f"the board of {board.columns}x{board.rows} {what} is in none of {len(paths)} images, expected at least "
            f"{LEAST_VIEWS}: count them again{_first(lines)}"
        )
    return views, example, lines


def _first(lines: list[str]) -> str:
    return f" ({lines[0]})" if lines else ""

"""A calibration to look at: where corners were seen, and an image before and after its distortion is taken out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..arrays import Rgb
from ..calibration.board import Sighting
from ..calibration.intrinsics import Calibration
from ..printing import one_line
from .panels import Panel, compose

_GREEN, _RED = (60, 190, 90), (225, 70, 60)


def calibration_picture(made: Calibration, views: Mapping[str, Sighting], example: Rgb, name: str) -> Rgb:
    """One picture: `example` (H, W, 3), the corners of all views over it (used ones green, those left out red), and
    the example without its distortion.
    """
    straight = made.camera.rectify(example)
    f = made.camera.rectified
    return compose(
        [
            Panel(example, "Camera image", f"{example.shape[1]} x {example.shape[0]}"),
            Panel(_corners(made, views, example), "Corners", f"{len(made.errors_px)} views, {made.rms_px:.2f} px"),
            Panel(straight, "Without distortion", f"fx {f.fx:.1f}, fy {f.fy:.1f} px"),
        ],
        f"Calibration of {one_line(name)}",
    )


def _corners(made: Calibration, views: Mapping[str, Sighting], example: Rgb) -> Rgb:
    import cv2

    canvas = (255 - (255 - example) // 3).astype(np.uint8)  # paler, so that the dots show
    radius = max(2, example.shape[1] // 160)
    for name, view in views.items():
        colour = _RED if name in made.left_out else _GREEN
        for x, y in np.rint(view.pixels).astype(int).tolist():
            cv2.circle(canvas, (x, y), radius, colour, -1, cv2.LINE_AA)
    return canvas

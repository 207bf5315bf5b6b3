"""A chart of lines over a common axis, as an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..arrays import Rgb
from .panels import letter, round_steps

_WHITE, _INK, _GREY, _GRID = (255, 255, 255), (28, 30, 34), (110, 115, 122), (226, 229, 233)
# Distinct for colour-blind readers (Okabe and Ito), the first in black.
COLOURS = ((40, 40, 40), (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233))
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 24, 96, 52
_GAP = 5.0  # times the usual distance of neighbours
_FINE = 3  # bits of a pixel's fraction in OpenCV's coordinates


def draw_lines(
    x: Sequence[float],
    lines: Mapping[str, Sequence[float]],
    limits: tuple[float, float],
    title: str,
    labels: tuple[str, str],
    size: tuple[int, int] = (960, 440),
    level: float | None = None,
) -> Rgb:
    """(height, width, 3) uint8: each of `lines` over `x` in its colour, with a legend.

    A line is broken at NaN, and where x is not known over a wider gap than elsewhere.
    Values outside of `limits` are drawn on its edge. `labels` are those of the two axes; `level` is a value to be
    marked. `size` is (width, height) in pixels.
    """
    import cv2

    width, height = size
    canvas = np.full((height, width, 3), _WHITE, np.uint8)
    letter(canvas, title, (_LEFT, 34), 22, _INK, bold=True)
    low, high = (x[0], x[-1]) if len(x) > 1 and x[-1] > x[0] else (0.0, 1.0)

    def place(across: float, up: float) -> tuple[float, float]:
        share = (min(max(up, limits[0]), limits[1]) - limits[0]) / (limits[1] - limits[0])
        column = _LEFT + (across - low) / (high - low) * (width - _LEFT - _RIGHT)
        return column, height - _BOTTOM - share * (height - _TOP - _BOTTOM)

    for value in round_steps(*limits):
        row = round(place(low, value)[1])
        colour = _GREY if level is not None and abs(value - level) < 1e-9 else _GRID
        cv2.line(canvas, (_LEFT, row), (width - _RIGHT, row), colour, 1)
        letter(canvas, f"{value:g}", (24, row + 5), 15, _GREY)
    for value in round_steps(low, high):
        letter(canvas, f"{value:g}", (round(place(value, 0)[0]) - 8, height - _BOTTOM + 20), 15, _GREY)
    letter(canvas, labels[0], (width // 2 - 20, height - 10), 16, _GREY)
    letter(canvas, labels[1], (24, _TOP - 14), 15, _GREY)
    column = _LEFT
    for (name, values), colour in zip(lines.items(), COLOURS, strict=False):
        cv2.line(canvas, (column, 58), (column + 26, 58), colour, 3, cv2.LINE_AA)
        column = letter(canvas, name, (column + 34, 64), 17, _INK) + 26
        for run in _runs(x, values):
            _line(canvas, [place(x[i], values[i]) for i in run], colour)
    return canvas


def _runs(x: Sequence[float], values: Sequence[float]) -> list[list[int]]:
    """Places of known values without a gap between them."""
    known = np.flatnonzero(np.isfinite(np.asarray(values, np.float64)))
    if not len(known):
        return []
    gaps = np.diff(np.asarray(x, np.float64))
    widest = _GAP * float(np.median(gaps)) if len(gaps) else 0.0
    apart = (np.diff(known) > 1) | (np.diff(np.asarray(x, np.float64)[known]) > widest)
    return [run.tolist() for run in np.split(known, np.flatnonzero(apart) + 1)]


def _line(canvas: Rgb, places: Sequence[tuple[float, float]], colour: tuple[int, int, int]) -> None:
    import cv2

    points = np.rint(np.array(places) * 2**_FINE).astype(np.int32)
    if len(points) == 1:
        cv2.circle(canvas, points[0].tolist(), 2 * 2**_FINE, colour, -1, cv2.LINE_AA, _FINE)
    cv2.polylines(canvas, [points[:, None]], False, colour, 2, cv2.LINE_AA, _FINE)

"""Panels and sheets: depth in colours, PNG files, the overview of a frame. Clouds and meshes are drawn in `views`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth, Rgb
from ..atomic import write_atomically
from ..encoding import millimetres
from ..errors import DataError
from ..printing import printable

_SAMPLES = 64  # rows and columns sampled for the range of a depth map; using all would take longer than colouring
_WHITE, _INK, _GREY, _PAPER = (255, 255, 255), (28, 30, 34), (110, 115, 122), (238, 240, 243)
_CELL = (640, 480)
_BAR = 104  # the colour bar with its numbers
_GAP, _EDGE, _CAPTION, _TITLE, _FOOT = 20, 32, 44, 84, 40


@dataclass(frozen=True)
class Panel:
    """One image of an overview: `image` (H, W, 3) uint8, a caption, and a note in grey beside it."""

    image: Rgb
    caption: str
    note: str = ""


def depth_limits(depth: Depth) -> tuple[float, float]:
    """(near, far) in metres: 2nd and 98th percentile of the known depth, from a grid of samples; (0, 1) for none.

    At least 1 mm and 1 % apart, so that rounding errors are not shown as relief.
    """
    near, far = _percentiles(depth)
    return near, max(far, near + max(1e-3, 0.01 * near))


def _percentiles(values: Depth) -> tuple[float, float]:
    height, width = values.shape
    sampled = values[:: -(-height // _SAMPLES), :: -(-width // _SAMPLES)]
    known = sampled[np.isfinite(sampled)]
    if not len(known):
        known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    low, high = np.percentile(known, (2, 98))
    return float(low), float(high)


def colorize_depth(depth: Depth, near: float | None = None, far: float | None = None) -> Rgb:
    """Depth (H, W) metres -> (H, W, 3) uint8 in the plasma map: near dark blue, far yellow, NaN black.

    Missing limits come from `depth_limits`; values outside of them, including +Inf, take the end colours.
    """
    import cv2

    if near is None or far is None:
        found = depth_limits(depth)
        near, far = found[0] if near is None else near, found[1] if far is None else far
    if not near < far:
        raise DataError(f"expected near < far for the colours of depth, got {near:g} and {far:g} m")
    level = depth - np.float32(near)
    level *= np.float32(254.0 / (far - near))
    level += np.float32(1.5)  # level 0 is kept for unknown depth
    np.clip(level, 1, 255, out=level)
    cv2.patchNaNs(level, 0)
    return cv2.applyColorMap(level.astype(np.uint8), _plasma())


def colorize_disparity(disparity: Depth) -> Rgb:
    """Relative disparity (H, W) in the colours of depth: near dark blue, far yellow, NaN black; limits per image."""
    far, near = _percentiles(disparity)
    return colorize_depth((np.float32(near) - disparity) / np.float32((near - far) or 1.0), 0.0, 1.0)


@lru_cache(maxsize=1)
def _plasma() -> NDArray[np.uint8]:
    """(256, 1, 3) uint8 RGB: black, then OpenCV's copy of matplotlib's plasma."""
    import cv2

    ramp = np.arange(256, dtype=np.uint8)[:, None]
    table = np.ascontiguousarray(cv2.applyColorMap(ramp, cv2.COLORMAP_PLASMA)[..., ::-1])
    table[0] = 0
    return table


def write_png(path: Path, image: Rgb) -> None:
    """Writes (H, W, 3) uint8 RGB as PNG, atomically. Raises DataError if it cannot be written."""
    _write_encoded(path, image[..., ::-1])


def write_depth_png(path: Path, depth: Depth) -> None:
    """Writes depth (H, W) as 16-bit PNG in millimetres; 0 where unknown, beyond range or over 65.535 m.

    Raises DataError as `write_png` does.
    """
    _write_encoded(path, millimetres(depth))


def _write_encoded(path: Path, image: NDArray[np.generic]) -> None:
    import cv2

    encoded, data = cv2.imencode(".png", np.ascontiguousarray(image))
    if not encoded:
        raise DataError(f"cannot encode an image of shape {image.shape} as PNG for {path}")
    write_atomically(path, [data])


def overview(
    rgb: Rgb,
    depth: Depth,
    cloud_views: Sequence[Panel],
    mesh_views: Sequence[Panel],
    title: str,
    depth_note: str = "",
    attribution: str = "",
) -> Rgb:
    """One image of a frame: colour, depth with its colour bar, the views of cloud and mesh, three in a row."""
    panels = [Panel(rgb, "Camera image", f"{rgb.shape[1]} x {rgb.shape[0]}"), depth_panel(depth, depth_note)]
    return compose([*panels, *cloud_views, *mesh_views], title, attribution)


def depth_panel(
    depth: Depth, note: str = "", caption: str = "Depth", limits: tuple[float, float] | None = None
) -> Panel:
    """The depth map in colours, with a colour bar in metres to its right; the note explains black pixels.

    `limits` (near, far) in metres are for panels that share a scale; by default those of this depth.
    """
    near, far = limits or depth_limits(depth)
    ramp = colorize_depth(np.linspace(near, far, 256, dtype=np.float32)[None], near, far)[0]
    ticks = [((metres - near) / (far - near), f"{metres:g} m") for metres in round_steps(near, far)]
    unknown = "black: unknown" if np.isnan(depth).any() else ""
    return panel_with_bar(
        colorize_depth(depth, near, far), ramp, ticks, caption, ", ".join(filter(None, (note, unknown)))
    )


def panel_with_bar(
    picture: Rgb, ramp: NDArray[np.uint8], ticks: Sequence[tuple[float, str]], caption: str, note: str = ""
) -> Panel:
    """An image with a colour bar to its right: `ramp` (N, 3) from low to high, ticks at shares of its height."""
    picture = _resized(picture, (_CELL[0] - _BAR, _CELL[1]))
    height, width = picture.shape[:2]
    canvas = np.full((_CELL[1], width + _BAR, 3), _WHITE, np.uint8)
    left, top = width + 16, (_CELL[1] - height) // 2
    canvas[top : top + height, :width] = picture
    levels = np.linspace(len(ramp) - 1, 0, height).round().astype(np.int64)
    canvas[top : top + height, left : left + 20] = ramp[levels][:, None]
    for share, text in ticks:
        row = top + round((1 - share) * (height - 1))
        canvas[row, left + 20 : left + 26] = _INK
        letter(canvas, text, (left + 30, min(max(row + 6, top + 12), top + height - 2)), 17, _INK)
    return Panel(canvas, caption, note)


def compose(panels: Sequence[Panel], title: str, attribution: str = "", columns: int = 3) -> Rgb:
    """Panels in rows under a title, each with its caption; `attribution` in small letters at the bottom."""
    rows = -(-len(panels) // columns)
    width = 2 * _EDGE + columns * _CELL[0] + (columns - 1) * _GAP
    height = _TITLE + rows * (_CELL[1] + _CAPTION) + (_FOOT if attribution else _GAP // 2)
    canvas = np.full((height, width, 3), _WHITE, np.uint8)
    letter(canvas, title, (_EDGE, _TITLE - 30), 34, _INK, bold=True)
    for place, panel in enumerate(panels):
        row, column = divmod(place, columns)
        x, y = _EDGE + column * (_CELL[0] + _GAP), _TITLE + row * (_CELL[1] + _CAPTION)
        canvas[y : y + _CELL[1], x : x + _CELL[0]] = _fitted(panel.image, _CELL, _PAPER)
        below = canvas[y + _CELL[1] : y + _CELL[1] + _CAPTION, x : x + _CELL[0]]  # cuts off a caption that is too long
        after = letter(below, panel.caption, (0, 27), 21, _INK, bold=True)
        letter(below, panel.note, (after + 12, 27), 19, _GREY)
    letter(canvas, attribution, (_EDGE, height - 14), 17, _GREY)
    return canvas


def _fitted(image: Rgb, size: tuple[int, int], background: tuple[int, int, int]) -> Rgb:
    """`image` scaled to fit `size` (width, height), centred on `background`."""
    image = _resized(image, size)
    height, width = image.shape[:2]
    canvas = np.full((size[1], size[0], 3), background, np.uint8)
    x, y = (size[0] - width) // 2, (size[1] - height) // 2
    canvas[y : y + height, x : x + width] = image
    return canvas


def _resized(image: Rgb, size: tuple[int, int]) -> Rgb:
    """`image` scaled to fit `size` (width, height), keeping its aspect ratio."""
    import cv2

    scale = min(size[0] / image.shape[1], size[1] / image.shape[0])
    width, height = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
    if (height, width) == image.shape[:2]:
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def round_steps(near: float, far: float) -> list[float]:
    """Three to eight round values from near to far, near < far."""
    power = 10.0 ** np.floor(np.log10((far - near) / 3))
    step = max((factor * power for factor in (1, 2, 5) if (far - near) / (factor * power) >= 3), default=power)
    first, last = int(np.ceil(near / step - 1e-6)), int(np.floor(far / step + 1e-6))
    return [round(number * step, 6) for number in range(first, last + 1)]


def letter(
    canvas: Rgb, text: str, at: tuple[int, int], size: int, color: tuple[int, int, int], bold: bool = False
) -> int:
    """Writes text with its baseline's left end at `at`, `size` pixels high, and returns the column after it."""
    import cv2

    if not text:
        return at[0]
    text = printable(text)
    if hasattr(cv2, "FontFace"):  # OpenCV 5 brings real fonts
        end, _ = cv2.putText(canvas, text, at, color, cv2.FontFace("sans"), size, 600 if bold else 400)
        return int(end[0])
    scale, thickness = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_DUPLEX, round(0.68 * size)), 2 if bold else 1
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_DUPLEX, scale, color, thickness, cv2.LINE_AA)
    return int(at[0] + cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, thickness)[0][0])

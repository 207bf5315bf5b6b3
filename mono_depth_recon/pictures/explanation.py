"""Images of explanations: which parts of an image made a region nearer or farther."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import Rgb
from ..printing import printable
from .panels import Panel

_SIZE = (640, 480)
_BAR = 92
_INNER = (_SIZE[0] - _BAR, _SIZE[1])  # the space of the image, beside the bar
_WHITE, _INK = (255, 255, 255), (28, 30, 34)
_NEARER, _FARTHER = (20, 90, 230), (225, 45, 25)
_PERCENTILE = 99.5  # values above it take the end colour
_STRONGEST, _WEAK = 0.85, 0.06  # opacity of the strongest value; below this share of it nothing is drawn


def region_panel(rgb: Rgb, region: tuple[int, int, int, int], caption: str, note: str = "") -> Panel:
    """The image with the region (x, y, width, height in pixels) outlined, at the same place as in the other panels."""
    picture, scale = _shrunk(rgb, _INNER)
    height, width = picture.shape[:2]
    canvas = np.full((_SIZE[1], _SIZE[0], 3), _WHITE, np.uint8)
    canvas[_top(height) : _top(height) + height, :width] = picture
    return Panel(_outlined(canvas, region, scale, _top(height)), caption, note)


def answer_panel(panel: Panel, size: tuple[int, int], region: tuple[int, int, int, int], note: str) -> Panel:
    """A panel made by `panels.depth_panel` for an image of `size` (width, height), with the region outlined."""
    scale = min(_INNER[0] / size[0], _INNER[1] / size[1])
    top = _top(max(round(size[1] * scale), 1))
    return Panel(_outlined(panel.image, region, scale, top), panel.caption, note)


def influence_panel(
    rgb: Rgb, values: NDArray[np.float32], signed: bool, region: tuple[int, int, int, int], caption: str, note: str = ""
) -> Panel:
    """`values` (H, W) in colours over the greyed image, with the region outlined and a colour bar beside it.

    Signed values: red makes the region farther, blue nearer, on one scale; others range from transparent to yellow.
    """
    import cv2

    picture, scale = _shrunk(rgb, _INNER)
    height, width = picture.shape[:2]
    fine = cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top = max(float(np.percentile(np.abs(fine), _PERCENTILE)), 1e-12)
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) // 2 + 96
    canvas = np.full((_SIZE[1], width + _BAR, 3), _WHITE, np.uint8)
    at = _top(height)
    canvas[at : at + height, :width] = _outlined(_tinted(grey, fine / top, signed), region, scale)
    _bar(canvas[at : at + height, width + 16 :], signed)
    return Panel(canvas, caption, note)


def _bar(strip: Rgb, signed: bool) -> None:
    """Draws the colours, the strongest at the top, with their meanings."""
    height = strip.shape[0]
    level = np.linspace(1, -1 if signed else 0, height)[:, None].repeat(20, axis=1)
    strip[:, :20] = _tinted(np.full((height, 20, 3), 160, np.uint8), level, signed)
    words = ("farther", "none", "nearer") if signed else ("most", "half", "none")
    for word, row in zip(words, (14, height // 2 + 5, height - 6), strict=True):
        _write(strip, word, (24, row))


def _tinted(base: Rgb, level: NDArray[np.floating], signed: bool) -> Rgb:
    """Colours of `level` (-1 to 1, or 0 to 1) over `base`, with opacity growing with strength."""
    import cv2

    strength = np.clip(np.abs(level), 0, 1)
    if signed:
        color = np.where(level[..., None] > 0, np.array(_FARTHER, np.float32), np.array(_NEARER, np.float32))
    else:
        ramp = cv2.applyColorMap(np.rint(80 + 175 * strength).astype(np.uint8), cv2.COLORMAP_INFERNO)
        color = ramp[..., ::-1].astype(np.float32)
    opacity = (_STRONGEST * np.clip((strength - _WEAK) / (1 - _WEAK), 0, 1) ** 0.8)[..., None]
    return np.rint(base * (1 - opacity) + color * opacity).astype(np.uint8)


def _top(height: int) -> int:
    return (_SIZE[1] - height) // 2


def _outlined(picture: Rgb, region: tuple[int, int, int, int], scale: float, top: int = 0) -> Rgb:
    """A white rectangle between dark ones, visible on any background; the image begins at row `top`."""
    import cv2

    x, y, width, height = (round(value * scale) for value in region)
    y += top
    drawn = picture.copy()
    for grow, color in ((2, _INK), (-2, _INK), (1, _WHITE), (0, _WHITE), (-1, _WHITE)):
        cv2.rectangle(drawn, (x - grow, y - grow), (x + width - 1 + grow, y + height - 1 + grow), color, 1)
    return drawn


def _shrunk(rgb: Rgb, size: tuple[int, int]) -> tuple[Rgb, float]:
    """The image scaled to fit `size` (width, height), and the factor."""
    import cv2

    scale = min(size[0] / rgb.shape[1], size[1] / rgb.shape[0])
    width, height = max(round(rgb.shape[1] * scale), 1), max(round(rgb.shape[0] * scale), 1)
    kernel = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=kernel), np.uint8), scale


def _write(canvas: Rgb, text: str, at: tuple[int, int]) -> None:
    import cv2

    text = printable(text)
    if hasattr(cv2, "FontFace"):  # OpenCV 5 brings real fonts
        cv2.putText(canvas, text, at, _INK, cv2.FontFace("sans"), 16, 400)
    else:
        cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_DUPLEX, 0.45, _INK, 1, cv2.LINE_AA)

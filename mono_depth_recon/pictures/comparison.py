"""Images that compare models: errors in colours, depth on a common scale, colour bars, one sheet per frame."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth, Rgb
from ..errors import DataError
from .panels import Panel, colorize_depth, compose, depth_limits, depth_panel, panel_with_bar

ERROR_LIMIT = 0.5  # share of the true depth at which the error colours end
HEAT_LIMIT = 0.5
# Blue to red through near-white, even in lightness on both sides and distinct for colour-blind readers.
_SIGNED = (
    (9, 44, 116),
    (36, 100, 176),
    (108, 166, 214),
    (190, 216, 234),
    (246, 246, 244),
    (246, 206, 182),
    (229, 138, 104),
    (195, 56, 56),
    (112, 6, 36),
)
_STOPS = 13


def relative_error(depth: Depth, truth: Depth) -> Depth:
    """(d - t) / t of each pixel (H, W), positive where the depth is too far; NaN if one of them is unknown."""
    with np.errstate(invalid="ignore", divide="ignore"):
        error = (depth.astype(np.float32) - truth) / truth
    return np.where(np.isfinite(error) & (truth > 0), error, np.float32(np.nan))


def colorize_error(error: Depth, limit: float = ERROR_LIMIT) -> Rgb:
    """Signed relative errors (H, W) -> (H, W, 3) uint8: blue too near, near-white correct, red too far, NaN black.

    Errors beyond +-`limit` take the end colours. Raises DataError unless `limit` is positive.
    """
    _check_limit(limit)
    level = np.nan_to_num(1.5 + (np.clip(error / limit, -1, 1) + 1) / 2 * 254, nan=0.0)
    return _signed_table()[level.astype(np.uint8)]


def colorize_heat(size: Depth, limit: float = HEAT_LIMIT) -> Rgb:
    """Absolute errors (H, W), 0 to `limit` -> (H, W, 3) uint8: dark small, yellow large (inferno); NaN mid-grey.

    Raises DataError unless `limit` is positive.
    """
    import cv2

    _check_limit(limit)
    level = np.nan_to_num(np.clip(size / limit, 0, 1) * 255, nan=0.0).astype(np.uint8)
    colors: Rgb = cv2.applyColorMap(level, cv2.COLORMAP_INFERNO)[..., ::-1].copy()
    colors[np.isnan(size)] = 128
    return colors


def common_limits(truths: Mapping[str, Depth]) -> tuple[float, float]:
    """(near, far) in metres for all images of a recording: the smallest and the largest limit of the true depths."""
    limits = [depth_limits(truth) for truth in truths.values()] or [(0.0, 1.0)]
    return min(near for near, _ in limits), max(far for _, far in limits)


def depth_stops() -> list[str]:
    """Colours of depth from near to far for a colour bar: '#rrggbb', evenly spaced."""
    return _hex(colorize_depth(_ramp(0.0, 1.0), 0.0, 1.0))


def error_stops() -> list[str]:
    """Colours of `colorize_error` from too near to too far."""
    return _hex(colorize_error(_ramp(-1.0, 1.0), 1.0))


def heat_stops() -> list[str]:
    """Colours of `colorize_heat` from none to the limit."""
    return _hex(colorize_heat(_ramp(0.0, 1.0), 1.0))


def comparison(
    rgb: Rgb,
    truth: Depth,
    depths: Mapping[str, Depth],
    notes: Mapping[str, str],
    title: str,
    limits: tuple[float, float],
    attribution: str = "",
) -> Rgb:
    """One sheet of a frame, a row for each model: colour, truth, prediction, error; all depth on one scale.

    `depths` are metres (H, W) by model, `notes` follow their captions.
    """
    ramp = colorize_error(np.linspace(-1, 1, 256, dtype=np.float32)[None], 1.0)[0]
    ticks = [(share, f"{100 * ERROR_LIMIT * (2 * share - 1):+.0f}%") for share in (0, 0.25, 0.75, 1)] + [(0.5, "0")]
    panels = []
    for name, depth in depths.items():
        panels += [
            Panel(rgb, "Colour"),
            depth_panel(truth, "", "Truth", limits),
            depth_panel(depth, notes.get(name, ""), name, limits),
            panel_with_bar(
                colorize_error(relative_error(depth, truth)), ramp, ticks, "Error", "blue too near, red too far"
            ),
        ]
    return compose(panels, title, attribution, columns=4)


def heat_sheet(heats: Mapping[str, Depth], title: str, attribution: str = "") -> Rgb:
    """Mean errors over a recording (H, W) of all models side by side, on one scale."""
    ramp = colorize_heat(np.linspace(0, 1, 256, dtype=np.float32)[None], 1.0)[0]
    ticks = [(share, f"{100 * HEAT_LIMIT * share:.0f}%") for share in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    panels = [panel_with_bar(colorize_heat(heat), ramp, ticks, name) for name, heat in heats.items()]
    return compose(panels, title, attribution, columns=min(3, len(panels)))


def webp(image: Rgb, width: int, quality: int = 82) -> bytes:
    """`image` (H, W, 3) as WebP, at most `width` pixels wide. DataError if this OpenCV cannot encode it."""
    import cv2

    if image.shape[1] > width:
        height = max(1, round(image.shape[0] * width / image.shape[1]))
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    encoded, data = cv2.imencode(".webp", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not encoded:
        raise DataError(f"cannot encode an image of shape {image.shape} as WebP with OpenCV {cv2.__version__}")
    return bytes(data)


def _check_limit(limit: float) -> None:
    if not limit > 0:
        raise DataError(f"the limit of error colours must be positive, got {limit:g}")


def _ramp(low: float, high: float) -> Depth:
    return np.linspace(low, high, _STOPS, dtype=np.float32)[None]


def _hex(colors: Rgb) -> list[str]:
    return ["#{:02x}{:02x}{:02x}".format(*color) for color in colors.reshape(-1, 3).tolist()]


@lru_cache(maxsize=1)
def _signed_table() -> NDArray[np.uint8]:
    """(256, 3) uint8: black for level 0, then the colours of signed errors."""
    places = np.linspace(1, 255, len(_SIGNED))
    channels = [np.interp(np.arange(256), places, [color[i] for color in _SIGNED]) for i in range(3)]
    table = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    table[0] = 0
    return table

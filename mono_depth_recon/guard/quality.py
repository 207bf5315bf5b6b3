"""The quality of one image: dark, overexposed, blurred or without texture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config import GuardConfig
from .picture import Grey, Picture
from .remark import Remark
from .robust import middle

_CLIPPED = 250  # grey levels from here on are taken as saturated
_WINDOW_PX = 13  # in which the contrast of an edge is measured
_STRONG, _LEAST_CONTRAST = 0.5, 24  # edges of that share of the strongest, and grey levels at least
_MANY_EDGES, _ENOUGH_EDGES = 40, 500
_EVERY = 3  # row or column is enough
# At these shares of the limits (of the unsaturated share) an image is likely to be useless, not only worse.
_BLACK, _WHITE, _SMEARED, _BLANK = 0.6, 0.4, 1.2, 0.5


@dataclass(frozen=True)
class ImageQuality:
    """What an image is like.

    `brightness` is its 95 % quantile of grey from 0 to 1, `clipped` the share of saturated pixels, `edge_width` over
    how many pixels of the fine copy its strong edges rise, in the direction in which they are wider (at most 13, NaN
    where it has too few), `texture` the share of its cells that have a corner.
    """

    brightness: float
    clipped: float
    edge_width: float
    texture: float


def quality_of(picture: Picture) -> ImageQuality:
    """Measures an image."""
    import cv2

    grey = picture.fine
    histogram = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()
    shares = np.cumsum(histogram) / grey.size
    widths = [_edge_width(grey[::_EVERY]), _edge_width(np.ascontiguousarray(grey.T[::_EVERY]))]
    known = [width for width in widths if np.isfinite(width)]
    return ImageQuality(
        brightness=float(np.searchsorted(shares, 0.95)) / 255,
        clipped=float(1 - shares[_CLIPPED - 1]),
        edge_width=max(known) if known else float("nan"),
        texture=picture.texture,
    )


def _edge_width(grey: Grey) -> float:
    """Pixels over which the strong edges of the rows of `grey` rise: their contrast over their steepest step."""
    import cv2

    if grey.shape[1] <= _WINDOW_PX:
        return float("nan")
    window = np.ones((1, _WINDOW_PX), np.uint8)
    contrast = cv2.subtract(cv2.dilate(grey, window), cv2.erode(grey, window))
    steepest = cv2.dilate(cv2.absdiff(grey[:, 1:], grey[:, :-1]), window)
    half = _WINDOW_PX // 2
    contrast, steepest = contrast[:, half:-half], steepest[:, half - 1 : half - 1 + contrast.shape[1] - 2 * half]
    strong = np.flatnonzero(contrast >= max(_LEAST_CONTRAST, _STRONG * float(contrast.max())))
    if len(strong) < _MANY_EDGES:
        return float("nan")
    strong = strong[:: 1 + len(strong) // _ENOUGH_EDGES]
    return middle(contrast.ravel()[strong] / np.maximum(steepest.ravel()[strong], np.uint8(1)).astype(np.float32))


def remarks_on(quality: ImageQuality, limits: GuardConfig) -> list[Remark]:
    """What is wrong with an image, by the limits of `guard`; grave where depth is likely to be useless."""
    remarks = []
    if quality.brightness < limits.min_brightness:
        text = f"dark image: 95 % of it is at most {100 * quality.brightness:.0f} % of white"
        remarks.append(Remark("dark image", text, quality.brightness < _BLACK * limits.min_brightness))
    if limits.max_clipped and quality.clipped > limits.max_clipped:
        text = f"overexposed image: {100 * quality.clipped:.0f} % of it is saturated"
        remarks.append(Remark("overexposed image", text, 1 - quality.clipped < _WHITE * (1 - limits.max_clipped)))
    if limits.max_blur and quality.edge_width > limits.max_blur:
        text = f"blurred image: its edges are {quality.edge_width:.1f} px wide at a width of 320 px"
        remarks.append(Remark("blurred image", text, quality.edge_width > _SMEARED * limits.max_blur))
    if quality.texture < limits.min_texture:
        text = f"image without texture: {100 * quality.texture:.0f} % of it has any"
        remarks.append(Remark("image without texture", text, quality.texture < _BLANK * limits.min_texture))
    return remarks

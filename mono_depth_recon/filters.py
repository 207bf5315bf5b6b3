"""Depth filters of the frame path: range, masks, borders and flying pixels, cheap enough for every frame.

All work in place on a depth map (H, W) float32 in metres and keep REP 117: NaN unknown, +Inf beyond range. `work` holds
their working arrays where these are to be kept; it is new memory otherwise.
"""

from __future__ import annotations

import numpy as np

from .arrays import Depth, Mask
from .bands import ALONE, Bands, Beside, Workspace
from .compiled import Kernels, taken
from .config import FilterConfig

# A network's edge spans a share of the image, not a number of pixels: the threshold is stated at this width.
EDGE_WIDTH_PX = 640


def filter_frame(
    depth: Depth,
    sigma: Depth | None,
    confidence: Depth | None,
    unknown: Mask | None,
    valid: Mask | None,
    settings: FilterConfig,
    bands: Bands,
) -> None:
    """Range, edges, masks, border, confidence and sigma, in place; afterwards sigma is known where depth is finite.

    Depth becomes NaN where `unknown` is true or `valid` false.
    """
    height, width = depth.shape
    threshold = settings.edge_threshold * EDGE_WIDTH_PX / width

    def step(rows: slice, beside: Beside, work: Workspace) -> None:
        band = depth[rows]
        if threshold and bands.kernels is not None and taken(depth):
            _limit_compiled(bands.kernels, band, threshold, settings, beside, work)
        else:
            edges = flying_pixels(band, threshold, beside, work) if threshold else None
            limit_range(band, settings.min_range, settings.max_range, edges, work)
        drop_unknown(band, rows, unknown, valid, work)
        drop_border(band, settings.border, rows.start, height - rows.stop)
        if confidence is not None and settings.min_confidence:
            drop_doubtful(band, confidence[rows], settings.min_confidence, work)
        if sigma is not None:
            if settings.max_sigma:
                drop_uncertain(band, sigma[rows], settings.max_sigma, work)
            drop_unless(sigma[rows], np.isfinite(band, out=work.mask("good", band.shape)))

    bands.run_beside(depth, step)


def _limit_compiled(
    kernels: Kernels, depth: Depth, threshold: float, settings: FilterConfig, beside: Beside, work: Workspace
) -> None:
    """As `limit_range` on `flying_pixels`."""
    width = depth.shape[1]
    own = work.array("own rows", (2, width))
    own[0], own[1] = depth[0], depth[-1]
    above = own[0] if beside.above is None else beside.above
    below = own[1] if beside.below is None else beside.below
    inverse, ends = work.array("inverse rows", (3, width)), work.array("high and low", (2, width + 2))
    limits = (np.float32(number) for number in (threshold, settings.min_range, settings.max_range))
    kernels.limit(depth, above, below, inverse, *ends, *limits)


def limit_range(
    depth: Depth, near_m: float, far_m: float, edges: Mask | None = None, work: Workspace | None = None
) -> None:
    """Depth below `near_m` becomes NaN, beyond `far_m` +Inf; never clipped, a wall at `far_m` would be invented.

    On `edges` (H, W) it becomes NaN too, except beyond range.
    """
    work = work or Workspace()
    beyond = np.greater(depth, far_m, out=work.mask("beyond", depth.shape))
    below = np.less(depth, near_m, out=work.mask("below", depth.shape))
    if edges is not None:
        below |= edges
        np.greater(below, beyond, out=below)  # and not
    drop(depth, below)
    np.copyto(depth, np.float32(np.inf), where=beyond)


def drop(depth: Depth, unknown: Mask) -> None:
    """Sets depth to NaN where `unknown` (H, W) is true."""
    np.copyto(depth, np.float32(np.nan), where=unknown)


def drop_unless(depth: Depth, good: Mask) -> None:
    """Sets depth to NaN where `good` (H, W) is false; inverts `good`."""
    drop(depth, np.logical_not(good, out=good))


def drop_unknown(
    values: Depth, rows: slice, unknown: Mask | None, valid: Mask | None, work: Workspace | None = None
) -> None:
    """Sets values (n, W), which are these `rows` of an image, to NaN where its `unknown` is true or `valid` false."""
    if unknown is not None:
        drop(values, unknown[rows])
    if valid is not None:
        drop(values, np.logical_not(valid[rows], out=(work or Workspace()).mask("good", values.shape)))


def drop_uncertain(depth: Depth, sigma: Depth, max_sigma_m: float, work: Workspace | None = None) -> None:
    """Sets depth to NaN where `sigma` (H, W; metres) exceeds `max_sigma_m` or is NaN, beyond range too."""
    drop_unless(depth, np.less_equal(sigma, max_sigma_m, out=(work or Workspace()).mask("good", depth.shape)))


def drop_doubtful(depth: Depth, confidence: Depth, min_confidence: float, work: Workspace | None = None) -> None:
    """Sets depth to NaN where `confidence` (H, W; 0 to 1) is below `min_confidence` or NaN, beyond range too."""
    drop_unless(
        depth, np.greater_equal(confidence, min_confidence, out=(work or Workspace()).mask("good", depth.shape))
    )


def drop_border(depth: Depth, border_px: int, above: int = 0, below: int = 0) -> None:
    """Sets a frame of `border_px` pixels to NaN; so many rows of the image lie `above` and `below` the given ones."""
    if border_px:
        depth[: max(0, border_px - above)] = np.nan
        depth[max(0, len(depth) - max(0, border_px - below)) :] = np.nan
        depth[:, :border_px] = depth[:, -border_px:] = np.nan


def flying_pixels(depth: Depth, threshold: float, beside: Beside = ALONE, work: Workspace | None = None) -> Mask:
    """(H, W) bool: pixels on a depth edge, where interpolation creates points in mid-air.

    The step of inverse depth across the 3x3 neighbourhood, relative to the pixel's own inverse depth:
    (max(1/z) - min(1/z)) * z > threshold. Inverse depth is linear over a plane seen by a pinhole
    camera: a plane counts as an edge only where rays graze it, below about 2 / (f * threshold) radians
    (2.7 degrees at f = 525 px and 0.08). Pixels beside unknown depth lie on an edge. `beside` are the
    rows next to a band of an image.
    """
    import cv2

    work = work or Workspace()
    top, bottom = (int(row is not None) for row in beside)
    shape = top + len(depth) + bottom, depth.shape[1]
    inverse, high, low = (work.array(name, shape) for name in ("inverse", "high", "low"))
    unknown = work.mask("unknown", shape)
    inner = slice(top, top + len(depth))
    np.reciprocal(depth, out=inverse[inner])
    for row, place in zip(beside, (0, -1), strict=True):
        if row is not None:
            np.reciprocal(row, out=inverse[place])
    np.logical_not(np.isfinite(inverse, out=unknown), out=unknown)
    np.copyto(inverse, np.float32(0), where=unknown)
    kernel = np.ones((3, 3), np.uint8)
    cv2.dilate(inverse, kernel, dst=high)
    high -= cv2.erode(inverse, kernel, dst=low)
    steepest = np.multiply(inverse, threshold, out=low)
    return np.greater(high, steepest, out=unknown)[inner]

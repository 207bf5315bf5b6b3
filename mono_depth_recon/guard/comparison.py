"""Depth of one frame against that of the previous one, at corners that are seen in both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth
from ..camera import PinholeCamera
from .motion import Motion, fit_motion
from .picture import Picture, Pixels
from .robust import middle, spread

_WINDOW, _UNTIL = (9, 9), (3, 10, 0.03)  # steps at most, pixels
_LEVELS, _LEVELS_BACK = 3, 1
_BACK_PX = 0.7  # tracked forth and back, a corner must return to its place
_ENOUGH = 130  # corners; of more, so many are tracked
_FEWEST, _MOST = 24, 0.5  # corners that agree on a motion, and their share of those tracked
_RELIEF = 1.2  # ratio of depths around a corner, at most: it is not clear what a corner on a step belongs to
_AROUND = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)
_STRUCTURE = 0.15  # change of log depth of a corner beside that of the scale


@dataclass(frozen=True, eq=False)
class View:
    """What is kept of a frame: its picture, the camera of the coarse one, and the depth (N,) at its corners."""

    picture: Picture
    camera: PinholeCamera
    depth: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Change:
    """What changed from one frame to the next other than by the camera's `motion`.

    `scale` is the median log ratio of depth to that expected, `spread` the robust standard deviation around it,
    `moved` the share of corners that differ from it by more than 15 %, `corners` how many were compared.
    """

    motion: Motion
    scale: float
    spread: float
    moved: float
    corners: int


def view_of(picture: Picture, depth: Depth, camera: PinholeCamera) -> View:
    """A frame with `depth` (H, W) metres of its `camera`."""
    rows, columns = picture.coarse.shape
    return View(picture, camera.resized(columns, rows), depth_at(depth, picture.corners, picture))


def depth_at(depth: Depth, pixels: Pixels, picture: Picture) -> NDArray[np.float32]:
    """Depth (N,) at pixels (N, 2) of the coarse picture; NaN where it is not known, and on steps."""
    import cv2

    if not len(pixels):
        return np.empty(0, np.float32)
    zoom = np.array([depth.shape[1] / picture.coarse.shape[1], depth.shape[0] / picture.coarse.shape[0]], np.float32)
    where = (pixels[None] + _AROUND[:, None] + 0.5) * zoom - 0.5
    found = cv2.remap(depth, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    with np.errstate(invalid="ignore"):
        level = np.isfinite(found).all(axis=0) & (found.max(axis=0) < _RELIEF * found.min(axis=0))
    return np.where(level, found[0], np.float32(np.nan))


def change(before: View, after: View, depth: Depth) -> Change | None:
    """What changed until the view `after`, with its `depth` (H, W); None where too few corners agree on a motion."""
    if before.picture.coarse.shape != after.picture.coarse.shape:
        return None
    known = np.flatnonzero(np.isfinite(before.depth))
    if len(known) > _ENOUGH:
        known = known[np.linspace(0, len(known) - 1, _ENOUGH).astype(int)]
    start, z = before.picture.corners[known], before.depth[known]
    if len(start) < _FEWEST:
        return None
    end, followed = _followed(before.picture, after.picture, start)
    start, end, z = start[followed], end[followed], z[followed]
    if len(start) < _FEWEST:
        return None
    motion = fit_motion(start, end, z, before.camera)
    if motion.agree.sum() < max(_FEWEST, _MOST * len(start)):
        return None
    seen = depth_at(depth, end, after.picture)
    expected = motion.depth(start, z, before.camera)
    good = motion.agree & np.isfinite(seen) & (expected > 0)
    if good.sum() < _FEWEST:
        return None
    ratio = np.log(seen[good] / expected[good])
    scale = middle(ratio)
    moved = float((np.abs(ratio - scale) > _STRUCTURE).mean())
    return Change(motion, scale, spread(ratio), moved, len(ratio))


def _followed(before: Picture, after: Picture, start: Pixels) -> tuple[Pixels, NDArray[np.bool_]]:
    import cv2

    end, found, _ = cv2.calcOpticalFlowPyrLK(
        before.coarse, after.coarse, start[:, None], None, winSize=_WINDOW, maxLevel=_LEVELS, criteria=_UNTIL
    )
    back, returned, _ = cv2.calcOpticalFlowPyrLK(
        after.coarse,
        before.coarse,
        end,
        start[:, None].copy(),
        winSize=_WINDOW,
        maxLevel=_LEVELS_BACK,
        criteria=_UNTIL,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    rows, columns = after.coarse.shape
    kept = ((found & returned).ravel() > 0) & (np.linalg.norm(back[:, 0] - start, axis=1) < _BACK_PX)
    end = end[:, 0]
    inside = (end > 0).all(axis=1) & (end[:, 0] < columns - 1) & (end[:, 1] < rows - 1)
    return end, kept & inside

"""The depth of a frame that planners may rely on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import filters
from .arrays import Depth
from .config import Config, SafeConfig
from .frames import Frame


def safe_settings(config: Config) -> SafeConfig:
    """The group `safe`, its range limited to that of the depth: farther away nothing is known to be free."""
    return replace(config.safe, max_range=min(config.safe.max_range, config.filter.max_range))


def trusted_depth(frame: Frame, config: Config) -> Depth:
    """Depth (H, W) of `frame`, NaN also on edges and where sigma or confidence is not good enough for `safe`.

    Edges are those of the frame itself where `filter.edge_threshold` is at least as strict.
    """
    settings, own = config.safe, config.filter.edge_threshold
    assert frame.depth is not None, "frames for planners have metres"
    depth = frame.depth.copy()
    known = np.isfinite(depth)  # beyond range stays beyond range
    if settings.edge_threshold and not 0 < own <= settings.edge_threshold:
        filters.drop(
            depth,
            filters.flying_pixels(frame.depth, settings.edge_threshold * filters.EDGE_WIDTH_PX / depth.shape[1])
            & known,
        )
    if settings.max_sigma and frame.sigma is not None:
        filters.drop(depth, ~(frame.sigma <= np.float32(settings.max_sigma) * frame.depth) & known)
    if settings.min_confidence and frame.confidence is not None:
        filters.drop(depth, ~(frame.confidence >= settings.min_confidence))
    return depth

"""Depth Anything V1 and V2 (Yang et al., CVPR and NeurIPS 2024), relative and metric; images as DPT takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..base import Output
from .family import Family


class DepthAnything(Family):
    """A DINOv2 backbone; the configuration states whether the head predicts disparity or metres."""

    def output(self, config: Mapping[str, Any]) -> Output | None:
        """By `depth_estimation_type`, relative where it is missing."""
        relative = config.get("depth_estimation_type", "relative") == "relative"
        return "relative_disparity" if relative else "metric_depth"

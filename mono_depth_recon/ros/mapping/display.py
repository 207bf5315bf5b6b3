"""The map as topics: points and a simplified mesh, published when due and subscribed to."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...cloud.back_projection import pack_rgb
from ...config import Config
from ...workers.map import ShownMeshJob, ShownPointsJob
from ...workers.process import Job
from ..conversions import mesh_to_marker, points_to_msg
from ..publications import SharedPublications
from .figures import MapFigures

_SHOWN_POINTS = 200_000


@dataclass
class _Shown:
    """When a topic was last published: the time, the map, its fused frames and the number of subscribers."""

    at: float = 0.0
    map_number: int = -1
    what: tuple[int, int] = (0, 0)


class MapDisplay:
    """Publishes map_points and mesh at their rates while there is something new."""

    def __init__(self, publications: SharedPublications, figures: MapFigures) -> None:
        self._topics, self._figures = publications, figures
        self._points, self._mesh = _Shown(), _Shown()

    def publish(self, config: Config, ask: Callable[[Job], Any]) -> None:
        """Publishes what is due; `ask(job)` runs one in the map's process. Raises DataError if there is no surface."""
        if not self._figures.state.blocks:
            return
        header = self._figures.header
        if self._is_due(self._points, config.fusion.points_rate, self._topics.map_points):
            cloud = ask(ShownPointsJob(config.fusion, _SHOWN_POINTS))
            rgb = pack_rgb(cloud.colors[None])[..., None]
            self._topics.map_points.publish(points_to_msg(np.concatenate([cloud.points[None], rgb], axis=2), header))
        limit = config.mesh.marker_triangles
        if limit and self._is_due(self._mesh, config.fusion.mesh_rate, self._topics.mesh):
            self._topics.mesh.publish(mesh_to_marker(ask(ShownMeshJob(config.fusion, limit)), header))

    def _is_due(self, shown: _Shown, rate_hz: float, publisher: Any) -> bool:
        subscribers, now = publisher.get_subscription_count(), time.monotonic()
        if shown.map_number != self._figures.map_number:  # another map: publish immediately
            shown.at, shown.map_number, shown.what = 0.0, self._figures.map_number, (0, 0)
        what = (self._figures.fused, subscribers)
        if not (rate_hz and subscribers and what != shown.what and now - shown.at >= 1 / rate_hz):
            return False
        shown.at, shown.what = now, what
        return True

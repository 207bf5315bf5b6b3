"""What the node knows about its map: counters for /diagnostics, and a number for each new map."""

from __future__ import annotations

from dataclasses import dataclass, field

from std_msgs.msg import Header

from ...fusion.fusion import FUSED
from ...workers.map import MapState


@dataclass
class MapFigures:
    """The values of /diagnostics about the map; frames by outcome, since the start of the node.

    `state` is that of the map itself: its counts restart with a reset and with a new worker, and `map_number` counts
    these restarts. `header` holds the stamp of the newest frame with a pose and the frame of the map.
    """

    poses: str = ""
    offered: int = 0
    dropped: int = 0
    without_pose: int = 0
    refused_poses: int = 0
    failed: int = 0
    worker_restarts: int = 0
    last_reason: str = ""
    state: MapState = field(default_factory=MapState)
    map_number: int = 0
    header: Header = field(default_factory=Header)

    @property
    def world(self) -> str:
        """The frame of the map, empty until it is known."""
        return str(self.header.frame_id)

    @property
    def fused(self) -> int:
        """Frames in the map."""
        return self.state.counts.get(FUSED, 0)

    def begin_map(self, state: MapState) -> None:
        """A new map replaces this one."""
        self.state, self.map_number = state, self.map_number + 1

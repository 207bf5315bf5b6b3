"""A 2D map of obstacles from the frames of a recording, as a costmap gets them through points_safe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Mask, Matrix
from ..cloud.obstacles import surroundings
from ..config import Config, with_values
from ..errors import DataError
from ..frames import Frame
from ..trusted import safe_settings, trusted_depth

UNKNOWN, FREE, OCCUPIED = 205, 254, 0  # of the PGM that nav2's map_server reads
_OCCUPIED_SHARE = 0.4  # of the frames that see a cell
_MARGIN, _MOST_CELLS = 2, 4000  # cells

I64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CostMap:
    """`cells` (rows, columns) uint8, row 0 at the largest y; `origin` (m) is the corner of smallest x and y."""

    cells: NDArray[np.uint8]
    origin: tuple[float, float]
    resolution: float

    def pgm(self) -> bytes:
        """The picture of a map_server."""
        rows, columns = self.cells.shape
        return f"P5\n{columns} {rows}\n255\n".encode() + self.cells.tobytes()

    def yaml(self, image: str) -> str:
        """The description of a map_server for the picture called `image`."""
        x, y = self.origin
        return (
            f"image: {image}\nmode: trinary\nresolution: {self.resolution:g}\norigin: [{x:.3f}, {y:.3f}, 0]\n"
            "negate: 0\noccupied_thresh: 0.65\nfree_thresh: 0.25\n"
        )


@dataclass(frozen=True)
class Agreement:
    """Shares of occupied cells that are occupied in the other map too, or next to such a cell, where both know."""

    precision: float
    recall: float
    predicted: int
    true: int

    def text(self) -> str:
        """One line."""
        return (
            f"obstacle cells: {self.predicted} of depth, {self.true} of true depth, precision {self.precision:.3f}, "
            f"recall {self.recall:.3f} (one cell of tolerance)"
        )


class CostMapper:
    """Counts in how many frames each cell of the world's plane was an obstacle or ground.

    `floor` (m) is the height of the floor in the world, z up. Ranges are from below the camera.
    """

    def __init__(self, config: Config, resolution: float, floor: float = 0.0) -> None:
        self._config = with_values(config, {"safe.ground": "flatten", "safe.ground_height": 0.0})
        self._resolution, self._floor = resolution, floor
        self._seen: dict[str, list[I64]] = {"obstacle": [], "ground": []}

    def add(self, frame: Frame, T_world_camera: Matrix) -> None:
        """Adds the obstacles of a frame with depth, as `points_safe` chooses them."""
        T = T_world_camera.copy()
        T[:2, 3], T[2, 3] = 0.0, T[2, 3] - self._floor
        settings = safe_settings(self._config)
        seen = surroundings(trusted_depth(frame, self._config), frame.camera, T, settings)
        obstacles = self._cells_of(seen.obstacles, T_world_camera)
        ground = self._cells_of(seen.ground, T_world_camera)
        self._seen["obstacle"].append(obstacles)
        self._seen["ground"].append(ground[~_within(ground, obstacles)])

    def bounds(self) -> tuple[I64, I64]:
        """Lowest and highest cell (2,). Raises DataError where nothing was seen."""
        cells = np.concatenate([*self._seen["obstacle"], *self._seen["ground"], np.empty((0, 2), np.int64)])
        if not len(cells):
            raise DataError("no obstacle and no ground in the frames: see safe.max_range and the height of the floor")
        return cells.min(axis=0) - _MARGIN, cells.max(axis=0) + _MARGIN

    def map(self, low: I64, high: I64) -> CostMap:
        """The map between these cells. Raises DataError where it would be too large."""
        columns, rows = (high - low + 1).tolist()
        if max(rows, columns) > _MOST_CELLS:
            raise DataError(f"the map would have {columns}x{rows} cells, of at most {_MOST_CELLS}: check the poses")
        counts = {}
        for kind, frames in self._seen.items():
            counts[kind] = np.zeros((rows, columns), np.int64)
            for cells in frames:
                column, row = (cells - low).T
                counts[kind][row, column] += 1
        total = counts["obstacle"] + counts["ground"]
        made = np.full((rows, columns), UNKNOWN, np.uint8)
        made[total > 0] = FREE
        made[(counts["obstacle"] >= _OCCUPIED_SHARE * total) & (total > 0)] = OCCUPIED
        x, y = (low * self._resolution).tolist()
        return CostMap(made[::-1].copy(), (x, y), self._resolution)

    def _cells_of(self, points: NDArray[np.float32], T_world_camera: Matrix) -> I64:
        """The cells (N, 2), each once, of points around the place below the camera."""
        at = points[:, :2].astype(np.float64) + T_world_camera[:2, 3]
        return np.unique(np.floor(at / self._resolution).astype(np.int64), axis=0)


def common_maps(mappers: Iterable[CostMapper]) -> list[CostMap]:
    """The maps of several mappers on one grid."""
    mappers = list(mappers)
    lows, highs = zip(*(mapper.bounds() for mapper in mappers), strict=True)
    low, high = np.min(lows, axis=0), np.max(highs, axis=0)
    return [mapper.map(low, high) for mapper in mappers]


def agreement(predicted: CostMap, true: CostMap) -> Agreement:
    """Compares maps of one grid."""
    both = (predicted.cells != UNKNOWN) & (true.cells != UNKNOWN)
    made, real = (each.cells == OCCUPIED for each in (predicted, true))

    def share(of: Mask, near: Mask) -> float:
        counted = of & both
        return float((counted & _grown(near)).sum() / counted.sum()) if counted.any() else float("nan")

    return Agreement(share(made, real), share(real, made), int(made.sum()), int(real.sum()))


def _grown(mask: Mask) -> Mask:
    import cv2

    grown: Mask = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return grown


def _within(cells: I64, others: I64) -> Mask:
    """Which of `cells` (N, 2) are among `others` (M, 2)."""
    own, theirs = (each[:, 0] * (1 << 32) + each[:, 1] for each in (cells, others))
    found: Mask = np.isin(own, theirs)
    return found

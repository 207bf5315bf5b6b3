"""The 2D map of obstacles: a wall and the floor before it, seen by a level camera."""

from __future__ import annotations

import numpy as np
import pytest

from mono_depth_recon.arrays import Depth, Matrix
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.errors import DataError
from mono_depth_recon.evaluation.costmap import (
    FREE,
    OCCUPIED,
    UNKNOWN,
    CostMap,
    CostMapper,
    agreement,
    common_maps,
)
from mono_depth_recon.frames import Frame

CAMERA = PinholeCamera.from_hfov(160, 120, 80)
HEIGHT, WALL = 0.8, 2.5
CONFIG = with_values(Config(), {"safe.stride": 1, "safe.edge_threshold": 0.0})


def looking_along_x(at: tuple[float, float, float]) -> Matrix:
    T = np.eye(4)
    T[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    T[:3, 3] = at
    return T


def frame(box: bool = False) -> Frame:
    """A wall 2.5 m ahead over a floor 0.8 m below, and a box at the left, 1.5 m ahead."""
    x, y = CAMERA.rays
    with np.errstate(divide="ignore"):
        floor = np.where(y > 0, HEIGHT / np.maximum(y, 1e-9), np.inf)[:, None]
    depth: Depth = np.minimum(WALL, np.broadcast_to(floor, (120, 160))).astype(np.float32)
    if box:
        at_left = (x[None] * 1.5 > -0.8) & (x[None] * 1.5 < -0.4) & (y[:, None] * 1.5 > 0.3) & (depth > 1.5)
        depth[at_left] = 1.5
    return Frame(np.zeros((120, 160, 3), np.uint8), CAMERA, depth)


def mapped(*frames: Frame, at: tuple[float, float, float] = (1.0, -2.0, HEIGHT), floor: float = 0.0) -> CostMapper:
    mapper = CostMapper(CONFIG, 0.1, floor)
    for each in frames:
        mapper.add(each, looking_along_x(at))
    return mapper


def cell(made: CostMap, x: float, y: float) -> int:
    """The value at a place of the world, as a map_server's reader finds it."""
    column, row = int((x - made.origin[0]) / made.resolution), int((y - made.origin[1]) / made.resolution)
    return int(made.cells[len(made.cells) - 1 - row, column])


def test_obstacles_are_where_they_are_in_the_world() -> None:
    (made,) = common_maps([mapped(frame(box=True))])
    for y in (-3.5, -2.0, -0.5):
        assert cell(made, 1 + WALL + 0.001, y + 0.05) == OCCUPIED, y
    assert cell(made, 2.55, -1.35) == OCCUPIED, "the box, left of the camera"
    assert cell(made, 2.55, -2.65) == FREE and cell(made, 3.05, -2.05) == FREE
    assert made.origin[0] > 1.5, "the floor below the camera is not in view"
    assert cell(made, 3.25, -1.25) == UNKNOWN, "behind the box"


def test_a_floor_at_another_height_and_one_outlier_among_many_frames() -> None:
    (raised,) = common_maps([mapped(frame(), at=(1.0, -2.0, 7.3), floor=6.5)])
    (level,) = common_maps([mapped(frame())])
    np.testing.assert_array_equal(raised.cells, level.cells)
    (made,) = common_maps([mapped(frame(box=True), frame(), frame(), frame())])
    assert cell(made, 2.55, -1.35) == FREE, "in one frame of four"


def test_files_are_those_of_a_map_server() -> None:
    (made,) = common_maps([mapped(frame())])
    rows, columns = made.cells.shape
    head = f"P5\n{columns} {rows}\n255\n".encode()
    assert made.pgm().startswith(head) and len(made.pgm()) == len(head) + rows * columns
    text = made.yaml("costmap.pgm")
    assert "image: costmap.pgm\nmode: trinary\nresolution: 0.1\n" in text
    assert f"origin: [{made.origin[0]:.3f}, {made.origin[1]:.3f}, 0]" in text and "negate: 0" in text


def test_agreement_by_hand() -> None:
    def grid(*cells: int) -> CostMap:
        return CostMap(np.array([cells], np.uint8), (0.0, 0.0), 0.1)

    own = grid(OCCUPIED, FREE, FREE, FREE, OCCUPIED, UNKNOWN, OCCUPIED, FREE, FREE, FREE)
    true = grid(FREE, OCCUPIED, FREE, FREE, FREE, OCCUPIED, UNKNOWN, FREE, FREE, OCCUPIED)
    found = agreement(own, true)
    assert (found.predicted, found.true) == (3, 3)
    assert found.precision == 1.0, "both known ones are beside a true one; the third is where the truth is unknown"
    assert found.recall == 0.5, "of two known ones the last is missed"
    assert np.isnan(agreement(grid(FREE), grid(FREE)).precision)


def test_the_depth_of_a_wall_too_near_is_measured() -> None:
    near = frame()
    assert near.depth is not None
    near.depth[near.depth == np.float32(WALL)] -= np.float32(0.6)
    own, true = common_maps([mapped(near), mapped(frame())])
    found = agreement(own, true)
    assert found.precision == 0.0 and not found.recall > 0.5


def test_nothing_seen_and_a_map_that_is_too_large_are_said() -> None:
    with pytest.raises(DataError, match="no obstacle and no ground in the frames"):
        common_maps([CostMapper(CONFIG, 0.1)])
    far = mapped(frame())
    far.add(frame(), looking_along_x((900.0, 0.0, HEIGHT)))
    with pytest.raises(DataError, match=r"the map would have \d+x\d+ cells, of at most 4000: check the poses"):
        common_maps([far])

"""Charts of lines: where lines are, by colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mono_depth_recon.arrays import Rgb
from mono_depth_recon.pictures.lines import COLOURS, draw_lines

INSIDE = slice(97, 388)  # rows of the plot


def rows_of(picture: Rgb, colour: int, column: int) -> NDArray[np.intp]:
    near = np.abs(picture[INSIDE, column].astype(int) - COLOURS[colour]).max(axis=1) < 60
    return np.flatnonzero(near)


def test_lines_are_where_their_values_are_and_broken_where_there_are_none() -> None:
    x = [float(i) for i in range(101)]
    flat, gap = [1.0] * 101, [0.75 if i < 40 or i > 60 else np.nan for i in range(101)]
    beyond = [9.0 if i > 80 else np.nan for i in range(101)]
    picture = draw_lines(x, {"none": flat, "points": gap, "marker": beyond}, (0.5, 1.5), "title", ("s", "ratio"))
    assert picture.shape == (440, 960, 3)
    columns = {i: round(72 + i / 100 * (960 - 72 - 24)) for i in (20, 50, 90)}
    middle = (440 - 96 - 52) / 2
    for column in columns.values():
        assert abs(rows_of(picture, 0, column).mean() + 1 - middle) < 2
    assert abs(rows_of(picture, 1, columns[20]).mean() + 1 - 1.5 * middle) < 2
    assert not len(rows_of(picture, 1, columns[50])) and not len(rows_of(picture, 2, columns[20]))
    assert rows_of(picture, 2, columns[90]).max() < 3, "on the edge"


def test_a_pause_of_the_recording_is_a_gap() -> None:
    x = [*np.arange(0, 10, 0.5), *np.arange(30, 40, 0.5)]
    picture = draw_lines(x, {"none": [1.2] * len(x)}, (0.5, 1.5), "title", ("s", "ratio"))
    assert len(rows_of(picture, 0, 150)) and not len(rows_of(picture, 0, 480)) and len(rows_of(picture, 0, 900))
    assert draw_lines([0.0], {"none": [np.nan]}, (0.5, 1.5), "title", ("s", "ratio")).shape == (440, 960, 3)
    draw_lines([0.0], {"none": [1.0]}, (0.5, 1.5), "title", ("s", "ratio"))

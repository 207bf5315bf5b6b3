"""Which views of a stream are kept."""

from __future__ import annotations

import numpy as np

from mono_depth_recon.calibration.board import Sighting
from mono_depth_recon.calibration.collection import ViewCollection


def test_views_are_kept_where_the_board_holds_still_at_a_new_place() -> None:
    def view(x: float) -> Sighting:
        places = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
        return Sighting(places[:, :2] * 100 + np.float32(x), places)

    views = ViewCollection((640, 480), 2)
    assert [views.add(view(x)) for x in (0, 0, 0, 20, 20, 82, 82, 300, 300)] == [
        *(False, True, False, False, False, False, True, False, False)
    ]
    assert views.complete and list(views.views) == ["view 1", "view 2"]
    views = ViewCollection((640, 480), 2)
    assert [views.add(each) for each in (view(0), None, view(0), view(0))] == [False, False, False, True]

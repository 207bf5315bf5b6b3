"""The benchmark of scale sources: what is timed is checked first."""

from __future__ import annotations

import pytest

from mono_depth_recon.benchmark import anchors
from mono_depth_recon.benchmark.frame_path import Settings
from mono_depth_recon.errors import DataError

QUICK = Settings(repeats=1)


def test_every_fitted_source_has_its_figure() -> None:
    rows = list(anchors.anchors(QUICK))
    names = [f"anchor: {name}" for name in anchors._SCENES]
    assert [row.name for row in rows if "varying" not in row.name] == names
    assert "anchor: points varying" in [row.name for row in rows]
    assert all(row.value and row.value > 0 and (row.unit, row.limit) == ("ms", 3.0) for row in rows)


def test_a_wrong_scale_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(anchors._OFF, "reference", 0.0)
    with pytest.raises(DataError, match=r"scale.source=reference must find the scale within 0, it is .* off"):
        list(anchors.anchors(QUICK))

"""The figures of `make bench` about fusion, from turns whose result is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mono_depth_recon.errors import DataError
from mono_depth_recon.ros.tools import bench_mapping


def turn(fusing: bool, p50: float | None, integrated: int = 0) -> dict[str, Any]:
    """A turn whose frames take `p50` ms to an observer and half of that within the node."""
    frames = {
        "latency_p50_ms": p50,
        "latency_p95_ms": p50 and 2 * p50,
        "frames_out": 100 if p50 else 0,
        "rate_in_hz": 10.0,
    }
    figures = {"frames_integrated": integrated, "frames_dropped": 0, "seconds": 10.0, "memory_mib": 345.0, "blocks": 9}
    return {"fusing": fusing, "frames": frames, "node_p50_ms": (p50 or 0.0) / 2} | ({"map": figures} if fusing else {})


def rows_of(turns: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    pairs = iter(zip(turns[::2], turns[1::2], strict=True))

    def measured(stage: Path, off_first: bool, seconds: float) -> list[dict[str, Any]]:
        pair = list(next(pairs))
        assert pair[0]["fusing"] is not off_first
        return pair

    monkeypatch.setattr(bench_mapping, "_measured", measured)
    return {row.name: row for row in bench_mapping.mapping(len(turns) // 2, 10.0)}


def test_turns_are_compared_in_pairs_whatever_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that gets slower meanwhile: each pair gives the same ratio, the medians of all do not."""
    turns = [
        turn(False, 20.0),
        turn(True, 21.0, 98),
        turn(True, 42.0, 96),
        turn(False, 40.0),
        turn(False, 80.0),
        turn(True, 84.0, 97),
    ]
    rows = rows_of(turns, monkeypatch)
    delay = rows["image to cloud within the node with fusion, p50 by that without"]
    assert delay.value == pytest.approx(1.05) and delay.verdict == "ok"
    assert "20.0 ms without, 21.0 ms with" in delay.note
    seen = rows["colour to cloud with fusion, p50 by that without"]
    assert seen.value == pytest.approx(1.05) and "40.0 ms without, 42.0 ms with" in seen.note
    missed = rows["frames of the camera that are not fused"]
    assert missed.value == pytest.approx(3.0) and missed.verdict == "ok"
    assert rows["memory of the map's process"].value == 345.0
    slow = rows_of([turn(False, 20.0), turn(True, 23.0, 50)], monkeypatch)
    assert [row.verdict for row in slow.values()] == ["over", "", "", "over", ""]


def test_a_run_without_frames_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="no frame came out"):
        rows_of([turn(False, None), turn(True, 20.0, 90)], monkeypatch)

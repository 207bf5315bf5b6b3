"""The reconstruction's measurements, on smaller and shorter input: right results give figures, wrong ones an error."""

from __future__ import annotations

import pytest

from mono_depth_recon.benchmark import fusion as benchmark_fusion
from mono_depth_recon.benchmark.frame_path import Settings, measure
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.datasets.rooms.room import RoomSequence
from mono_depth_recon.frames import Sample

QUICK = Settings(repeats=1)


@pytest.fixture(scope="module")
def frames() -> tuple[Sample, ...]:
    sequence = RoomSequence(benchmark_fusion._SEED, PinholeCamera.from_hfov(160, 120, 62.0), length=60)
    return tuple(sequence[number] for number in range(8))


def test_keyframes_and_the_filter_are_measured(frames: tuple[Sample, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_fusion, "_sequence", lambda: frames)
    rows = list(measure(QUICK, ["fusion", "flying-pixels"], benchmark_fusion.MEASUREMENTS))
    assert [row.name for row in rows] == [
        "fusion: a keyframe of true depth",
        "fusion: a keyframe of predicted depth",
        "fusion: model and keyframe",
        "filter: flying pixels that stay",
        "filter: good pixels that go",
    ]
    assert all(row.value is not None for row in rows), [row.note for row in rows]
    assert "keyframes" in rows[0].note


def test_a_map_that_is_wrong_is_not_timed(frames: tuple[Sample, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_fusion, "_sequence", lambda: frames)
    whole = benchmark_fusion._added
    monkeypatch.setattr(benchmark_fusion, "_added", lambda fusion, sample, depth: whole(fusion, sample, 1.05 * depth))
    (row,) = measure(QUICK, ["fusion"], benchmark_fusion.MEASUREMENTS)
    assert row.verdict == "failed" and "must be right within 1.0 %" in row.note


def test_the_long_run_holds_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_fusion, "_ROOMS", (20011,))
    monkeypatch.setattr(benchmark_fusion, "_LONG_FRAMES", 30)
    monkeypatch.setattr(benchmark_fusion, "_LONG_VIEWS", 6)
    monkeypatch.setattr(benchmark_fusion, "_LONG_BLOCKS", 300)
    (row,) = measure(QUICK, ["fusion-memory"], benchmark_fusion.MEASUREMENTS)
    assert row.value is not None and int(row.note.split("; ")[1].split()[0]) <= 300, row.note

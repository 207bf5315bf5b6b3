"""The growth of the frame path: its figures are complete, wrong results are never timed, allocations are seen."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from mono_depth_recon import filters
from mono_depth_recon.benchmark import scaling
from mono_depth_recon.benchmark.frame_path import Settings, measure
from mono_depth_recon.benchmark.rows import Row

SIZES = ((64, 48), (96, 72))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "SIZES", SIZES)
    monkeypatch.setattr(scaling, "_MOST", {96: 1e9})
    monkeypatch.setattr(scaling, "find_spec", lambda _: None)  # no ROS


def rows() -> list[Row]:
    return list(measure(Settings(repeats=2), ["scaling"], scaling.MEASUREMENTS))


def test_every_size_has_its_figures() -> None:
    made = {row.name: row for row in rows()}
    for size in ("64x48", "96x72"):
        for model in ("metric", "relative"):
            around = made[f"{model} {size}: around the model"]
            steps = [step.split()[0] for step in around.note.split(", ")]
            assert steps == (["filter", "cloud"] if model == "metric" else ["scale", "filter", "cloud"])
            assert made[f"{model} {size}: guard"].value
            ratio = made[f"{model} {size}: ... against a memcpy of the cloud"]
            assert ratio.limit == (1e9 if size == "96x72" else None)
            assert made[f"{model} {size}: allocated beside its results"].limit == 64
        assert made[f"{size}: rectify, of a distorted camera alone"].value
    assert made["metric: growth, exponent of the number of pixels"].limit == 1.05
    assert all(row.value is not None and np.isfinite(row.value) for row in made.values())
    assert len(made) == len(SIZES) * (2 * 4 + 1) + 2


def test_with_ros_the_exchange_between_processes_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the processes: what the started code measures has a test of its own."""
    asked: list[str] = []

    def fresh_process(code: str, timeout_s: float) -> str:
        asked.append(code)
        return json.dumps([asdict(Row("by the bare exchange", 1.2, "x", 1.5))])

    monkeypatch.setattr(scaling, "find_spec", lambda _: object())
    monkeypatch.setattr(scaling, "fresh_process", fresh_process)
    assert rows()[-1] == Row("by the bare exchange", 1.2, "x", 1.5)
    (code,) = asked
    compile(code, "code", "exec")
    assert "from mono_depth_recon.ros.tools.bench_exchange import exchange;" in code


def test_a_filter_that_does_nothing_is_never_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "filter_frame", lambda *_: None)
    (row,) = rows()
    assert row.verdict == "failed"
    assert "without its edges, and infinite beyond range" in row.note


def test_a_working_array_of_the_images_size_is_over_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    real = filters.filter_frame

    def wasteful(*arguments: Any) -> None:
        assert np.zeros(1 << 20, np.uint8).size
        real(*arguments)

    monkeypatch.setattr(filters, "filter_frame", wasteful)
    found = [row for row in rows() if "allocated" in row.name]
    assert [row.verdict for row in found] == ["over"] * 4

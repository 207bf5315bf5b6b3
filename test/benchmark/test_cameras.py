"""The benchmark of two cameras: what it measures, and that a wrong batch is not timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from made_models import FakeModel, wall

from mono_depth_recon.benchmark import cameras
from mono_depth_recon.benchmark.frame_path import Settings, measure
from mono_depth_recon.frames import Prediction
from mono_depth_recon.models.base import View

NAME = "cameras-openvino"


def rows(monkeypatch: pytest.MonkeyPatch, model: FakeModel) -> list[object]:
    monkeypatch.setattr(cameras, "load_model", lambda settings, threads: model)
    return list(measure(Settings(repeats=10), [NAME], cameras.MEASUREMENTS))


def test_one_after_another_batch_and_threads_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel(wall)
    one, batch, threads = rows(monkeypatch, model)
    assert [row.unit for row in (one, batch, threads)] == ["ms", "ms", "x"]  # type: ignore[attr-defined]
    assert threads.limit is not None and "batches of at most 2" in threads.note  # type: ignore[attr-defined]
    assert all(row.value > 0 for row in (one, batch, threads))  # type: ignore[attr-defined]


def test_a_model_whose_batches_are_wrong_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(FakeModel):
        def predict(self, batch: Sequence[View]) -> list[Prediction]:
            right = super().predict(batch)
            return right if len(right) == 1 else [replace(each, depth=each.values * 1.1) for each in right]

    (row,) = rows(monkeypatch, Wrong(wall))
    assert row.verdict == "failed" and "other depth in a batch" in row.note  # type: ignore[attr-defined]

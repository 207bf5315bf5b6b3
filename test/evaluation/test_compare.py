"""Comparison of two results: matching of frames and models, and intervals with the nominal coverage."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from made_evaluation import Model, plan, stand_in
from made_recordings import FORMATS, Scene

from mono_depth_recon.cli import main
from mono_depth_recon.errors import ConfigError, DataError
from mono_depth_recon.evaluation.compare import Comparison, Difference, block_interval, compare, write_comparison
from mono_depth_recon.evaluation.run import evaluate
from mono_depth_recon.evaluation.tables import write_results


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, Model]:
    """Stand-ins for the table."""
    return stand_in(monkeypatch)


def write_csv(folder: Path, model: str, values: dict[str, float]) -> Path:
    folder.mkdir()
    lines = ["recording,model,protocol,frame,coverage,model_ms,score_ms,reason,abs_rel,pixels"]
    lines += [f"desk,{model},metric,{frame},1,0,0,,{value},7" for frame, value in values.items()]
    (folder / "per_frame.csv").write_text("\n".join([*lines, f"desk,{model},metric,99,0,0,0,broken,,"]))
    return folder


def test_differences_of_common_frames(tmp_path: Path) -> None:
    a = write_csv(tmp_path / "a", "m", {"1.0": 0.1, "2.0": 0.2, "3.0": 0.3, "10.0": 0.7})
    b = write_csv(tmp_path / "b", "m", {"2.0": 0.4, "3.0": 0.5, "10.0": 0.9, "11.0": 0.9})
    (row,) = compare(a, b).rows
    assert (row.figure, row.frames, row.a, row.b) == ("abs_rel", 3, pytest.approx(0.4), pytest.approx(0.6))
    assert (row.difference, row.low, row.high) == pytest.approx((0.2, 0.2, 0.2)) and row.is_clear


def test_the_one_model_of_each_is_compared_also_under_different_names(tmp_path: Path) -> None:
    a, b = (write_csv(tmp_path / name, name, {"1.0": 0.1 + 0.1 * (name == "b")}) for name in "ab")
    (row,) = compare(a, b).rows
    assert row.model == "a -> b" and row.difference == pytest.approx(0.1)
    c = write_csv(tmp_path / "c", "c", {"5.0": 0.1})
    with pytest.raises(DataError, match="no frame of one recording, protocol and model in common"):
        compare(a, c)
    with pytest.raises(DataError, match="per_frame.csv cannot be read"):
        compare(a, tmp_path / "nothing")
    with pytest.raises(ConfigError, match="at least 1 frame"):
        compare(a, b, 0)
    for name, frame in (("words", {"first": 0.1}), ("word", {"1.0": "much"})):
        words = write_csv(tmp_path / name, name, frame)  # type: ignore[arg-type]
        with pytest.raises(DataError, match=r"per_frame.csv: expected the rows of an evaluation \(could not convert"):
            compare(a, words)


def test_intervals_of_independent_frames_are_those_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(0).normal(0.3, 1, 300)
    expected = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=1).confidence_interval
    assert block_interval(values, 1) == pytest.approx(tuple(expected), abs=0.02)
    assert block_interval(np.full(5, 2.0), 10) == (2, 2)


@pytest.mark.slow
def test_blocks_cover_what_single_frames_do_not() -> None:
    """Consecutive frames are correlated: an interval from single frames is too narrow."""
    rng, covered = np.random.default_rng(5), {1: 0, 25: 0}
    for _ in range(150):
        noise = rng.normal(size=420)
        values = np.convolve(noise, np.ones(20) / 20, "valid")[:400]
        for block in covered:
            low, high = block_interval(values, block)
            covered[block] += low <= 0 <= high
    assert covered[25] / 150 > 0.82 and covered[1] / 150 < 0.5


def test_the_command_writes_and_prints_the_comparison(
    tmp_path: Path, models: dict[str, Model], capsys: pytest.CaptureFixture[str]
) -> None:
    path = FORMATS["folder"](tmp_path, Scene(frames=4))
    for name in ("a", "b"):
        write_results(
            tmp_path / name,
            evaluate(plan(path, tmp_path / name, "metric_model", "relative", ranges={"desk": (0, 2 + (name == "b"))})),
        )
    output = tmp_path / "comparison"
    assert main(["evaluate", "--compare", str(tmp_path / "a"), str(tmp_path / "b"), "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "| desk | metric | metric_model | abs_rel | 3 |" in printed and "blocks of 10 frames" in printed
    told = json.loads((output / "comparison.json").read_text())
    assert {row["protocol"] for row in told["rows"]} == {"paper", "metric", "median", "affine", "nyu"}
    assert all(row["difference"] == 0 for row in told["rows"]) and (output / "comparison.md").read_text() in printed
    assert main(["evaluate", str(path), "--compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    assert "takes two folders of results and no recordings" in capsys.readouterr().err
    assert main(["evaluate"]) == 1 and "expected recordings" in capsys.readouterr().err


def test_too_few_frames_have_no_interval_and_nothing_clear(tmp_path: Path) -> None:
    assert np.isnan(block_interval(np.array([1.0, 1.0]), 10)).all()
    assert block_interval(np.array([1.0, 1.0, 1.0]), 10) == (1, 1)
    one = Difference("desk", "metric", "a", "abs_rel", 1, 0.1, 0.2, 0.1, math.nan, math.nan)
    assert not one.is_clear
    text = write_comparison(tmp_path, Comparison(tmp_path, tmp_path, 10, [one]))
    assert "| too few frames | no |" in text and '"low": null' in (tmp_path / "comparison.json").read_text()

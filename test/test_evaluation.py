"""Evaluation: the same scores from every format, kept predictions, failures as rows, the files, the command."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from made_recordings import CAMERA, FORMATS, Scene

from mono_depth_recon import evaluation, evaluation_predictions
from mono_depth_recon.cli import main
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.datasets.opening import OpenOptions
from mono_depth_recon.errors import ConfigError, DataError, ModelError
from mono_depth_recon.evaluation import EvaluationPlan, Progress, evaluate, read_prediction, write_prediction
from mono_depth_recon.evaluation_tables import summaries, write_results
from mono_depth_recon.frames import Prediction
from mono_depth_recon.metrics_protocols import PROTOCOLS

BENT = CAMERA + " 0.2 -0.1 0.001 0.002"


class Model:
    """Answers by the colours of the image, so that equal images have equal answers."""

    def __init__(self, name: str) -> None:
        self.name, self.asked = name, 0

    def predict(self, batch: Sequence[Any]) -> list[Prediction]:
        self.asked += 1
        depth = 1 + cv2.blur(batch[0][0].astype(np.float32), (5, 5)).mean(axis=2) / 100
        if self.name == "relative":
            return [Prediction(disparity=1 / depth)]
        if self.name == "broken" and self.asked == 2:
            depth[:] = np.nan
        if self.name == "broken" and self.asked == 3:
            raise DataError("the network gives depth that is not positive")
        return [Prediction(depth=depth)]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, Model]:
    """Stand-ins for the table; `absent` cannot be loaded."""
    made: dict[str, Model] = {}

    def load(settings: ModelConfig, threads: int) -> Model:
        if settings.name == "absent":
            raise ModelError("weights of absent are missing: give model.checkpoint")
        return made.setdefault(settings.name, Model(settings.name))

    monkeypatch.setattr(evaluation_predictions, "load_model", load)
    return made


def plan(data: Path | list[Path], output: Path, *names: str, **changes: Any) -> EvaluationPlan:
    paths = data if isinstance(data, list) else [data]
    return EvaluationPlan(paths, names, output, **{"options": OpenOptions(camera=BENT), **changes})


def figures(made: evaluation.Evaluation) -> list[tuple[Any, ...]]:
    return [(row.model, row.protocol, row.frame, row.coverage, row.reason, row.figures) for row in made.rows]


def test_every_format_gives_the_same_scores_to_the_last_digit(tmp_path: Path, models: dict[str, Model]) -> None:
    made = {}
    for form in ("folder", "tgz", "ros1_lz4", "sqlite3", "mcap_storage"):
        (tmp_path / form).mkdir()
        path = FORMATS[form](tmp_path / form, Scene())
        made[form] = figures(evaluate(plan(path, tmp_path / form / "results", "metric_model", "relative")))
    assert len(made["folder"]) == 6 * 2 * len(PROTOCOLS)
    for form, rows in made.items():
        np.testing.assert_equal(rows, made["folder"], err_msg=form)  # NaN, of frames without edges, equals NaN


def test_predictions_are_kept_and_a_killed_run_goes_on(tmp_path: Path, models: dict[str, Model]) -> None:
    path, output = FORMATS["ros1"](tmp_path, Scene()), tmp_path / "results"
    killed = KeyboardInterrupt()

    def kill(at: Progress) -> None:
        if at.done == 4:
            raise killed

    with pytest.raises(KeyboardInterrupt):
        evaluate(plan(path, output, "metric_model"), kill)
    assert len(list((output / "predictions/desk/metric_model").glob("*.npz"))) == 4
    models["metric_model"].asked = 0
    seen: list[Progress] = []
    first = evaluate(plan(path, output, "metric_model"), seen.append)
    assert models["metric_model"].asked == 2 and [at.done for at in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[-1].remaining_s == 0 and seen[0].rate > 0
    again = evaluate(plan(path, output, "metric_model"))
    assert models["metric_model"].asked == 2
    np.testing.assert_equal(figures(again), figures(first))
    whole = evaluate(plan(path, tmp_path / "other", "metric_model"))
    np.testing.assert_equal(figures(whole), figures(first))


def test_a_folder_of_other_settings_is_refused(tmp_path: Path, models: dict[str, Model]) -> None:
    path, output = FORMATS["ros1"](tmp_path, Scene(frames=2)), tmp_path / "results"
    evaluate(plan(path, output, "metric_model"))
    evaluate(plan(path, output, "metric_model", "relative", protocols=["paper"]))  # more models, fewer protocols
    with pytest.raises(ConfigError, match=r"holds predictions of other settings or data \(see config.yaml\)"):
        evaluate(plan(path, output, "metric_model", options=OpenOptions(camera=CAMERA)))


def test_failing_frames_models_and_recordings_are_rows_with_their_reasons(
    tmp_path: Path, models: dict[str, Model]
) -> None:
    path = FORMATS["ros1"](tmp_path, Scene())
    asked = plan([path, tmp_path / "none.bag"], tmp_path / "results", "broken", "absent", "relative",
                 protocols=["metric", "affine"])
    made = summaries(evaluate(asked))
    by = {(s.recording, s.model, s.protocol): s for s in made}
    assert len(by) == 12
    broken = by["desk", "broken", "metric"]
    assert (broken.frames, broken.failed) == (4, 2) and "no pixel to compare" in broken.reason
    assert by["desk", "absent", "affine"].reason == "weights of absent are missing: give model.checkpoint"
    assert by["desk", "absent", "affine"].failed == 6
    assert "protocol metric needs metres" in by["desk", "relative", "metric"].reason
    assert by["desk", "relative", "affine"].failed == 0
    assert "does not exist" in by["none", "relative", "affine"].reason


def test_the_files_name_their_protocols_and_hold_every_frame(tmp_path: Path, models: dict[str, Model]) -> None:
    path, output = FORMATS["folder"](tmp_path, Scene()), tmp_path / "results"
    made = write_results(output, evaluate(plan(path, output, "metric_model", "relative", first=1, last=4, stride=2)))
    with (output / "per_frame.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * 2 * len(PROTOCOLS)
    told = json.loads((output / "summary.json").read_text())
    assert set(told["protocols"]) == set(PROTOCOLS) and len(told["results"]) == 2 * len(PROTOCOLS)
    tables = (output / "tables.md").read_text()
    assert all(protocol.text() in tables for protocol in PROTOCOLS.values())
    chosen = [row for row in rows if row["model"] == "metric_model" and row["protocol"] == "metric"]
    assert [row["frame"] for row in chosen] == ["1305031102.208637", "1305031102.275303"]
    mean = np.mean([float(row["abs_rel"]) for row in chosen])
    metric = next(s for s in made if (s.model, s.protocol) == ("metric_model", "metric"))
    assert metric.figures["abs_rel"] == pytest.approx(mean) and metric.sequence["frames"] == 2


@pytest.mark.parametrize("changes", [
    {"protocols": ["kitti"]}, {"stride": 0}, {"data": []}, {"models": []}, {"data": [Path("a/x.bag"), Path("b/x.tgz")]},
])
def test_a_plan_that_means_nothing_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        EvaluationPlan(**{"data": [Path("a")], "models": ["b"], "output": Path("c"), **changes})


def test_kept_predictions_come_back_and_damaged_ones_are_named(tmp_path: Path) -> None:
    depth = np.random.default_rng(0).uniform(1, 5, (4, 5)).astype(np.float32)
    write_prediction(tmp_path / "a.npz", Prediction(disparity=depth, sigma=depth / 10))
    back = read_prediction(tmp_path / "a.npz")
    assert back.depth is None and back.disparity is not None and back.sigma is not None
    assert np.array_equal(back.disparity, depth) and np.array_equal(back.sigma, depth / 10)
    (tmp_path / "a.npz").write_bytes(b"PK\3\4 no more")
    with pytest.raises(DataError, match="delete it to compute it again"):
        read_prediction(tmp_path / "a.npz")


def test_the_command_with_the_embedded_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = FORMATS["mcap"](tmp_path, Scene(frames=2))
    status = main(["evaluate", str(path), "--output", str(tmp_path / "results"), "--protocols", "paper", "metric"])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    assert "| unetpp_mobile | 2 |" in printed.out and "*paper: alignment" in printed.out
    assert "2/2 frames" in printed.err and "s left" in printed.err
    assert {p.name for p in (tmp_path / "results").iterdir()} == {
        "predictions", "per_frame.csv", "summary.json", "tables.md", "config.yaml"}

"""Clouds, robustness, uncertainty and Table 3 of an evaluation: their files, resuming a killed run, failures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_evaluation import Model, plan, stand_in
from made_recordings import FORMATS, Scene

from mono_depth_recon.config import Config
from mono_depth_recon.errors import ConfigError, DataError
from mono_depth_recon.evaluation.clouds import CloudJob, score_cloud
from mono_depth_recon.evaluation.corruptions import (
    CORRUPTIONS,
    unseen_domains,
    with_noise_patch,
    with_occluder,
)
from mono_depth_recon.evaluation.plan import PartOfRecording
from mono_depth_recon.evaluation.run import EvaluationRun, Progress, score_run
from mono_depth_recon.evaluation.studies import PARTS, run_studies
from mono_depth_recon.evaluation.table3 import COLUMNS, Costs
from mono_depth_recon.evaluation.tables import Summary, summaries
from mono_depth_recon.evaluation.uncertainty import frame_errors
from mono_depth_recon.frames import Prediction
from mono_depth_recon.metrics.cloud import DEFINITIONS
from mono_depth_recon.metrics.sigma import sigma_calibration


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, Model]:
    """Stand-ins for the table."""
    return stand_in(monkeypatch)


def costs(config: Config) -> Costs:
    if config.model.name == "absent":
        return Costs(reason="weights of absent are missing")
    return Costs(0.08, 300 << 20, device="openvino CPU f32")


def study(
    path: Path,
    output: Path,
    *names: str,
    parts: tuple[str, ...] = ("table3",),
    fine_tuned: tuple[tuple[str, str], ...] = (),
    progress: Any = lambda _: None,
    **changes: Any,
) -> tuple[list[Summary], list[str]]:
    with EvaluationRun(plan(path, output, *names, study_frames=2, **changes), progress) as run:
        made = summaries(score_run(run))
        return made, run_studies(run, parts, made, fine_tuned, costs)


def rows(output: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((output / name).read_text())["rows"]
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """All parts of one evaluation, and its failure messages."""
    folder = tmp_path_factory.mktemp("whole")
    path = FORMATS["folder"](folder, Scene(frames=3))
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch)
        _, failures = study(
            path,
            folder / "results",
            "metric_model",
            "relative",
            "absent",
            fine_tuned=(("metric_model", "relative"),),
            baselines=PartOfRecording(path, 0, 1),
        )
    return folder / "results", failures


def test_clouds_of_models_baselines_and_truth_before_and_after_cleaning(whole: tuple[Path, list[str]]) -> None:
    found = {(row["model"], row["cleaned"]): row for row in rows(whole[0], "scores_3d.json")}
    assert {key[0] for key in found} == {"true depth", "constant", "mean map", "metric_model", "relative", "absent"}
    assert set(found["metric_model", True]["figures"]) == set(DEFINITIONS)
    assert found["metric_model", False]["protocol"] == "metric" and found["relative", False]["protocol"] == "affine"
    assert found["constant", False]["baseline"] and not found["relative", True]["baseline"]
    assert found["absent", False]["failed"] == 2 and "are missing" in found["absent", False]["reason"]
    assert found["true depth", False]["figures"]["density"] > 0
    assert set(json.loads((whole[0] / "scores_3d.json").read_text())["definitions"]) > set(DEFINITIONS)


def test_every_corruption_has_a_curve_from_severity_0(whole: tuple[Path, list[str]]) -> None:
    found = [row for row in rows(whole[0], "robustness.json") if row["model"] == "metric_model"]
    assert [(row["corruption"], row["severity"]) for row in found] == [
        (each.name, severity) for each in CORRUPTIONS for severity in range(4)
    ]
    assert len({row["figures"]["abs_rel"] for row in found if row["severity"] == 0}) == 1
    dark = [row["figures"]["abs_rel"] for row in found if row["corruption"] == "brightness"]
    assert len(set(dark)) == 4 and found[3]["level"] == "sigma 40" and found[3]["frames"] == 2
    assert {row["model"] for row in rows(whole[0], "robustness.json")} == {"metric_model", "relative", "absent"}


def test_uncertainty_has_calibration_sparsification_and_anomalies(whole: tuple[Path, list[str]]) -> None:
    found = {row["model"]: row for row in rows(whole[0], "uncertainty.json")}
    assert found["absent"]["kind"] == "none" and "are missing" in found["absent"]["reason"]
    for name in ("metric_model", "relative"):
        row = found[name]
        assert row["kind"] == "flip" and row["frames"] == 2 and row["reason"] == ""
        assert len(row["calibration"]["nominal"]) == len(row["calibration"]["observed"])
        assert np.all(np.diff(row["calibration"]["observed"]) >= 0)
        curves = row["sparsification"]
        assert curves["by_sigma"][0] == pytest.approx(1) == curves["random"][-1]
        assert np.all(np.array(curves["oracle"]) <= np.array(curves["by_sigma"]) + 1e-9)
        assert all(0 <= area <= 1 for area in row["anomaly"].values()) and len(row["anomaly"]) == 3


def test_table_3_has_every_property_of_every_model(whole: tuple[Path, list[str]]) -> None:
    told = json.loads((whole[0] / "table3.json").read_text())
    assert told["columns"] == COLUMNS
    found = {row["model"]: row for row in told["rows"]}
    assert list(found) == ["metric_model", "relative", "absent"]
    assert all(set(COLUMNS) < set(row) for row in found.values())
    row = found["metric_model"]
    assert row["speed"] == {"value": 80, "unit": "ms", "text": "openvino CPU f32"} and row["memory"]["value"] == 300
    assert row["noise_resilience"]["value"] > 0 and "brightness x" in row["noise_resilience"]["text"]
    assert row["generalisation"]["value"] is None and "needs several recordings" in row["generalisation"]["text"]
    assert row["interpretability"]["text"] == "gradcam, shap" and row["best_use"]["text"].startswith("live, ")
    assert "metric AbsRel" in row["fine_tuning"]["text"] or row["fine_tuning"]["value"] is None
    assert "with reference depth" in found["relative"]["best_use"]["text"]
    assert found["absent"]["speed"]["value"] is None and "missing" in found["absent"]["speed"]["text"]
    assert "--fine-tuned BEFORE AFTER" in found["absent"]["fine_tuning"]["text"]
    assert "flip: rank correlation with the error " in row["uncertainty"]["text"]
    assert row["protocol"]["text"] == "metric" and found["relative"]["protocol"]["text"] == "affine"
    text = (whole[0] / "table3.md").read_text()
    assert "| property | metric_model | relative | absent |" in text and "| anomaly detection | " in text


def test_no_model_is_recommended_that_a_baseline_equals(tmp_path: Path, models: dict[str, Model]) -> None:
    """The truth is far from the model's prediction, while the baselines are made from it."""
    path = FORMATS["folder"](tmp_path, Scene(frames=2))
    made, _ = study(path, tmp_path / "results", "metric_model", baselines=PartOfRecording(path, 0, 1))
    delta1 = {each.model: each.figures["delta1"] for each in made if each.protocol == "metric"}
    assert max(delta1["constant"], delta1["mean map"]) >= delta1["metric_model"]
    told = rows(tmp_path / "results", "table3.json")[0]["best_use"]["text"]
    assert told.startswith("live, to look at, no better than the baseline ") and told.endswith(" on desk")


def test_unknown_figures_can_be_read_back(tmp_path: Path, models: dict[str, Model]) -> None:
    path = FORMATS["folder"](tmp_path, Scene(frames=2))
    study(path, tmp_path / "results", "metric_model")
    kept = tmp_path / "results" / "uncertainty.json"
    tree = json.loads(kept.read_text())
    for row in tree["rows"]:  # as NaN comes back from JSON
        row["rank_correlation"] = row["anomaly"]["occluder"] = None
    kept.write_text(json.dumps(tree))
    study(path, tmp_path / "results", "metric_model")
    row = rows(tmp_path / "results", "table3.json")[0]
    assert "rank correlation with the error nan" in row["uncertainty"]["text"] and not row["uncertainty"]["orders"]
    assert row["anomaly_detection"]["value"] == pytest.approx(
        np.mean([tree["rows"][0]["anomaly"][name] for name in ("noise_patch", "unseen_domain")])
    )


def test_failures_are_reported_once_per_part_and_model(whole: tuple[Path, list[str]]) -> None:
    assert [line.split(": ")[:2] for line in whole[1]] == [[part, "absent on desk"] for part in list(PARTS)[:3]]


def test_a_killed_study_resumes_after_its_last_row(tmp_path: Path, models: dict[str, Model]) -> None:
    path, output = FORMATS["folder"](tmp_path, Scene(frames=3)), tmp_path / "results"

    def kill(at: Progress) -> None:
        if at.part == "robustness" and at.done == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study(path, output, "metric_model", parts=("robustness",), progress=kill)
    assert len(rows(output, "robustness.json")) == 5
    seen: list[Progress] = []
    study(path, output, "metric_model", parts=("robustness",), progress=seen.append)
    assert next(at.of for at in seen if at.part) == 2 * (4 * len(CORRUPTIONS) - 5)
    whole = rows(output, "robustness.json")
    study(path, tmp_path / "other", "metric_model", parts=("robustness",))
    assert sorted(map(str, whole)) == sorted(map(str, rows(tmp_path / "other", "robustness.json")))
    study(path, output, "metric_model", parts=("robustness",), last=1)  # other frames: from the beginning
    assert rows(output, "robustness.json") != whole
    (output / "robustness.json").write_text("[1")
    with pytest.raises(DataError, match="delete it to make them again"):
        study(path, output, "metric_model", parts=("robustness",))


@pytest.mark.slow
def test_clouds_in_processes_are_the_same(tmp_path: Path, models: dict[str, Model]) -> None:
    path = FORMATS["folder"](tmp_path, Scene(frames=2))
    for workers in (1, 2):
        study(path, tmp_path / str(workers), "metric_model", parts=("3d",), workers=workers)
    assert rows(tmp_path / "1", "scores_3d.json") == rows(tmp_path / "2", "scores_3d.json")
    seen: list[Progress] = []
    study(path, tmp_path / "1", "metric_model", parts=("3d",), progress=seen.append)
    assert not [at for at in seen if at.part]  # all of it is kept


def test_fine_tuned_pairs_must_be_models_of_the_plan(tmp_path: Path, models: dict[str, Model]) -> None:
    path = FORMATS["folder"](tmp_path, Scene(frames=1))
    with pytest.raises(ConfigError, match="fine-tuned pairs must name two of the models metric_model, got 'other'"):
        study(path, tmp_path / "results", "metric_model", fine_tuned=(("metric_model", "other"),))


def test_a_cloud_of_true_depth_is_perfect_and_too_few_points_are_a_reason() -> None:
    from mono_depth_recon.benchmark.scene import room
    from mono_depth_recon.camera import PinholeCamera

    camera = PinholeCamera.from_hfov(160, 120, 60)
    truth, _ = room(camera)
    same = score_cloud(CloudJob(Prediction(depth=truth), truth, camera)).figures
    assert same[False]["chamfer"] == pytest.approx(0, abs=1e-6) and same[False]["fscore_2cm"] == 1
    farther = score_cloud(CloudJob(Prediction(depth=1.02 * truth), truth, camera)).figures[False]
    assert 0.02 < farther["accuracy"] < 0.1 and farther["fscore_10cm"] > farther["fscore_2cm"]
    relative = score_cloud(CloudJob(Prediction(disparity=4 / truth - 0.3), truth, camera)).figures[False]
    assert relative["chamfer"] == pytest.approx(0, abs=1e-4)
    half = truth.copy()
    half[:, 80:] = np.nan
    missing = score_cloud(CloudJob(Prediction(depth=half), truth, camera)).figures[False]
    assert missing["accuracy"] == pytest.approx(0, abs=1e-6) and missing["completeness"] < 0.7
    truth[1:] = truth[:, 80:] = np.nan
    assert "at least 50 points" in score_cloud(CloudJob(Prediction(depth=truth), truth, camera)).reason


def test_corruptions_grow_and_masks_match_planted_objects() -> None:
    rows_, columns = np.mgrid[:96, :128]
    rgb = np.stack([rows_ * 2, columns, 128 + 40 * np.sin(columns / 3)], axis=-1).astype(np.uint8)
    for each in CORRUPTIONS:
        off = [np.abs(each.apply(rgb, severity).astype(int) - rgb).mean() for severity in range(4)]
        assert off[0] == 0 and off == sorted(off) and len(set(off)) == 4, each.name
        assert each.apply(rgb, 2).shape == rgb.shape and each.apply(rgb, 2).dtype == np.uint8
    assert np.std(CORRUPTIONS[0].apply(np.full((200, 200, 3), 128, np.uint8), 2)) == pytest.approx(20, rel=0.02)
    for plant in (with_occluder, with_noise_patch):
        made, inside = plant(rgb, 3)
        assert np.array_equal(made[~inside], rgb[~inside]) and (made[inside] != rgb[inside]).any(axis=1).mean() > 0.9
        assert 0.02 < inside.mean() < 0.3 and np.array_equal(plant(rgb, 3)[0], made)
    assert all(image.shape == rgb.shape and image.dtype == np.uint8 for image in unseen_domains(rgb, 0))


def test_errors_of_relative_models_are_those_of_inverse_depth() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 5, (40, 50)).astype(np.float32)
    noise = rng.normal(0, 0.01, truth.shape)
    relative = Prediction(
        disparity=((1 / truth + noise - 0.1) / 2).astype(np.float32), sigma=np.full(truth.shape, 0.005, np.float32)
    )
    error, sigma = frame_errors(relative, truth)
    assert error == pytest.approx(np.abs(noise).ravel(), abs=2e-3) and sigma == pytest.approx(0.01, rel=0.02)
    metric = Prediction(depth=1.1 * truth, sigma=0.1 * truth)
    error, sigma = frame_errors(metric, truth)
    assert np.mean(error <= sigma) == sigma_calibration(1.1 * truth, 0.1 * truth, truth).coverage_1

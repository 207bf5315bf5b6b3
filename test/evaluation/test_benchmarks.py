"""NYU Depth V2, KITTI and image folders evaluated by the command, against figures computed independently here."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_evaluation import Model, stand_in
from made_training_sets import (
    KITTI_HEIGHT,
    KITTI_WIDTH,
    colour,
    depth,
    kitti_known,
    write_kitti,
    write_nyu_csv,
    write_nyu_mat,
    write_pairs,
    write_splits,
)
from numpy.typing import NDArray

from mono_depth_recon.cli import main
from mono_depth_recon.metrics.protocols import INDOOR

REAL = os.environ.get("MONO_DEPTH_RECON_DATA", "")
NYU_CROP = (slice(4, 47), slice(4, 60))  # of 48 x 64: a tenth of rows 45:471 and columns 41:601
KITTI_CROP = (slice(15, 36), slice(4, 119))  # of 37 x 124

Floats = NDArray[np.float64]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, Model]:
    """Stand-ins for the table."""
    return stand_in(monkeypatch)


def evaluated(output: Path, *arguments: str | Path, status: int = 0) -> list[dict[str, str]]:
    """The rows of per_frame.csv."""
    command = ["evaluate", *map(str, arguments), "--output", str(output), "--workers", "1"]
    assert main(command) == status
    with (output / "per_frame.csv").open() as stream:
        return list(csv.DictReader(stream))


def of(rows: list[dict[str, str]], model: str, protocol: str) -> list[dict[str, str]]:
    return [row for row in rows if (row["model"], row["protocol"]) == (model, protocol)]


def answer(rgb: NDArray[np.uint8]) -> Floats:
    """The prediction of the stand-in `metric_model`: float32, as of models."""
    return (1 + cv2.blur(rgb.astype(np.float32), (5, 5)).mean(axis=2) / 100).astype(np.float64)


def errors(prediction: Floats, truth: Floats, inside: tuple[slice, slice], reach: float) -> dict[str, float]:
    """AbsRel, RMSE, the share within 1.25 and the pixels, from their definitions."""
    p, t = prediction[inside].ravel(), truth[inside].astype(np.float32).astype(np.float64).ravel()
    known = (t >= 1e-3) & (t <= reach)
    p, t = np.clip(p[known], 1e-3, reach), t[known]
    return {
        "abs_rel": float((np.abs(p - t) / t).mean()),
        "rmse": float(np.sqrt(((p - t) ** 2).mean())),
        "delta1": float((np.maximum(p / t, t / p) < 1.25).mean()),
        "pixels": float(t.size),
    }


def check(row: dict[str, str], expected: dict[str, float]) -> None:
    for name, value in expected.items():
        assert float(row[name]) == pytest.approx(value, rel=2e-5), name


def test_both_layouts_of_nyu_by_their_official_test_frames(tmp_path: Path, models: dict[str, Model]) -> None:
    mat = write_nyu_mat(tmp_path / "labeled.mat", ["kitchen_0004"] * 4)
    write_splits(tmp_path / "splits.mat", train=[4], test=[1, 2, 3])
    folder = write_nyu_csv(tmp_path / "layout", ["study_0003"], frames=2, tests=3)
    rows = evaluated(tmp_path / "out", mat, folder, "--models", "metric_model", "relative")
    assert {row["protocol"] for row in rows} == set(INDOOR)
    for name, step in (("labeled", 0.0), ("layout", 0.001)):
        chosen = [row for row in of(rows, "metric_model", "nyu") if row["recording"] == name]
        assert [row["frame"] for row in chosen] == ["000000", "000001", "000002"]
        for i, row in enumerate(chosen):
            truth = depth(i).astype(np.float64)
            truth = np.rint(truth / step) * step if step else truth  # the csv layout stores millimetres
            check(row, errors(answer(colour(i)), truth, NYU_CROP, 10.0))
    told = json.loads((tmp_path / "out/summary.json").read_text())
    assert all(each["sequence"] == {} for each in told["results"]), "unrelated images are no sequence"
    assert (tmp_path / "out/predictions/labeled/relative/000002.npz").is_file()
    page = (tmp_path / "out/report.html").read_text()
    assert "frame 0: kitchen_0004/0001" in page and "frame 0: nyu2_test/00000_colors.png" in page
    for text in (page, (tmp_path / "out/tables.md").read_text()):
        assert text.count("Ranftl et al., ICCV 2021") == 2, "once for each set, under its protocol alone"
        assert text.count("not measured here") == 2


def test_published_figures_stand_beside_test_frames_alone(tmp_path: Path, models: dict[str, Model]) -> None:
    folder = write_nyu_csv(tmp_path / "layout", ["study_0003"], frames=2, tests=1)
    evaluated(tmp_path / "out", folder, "--models", "metric_model", "--protocols", "nyu", "--split", "train")
    assert "ICCV 2021" not in (tmp_path / "out/tables.md").read_text() + (tmp_path / "out/report.html").read_text()


def test_kitti_by_its_own_protocol_beside_another_set(tmp_path: Path, models: dict[str, Model]) -> None:
    write_kitti(tmp_path / "kitti", {"2011_09_26_drive_0001_sync": "train", "2011_09_29_drive_0026_sync": "val"})
    folder = write_nyu_csv(tmp_path / "layout", ["study_0003"], frames=1, tests=1)
    baseline = ["--baseline-frames", f"{tmp_path / 'kitti'}:0:1"]
    rows = evaluated(tmp_path / "out", tmp_path / "kitti", folder, "--models", "metric_model", "relative", *baseline)
    of_kitti = [row for row in rows if row["recording"] == "kitti"]
    assert {row["protocol"] for row in of_kitti} == {"kitti"} and len(of_kitti) == 4 * 3
    for i, row in enumerate(of([*of_kitti], "metric_model", "kitti"), 5):  # images 5, 6 and 7 of the val part
        metres = np.rint(depth(i, KITTI_WIDTH, KITTI_HEIGHT, 60.0).astype(np.float64) * 256) / 256
        truth = np.where(kitti_known(i), metres, 0)
        check(row, errors(answer(colour(i, KITTI_WIDTH, KITTI_HEIGHT)), truth, KITTI_CROP, 80.0))
    known = np.concatenate(
        [
            np.rint(depth(i, KITTI_WIDTH, KITTI_HEIGHT, 60.0)[kitti_known(i)].astype(np.float64) * 256) / 256
            for i in (5, 6)  # of the train part
        ]
    )
    constant = np.full((KITTI_HEIGHT, KITTI_WIDTH), np.median(known))
    metres = np.rint(depth(5, KITTI_WIDTH, KITTI_HEIGHT, 60.0).astype(np.float64) * 256) / 256
    expected = errors(constant, np.where(kitti_known(5), metres, 0), KITTI_CROP, 80.0)
    check(of(of_kitti, "constant", "kitti")[0], expected)
    page = (tmp_path / "out/report.html").read_text()
    assert "Garg" in page and "under the KITTI protocol" in page


def test_image_folders_and_choosing_by_position(tmp_path: Path, models: dict[str, Model]) -> None:
    path = write_pairs(tmp_path / "mine", ["attic", "hall"], frames=3)
    (path / "camera.txt").write_text("60 60 31.5 23.5\n")
    options = ("--models", "metric_model", "--protocols", "metric", "--no-report")
    rows = evaluated(tmp_path / "out", f"{path}:1:4", *options)
    assert [row["frame"] for row in rows] == ["000001", "000002", "000003", "000004"]
    assert "not measured here" not in (tmp_path / "out/tables.md").read_text(), "these frames are nobody's benchmark"
    whole = (slice(None), slice(None))
    for row, i in zip(rows, (1, 2, 10, 11), strict=True):
        check(row, errors(answer(colour(i)), np.rint(depth(i).astype(np.float64) * 1000) / 1000, whole, 10.0))
    [row] = evaluated(tmp_path / "one", path, *options, "--frame", "3")
    assert row["frame"] == "000003"
    asked = models["metric_model"].asked
    evaluated(tmp_path / "out", path, *options)  # resumes: two frames are new
    assert models["metric_model"].asked == asked + 2


def test_another_part_of_the_split_is_another_evaluation(
    tmp_path: Path, models: dict[str, Model], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_nyu_csv(tmp_path / "layout", ["study_0003"], frames=2, tests=3)
    options = ("--models", "metric_model", "--protocols", "nyu", "--no-report")
    rows = evaluated(tmp_path / "out", folder, *options, "--split", "train")
    assert len(rows) == 2
    truth = np.rint(depth(1).astype(np.float64) / 10 * 255) / 25.5
    assert float(rows[0]["pixels"]) == errors(truth, truth, NYU_CROP, 10.0)["pixels"]
    assert main(["evaluate", str(folder), *options, "--output", str(tmp_path / "out")]) == 1
    assert "holds predictions of other settings or data" in capsys.readouterr().err
    mine = write_pairs(tmp_path / "mine", ["hall"], frames=1)
    arguments = [str(mine), *options, "--camera", "60 60 31.5 23.5", "--split", "test"]
    assert main(["evaluate", *arguments, "--output", str(tmp_path / "other")]) == 1
    assert "this data set has no official split" in capsys.readouterr().err


@pytest.mark.skipif(not (Path(REAL) / "nyu_depth_v2").is_dir() or not REAL, reason="MONO_DEPTH_RECON_DATA is not set")
def test_real_frames_of_nyu_against_an_independent_computation(tmp_path: Path, models: dict[str, Model]) -> None:
    folder = Path(REAL) / "nyu_depth_v2"
    rows = evaluated(tmp_path / "out", f"{folder}:0:4", "--models", "metric_model", "--protocols", "nyu", "--no-report")
    with (folder / "data/nyu2_test.csv").open() as stream:
        pairs = list(csv.reader(stream))
    assert len(pairs) == 654
    crop = (slice(45, 471), slice(41, 601))
    for row, (rgb, stored) in zip(rows, pairs[:5], strict=True):
        prediction = answer(np.ascontiguousarray(cv2.imread(str(folder / rgb))[..., ::-1]))
        truth = cv2.imread(str(folder / stored), cv2.IMREAD_UNCHANGED).astype(np.float64) / 1000
        check(row, errors(prediction, truth, crop, 10.0))

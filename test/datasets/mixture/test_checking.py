"""Whether depth is plausible, and the check of training data before a run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from made_training_sets import colour, depth, write_nyu_csv, write_nyu_mat, write_pairs, write_png

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.datasets.dataset import Dataset, Problem
from mono_depth_recon.datasets.depth_units import DepthSize, frame_problem, set_problem
from mono_depth_recon.datasets.mixture.checking import CheckReport, check_data
from mono_depth_recon.errors import DataError
from mono_depth_recon.frames import Sample

PAIRS = {"kind": "image_folder", "camera": "60 60 31.5 23.5"}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"), [f"room {i:02d}" for i in range(20)], frames=2)


# Depth units


@pytest.mark.parametrize(
    ("stored_per_metre", "read_per_metre", "far", "max_depth"),
    [
        (1000, 5000, 6.0, 10.0),
        (5000, 1000, 6.0, 10.0),
        (1000, 1, 6.0, 10.0),
        (256, 5000, 60.0, 80.0),
        (25.5, 1000, 6.0, 10.0),
        (1000, 25.5, 6.0, 10.0),
        (1000, 256, 60.0, 80.0),
        (100, 1000, 6.0, 10.0),
    ],
)
def test_a_wrong_factor_is_found_and_the_likely_one_named(
    stored_per_metre: float, read_per_metre: float, far: float, max_depth: float
) -> None:
    sizes = [DepthSize.of(depth(i, far=far) * stored_per_metre / read_per_metre) for i in range(5)]
    message = set_problem([size for size in sizes if size is not None], max_depth, read_per_metre)
    median = float(np.median([np.median(depth(i, far=far)) for i in range(5)]))
    found = re.search(
        rf"read with {read_per_metre:g} per metre, likely is {stored_per_metre:g} \(median (\S+) m", message
    )
    assert found is not None, message
    assert float(found[1]) == pytest.approx(median, rel=0.05)
    right = DepthSize.of(depth(2, far=far))
    assert right is not None and set_problem([right], max_depth, stored_per_metre) == ""


def test_a_single_frame_is_judged_more_mildly() -> None:
    assert frame_problem(np.full((4, 4), 0.3, np.float32), 10, 1000) == ""  # a close-up
    assert "depth unit implausible: the median is 0.02 m" in frame_problem(np.full((4, 4), 0.02, np.float32), 10, 1000)
    assert "likely is 1000" in frame_problem(depth(0) * 1000, 10, 1)
    assert frame_problem(None, 10, 1) == frame_problem(np.full((4, 4), np.nan, np.float32), 10, 1)


# The check before a run


def checked(sources: list[dict[str, object]], **options: int) -> CheckReport:
    return check_data({"shares": "50 25 25", "sources": sources}, 1, **options)


def texts(report: CheckReport) -> list[str]:
    return [str(problem) for problem in report.problems]


def test_good_data_passes_and_nothing_is_written(pairs: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    report = check_data(
        {"sources": [{**PAIRS, "path": str(pairs)}]}, 1, tmp_path, progress=lambda *step: steps.append(step)
    )
    assert report.ok and report.frames == {"image_folder": 40} and not list(tmp_path.iterdir())
    assert steps == [(i, 40, "image_folder") for i in range(1, 41)]
    assert report.lines()[-1] == "frames read: 40 of image_folder; nothing is wrong"
    quick = check_data({"sources": [{**PAIRS, "path": str(pairs)}]}, 1, frames_per_source=5)
    assert quick.ok and quick.frames == {"image_folder": 5}


def test_every_kind_of_bad_frame_is_named_with_its_file(tmp_path: Path) -> None:
    write_pairs(tmp_path, ["a", "b", "c", "d"], frames=10)
    (tmp_path / "a/depth/0.png").write_bytes((tmp_path / "a/depth/0.png").read_bytes()[:300])
    write_png(tmp_path / "a/depth/1.png", np.zeros((48, 64), np.uint16))
    write_png(tmp_path / "b/depth/0.png", np.rint(depth(0, 32, 24) * 1000).astype(np.uint16))
    write_png(tmp_path / "b/depth/1.png", np.rint(depth(0) * 25.5).astype(np.uint8))
    write_png(tmp_path / "c/depth/0.png", np.rint(depth(0) * 25.5).astype(np.uint16))
    (tmp_path / "d/depth/0.png").unlink()
    report = checked([{**PAIRS, "path": str(tmp_path)}])
    found = {problem.where.removeprefix(f"{tmp_path}/"): problem.text for problem in report.bad}
    assert set(found) == {f"{pair[0]}/rgb/{pair[1]}.png" for pair in ("a0", "a1", "b0", "b1", "c0", "d0")}
    assert found["a/rgb/0.png"].endswith("a/depth/0.png is cut short: its end is missing") or (
        "is not an image that can be read" in found["a/rgb/0.png"]
    )
    assert found["a/rgb/1.png"] == "no pixel has a known depth"
    assert "depth has 32x24 pixels, expected 64x48" in found["b/rgb/0.png"]
    assert "depth must be one channel of 16 bits" in found["b/rgb/1.png"]
    assert "depth unit implausible" in found["c/rgb/0.png"] and "likely is 25.5" in found["c/rgb/0.png"]
    assert "has no depth image" in found["d/rgb/0.png"]
    with pytest.raises(DataError, match="too many bad frames: 1 of 39 lack a file, "):
        report.raise_if_bad()


def test_one_bad_frame_does_not_stop_a_run_but_a_check_fails(tmp_path: Path) -> None:
    write_pairs(tmp_path, ["a", "b", "c", "d"], frames=5)
    write_png(tmp_path / "a/depth/1.png", np.zeros((48, 64), np.uint16))
    report = checked([{**PAIRS, "path": str(tmp_path)}])
    report.raise_if_bad()
    assert not report.ok and texts(report) == [f"{tmp_path}/a/rgb/1.png: no pixel has a known depth"]


def test_a_wrong_factor_is_one_problem_of_the_set(tmp_path: Path) -> None:
    write_pairs(tmp_path, ["a", "b", "c", "d"], frames=2, per_metre=5000.0)
    report = checked([{**PAIRS, "path": str(tmp_path), "depth_factor": 1000}])
    assert len(report.problems) == 1
    assert "image_folder: depth unit implausible: over 8 frames the median is 14" in texts(report)[0]
    assert "read with 1000 per metre, likely is 5000" in texts(report)[0]
    assert checked([{**PAIRS, "path": str(tmp_path), "depth_factor": 5000}]).ok


def test_lines_of_a_csv_that_point_nowhere_are_all_named(tmp_path: Path) -> None:
    write_nyu_csv(tmp_path, [f"den_{i:04d}" for i in range(4)], frames=2)
    (tmp_path / "data/nyu2_train/den_0001_out/2.png").unlink()
    (tmp_path / "data/nyu2_test/00002_colors.png").unlink()
    report = checked([{"kind": "nyu_csv", "path": str(tmp_path)}])
    assert texts(report) == [
        f"{tmp_path}/data/nyu2_train.csv:4: names {tmp_path}/data/nyu2_train/den_0001_out/2.png, which is missing",
        f"{tmp_path}/data/nyu2_test.csv:3: names {tmp_path}/data/nyu2_test/00002_colors.png, which is missing",
    ]
    assert report.frames == {"nyu_csv": 10}


def test_all_sources_are_checked_even_if_the_first_cannot_be_opened(tmp_path: Path) -> None:
    mat = write_nyu_mat(tmp_path / "nyu.mat", ["den_0001"] * 4)
    mat.write_bytes(mat.read_bytes()[:20_000])
    write_pairs(tmp_path / "two", ["a", "b"], frames=2)
    report = checked(
        [
            {"kind": "nyu_mat", "path": str(mat)},
            {**PAIRS, "path": str(tmp_path / "two")},
            {"kind": "kitti", "path": str(tmp_path / "no"), "depth_path": str(tmp_path)},
        ]
    )
    where = [problem.where for problem in report.faults]
    assert where == ["nyu_mat", "image_folder", "kitti"]
    assert "nyu.mat is cut short, it has 20000 of" in texts(report)[0]
    assert "2 scenes (a, b) cannot be split into train, validation, test: a split would be empty" in texts(report)[1]
    assert report.frames == {"image_folder": 4} and report.lines()[-1].endswith("3 problems")
    with pytest.raises(DataError, match=r"cut short.*\(and 2 more problems\)"):
        report.raise_if_bad()


def test_of_rendered_frames_two_are_checked_and_the_set_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def close_up(source: Dataset, i: int) -> Sample:
        read.append(i)
        camera = PinholeCamera.from_intrinsics(64, 48, 60, 60, 31.5, 23.5)
        return Sample(colour(i), camera, np.full((48, 64), 0.3, np.float32))

    monkeypatch.setattr("mono_depth_recon.datasets.rooms.source.ManyRooms.read", close_up)
    report = check_data({"sources": [{"kind": "rooms", "rooms": 20, "frames_per_room": 5}]}, 1)
    assert report.ok and read == [0, 99] and "80 of 16 scenes" in report.splits[1]


def test_a_long_list_of_problems_is_cut() -> None:
    report = CheckReport(bad=[Problem(f"x.csv:{i}", "is missing") for i in range(50)])
    assert report.lines(3)[:4] == ["x.csv:0: is missing", "x.csv:1: is missing", "x.csv:2: is missing", "and 47 more"]


def test_real_desks_are_plausible_and_a_wrong_factor_is_not(data_folder: Path) -> None:
    source = {
        "kind": "tum",
        "path": "tum/rgbd_dataset_freiburg1_rpy_part",
        "split": "positions",
        "train": "0-100",
        "validation": "101-120",
        "test": "121-140",
    }
    assert check_data({"root": str(data_folder), "sources": [source]}, 1, frames_per_source=4).ok
    report = check_data(
        {"root": str(data_folder), "sources": [{**source, "depth_factor": 1000}]}, 1, frames_per_source=4
    )
    assert len(report.faults) == 1 and "likely is 5000" in texts(report)[0]

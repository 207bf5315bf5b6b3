"""The benchmark: its room is exact, wrong results are never timed, failures are rows, reports are complete."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from mono_depth_recon.arrays import Depth, Points, Rgb
from mono_depth_recon.benchmark import frame_path as benchmark
from mono_depth_recon.benchmark.frame_path import MEASUREMENTS, Settings, measure
from mono_depth_recon.benchmark.rows import Row, csv_text, markdown
from mono_depth_recon.benchmark.scene import room
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cli import main
from mono_depth_recon.cloud.back_projection import back_project

QUICK = Settings(repeats=3)


def test_the_room_is_a_box() -> None:
    """Against Open3D's ray casting of the same box."""
    import open3d as o3d

    camera = PinholeCamera.from_hfov(320, 240, 75)
    depth, rgb = room(camera)
    box = o3d.geometry.TriangleMesh.create_box(4.0, 2.5, 5.0).translate((-2.0, -1.3, -1.0))
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.t.geometry.TriangleMesh.from_legacy(box))
    x, y = camera.rays
    rays = np.zeros((240, 320, 6), np.float32)
    rays[..., 3], rays[..., 4], rays[..., 5] = x[None], y[:, None], 1.0
    np.testing.assert_allclose(depth, scene.cast_rays(o3d.core.Tensor(rays))["t_hit"].numpy(), rtol=1e-5)
    assert rgb.dtype == np.uint8
    assert rgb.std() > 20


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("cloud", ["depth and colour to cloud", "depth and colour to cloud / memcpy"]),
        ("filters", ["filter: flying pixels", "filter: range, mask and border"]),
        (
            "frame-openvino",
            [
                "openvino: rectify",
                "openvino: model",
                "openvino: filter",
                "openvino: guard",
                "openvino: cloud",
                "openvino: image to cloud",
                "openvino: rate with cloud",
            ],
        ),
        ("mesh-grid", ["mesh: grid"]),
        ("start-openvino", ["openvino: process start to first frame"]),
        ("import", ["import mono_depth_recon", "import mono_depth_recon.pipeline"]),
    ],
)
def test_every_measurement_gives_its_figures(name: str, figures: list[str]) -> None:
    rows = list(measure(QUICK, [name]))
    assert [row.name for row in rows] == figures, rows
    assert all(row.value is not None and np.isfinite(row.value) and row.value > 0 and row.unit for row in rows)


def test_the_runtimes_agree() -> None:
    (row,) = measure(QUICK, ["agreement"])
    assert (row.name, row.verdict) == ("openvino against torch, largest relative difference", "ok"), row


def test_a_wrong_cloud_is_a_failed_row_and_never_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(depth: Depth, camera: PinholeCamera, rgb: Rgb, stride: int = 1, out: Points | None = None) -> Points:
        points = back_project(depth, camera, rgb, stride, out)
        points[..., 0] += np.float32(0.001)
        return points

    monkeypatch.setattr(benchmark, "back_project", shifted)
    (row,) = measure(QUICK, ["cloud"])
    assert (row.name, row.value, row.verdict) == ("cloud", None, "failed")
    assert "the cloud differs from its definition by 0.001 m" in row.note


def test_a_filter_that_finds_nothing_is_a_failed_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark.filters, "flying_pixels", lambda depth, threshold: np.zeros(depth.shape, np.bool_))
    (row,) = measure(QUICK, ["filters"])
    assert row.verdict == "failed"
    assert "must find the step" in row.note


def test_a_runtime_that_is_missing_is_a_row_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "none.json")
    command = ["benchmark", "--only", "filters", "frame-torch", "start-openvino", "--model.checkpoint", missing]
    assert main([*command, "--output", str(tmp_path), "--repeats", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum("failed" in line and "none.json cannot be read" in line for line in lines) == 2
    assert lines[0].startswith("filter: flying pixels"), "the others are measured"
    assert "| frame-torch |  |  | failed | model card" in (tmp_path / "benchmark.md").read_text()


def test_the_command_writes_markdown_and_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--only", "filters", "--repeats", "2", "--output", str(tmp_path / "made")]) == 0
    assert f"written to {tmp_path / 'made' / 'benchmark.md'}" in capsys.readouterr().out
    with (tmp_path / "made" / "benchmark.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["measurement"] for row in rows] == ["filter: flying pixels", "filter: range, mask and border"]
    assert all(float(row["value"]) > 0 and row["unit"] == "ms" for row in rows)
    assert all(f"numpy {np.__version__}" in row["versions"] and "cores" in row["device"] for row in rows)
    assert len(list((tmp_path / "made").iterdir())) == 2


def test_verdicts() -> None:
    assert Row("a", 1.0).verdict == ""
    assert Row("a", 1.0, "s", 1.0).verdict == "ok"
    assert Row("a", 1.01, "s", 1.0).verdict == "over"
    assert Row("a", None, limit=1.0).verdict == "failed"


def test_a_figure_over_its_limit_ends_with_status_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MEASUREMENTS, "filters", lambda settings: iter([Row("slow", 2.0, "s", 1.0)]))
    assert main(["benchmark", "--only", "filters", "--output", str(tmp_path)]) == 1


def test_tables_are_well_formed() -> None:
    rows = [Row("a | b", 1234.5, "ms", 4000), Row("c", 0.012345, "x", 4.0, 'note, with "quotes"'), Row("d", None)]
    lines = markdown(rows).splitlines()
    assert lines[2:] == [
        "| measurement | median | limit | verdict | note |",
        "| --- | --- | --- | --- | --- |",
        "| a \\| b | 1234 ms | 4000 ms | ok |  |",
        '| c | 0.0123 x | 4 x | ok | note, with "quotes" |',
        "| d |  |  | failed |  |",
    ]
    parsed = list(csv.DictReader(csv_text(rows).splitlines()))
    assert [row["value"] for row in parsed] == ["1234.5", "0.012345", ""]
    assert parsed[1]["note"] == 'note, with "quotes"'


def test_repeats_must_be_positive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--repeats", "0", "--output", str(tmp_path)]) == 1
    assert "--repeats must be at least 1, got 0" in capsys.readouterr().err

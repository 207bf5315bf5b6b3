"""Names of files and folders as users have them: bytes that are not UTF-8, brackets, dots."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from made_evaluation import stand_in
from made_recordings import CAMERA, Scene, write_folder

from mono_depth_recon.cli import main
from mono_depth_recon.photo import read_photo
from mono_depth_recon.pictures import views
from mono_depth_recon.report.page import write_report

LATIN_1 = os.fsdecode(b"caf\xe9")
SHOWN = "caf\\xe9"
CHEAP = ("--models", "metric_model", "--camera", CAMERA, "--protocols", "metric", "--workers", "1")


@pytest.fixture(autouse=True)
def coarse_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn with one ray a pixel."""
    monkeypatch.setattr(views, "_SUPERSAMPLING", 1)


def write_photo(path: Path) -> Path:
    encoded = cv2.imencode(".png", np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8))[1]
    path.write_bytes(encoded.tobytes())
    return path


@pytest.mark.usefixtures("floor_model")
def test_reconstruct_takes_an_image_whose_name_is_not_utf_8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = write_photo(tmp_path / f"{LATIN_1}.png")
    flags = ["--hfov", "60", "--mesh.format", "obj", "--mesh.texture", "true", "--mesh.method", "grid"]
    assert main(["reconstruct", str(image), "--output", str(tmp_path / "out"), *flags]) == 0
    printed = capsys.readouterr().out
    assert f"{SHOWN}.png: 64x48" in printed and f"/{SHOWN}_*" in printed
    material = (tmp_path / "out" / f"{LATIN_1}_mesh.mtl").read_bytes()
    assert b"\nmap_Kd caf\xe9_mesh.jpg\n" in material, "the name that the file has"
    assert (tmp_path / "out" / f"{LATIN_1}_mesh.jpg").is_file()
    assert b"\nmtllib caf\xe9_mesh.mtl\n" in (tmp_path / "out" / f"{LATIN_1}_mesh.obj").read_bytes()
    assert read_photo(tmp_path / "out" / f"{LATIN_1}_overview.png").shape[1] > 1000


@pytest.mark.usefixtures("floor_model")
def test_reconstruct_refuses_a_name_that_an_obj_cannot_hold_before_it_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = write_photo(tmp_path / "two\nlines.png")
    flags = ["--hfov", "60", "--mesh.format", "obj", "--mesh.texture", "true", "--mesh.method", "grid"]
    assert main(["reconstruct", str(image), "--output", str(tmp_path / "out"), *flags]) == 1
    said = capsys.readouterr().err.splitlines()[-2]
    assert said.startswith("[1/1] error: ") and said.endswith("or set mesh.format=glb") and r"two\x0alines_mesh" in said
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.usefixtures("floor_model")
def test_reconstruct_goes_on_after_an_image_whose_name_is_too_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """244 characters: the image can be read, the files named by it cannot be written."""
    images = [str(write_photo(tmp_path / f"{stem}.png")) for stem in ("x" * 240, "good")]
    images.insert(1, str(tmp_path / ("y" * 480)))
    assert main(["reconstruct", *images, "--output", str(tmp_path / "out"), "--hfov", "60"]) == 1
    printed = capsys.readouterr()
    first, second, count = printed.err.splitlines()[-3:]
    assert first.startswith("[1/3] error: ") and "the name is too long: 'xxx" in first
    assert second.startswith("[2/3] error: ") and "File name too long" in second
    assert count == "2 of 3 images failed" and "[3/3]" in printed.out
    assert {path.name.split("_")[0] for path in (tmp_path / "out").iterdir()} == {"good"}


def test_evaluate_takes_a_recording_whose_name_is_not_utf_8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names in tables, CSV and the page are printable; the path is kept as it is, so that the report finds it again."""
    stand_in(monkeypatch)
    path, output = write_folder(tmp_path / "plain", Scene()).rename(tmp_path / LATIN_1), tmp_path / "results"
    broken = sorted((path / "rgb").iterdir())[3]
    broken.write_bytes(b"no image")
    assert main(["evaluate", str(path), *CHEAP, "--output", str(output)]) == 1
    printed = capsys.readouterr()
    assert f"| {SHOWN} | metric_model | 5 |" in printed.out and f"metric_model on {SHOWN}: 1 of 6 failed" in printed.err
    assert f",{broken.name}" not in printed.err and SHOWN in (output / "per_frame.csv").read_text(encoding="utf-8")
    assert SHOWN in (output / "tables.md").read_text(encoding="utf-8")
    assert json.loads((output / "summary.json").read_text(encoding="utf-8"))["results"][0]["recording"] == SHOWN
    assert yaml.safe_load((output / "config.yaml").read_text(encoding="utf-8"))["data"] == [str(path)]
    assert (output / "predictions" / SHOWN).is_dir()
    page = write_report(output).read_text(encoding="utf-8")
    assert SHOWN in page and "does not say where" not in page and list((output / "pictures").iterdir())


def test_fuse_takes_a_recording_whose_name_is_not_utf_8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = Scene()
    scene.depth[:], scene.positions = 10_000, np.zeros_like(scene.positions)  # a wall at 2 m
    path, output = write_folder(tmp_path / "plain", scene).rename(tmp_path / LATIN_1), tmp_path / f"{LATIN_1}_fused"
    flags = ["--camera", CAMERA, "--fusion.voxel_size", "0.1", "--fusion.device", "cpu", "--fusion.depth_max", "8"]
    words = ["--true-depth", "--overview", "--orbit", "mp4", "--output", str(output)]
    assert main(["fuse", str(path), *flags, *words]) == 0
    assert f"/{SHOWN}: " in capsys.readouterr().out
    assert f"/{SHOWN}: " in (output / "report.txt").read_text(encoding="utf-8")
    assert read_photo(output / "overview.png").shape[1] > 1000
    assert (output / "orbit.mp4").stat().st_size > 1000


def test_recordings_are_told_apart_after_the_first_dot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch)
    paths = [str(write_folder(tmp_path / name, Scene())) for name in ("v1.0_desk", "v1.1_desk", "desk [2]")]
    assert main(["evaluate", *paths, *CHEAP, "--output", str(tmp_path / "results"), "--no-report"]) == 0
    printed = capsys.readouterr().out
    assert all(f"| {name} | metric_model | 6 |" in printed for name in ("v1.0_desk", "v1.1_desk", "desk [2]"))

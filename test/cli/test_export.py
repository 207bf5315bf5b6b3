"""`mono-depth-recon export`: an ONNX file that other programs run, equal to torch; errors in one line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cli import main
from mono_depth_recon.cli.export import export
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.models import load_model

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("segmentation_models_pytorch")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_file_runs_elsewhere_and_equals_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out" / "depth.onnx"
    assert main(["export", "--output", str(path), "--image-size", "320x240", "--model.input_size", "96"]) == 0
    printed = capsys.readouterr().out
    assert f"written to {path}: image (1, 3, 96, 128) -> depth" in printed
    assert "differs from float32 torch by" in printed
    assert sorted(file.name for file in path.parent.iterdir()) == ["depth.onnx"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(port.name, port.shape, port.type) for port in session.get_inputs()] == [
        ("image", [1, 3, 96, 128], "tensor(float)")
    ]
    assert [port.name for port in session.get_outputs()] == ["depth"]


def test_what_the_file_answers_is_what_the_model_publishes(tmp_path: Path) -> None:
    settings = ModelConfig(input_size=96, runtime="torch")
    shape, difference = export(settings, tmp_path / "depth.onnx", (128, 96))
    assert shape == (1, 3, 96, 128)
    assert difference is not None
    assert difference < 1e-4
    camera = PinholeCamera.from_hfov(128, 96, 60)
    rgb = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    model = load_model(settings)
    image = model.network_input((rgb, camera))  # type: ignore[attr-defined]
    session = onnxruntime.InferenceSession(tmp_path / "depth.onnx", providers=["CPUExecutionProvider"])
    canonical = session.run(["depth"], {"image": image})[0][0, 0]
    published = model.predict([(rgb, camera)])[0].depth
    assert published is not None
    ratio = published / canonical  # the focal length's factor
    assert ratio.std() / ratio.mean() < 1e-4


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model.name", "unetpp_mobil"], "did you mean 'unetpp_mobile'"),
        (["--model.name", "ensemble:unetpp_mobile+unetpp_mobile"], "is not one network: export its members"),
        (["--model.checkpoint", "no.json"], "no.json cannot be read"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert main(["export", "--output", str(tmp_path / "x.onnx"), *flags]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "x.onnx").exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["export", "--output", str(tmp_path / "file" / "x.onnx")]) == 1
    assert "cannot make the folder" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["640", "0x480", "640x480x3", "-1x2"])
def test_a_wrong_size_is_refused(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", "--output", "x.onnx", f"--image-size={size}"])
    assert "must be WIDTHxHEIGHT in pixels such as 640x480" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(network: object, shape: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mono_depth_recon.cli.export.export_onnx", full)
    folder = tmp_path / "out"
    assert main(["export", "--output", str(folder / "depth.onnx"), "--model.input_size", "96"]) == 1
    error = capsys.readouterr().err
    assert "depth.onnx: No space left on device; free some space" in error and "Traceback" not in error
    assert not list(folder.iterdir())

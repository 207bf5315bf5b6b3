"""Bad recordings and models on the command line: a row with the reason or a warning, never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_evaluation import stand_in
from made_recordings import CAMERA, ROS1, Messages, Plan, Scene, tum_plan, write_folder, write_ros1

from mono_depth_recon.cli import main


def no_depth(folder: Path) -> Path:
    return write_ros1(folder / "desk.bag", [row for row in tum_plan(Scene(), ROS1) if "depth" not in row[1]])


def no_overlap(folder: Path) -> Path:
    return write_ros1(folder / "desk.bag", tum_plan(Scene(late_ns=60 * 10**9), ROS1))


def wrong_factor(folder: Path) -> Path:
    """16UC1 in units of 1/5000 m, which is not the default of bags."""
    return write_ros1(folder / "desk.bag", integers(Scene()))


def integers(scene: Scene, other_size: int = -1) -> Plan:
    make, plan = Messages(ROS1), []
    for i, stamp in enumerate(scene.stamps_ns):
        rgb = np.ascontiguousarray(scene.rgb[i, :24, :32]) if i == other_size else scene.rgb[i]
        plan += [
            (stamp, "/cam/camera_info", "sensor_msgs/msg/CameraInfo", make.info(stamp, (64, 48))),
            (stamp, "/cam/image_raw", "sensor_msgs/msg/Image", make.image(stamp, rgb, "rgb8")),
            (stamp, "/cam/depth/image_raw", "sensor_msgs/msg/Image", make.image(stamp, scene.depth[i], "16UC1")),
        ]
    return plan


def mixed_sizes(folder: Path) -> Path:
    return write_ros1(folder / "desk.bag", integers(Scene(), other_size=3))


def other_depth_size(folder: Path) -> Path:
    path = write_folder(folder / "desk", Scene())
    cv2.imwrite(str(sorted((path / "depth").iterdir())[2]), np.full((24, 32), 5000, np.uint16))
    return path


def empty_mask(folder: Path) -> Path:
    scene = Scene()
    scene.depth[2] = 0
    return write_folder(folder / "desk", scene)


def corrupt_image(folder: Path) -> Path:
    path = write_folder(folder / "desk", Scene())
    image = sorted((path / "rgb").iterdir())[3]
    image.write_bytes(image.read_bytes()[:600])
    return path


@pytest.mark.parametrize(
    ("make", "model", "scored", "says"),
    [
        (no_depth, "metric_model", 0, "has no depth topic (images in 16UC1, 32FC1 or compressedDepth)"),
        (no_overlap, "metric_model", 0, "no colour image has a depth image within 0.02 s"),
        (mixed_sizes, "metric_model", 5, "colour: expected 64x48 pixels, as the camera has, got 32x24"),
        (other_depth_size, "metric_model", 5, "depth: expected 64x48 pixels, as the camera has, got 32x24"),
        (empty_mask, "metric_model", 5, "no pixel to compare: none has truth between 0.001 and 10 m"),
        (corrupt_image, "metric_model", 5, "is not an image that can be read"),
        (
            lambda folder: write_folder(folder / "desk", Scene()),
            "broken",
            4,
            "none of them a positive finite prediction",
        ),
    ],
)
def test_broken_input_is_a_row_with_the_reason(
    make: Callable[[Path], Path],
    model: str,
    scored: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stand_in(monkeypatch)
    workers = "2" if make is corrupt_image else "1"
    status = main(
        [
            "evaluate",
            str(make(tmp_path)),
            "--models",
            model,
            "--output",
            str(tmp_path / "results"),
            "--camera",
            CAMERA,
            "--protocols",
            "metric",
            "--workers",
            workers,
            "--no-report",
        ]
    )
    printed = capsys.readouterr()
    assert status == 1 and says in printed.out and f"| {model} | {scored} |" in printed.out
    frames = 6 if scored else 1  # a recording that cannot be opened has one row
    assert f"{model} on desk: {frames - scored} of {frames} failed: " in printed.err
    assert "Traceback" not in printed.out + printed.err


def test_a_wrong_depth_factor_is_warned_of_with_the_likely_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch)
    path = wrong_factor(tmp_path)
    common = [
        "evaluate",
        str(path),
        "--models",
        "metric_model",
        "--protocols",
        "metric",
        "--workers",
        "1",
        "--no-report",
    ]
    assert main([*common, "--output", str(tmp_path / "a")]) == 0
    assert "depth_factor is 1000 per metre, likely is 5000 (median 2.2 m)" in capsys.readouterr().err
    assert main([*common, "--output", str(tmp_path / "b"), "--depth-factor", "5000"]) == 0
    assert "depth_factor" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere does not exist: expected a TUM folder"),
        (["room:3", "--models", "unetpp_lite", "unetpp_litte"], "did you mean 'unetpp_lite'?"),
    ],
)
def test_what_does_not_exist_is_told_before_anything_is_made(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *words, "--output", str(tmp_path / "results")]) == 1
    assert message in (text := capsys.readouterr().err) and text.count("\n") == 1
    assert not (tmp_path / "results").exists()

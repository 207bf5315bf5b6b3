"""Calibration from rendered boards: the camera that made the images is found again; the file is that of ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from boards import CHARUCO, CHESS, FISHEYE, PLAIN, POSES, SIZE, rays, seen

from mono_depth_recon.calibration.board import Board
from mono_depth_recon.calibration.camera_file import camera_text, read_camera, write_camera
from mono_depth_recon.calibration.intrinsics import LEAST_VIEWS, Calibration, calibrate
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cli import main
from mono_depth_recon.errors import CalibrationError, ConfigError


def found_again(board: Board, camera: PinholeCamera, model: str) -> Calibration:
    views = {str(i): board.find(seen(board, camera, pose)) for i, pose in enumerate(POSES)}
    return calibrate({name: view for name, view in views.items() if view is not None}, SIZE, model)


@pytest.mark.parametrize(
    ("board", "camera", "model"),
    [
        (CHESS, PLAIN, "plumb_bob"),
        (CHARUCO, PLAIN, "plumb_bob"),
        (CHESS, PLAIN, "rational_polynomial"),
        (CHESS, FISHEYE, "equidistant"),
    ],
)
def test_the_camera_that_took_the_images_is_found(board: Board, camera: PinholeCamera, model: str) -> None:
    made = found_again(board, camera, model)
    assert len(made.errors_px) >= LEAST_VIEWS and made.rms_px < 0.25 and not made.left_out
    assert [made.camera.fx, made.camera.fy] == pytest.approx([camera.fx, camera.fy], rel=0.015)
    assert [made.camera.cx, made.camera.cy] == pytest.approx([camera.cx, camera.cy], abs=3)
    assert made.camera.distortion_model == model and len(made.camera.D) == {"r": 8, "p": 5, "e": 4}[model[0]]
    v, u = np.mgrid[60:421:40, 80:561:40]  # where boards were
    grid = np.stack([u, v], -1).reshape(-1, 1, 2).astype(np.float64)
    assert np.percentile(np.abs(rays(made.camera, grid) - rays(camera, grid)), 90) < 0.01
    valid = made.camera.rectified_valid
    assert valid is None or valid.mean() > 0.98  # P leaves no black border


def test_a_view_of_another_board_is_left_out() -> None:
    views: dict[str, Any] = {str(i): CHESS.find(seen(CHESS, PLAIN, pose)) for i, pose in enumerate(POSES)}
    views["moved"] = type(views["0"])(views["0"].pixels + np.float32(3) * np.sin(views["0"].pixels), views["0"].places)
    made = calibrate(views, SIZE)
    assert list(made.left_out) == ["moved"] and made.camera.fx == pytest.approx(PLAIN.fx, rel=0.015)


def test_weak_sets_of_views_are_said_and_too_few_refused() -> None:
    flat = {str(i): CHESS.find(seen(CHESS, PLAIN, (0, 0, 0.02 * i, 0.0, 0.4 + 0.02 * i))) for i in range(6)}
    made = calibrate({name: view for name, view in flat.items() if view is not None}, SIZE)
    text = " ".join(made.notes)
    assert "tilt it by 20 to 45 degrees" in text and "parts of the image" in text
    with pytest.raises(CalibrationError, match="at least 5 views of the board that agree, got 1"):
        calibrate({"0": flat["0"]}, SIZE)  # type: ignore[dict-item]


def test_the_file_is_that_of_camera_info_manager(tmp_path: Path) -> None:
    R, P = cv2.Rodrigues(np.array([0.0, 0.01, 0.0]))[0], np.array([[560.0, 0, 320, 0], [0, 560, 240, 0], [0, 0, 1, 0]])
    camera = PinholeCamera(*SIZE, PLAIN.K, PLAIN.D, "plumb_bob", R, P)
    write_camera(tmp_path / "a.yaml", camera, "head")
    tree = yaml.safe_load((tmp_path / "a.yaml").read_text())
    assert list(tree) == [
        *("image_width", "image_height", "camera_name", "camera_matrix", "distortion_model"),
        *("distortion_coefficients", "rectification_matrix", "projection_matrix"),
    ]
    assert tree["camera_matrix"] == {"rows": 3, "cols": 3, "data": PLAIN.K.ravel().tolist()}
    assert tree["projection_matrix"]["data"] == P.ravel().tolist() and tree["camera_name"] == "head"
    again = read_camera(tmp_path / "a.yaml")
    assert np.array_equal(again.K, camera.K) and again.D == camera.D and again.R is not None and again.P is not None
    assert np.allclose(again.R, R) and np.array_equal(again.P, P[:, :3])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("camera_matrix", "cm"), r"expected a camera's YAML .* \(no 'camera_matrix'\)"),
        (("data: [580.0", "data: [x"), "could not convert"),
        (("580.0, 0.0", "580.0"), "cannot reshape"),
        (("image_width: 640", "image_width: 0"), "at least 1x1"),
        (("326.0, 0.0, 588.0", "3260.0, 0.0, 588.0"), "principal point"),
        (("image_width", "["), "YAML"),
    ],
)
def test_a_file_that_is_no_camera_is_one_line(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    (tmp_path / "a.yaml").write_text(camera_text(PLAIN, "a").replace(*change))
    with pytest.raises(CalibrationError, match=says) as caught:
        read_camera(tmp_path / "a.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Board.parse("8", 0.03), "COLUMNSxROWS, such as 8x6, got '8'"),
        (lambda: Board.parse("8x2", 0.03), "at least 3x3"),
        (lambda: Board.parse("8x6", 25), "0.0001 to 10 m wide, got 25: give metres"),
        (lambda: Board.parse("8x6", 0.03, 0.03), "narrower than its squares"),
        (lambda: Board.parse("8x6", 0.03, 0.02, "DICT_X").charuco(), "expected a dictionary of OpenCV"),
    ],
)
def test_boards_that_cannot_be(make: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for i, pose in enumerate(POSES):
        cv2.imwrite(f"{i}.png", seen(CHESS, PLAIN, pose))
    cv2.imwrite("empty.png", np.full((480, 640), 90, np.uint8))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    images = [f"{i}.png" for i in range(len(POSES))]
    command = ["calibrate", "--board", "7x5", "--square", "0.03"]
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert main([*command, *images, "empty.png", "broken.png", "--output", "head.yaml", "--name", name]) == 0
    printed = capsys.readouterr().out
    assert "empty.png: the board is not seen" in printed and "left out: broken.png" in printed
    assert read_camera(Path("head.yaml")).fx == pytest.approx(PLAIN.fx, rel=0.015)
    assert cv2.imread("head.png").shape[1] > 1200
    assert main([*command[:2], "9x6", *command[3:], *images]) == 1
    assert "is in none of 8 images, expected at least 5: count them again" in capsys.readouterr().err
    cv2.imwrite("small.png", cv2.resize(cv2.imread("0.png"), (320, 240)))
    assert main([*command, *images, "small.png"]) == 1
    assert "small.png: expected images of one size, got 320x240 after 640x480 pixels" in capsys.readouterr().err
    assert not Path("camera.yaml").exists()

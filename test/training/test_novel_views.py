"""New views of a recorded scene, against what the scene's own renderer shows from there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_recordings import CAMERA, Scene, write_folder

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.datasets.mixture.settings import data_settings
from mono_depth_recon.datasets.mixture.training_data import open_source
from mono_depth_recon.datasets.rooms.room import RoomSequence
from mono_depth_recon.errors import DataError
from mono_depth_recon.frames import Sample
from training.augment import known_depth
from training.novel_views import PER_METRE, ScenePictures, ViewOptions, main, random_pose, write_views

ROOM = PinholeCamera.from_hfov(160, 120, 62.0)


@pytest.fixture(scope="module")
def frames() -> list[Sample]:
    return list(RoomSequence(3, ROOM, length=24, rate_hz=6.0))


def test_a_view_is_what_a_camera_there_sees(frames: list[Sample]) -> None:
    """A frame that was left out: colour and depth as the room's own, but for edges and what no other frame saw."""
    left_out = frames[12]
    scene = ScenePictures(frames[:12] + frames[13:], ROOM)
    assert left_out.T_world_camera is not None
    rgb, depth, share = scene.view(ROOM, left_out.T_world_camera)
    error = np.abs(depth / known_depth(left_out) - 1)
    assert share > 0.9 and np.nanmedian(error) < 0.01 and np.nanmean(error < 0.05) > 0.9
    colour = np.abs(rgb.astype(float) - left_out.rgb)
    assert np.median(colour) < 10 < np.median(np.abs(frames[0].rgb.astype(float) - left_out.rgb))


def test_colour_is_not_taken_from_where_the_lens_saw_nothing(frames: list[Sample]) -> None:
    """The black rim of rectified pictures never shows."""
    raw = PinholeCamera.from_intrinsics(160, 120, ROOM.fx, ROOM.fy, ROOM.cx, ROOM.cy, (0.35, 0.0, 0.0, 0.0))
    covered = raw.rectified_valid
    assert covered is not None and covered.mean() < 0.95
    rimmed = [
        Sample(
            np.where(covered[..., None], np.maximum(f.rgb, 40), 0).astype(np.uint8),
            f.camera,
            f.depth,
            f.stamp,
            f.name,
            f.T_world_camera,
        )
        for f in frames
    ]
    scene = ScenePictures(rimmed, raw)
    rgb, _, _ = scene.view(ROOM, scene.poses[12])
    assert rgb.max(axis=2).min() >= 39


def test_poses_lie_about_the_recorded_ones() -> None:
    options, rng = ViewOptions(shift_m=0.1, tilt_deg=5.0), np.random.default_rng(0)
    poses = np.array([random_pose(np.eye(4)[None], options, rng) for _ in range(2000)])
    assert np.allclose(poses[:, :3, 3].std(axis=0), 0.1, rtol=0.1)
    assert np.allclose(np.degrees(np.arcsin(poses[:, :2, 2])).std(axis=0), 5.0, rtol=0.1)
    roll = np.degrees(np.arctan2(poses[:, 1, 0], poses[:, 0, 0]))
    assert np.allclose(np.histogram(roll, 4, (-180, 180))[0], 500, atol=100)


def test_a_part_of_a_recording_becomes_a_training_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wall, red in the first frames and blue in later ones, which are not to be looked at; 64x48 stays 4:3."""
    recording = write_folder(tmp_path / "wall", _red_and_blue_wall())
    folder = tmp_path / "views"
    words = ["--views", "5", "--width", "48", "--shift", "0.02", "--tilt", "2", "--coverage", "0.6"]
    assert main([f"{recording}:0:2", str(folder), *words, "--camera", CAMERA]) == 0
    assert capsys.readouterr().out == f"5 views of 3 frames in {folder}\n"
    source = {
        "kind": "image_folder",
        "path": str(folder),
        "colour": "rgb/{frame}.jpg",
        "depth": "depth/{frame}.png",
        "depth_factor": float(PER_METRE),
        "camera": "camera.txt",
        "split": "train",
    }
    views = open_source(settings := data_settings({"sources": [source]}), settings.sources[0])
    assert len(views) == 5
    for sample in (views.read(i) for i in range(5)):
        red, _, blue = np.median(sample.rgb.reshape(-1, 3), axis=0)
        assert sample.rgb.shape == (36, 48, 3) and red > 150 and blue < 80
        assert np.nanmedian(np.abs(known_depth(sample) - 2.0)) < 0.15
        assert sample.camera.fx == pytest.approx(50 * 48 / 64, abs=1e-3)


def _red_and_blue_wall() -> Scene:
    scene = Scene()
    scene.depth[:] = 10000
    scene.positions = np.array([[0.04 * (i % 3), 0, 0] for i in range(scene.frames)])
    scene.rgb[:3], scene.rgb[3:] = (200, 40, 20), (20, 40, 200)
    return scene


def test_nothing_is_made_where_frames_saw_too_little(tmp_path: Path) -> None:
    recording = write_folder(tmp_path / "wall", _red_and_blue_wall())
    with pytest.raises(DataError, match="none of 200 views has 90% of its pixels"):
        write_views(f"{recording}:0:2", tmp_path / "views", 1, ViewOptions(width=32, shift_m=5.0, camera=CAMERA))


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["nowhere:0:3"], ["nowhere"], ["nowhere:0:3", "--views", "0"]):
        assert main([words[0], str(tmp_path / "out"), *words[1:]]) == 1
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    with pytest.raises(DataError, match="pose"):
        ScenePictures([Sample(np.zeros((120, 160, 3), np.uint8), ROOM, np.ones((120, 160), np.float32))], ROOM)

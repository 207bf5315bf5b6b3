"""Prepared frames are those of the files as they are now."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from made_training_sets import write_nyu_csv

pytest.importorskip("torch")

from mono_depth_recon.datasets.dataset import Part
from mono_depth_recon.datasets.image_folder import ImageFolder
from mono_depth_recon.datasets.nyu.csv_layout import NyuCsv
from mono_depth_recon.errors import DataError
from training.augment import known_depth
from training.kept_frames import keep


def _kept(path: Path, cache: Path) -> Part:
    source = NyuCsv("nyu", path)
    part = Part(source, "train", source.official()["train"])
    keep(part, cache, 1)
    return part


def test_a_changed_depth_and_a_mended_colour_are_seen(tmp_path: Path) -> None:
    """Of other frames than the first, in files of the same names; what has not changed is not prepared again."""
    path, cache = write_nyu_csv(tmp_path / "nyu", ["a_0001", "b_0002"]), tmp_path / "cache"
    colour, depth = (path / f"data/nyu2_train/b_0002_out/2{suffix}" for suffix in (".jpg", ".png"))
    whole = colour.read_bytes()
    colour.write_bytes(b"none")
    with pytest.raises(DataError, match="is not an image that can be read"):
        _kept(path, cache)[4]
    colour.write_bytes(whole)
    before = known_depth(_kept(path, cache)[4])
    cv2.imwrite(str(depth), cv2.imread(str(depth), cv2.IMREAD_UNCHANGED) // 2)
    assert np.nanmedian(known_depth(_kept(path, cache)[4]) / before) == pytest.approx(0.5, abs=0.02)
    stores = sorted(cache.iterdir())
    _kept(path, cache)
    assert sorted(cache.iterdir()) == stores


def test_the_camera_of_a_later_scene_is_seen(tmp_path: Path) -> None:
    for scene in "ab":
        (tmp_path / "set" / scene).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / f"set/{scene}/1.jpg"), np.full((8, 8, 3), 90, np.uint8))
        cv2.imwrite(str(tmp_path / f"set/{scene}/1.png"), np.full((8, 8), 2000, np.uint16))
        (tmp_path / f"set/{scene}/camera.txt").write_text("8 8 3.5 3.5\n")

    def focal() -> float:
        source = ImageFolder(
            "own", tmp_path / "set", "{scene}/{frame}.jpg", "{scene}/{frame}.png", 1000.0, "{scene}/camera.txt", 10.0
        )
        part = Part(source, "train", range(2))
        keep(part, tmp_path / "cache", 1)
        return part[1].camera.fx

    assert focal() == 8
    (tmp_path / "set/b/camera.txt").write_text("16 16 3.5 3.5\n")
    assert focal() == 16

"""Figures by field of view: a narrowed view is the view of a longer lens, and the card gets what the command finds."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_training_sets import write_nyu_csv

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.frames import Sample
from mono_depth_recon.models.table import EMBEDDED
from training import report_lenses
from training.report_lenses import main, narrowed


def test_the_middle_of_a_view_is_that_of_a_longer_lens() -> None:
    camera = PinholeCamera.from_hfov(640, 480, 60)
    u, v = np.meshgrid(np.arange(640), np.arange(480))
    sample = Sample(np.stack([u % 256, v % 256, u // 256], -1).astype(np.uint8), camera, (u + 1000.0 * v).astype("f4"))
    narrow = narrowed(sample, 40)
    assert narrow is not None and narrow.depth is not None
    longer = PinholeCamera.from_hfov(narrow.camera.width, narrow.camera.height, 40)
    assert narrow.camera.fx == camera.fx == pytest.approx(longer.fx, rel=0.003)
    assert (narrow.camera.cx, narrow.camera.cy) == pytest.approx((longer.cx, longer.cy), abs=1)
    assert narrow.rgb.shape[:2] == narrow.depth.shape == (narrow.camera.height, narrow.camera.width)
    x, y = round(camera.cx - narrow.camera.cx), round(camera.cy - narrow.camera.cy)
    assert np.array_equal(narrow.depth, sample.depth[y:, x:][: narrow.camera.height, : narrow.camera.width])
    assert np.array_equal(narrow.rgb[0, 0], sample.rgb[y, x])
    assert narrowed(sample, 61) is None


def test_command_writes_what_it_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    card = tmp_path / "unetpp_mobile.json"
    for suffix in (".json", ".safetensors", ".onnx"):
        shutil.copy(EMBEDDED / f"unetpp_mobile{suffix}", tmp_path)
    camera = PinholeCamera.from_hfov(96, 64, 60)
    view = Sample(np.full((64, 96, 3), 90, np.uint8), camera, np.full((64, 96), 2, np.float32))
    monkeypatch.setattr(report_lenses, "room_samples", lambda *_: [view])
    monkeypatch.setattr(report_lenses, "FIELDS_DEG", (45.0, 90.0))
    frames = f"{write_nyu_csv(tmp_path / 'nyu', ['a_0001'], 2)}:0:1"
    assert main([str(card), frames, "--cache", str(tmp_path / "cache")]) == 0
    rows = json.loads(card.read_text())["lenses"]
    assert [set(row) for row in rows] == [
        {"hfov_deg", "rooms", "frames"},
        {"hfov_deg", "frames"},
        {"hfov_deg", "rooms"},
    ]
    assert [row["hfov_deg"] for row in rows] == sorted(row["hfov_deg"] for row in rows)
    assert all(math.isfinite(value) and value > 0 for row in rows for value in row.values())
    assert "| 45° |" in capsys.readouterr().out
    assert main([str(card), "nowhere:0:1"]) == 1 and "does not exist" in capsys.readouterr().err

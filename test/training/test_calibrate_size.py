"""The exponent of the input's size: a known law is found again, and the card gets what the command finds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from made_training_sets import write_nyu_csv

from mono_depth_recon.errors import DataError
from mono_depth_recon.models.card import load_card
from mono_depth_recon.models.table import EMBEDDED
from training.calibrate_size import AtSize, fitted, main


def test_a_power_law_is_found_again() -> None:
    own = AtSize(0, 1.0, 1.3, [])
    others = [AtSize(side, side / 192, 1.3 * (side / 192) ** 0.65, []) for side in (96, 256, 320)]
    assert fitted(own, others) == pytest.approx(0.65, abs=0.006)
    with pytest.raises(DataError, match="no short side gives another size than the card's own"):
        fitted(own, [own])


def test_command_writes_what_it_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = tmp_path / "unetpp_mobile.json"
    for suffix in (".json", ".safetensors", ".onnx"):
        shutil.copy(EMBEDDED / f"unetpp_mobile{suffix}", tmp_path)
    frames = f"{write_nyu_csv(tmp_path / 'nyu', ['a_0001'], 2)}:0:1"
    before = json.loads(card.read_text())
    before["output"]["size_exponent"] = 0.0  # of before
    card.write_text(json.dumps(before))
    assert main([str(card), frames, "--sides", "128", "--dry"]) == 0
    assert json.loads(card.read_text()) == before
    assert main([str(card), frames, "--sides", "128"]) == 0
    printed = capsys.readouterr().out
    exponent = load_card(card).size_exponent
    assert exponent and printed.count(f"size_exponent {exponent:g}, from 2 frames") == 2
    after = json.loads(card.read_text())
    assert after["output"].pop("size_exponent") == exponent and before["output"].pop("size_exponent") == 0
    assert after["output"].pop("size_rule").endswith("training.calibrate_size on 2 frames of nyu, positions 0 to 1")
    assert before["output"].pop("size_rule") and after == before
    assert main([str(card), frames, "--sides", "128", "-5"]) == 1
    assert "--sides are short sides in pixels, at least 1, got -5" in capsys.readouterr().err
    assert main([str(card), "nowhere:0:1"]) == 1 and "does not exist" in capsys.readouterr().err

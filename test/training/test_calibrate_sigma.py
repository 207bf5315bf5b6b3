"""Calibration of sigma: known laws of error are found again, and the card gets what the loader applies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_training_sets import write_nyu_csv
from processes import ROOT

pytest.importorskip("torch")
pytest.importorskip("segmentation_models_pytorch")

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.frames import Sample
from mono_depth_recon.models import load_model
from mono_depth_recon.models.card import SigmaFit, load_card
from mono_depth_recon.models.table import EMBEDDED
from training.calibrate_sigma import FIT_SEED, ONE_SIGMA, REPORT_SEED, _balanced, bare_model, fit_sigma, main
from training.settings import load_settings


def _pixels() -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(1)
    return rng.uniform(0.01, 0.2, 50_000).astype(np.float32), rng.uniform(1, 8, 50_000).astype(np.float32), rng


def test_errors_in_proportion_to_the_spread_give_a_temperature_and_no_floor() -> None:
    spread, depth, rng = _pixels()
    error = np.abs(2.5 * spread * rng.standard_normal(spread.shape)).astype(np.float32)
    fit = fit_sigma(error, spread, depth)
    assert fit.floor == 0
    assert fit.temperature == pytest.approx(2.5, rel=0.02)
    assert np.mean(error <= fit.sigma(spread, depth)) == pytest.approx(ONE_SIGMA, abs=1e-3)


def test_errors_that_the_spread_does_not_see_give_a_floor() -> None:
    spread, depth, rng = _pixels()
    true = SigmaFit(2.0, 0.1)
    error = np.abs(true.sigma(spread, depth) * rng.standard_normal(spread.shape)).astype(np.float32)
    fit = fit_sigma(error, spread, depth)
    assert fit.floor == true.floor
    assert fit.temperature == pytest.approx(true.temperature, rel=0.02)
    spread[:100] = 0  # pixels on which all predictions agree need a floor
    assert fit_sigma(error, spread, depth).floor > 0


def test_seeds_of_the_sets_are_nobody_elses() -> None:
    config = ROOT / "training" / "configs" / "unetpp_mobile.yaml"
    rooms = [source for source in load_settings(config).data["sources"] if source["kind"] == "rooms"]
    assert {source["split"] for source in rooms} == {"train", "validation"}
    taken = [(source["first_seed"], source["rooms"]) for source in rooms]
    taken.append((90_000, 1000))
    for first in (FIT_SEED, REPORT_SEED):
        assert all(not first < other + count or not other < first + 1000 for other, count in taken)
    assert abs(FIT_SEED - REPORT_SEED) >= 1000


def test_command_writes_the_fit_that_the_loader_applies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in (".json", ".safetensors", ".onnx"):
        (tmp_path / f"unetpp_mobile{suffix}").write_bytes((EMBEDDED / f"unetpp_mobile{suffix}").read_bytes())
    card = tmp_path / "unetpp_mobile.json"
    text = json.loads(card.read_text())
    text["sigma"] = {"flip": {"temperature": 99.0, "floor": 0.5}}  # of an earlier run: must not enter the new fit
    card.write_text(json.dumps(text))
    rng = np.random.default_rng(0)
    camera = PinholeCamera.from_hfov(160, 128, 60)
    frames = [
        Sample(rng.integers(0, 255, (128, 160, 3), np.uint8), camera, rng.uniform(1, 5, (128, 160)).astype(np.float32))
        for _ in range(2)
    ]
    monkeypatch.setattr("training.calibrate_sigma.room_samples", lambda *_: frames)
    assert main([str(card), "--rooms", "1", "--dry"]) == 0
    assert load_card(card).sigma_fits["flip"].temperature == 99
    assert main([str(card), "--rooms", "1"]) == 0
    entry = json.loads(card.read_text())["sigma"]["flip"]
    assert entry["frames"] == 2
    assert entry["coverage_1"] == pytest.approx(ONE_SIGMA, abs=0.02)  # the same frames fitted it
    view = (frames[0].rgb, camera)
    loaded = load_model(ModelConfig(checkpoint=str(card), uncertainty="flip"), 1).predict([view])[0]
    bare = bare_model(card, "flip", 8, 1).predict([view])[0]
    assert bare.sigma is not None
    assert bare.depth is not None
    fit = SigmaFit(entry["temperature"], entry["floor"])
    np.testing.assert_allclose(loaded.sigma, fit.sigma(bare.sigma, bare.depth), rtol=1e-3)
    part = f"{write_nyu_csv(tmp_path / 'nyu', ['a_0001'], 4)}:0:3"
    assert main([str(card), "--rooms", "1", "--frames", part]) == 0
    entry = json.loads(card.read_text())["sigma"]["flip"]
    assert entry["real"]["frames"] == 2 and 0 < entry["real"]["coverage_1"] < entry["real"]["coverage_2"] <= 1
    assert main([str(card), "--rooms", "1", "--frames", "nowhere:0:1"]) == 1
    assert main([str(card), "--rooms", "1", "--frames", part.replace("0:3", "0:0")]) == 1
    assert main([str(card), "--rooms", "0"]) == 1
    *_, frames, rooms = capsys.readouterr().err.splitlines()
    assert frames.startswith("--frames needs two frames or more") and rooms == "--rooms must be at least 1, got 0"


def test_a_card_without_dropout_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(EMBEDDED / "unetpp_mobile.json"), "--kind", "mc_dropout", "--dry"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_sets_of_different_size_count_the_same() -> None:
    few, many = np.full((3, 10), 1, np.float32), np.arange(3 * 1000, dtype=np.float32).reshape(3, 1000) + 2
    both = _balanced([few, many])
    assert both.shape == (3, 20) and (both == 1).sum() == 30
    assert ((both[1:, 10:] - both[:-1, 10:]) == 1000).all()  # a pixel's three values stay together

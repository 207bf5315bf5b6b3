"""Prompted models in an evaluation: what they are given, what their name says, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from made_evaluation import plan, stand_in
from made_recordings import HEIGHT, WIDTH, Scene, write_folder

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cli import main, scale
from mono_depth_recon.cli.recordings import model_text
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.errors import ConfigError, DataError
from mono_depth_recon.evaluation import predictions
from mono_depth_recon.evaluation.plan import prompt_size
from mono_depth_recon.evaluation.run import evaluate
from mono_depth_recon.evaluation.simulated_sensors import coarse_depth
from mono_depth_recon.frames import Prediction, Sample

NAME = "prompt_depth_anything_small"


class Prompted:
    """Answers its prompt, enlarged."""

    prompted = True
    name, output, device = NAME, "metric_depth", "here"

    def __init__(self) -> None:
        self.prompts: list[Any] = []

    def predict(self, batch: Sequence[Any]) -> list[Prediction]:
        (view,) = batch
        self.prompts.append(view.prompt)
        known = np.where(np.isfinite(view.prompt), view.prompt, np.float32(1))
        return [Prediction(depth=cv2.resize(known, view[1].size, interpolation=cv2.INTER_NEAREST))]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Prompted:
    stand_in(monkeypatch)
    others, made = predictions.load_model, Prompted()

    def load(settings: Any, threads: int) -> Any:
        return made if settings.name == NAME else others(settings, threads)

    monkeypatch.setattr(predictions, "load_model", load)
    return made


def test_it_is_given_the_true_depth_and_its_name_says_so(tmp_path: Path, model: Prompted) -> None:
    path = write_folder(tmp_path / "walls", Scene())
    made = evaluate(plan(path, tmp_path / "out", "metric_model", NAME, prompt="true:16x12", protocols=["metric"]))
    by_model = {row.model: row for row in made.rows}
    assert by_model.keys() == {"metric_model", f"{NAME}@true:16x12"}
    assert {prompt.shape for prompt in model.prompts} == {(12, 16)}
    assert by_model[f"{NAME}@true:16x12"].reason == ""
    note = f"{NAME}@true:16x12 is given the true depth at that size: its figures say nothing beside those of models"
    assert any(each.startswith(note) for each in made.notes)
    kept = len(model.prompts)
    evaluate(plan(path, tmp_path / "out", NAME, prompt="true:16x12", protocols=["metric"]))
    assert len(model.prompts) == kept, "its predictions are kept"
    whole = f"true:{WIDTH}x{HEIGHT}"
    rows = evaluate(plan(path, tmp_path / "out", NAME, prompt=whole, protocols=["metric"])).rows
    assert len(model.prompts) > kept, "those by another prompt are others"
    assert all(row.figures["abs_rel"] == 0 for row in rows), "it is the truth itself"


def test_the_coarse_depth_is_that_of_the_centres() -> None:
    depth = np.arange(48, dtype=np.float32).reshape(6, 8) + 1
    depth[1, 2] = 0
    sample = Sample(np.zeros((6, 8, 3), np.uint8), PinholeCamera.from_hfov(8, 6, 60), depth)
    coarse = coarse_depth(sample, 4, 3)
    np.testing.assert_array_equal(coarse, np.where(depth > 0, depth, np.nan)[1::2, 1::2])
    depth[1, 3] = 0
    assert np.isnan(coarse_depth(sample, 4, 3)[0, 1])
    np.testing.assert_array_equal(coarse_depth(sample, 8, 6), np.where(depth > 0, depth, np.nan))
    with pytest.raises(DataError, match="a prompt must be no larger than the image, 8x6, got 16x6"):
        coarse_depth(sample, 16, 6)


def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prompt_size("true:256x192") == (256, 192)
    for text in ("true", "true:0x4", "256x192", "true:256x192x3", "sensor:8x8", "true:999999x3"):
        with pytest.raises(ConfigError, match=r"a prompt is true:COLUMNSxROWS, the true depth at that size"):
            plan(tmp_path, tmp_path / "out", NAME, prompt=text)
    out = ["--output", str(tmp_path / "out")]
    assert main(["evaluate", "room:1:2", "--models", NAME, *out]) == 1
    assert f"{NAME} is given depth beside the image: --prompt true:256x192 gives it" in capsys.readouterr().err
    assert main(["evaluate", "room:1:2", "--models", "unetpp_lite", "--prompt", "true:8x6", *out]) == 1
    assert "--prompt is for models that are given depth, none of unetpp_lite is one" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_other_commands_say_where_the_prompt_is_from_or_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        model_text(with_values(Config(), {"model.name": NAME})) == f"{NAME}, which was given the recording's own depth"
    )
    assert model_text(Config()) == "unetpp_lite"
    monkeypatch.setattr(scale, "load_model", lambda *_: Prompted())
    assert main(["scale", "room:1:2", "--model.name", NAME, "--output", str(tmp_path)]) == 1
    assert f"{NAME} takes its metres from depth beside the image, not from a scale source" in capsys.readouterr().err

"""The benchmark of models: every case in a process of its own, compared with float32 torch, failures as rows."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_models import FakeModel, RelativeModel, floor
from shrunken import settings_of

pytest.importorskip("torch")

from mono_depth_recon.benchmark.model_tables import COLUMNS, cells, csv_text, line, markdown
from mono_depth_recon.benchmark.models import Plan, Result, measure_models, run_case
from mono_depth_recon.benchmark.whole_frames import frame_figures
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cli import main
from mono_depth_recon.config import Config, ModelConfig, with_values
from mono_depth_recon.errors import DataError, ModelError
from mono_depth_recon.frames import Prediction
from mono_depth_recon.models import load_model
from mono_depth_recon.models.operations import longest_operations
from mono_depth_recon.models.random_weights import write_random_weights
from mono_depth_recon.models.runtimes import ImageWay
from mono_depth_recon.models.table import CHECKPOINTS

PLAN = Plan(["unetpp_mobile"], ["openvino", "torch"], ["f32"], [0, 128], repeats=3)


def test_each_size_begins_with_its_reference() -> None:
    keys = [(case.input_size, case.runtime, case.precision) for case in PLAN.cases()]
    assert keys == [(size, *case) for size in (0, 128) for case in (("torch", "f32"), ("openvino", "f32"))]


def test_figures_are_whole_and_agree_with_the_reference() -> None:
    reference, result = measure_models(dataclasses.replace(PLAN, sizes=[128]))
    for each in (reference, result):
        assert not each.reason, each
        assert min(each.prepare, each.restore, each.network) > 0 and each.p50 <= each.p95
        assert each.host_bytes > 50 * 2**20 and each.input_px == "160x128"
    assert result.difference is not None and result.difference < 1e-4 and result.faster
    assert reference.difference is None


def test_a_case_that_fails_is_a_row_with_its_reason() -> None:
    plan = Plan(["no_such_model"], repeats=1)
    row, other = measure_models(plan)
    assert "unknown model 'no_such_model'" in row.reason
    assert cells(row)[-1] == row.reason
    assert other.faster is None


def test_of_a_runtime_that_takes_images_the_network_alone_is_measured_too() -> None:
    model: Any = load_model(ModelConfig(name="unetpp_mobile", runtime="torch"), 1)
    runtime, called = model.runtime, list[str]()

    class TakesImages:
        device = "made up"

        def run(self, batch: Any) -> Any:
            called.append("network")
            return runtime.run(batch)

        def run_images(self, images: Any, way: ImageWay) -> Any:
            called.append("images")
            return np.ones((len(images), 1, *images.shape[1:3]), np.float32)

    model.runtime = TakesImages()
    _, figures = run_case(model, 3)
    assert called == ["images"] * 4 + ["network"] * 4
    assert figures["input_px"] == "224x160" and figures["network"] > 0 and figures["restore"] == 0
    assert figures["prepare"] == pytest.approx(figures["p50"] - figures["network"])


def test_transformers_pipeline_stands_beside_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(
        ["depth_anything_v2_small", "unetpp_mobile"],
        ["torch"],
        ["auto", "f32", "f16"],
        [0, 266],
        config=with_values(Config(), {"model.device": "cuda"}),
        pipeline=True,
    )
    order = list[tuple[str, int, str, str, bool]]()

    def measured(case: ModelConfig, plan: Plan, answer: Path, pipeline: bool = False) -> Result:
        np.save(answer, np.ones(3, np.float32))
        if plan.repeats > 1:
            order.append((case.name, case.input_size, case.device, case.precision, pipeline))
        return Result(case, device="d", p50=0.02, p95=0.03)

    monkeypatch.setattr("mono_depth_recon.benchmark.models._in_fresh_process", measured)
    results = list(measure_models(plan))
    depth_anything = [each[1:] for each in order if each[0] == "depth_anything_v2_small"]
    assert depth_anything[:3] == [(0, "cpu", "f32", False), (0, "cuda", "f32", True), (0, "cuda", "f16", True)]
    assert sum(each[-1] for each in order) == 2, "at the published size, of models that have a pipeline"
    told = [cells(result)[:3] for result in results if result.pipeline]
    assert told == [("depth_anything_v2_small", "transformers", precision) for precision in ("f32", "f16")]
    assert all(result.difference == 0 and result.faster == 1 for result in results if result.pipeline)


@pytest.mark.parametrize("name", ["depth_anything_v2_small", "glpn_nyu"])
def test_transformers_pipeline_predicts_what_the_model_here_does(folder_of: Callable[[str], Path], name: str) -> None:
    from mono_depth_recon.models.transformers.published_pipeline import PublishedPipeline

    settings, camera = settings_of(name, folder_of(name)), PinholeCamera.from_hfov(160, 120, 60)
    rgb = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8).repeat(10, 0).repeat(10, 1)
    ours, theirs = (
        model.predict([(rgb, camera)])[0].values
        for model in (load_model(settings, 1), PublishedPipeline(CHECKPOINTS[name], settings))
    )
    assert theirs.shape == ours.shape and np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.999
    with pytest.raises(ModelError, match="no int8"):
        PublishedPipeline(CHECKPOINTS[name], dataclasses.replace(settings, precision="int8"))


class _Broken:
    name, output, device = "broken", "metric_depth", "none"

    def predict(self, batch: list[object]) -> list[Prediction]:
        return [Prediction(depth=np.full((480, 640), np.nan, np.float32))]


def test_answers_that_are_not_finite_are_not_timed() -> None:
    with pytest.raises(DataError, match="not finite"):
        run_case(_Broken(), 1)  # type: ignore[arg-type]


def test_the_tables_hold_every_row() -> None:
    settings = dataclasses.replace(ModelConfig(), name="a|b")
    rows = [
        Result(settings, device="d", p50=0.02, p95=0.03, host_bytes=2**30, difference=1e-5, faster=1.5),
        Result(settings, reason="no | luck"),
    ]
    lines = markdown(rows, "Some note.").splitlines()
    assert lines[0].endswith("Some note.")
    assert all(line.replace("\\|", "").count("|") == len(COLUMNS) + 1 for line in lines[2:])
    assert "a\\|b" in lines[4]
    assert "50" in lines[4].split("|")[8]
    table = list(csv.DictReader(csv_text(rows).splitlines()))
    assert [row["reason"] for row in table] == ["", "no | luck"]
    assert float(table[0]["p50"]) == 0.02


def test_the_command_writes_both_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "benchmark",
        "--models",
        "unetpp_mobile",
        "--runtimes",
        "openvino",
        "--precisions",
        "f32",
        "--sizes",
        "96",
        "--repeats",
        "2",
        "--frames",
        "--operations",
        "3",
        "--output",
        str(tmp_path),
    ]
    assert main(words) == 0
    assert "openvino" in capsys.readouterr().out
    text = (tmp_path / "models.md").read_text()
    assert text.count("| unetpp_mobile") == 2
    text, operations = text.split("\nunetpp_mobile, torch CPU f32, 128x96: the longest operations of a prediction\n")
    assert operations.count("| `aten::") == 3, "of the reference alone, which is torch"
    titles, *rows = (line.split(" | ") for line in text.splitlines() if line.startswith("| ") and "---" not in line)
    assert titles[-2:] == ["cloud ms", "of 16 frames/s |"]
    assert [row[-2:] for row in rows[:1]] == [["", " |"]], "the reference is too slow for that"
    assert float(rows[1][-2]) > 0 and float(rows[1][-1].removesuffix(" |")) > 0
    assert len((tmp_path / "models.csv").read_text().splitlines()) == 3


def test_the_longest_operations_of_a_prediction() -> None:
    from torch import nn

    model: Any = load_model(ModelConfig(name="unetpp_mobile", runtime="torch", input_size=96), 1)
    view = np.zeros((48, 64, 3), np.uint8), PinholeCamera.from_hfov(64, 48, 60)
    found = longest_operations(lambda: model.predict([view]), 1000)
    layers = [part for part in model.network.build().modules() if isinstance(part, nn.Conv2d)]
    blur = 1  # the end of the head
    assert sum(each.calls for each in found if each.name == "aten::conv2d") == len(layers) + blur
    assert [each.ms for each in found] == sorted((each.ms for each in found), reverse=True)
    assert sum(each.share for each in found) == pytest.approx(1)
    assert longest_operations(lambda: model.predict([view]), 2)[1].ms > 0


def test_whole_frames_of_a_relative_model_have_metres_and_those_of_a_prompted_one_none() -> None:
    relative = RelativeModel(floor)
    figures = frame_figures(relative, Config(), 1)
    assert figures["cloud"] > 0 and figures["batched"] > 0
    prompted = FakeModel(floor)
    prompted.prompted = True  # type: ignore[attr-defined]
    assert frame_figures(prompted, Config(), 1)["cloud"] == 0


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("mono_depth_recon.benchmark.models.measure_models", lambda *_: pytest.fail("measured"))
    assert main(["benchmark", "--models", "unetpp_mobile", "--output", str(tmp_path / "file" / "in")]) == 1
    assert "choose a writable one" in capsys.readouterr().err


def test_only_one_selection_of_measurements_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--models", "unetpp_mobile", "--model.name", "glpn_nyu"]) == 1
    assert "leave --model.name out" in capsys.readouterr().err
    assert main(["benchmark", "--models", "unetpp_mobile", "--only", "scaling"]) == 1
    assert "leave it or --models out" in capsys.readouterr().err
    assert main(["benchmark", "--models", "onnx:file.onnx", "--operations"]) == 1
    assert "onnx:file.onnx is an ONNX file" in capsys.readouterr().err
    for flag in ("--pipeline", "--random-weights", "--frames", "--operations"):
        assert main(["benchmark", flag]) == 1
        assert "name them with --models" in capsys.readouterr().err


def test_a_mistyped_model_is_told_before_anything_is_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mono_depth_recon.benchmark.models.measure_models", lambda *_: pytest.fail("measured"))
    assert main(["benchmark", "--models", "unetpp_lite", "unetpp_mobil"]) == 1
    assert "did you mean 'unetpp_mobile'?" in capsys.readouterr().err


def test_a_line_on_the_terminal_names_its_figures() -> None:
    case = ModelConfig(name="made", runtime="torch", precision="f32", input_size=64)
    made = Result(case, device="a CPU", input_px="64x48", p50=0.02, p95=0.03, cloud=0.001, batched=80.0)
    text = line(made)
    assert text.startswith("made  torch  f32  64x48  p50 ms 20.0  p95 ms 30.0  frames/s 50  ") and "GPU" not in text
    assert text.endswith("cloud ms 1.0  of 16 frames/s 80  a CPU")
    assert line(Result(case, "no such weights")) == "made  torch  f32  64  no such weights"


def test_a_mistyped_runtime_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--models", "unetpp_mobile", "--runtimes", "openvin"]) == 1
    assert "did you mean 'openvino'?" in capsys.readouterr().err


def test_the_plan_is_every_combination_on_top_of_the_configuration() -> None:
    config = dataclasses.replace(Config(), model=dataclasses.replace(ModelConfig(), checkpoint="here"))
    cases = Plan(["a", "b"], ["torch", "auto"], ["f32"], [0, 64], config, checkpoints={"b": "there"}).cases()
    assert len(cases) == 8
    assert {(c.name, c.checkpoint) for c in cases} == {("a", "here"), ("b", "there")}


def test_the_reference_of_an_onnx_file_is_onnx_runtime() -> None:
    cases = Plan(["moge_2_small"], ("openvino", "onnxruntime"), ("f32",)).cases()
    assert [(case.runtime, case.device, case.precision) for case in cases] == [
        ("onnxruntime", "cpu", "f32"),
        ("openvino", "auto", "f32"),
    ]


@pytest.mark.parametrize("name", ["unetpp_resnext50", "glpn_nyu"])
def test_random_weights_are_a_checkpoint_of_the_published_architecture(name: str, tmp_path: Path) -> None:
    settings = dataclasses.replace(
        ModelConfig(), name=name, checkpoint=str(write_random_weights(name, tmp_path)), runtime="torch", input_size=64
    )
    answer, figures = run_case(load_model(settings), 1)
    assert answer.shape == (480, 640)
    assert figures["sigma"] == ("flip mc_dropout" if name == "unetpp_resnext50" else "flip")
    assert figures["input_px"] == ("96x64" if name == "unetpp_resnext50" else "64x64")


def test_random_weights_of_an_unknown_model() -> None:
    with pytest.raises(ModelError, match="did you mean 'glpn_nyu'"):
        write_random_weights("glpn_nya", Path("unused"))

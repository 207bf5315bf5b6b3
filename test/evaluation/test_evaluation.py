"""Evaluation: the same scores from every format, kept predictions, failures as rows, the files, the command."""

from __future__ import annotations

import contextlib
import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_evaluation import BENT, Model, plan, stand_in
from made_recordings import CAMERA, FORMATS, Scene
from processes import DEADLINE_S, ROOT

from mono_depth_recon.cli import main
from mono_depth_recon.cli.evaluate import main as evaluate_tum
from mono_depth_recon.config import Config
from mono_depth_recon.datasets.opening import OpenOptions
from mono_depth_recon.errors import ConfigError, DataError
from mono_depth_recon.evaluation import predictions
from mono_depth_recon.evaluation import run as evaluation
from mono_depth_recon.evaluation.plan import ModelChoice, PartOfRecording, folder_of
from mono_depth_recon.evaluation.run import (
    EvaluationPlan,
    Meter,
    Progress,
    evaluate,
    read_prediction,
    write_prediction,
)
from mono_depth_recon.evaluation.tables import summaries, tables, write_results
from mono_depth_recon.frames import Prediction
from mono_depth_recon.metrics.protocols import INDOOR, PROTOCOLS


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, Model]:
    """Stand-ins for the table."""
    return stand_in(monkeypatch)


def figures(made: evaluation.Evaluation) -> list[tuple[Any, ...]]:
    return [(row.model, row.protocol, row.frame, row.coverage, row.reason, row.figures) for row in made.rows]


def test_every_format_gives_the_same_scores_to_the_last_digit(tmp_path: Path, models: dict[str, Model]) -> None:
    made = {}
    for form in ("folder", "tgz", "ros1_lz4", "sqlite3", "mcap_storage"):
        (tmp_path / form).mkdir()
        path = FORMATS[form](tmp_path / form, Scene())
        made[form] = figures(evaluate(plan(path, tmp_path / form / "results", "metric_model", "relative")))
    assert len(made["folder"]) == 6 * 2 * len(INDOOR)
    for form, rows in made.items():
        np.testing.assert_equal(rows, made["folder"], err_msg=form)  # NaN, of frames without edges, equals NaN


def test_predictions_are_kept_and_a_killed_run_resumes(tmp_path: Path, models: dict[str, Model]) -> None:
    path, output = FORMATS["ros1"](tmp_path, Scene()), tmp_path / "results"
    killed = KeyboardInterrupt()

    def kill(at: Progress) -> None:
        if at.done == 4:
            raise killed

    with pytest.raises(KeyboardInterrupt):
        evaluate(plan(path, output, "metric_model"), kill)
    assert len(list((output / "predictions/desk/metric_model").glob("*.npz"))) == 4
    models["metric_model"].asked = 0
    seen: list[Progress] = []
    first = evaluate(plan(path, output, "metric_model"), seen.append)
    assert models["metric_model"].asked == 2 and [at.done for at in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[-1].remaining_s == 0 and seen[0].rate > 0
    again = evaluate(plan(path, output, "metric_model"))
    assert models["metric_model"].asked == 2
    np.testing.assert_equal(figures(again), figures(first))
    whole = evaluate(plan(path, tmp_path / "other", "metric_model"))
    np.testing.assert_equal(figures(whole), figures(first))


def test_a_folder_of_other_settings_is_refused(tmp_path: Path, models: dict[str, Model]) -> None:
    path, output = FORMATS["ros1"](tmp_path, Scene(frames=2)), tmp_path / "results"
    evaluate(plan(path, output, "metric_model"))
    evaluate(plan(path, output, "metric_model", "relative", protocols=["paper"]))  # more models, fewer protocols
    with pytest.raises(ConfigError, match=r"holds predictions of other settings or data \(see config.yaml\)"):
        evaluate(plan(path, output, "metric_model", options=OpenOptions(camera=CAMERA)))
    (output / "config.yaml").write_text("models: [metric_model]")  # as of an earlier version
    with pytest.raises(ConfigError, match=r"see config.yaml"):
        evaluate(plan(path, output, "metric_model"))


def test_damaged_settings_of_an_earlier_run_are_named(tmp_path: Path, models: dict[str, Model]) -> None:
    path = FORMATS["folder"](tmp_path, Scene(frames=1))
    for text in ("kept: [", "[" * 3000, "kept: 5", "kept: {models: [a]}", "kept: {models: {a: 1}}\noptions: 3"):
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(DataError, match="config.yaml cannot be read as the settings of an earlier run"):
            evaluate(plan(path, tmp_path, "metric_model"))


def test_failing_frames_models_and_recordings_are_rows_with_their_reasons(
    tmp_path: Path, models: dict[str, Model]
) -> None:
    path = FORMATS["ros1"](tmp_path, Scene())
    asked = plan(
        [path, tmp_path / "none.bag"],
        tmp_path / "results",
        "broken",
        "absent",
        "relative",
        protocols=["metric", "affine"],
    )
    made = summaries(evaluate(asked))
    by = {(s.recording, s.model, s.protocol): s for s in made}
    assert len(by) == 12
    broken = by["desk", "broken", "metric"]
    assert (broken.frames, broken.failed) == (4, 2) and "no pixel to compare" in broken.reason
    assert by["desk", "absent", "affine"].reason == "weights of absent are missing: give model.checkpoint"
    assert by["desk", "absent", "affine"].failed == 6
    assert "protocol metric needs metres" in by["desk", "relative", "metric"].reason
    assert by["desk", "relative", "metric"].failed == 0  # not a failure
    assert by["desk", "relative", "affine"].failed == 0
    assert "does not exist" in by["none", "relative", "affine"].reason


def test_the_files_name_their_protocols_and_hold_every_frame(tmp_path: Path, models: dict[str, Model]) -> None:
    path, output = FORMATS["folder"](tmp_path, Scene()), tmp_path / "results"
    made = write_results(output, evaluate(plan(path, output, "metric_model", "relative", first=1, last=4, stride=2)))
    with (output / "per_frame.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * 2 * len(INDOOR)
    told = json.loads((output / "summary.json").read_text())
    assert set(told["protocols"]) == set(INDOOR) and len(told["results"]) == 2 * len(INDOOR)
    tables = (output / "tables.md").read_text()
    assert all(PROTOCOLS[protocol].text() in tables for protocol in INDOOR)
    chosen = [row for row in rows if row["model"] == "metric_model" and row["protocol"] == "metric"]
    assert [row["frame"] for row in chosen] == ["1305031102.208637", "1305031102.275303"]
    mean = np.mean([float(row["abs_rel"]) for row in chosen])
    metric = next(s for s in made if (s.model, s.protocol) == ("metric_model", "metric"))
    assert metric.figures["abs_rel"] == pytest.approx(mean) and metric.sequence["frames"] == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"protocols": ["cityscapes"]},
        {"stride": 0},
        {"data": []},
        {"models": []},
        {"data": [Path("a/x.bag"), Path("b/x.tgz")]},
        {"first": -1},
        {"last": -2},
        {"first": 5, "last": 3},
    ],
)
def test_meaningless_plans_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        EvaluationPlan(**{"data": [Path("a")], "models": ["b"], "output": Path("c"), **changes})


@pytest.mark.parametrize("changes", [{"depth_factor": -1.0}, {"max_difference": -0.1}, {"max_difference": np.nan}])
def test_options_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"must be 0 to .*, got "):
        OpenOptions(**changes)


def test_a_runtime_that_takes_images_predicts_several_frames_in_one_run(
    tmp_path: Path, models: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = FORMATS["mcap"](tmp_path, Scene(frames=20))
    alone = evaluate(plan(path, tmp_path / "alone", "metric_model", protocols=("metric",)))
    models.clear()
    sizes, predict = list[int](), Model.predict

    def counted(self: Model, batch: Sequence[Any]) -> Any:
        sizes.append(len(batch))
        if len(batch) == 7:
            raise RuntimeError("out of memory")
        return [predict(self, [view])[0] for view in batch]

    monkeypatch.setattr(Model, "predict", counted)
    monkeypatch.setattr(Model, "runtime", SimpleNamespace(run_images=None), raising=False)
    together = evaluate(plan(path, tmp_path / "together", "metric_model", protocols=("metric",)))
    assert sizes == [1, 7, *[1] * 7, 8, 4], "the first loads the model; what fails is taken one by one"
    assert str(figures(together)) == str(figures(alone))
    assert "7 frames in one run failed, they are predicted one by one: metric_model failed" in " ".join(together.notes)
    sizes.clear()
    evaluate(plan(path, tmp_path / "together", "metric_model", protocols=("metric",)))
    assert not sizes, "all are kept"


def test_kept_predictions_come_back_and_damaged_ones_are_named(tmp_path: Path) -> None:
    depth = np.random.default_rng(0).uniform(1, 5, (4, 5)).astype(np.float32)
    write_prediction(tmp_path / "a.npz", Prediction(disparity=depth, sigma=np.asfortranarray(depth / 10)))
    back = read_prediction(tmp_path / "a.npz")
    assert back.depth is None and back.disparity is not None and back.sigma is not None
    assert np.array_equal(back.disparity, depth) and np.array_equal(back.sigma, depth / 10)
    data = (tmp_path / "a.npz").read_bytes()
    for place in range(0, len(data), 5):
        damaged = bytearray(data)
        damaged[place] ^= 0xFF
        for other in (bytes(damaged), data[:place]):
            (tmp_path / "a.npz").write_bytes(other)
            with contextlib.suppress(DataError):  # some bytes mean nothing, as the date
                read_prediction(tmp_path / "a.npz")
    with pytest.raises(DataError, match="delete it to compute it again"):
        read_prediction(tmp_path / "a.npz")


def test_kept_predictions_that_fill_the_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, depth = tmp_path / "a.npz", np.ones((4, 5), np.float32)
    np.savez_compressed(path, depth=depth)
    with pytest.raises(DataError, match=r"depth\.npy is not stored as it was written.*delete it to compute it again"):
        read_prediction(path)
    for name in ("more", "finished"):
        np.savez(path, depth=depth, **{name: depth})
        with pytest.raises(DataError, match=f"a prediction has no {name}"):
            read_prediction(path)
    np.savez(path, depth=depth)
    monkeypatch.setattr(predictions, "_LARGEST", 79)
    with pytest.raises(DataError, match=r"depth\.npy has 80 bytes, more than 79"):
        read_prediction(path)


def test_the_command_with_the_embedded_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = FORMATS["mcap"](tmp_path, Scene(frames=2))
    status = main(
        ["evaluate", str(path), "--output", str(tmp_path / "results"), "--protocols", "paper", "metric", "--no-report"]
    )
    printed = capsys.readouterr()
    assert status == 0, printed.err
    assert "| unetpp_lite | 2 |" in printed.out and "*paper: alignment" in printed.out
    assert "2/2 frames" in printed.err and "s left" in printed.err
    assert {p.name for p in (tmp_path / "results").iterdir()} == {
        "predictions",
        "per_frame.csv",
        "summary.json",
        "tables.md",
        "config.yaml",
        "origin.json",
    }


@pytest.mark.slow
def test_scoring_in_processes_beside_the_model_gives_the_same_to_the_last_digit(
    tmp_path: Path, models: dict[str, Model]
) -> None:
    path = FORMATS["ros1"](tmp_path, Scene(frames=19))  # three chunks: pairs of frames across their borders count
    made = {}
    for workers in (1, 3):
        asked = plan(
            path,
            tmp_path / str(workers),
            "metric_model",
            "relative",
            "broken",
            workers=workers,
            baselines=PartOfRecording(path, 0, 9),
        )
        evaluation = evaluate(asked)
        made[workers] = (figures(evaluation), {key: vars(each) for key, each in evaluation.sequences.items()})
        models["broken"].asked = 0
    np.testing.assert_equal(made[3], made[1])
    assert made[1][1]["desk", "metric_model", "metric"]["frames"] == 19


def test_the_sequence_of_chunks_is_that_of_all_frames(tmp_path: Path, models: dict[str, Model]) -> None:
    from mono_depth_recon.metrics.sequence import SequenceMeter

    path = FORMATS["folder"](tmp_path, Scene(frames=19))
    made = evaluate(plan(path, tmp_path / "results", "metric_model", protocols=["metric"]))
    whole = SequenceMeter()
    from mono_depth_recon.datasets.tum import TumFolder

    for sample in TumFolder(path, BENT, rectified=True):
        prediction = read_prediction(tmp_path / f"results/predictions/desk/metric_model/{sample.stamp:.6f}.npz")
        assert prediction.depth is not None and sample.depth is not None
        whole.add(prediction.depth, sample.depth, np.isfinite(sample.depth), sample.stamp)
    assert vars(made.sequences["desk", "metric_model", "metric"]) == pytest.approx(vars(whole.result()), rel=1e-12)


def test_models_have_weights_of_their_own(tmp_path: Path, models: dict[str, Model]) -> None:
    for text, label in (
        ("glpn_nyu", "glpn_nyu"),
        ("glpn_nyu=/data/tiny", "glpn_nyu=tiny"),
        ("unetpp_mobile=a/mine.json", "unetpp_mobile=mine"),
        ("hf:/data/own=metric_depth", "hf:own"),
        ("hf:org/name@main", "hf:org/name@main"),
        ("ensemble:a+b=/x/p:/y/q", "ensemble:a+b=p+q"),
        ("onnx:/data/made.onnx", "onnx:made.onnx"),
    ):
        assert ModelChoice.parse(text).label == label
    assert ModelChoice.parse("hf:/data/own=relative_disparity").output == "relative_disparity"
    assert folder_of("hf:org/name@main") == "hf:org_name@main"
    for text in ("glpn_nyu=", "=x"):
        with pytest.raises(ConfigError, match="NAME=WEIGHTS"):
            ModelChoice.parse(text)
    path, first, second = FORMATS["ros1"](tmp_path, Scene(frames=2)), tmp_path / "one", tmp_path / "two"
    for folder in (first, second):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"weights")
    asked = plan(path, tmp_path / "results", f"metric_model={first}", f"metric_model={second}")
    assert {s.model for s in summaries(evaluate(asked))} == {"metric_model=one", "metric_model=two"}
    (first / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(ConfigError, match=r"metric_model=one changed"):
        evaluate(asked)
    for own in ("unetpp_mobile", "ensemble:unetpp_mobile+glpn_nyu"):  # an upgrade may change them
        assert "unetpp_mobile.safetensors" in str(ModelChoice.parse(own).fingerprint(Config()))
    for name in ("made.onnx", "made.json"):
        (first / name).write_text("")
        assert name in str(ModelChoice.parse(f"onnx:{first / 'made.onnx'}").fingerprint(Config()))
    with pytest.raises(ConfigError, match="must differ in name or in the name of their weights"):
        plan(path, tmp_path / "results", f"metric_model={first}", f"metric_model={first}")


def test_baselines_stand_beside_the_models(tmp_path: Path, models: dict[str, Model]) -> None:
    scene = Scene()
    path = FORMATS["folder"](tmp_path, scene)
    asked = plan(
        path,
        tmp_path / "results",
        "metric_model",
        options=OpenOptions(camera=CAMERA),
        baselines=PartOfRecording(path, 0, 2),
    )
    made = {(s.model, s.protocol): s for s in summaries(evaluate(asked))}
    known, truth = (np.stack([scene.metres(i) for i in frames]) for frames in (range(3), range(6)))
    constant = np.nanmedian(known)
    expected = np.mean([np.nanmean(np.abs(constant - frame) / frame) for frame in truth])
    assert made["constant", "metric"].figures["abs_rel"] == pytest.approx(expected, rel=1e-6)
    mean = known[:, 4:].mean(axis=0)  # the first rows are never known
    expected = np.mean([np.mean((mean - frame[4:]) ** 2) ** 0.5 for frame in truth])
    assert made["mean map", "metric"].figures["rmse"] == pytest.approx(expected, rel=1e-6)
    fitted = made["constant", "affine"]  # a constant is its mean inverse depth
    expected = np.mean([np.nanmean(np.abs(1 / np.nanmean(1 / frame) - frame) / frame) for frame in truth])
    assert fitted.figures["abs_rel"] == pytest.approx(expected, rel=1e-5) and fitted.failed == 0
    assert [made[name, "metric"].baseline for name in ("constant", "mean map", "metric_model")] == [True, True, False]
    assert not (tmp_path / "results/predictions/desk/constant").exists()
    with pytest.raises(DataError, match="no frame stands at positions 50 to 60"):
        evaluate(plan(path, tmp_path / "other", "metric_model", baselines=PartOfRecording(path, 50, 60)))
    for text in ("desk", "desk:1", "desk:5:2", "desk:a:b"):
        with pytest.raises(ConfigError, match="RECORDING:FIRST:LAST"):
            PartOfRecording.parse(text)


def test_one_common_frame_and_parts_of_recordings(tmp_path: Path, models: dict[str, Model]) -> None:
    path = FORMATS["folder"](tmp_path, Scene())

    def frames(**changes: Any) -> set[str]:
        made = evaluate(plan(path, tmp_path / str(changes), "metric_model", protocols=["paper"], **changes))
        return {row.frame for row in made.rows if not row.reason}

    stamps = sorted(frames())
    assert frames(frame="2") == {stamps[2]} == frames(frame=stamps[2])
    assert frames(ranges={"desk": (1, 2)}) == set(stamps[1:3])
    with pytest.raises(ConfigError, match="no recording has a frame of stamp 5.0"):
        frames(frame="5.0")
    none = evaluate(plan(path, tmp_path / "none", "metric_model", frame="77"))
    assert all("no frame is selected from positions 0 to 5" in row.reason for row in none.rows) and none.rows
    with pytest.raises(ConfigError, match="a frame is a position"):
        plan(path, tmp_path / "x", "metric_model", frame="first")


def test_failing_frames_of_a_model_name_their_runtime(
    tmp_path: Path, models: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = FORMATS["ros1"](tmp_path, Scene(frames=2))

    def out_of_memory(self: Model, batch: Any) -> None:
        raise RuntimeError("not enough memory:\nyou tried to allocate 8 GB")

    monkeypatch.setattr(Model, "predict", out_of_memory)
    made = summaries(evaluate(plan(path, tmp_path / "results", "metric_model", protocols=["metric"])))
    assert made[0].failed == 2 and "failed on this frame: not enough memory: you tried" in made[0].reason
    assert "| 2: metric_model failed on this frame" in tables(made, {})


def test_evaluate_tum_is_the_same_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = FORMATS["folder"](tmp_path, Scene(frames=3))
    status = evaluate_tum(
        [
            f"{path}:0:1",
            "--output",
            str(tmp_path / "results"),
            "--camera",
            CAMERA,
            "--protocols",
            "metric",
            "--baseline-frames",
            f"{path}:0:0",
            "--workers",
            "1",
            "--no-report",
        ]
    )
    printed = capsys.readouterr()
    assert status == 0, printed.err
    overview, table = (
        [line.split(" | ") for line in part.splitlines() if line.startswith("| ")] for part in printed.out.split("###")
    )
    names = ["constant", "mean map", "unetpp_lite"]
    assert overview[0][2:] == ["frames", "metric abs_rel", "metric delta1 |"]
    assert [line[:3] for line in overview[2:]] == [["| desk", name, "2"] for name in names]
    assert [line[:2] for line in table[2:]] == [[f"| {name}", "2"] for name in names]
    assert [line[3] for line in overview[2:]] == [line[3] for line in table[2:]]
    assert evaluate_tum([str(path), "--output", str(tmp_path / "results")]) == 1
    assert "mono-depth-recon: error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--fine-tuned", "unetpp_lite", "unetpp_lite"], "add --with table3"),
        (["--with", "table3", "--fine-tuned", "unetpp_lite", "other"], "of the models unetpp_lite, got 'other'"),
        (["--with", "table3", "--fine-tuned", "unetpp_lite", "unetpp_lite"], "two models"),
        (["--training-log", "absent.csv"], "absent.csv: expected a training log"),
        (["--training-log", "absent.csv", "--no-report"], "leave out --no-report"),
    ],
)
def test_late_failures_are_refused_at_the_start(
    flags: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "room:1:2", "--output", str(tmp_path / "results"), *flags]) == 1
    assert says in capsys.readouterr().err and not (tmp_path / "results").exists()


def test_a_recording_is_the_same_from_every_folder(
    tmp_path: Path, models: dict[str, Model], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = FORMATS["folder"](tmp_path, Scene(frames=2))
    common = [
        "--models",
        "metric_model",
        "--camera",
        CAMERA,
        "--protocols",
        "metric",
        "--workers",
        "1",
        "--no-report",
        "--output",
        str(tmp_path / "results"),
    ]
    monkeypatch.chdir(path)
    assert main(["evaluate", ".", *common]) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", f"{path.name}:0:0", *common]) == 0
    assert "| desk | metric_model | 1 |" in capsys.readouterr().out and models["metric_model"].asked == 2
    (tmp_path / "elsewhere").mkdir()
    FORMATS["folder"](tmp_path / "elsewhere", Scene(frames=1))
    assert main(["evaluate", "elsewhere/desk", *common]) == 1
    assert "desk changed" in capsys.readouterr().err


def pool_of(pid: int) -> list[int]:
    """The living processes of a spawned pool whose parent is `pid`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z" and b"spawn_main" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
            continue
    return found


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.mark.slow
def test_no_process_outlives_a_killed_run(tmp_path: Path) -> None:
    """The pool's processes end with their parent, and the same command resumes the run."""
    path = FORMATS["folder"](tmp_path, Scene(frames=40))
    command = [
        sys.executable,
        "-m",
        "mono_depth_recon.cli",
        "evaluate",
        str(path),
        "--camera",
        CAMERA,
        "--output",
        str(tmp_path / "results"),
        "--protocols",
        "metric",
        "--workers",
        "2",
        "--no-report",
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        wait_until(lambda: bool(pool_of(run.pid)) or run.poll() is not None)
        pool = pool_of(run.pid)
        run.kill()
    assert pool and wait_until(lambda: not any(map(is_alive, pool)))
    kept = len(list((tmp_path / "results/predictions/desk/unetpp_lite").glob("*.npz")))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0 and "40/40 frames" in done.stderr and 1 <= kept <= 40, done.stderr


def test_remaining_time_is_that_of_the_frames_that_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred frames that an earlier run has kept, then some of two seconds each."""
    now: list[float] = [0.0]
    seen: list[Progress] = []
    monkeypatch.setattr("mono_depth_recon.evaluation.run.time", SimpleNamespace(monotonic=lambda: now[0]))
    meter = Meter(seen.append, 150)
    for seconds in [1e-6] * 100 + [2.0] * 25:
        now[0] += seconds
        meter.step("recording", "model")
    assert (seen[-1].done, seen[-1].of) == (125, 150)
    assert seen[-1].rate == pytest.approx(0.5)
    assert seen[-1].remaining_s == pytest.approx(50)

"""Whole training runs: learning, exact resume, several processes, checkpoints that survive, and what stops a run."""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("segmentation_models_pytorch")
pytest.importorskip("lightning")

from lightning.pytorch.callbacks import Callback  # noqa: E402
from made_training_sets import write_nyu_csv  # noqa: E402
from processes import DEADLINE_S, ROOT  # noqa: E402
from small_training import MOBILE, SMALL_NETWORK, small_settings, train_small  # noqa: E402

from mono_depth_recon.camera import PinholeCamera  # noqa: E402
from mono_depth_recon.config import ModelConfig  # noqa: E402
from mono_depth_recon.datasets.dataset import Problem  # noqa: E402
from mono_depth_recon.datasets.mixture.tolerant import Drawn  # noqa: E402
from mono_depth_recon.datasets.nyu.csv_layout import NyuCsv  # noqa: E402
from mono_depth_recon.errors import ConfigError, DataError, ModelError  # noqa: E402
from mono_depth_recon.models import load_model  # noqa: E402
from training.checkpoints import read_checkpoint, weights_of  # noqa: E402
from training.export_unetpp import main as export_main  # noqa: E402
from training.frames import MadeDraws, made_data, open_run_data  # noqa: E402
from training.network import UnetTask  # noqa: E402
from training.origin import Origin  # noqa: E402
from training.runner import train  # noqa: E402
from training.settings import Stage, ValidationSettings, load_settings  # noqa: E402
from training.small_set import write_small_set  # noqa: E402
from training.train_unetpp import main  # noqa: E402

EMBEDDED = ROOT / "mono_depth_recon" / "models" / "embedded" / "unetpp_mobile.json"
PAPER = ("--config", str(MOBILE.with_name("paper_nyu.yaml")))
pytestmark = pytest.mark.usefixtures("one_thread")


class Killed(Exception):
    """What stops a run in the middle."""


class KillAt(Callback):
    """Ends the training before the step of that number (from 0)."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self._step:
            raise Killed


def _rows(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_smoke_run_learns_and_its_checkpoint_runs(tmp_path: Path) -> None:
    run, card = tmp_path / "run", tmp_path / "model" / "unetpp_mobile.json"
    assert main(["--smoke", "--output", str(run), *SMALL_NETWORK]) == 0
    rows = _rows(run / "log.csv")
    assert rows[-1]["train_loss"] < 0.35 * rows[0]["train_loss"]
    assert rows[-1]["val_abs_rel"] < 0.15
    assert list(rows[0])[:8] == [
        "epoch",
        "step",
        "train_loss",
        "val_loss",
        "train_ssim",
        "val_ssim",
        "train_mse",
        "val_mse",
    ]
    for name in ("settings.yaml", "commit.txt", "speed.csv", "curves.png", "panels/epoch_0004.png", "last.ckpt"):
        assert (run / name).stat().st_size, name
    assert list((run / "tensorboard").glob("events*"))
    assert load_settings(run / "settings.yaml").stages == [Stage(96, 64, 8, 4, 30)]
    assert main(["--smoke", "--output", str(run)]) == 1  # nothing is overwritten
    assert export_main([str(run / "best.ckpt"), "--output", str(card.parent), "--no-onnx"]) == 0
    model = load_model(ModelConfig(checkpoint=str(card), runtime="torch", precision="f32"), 1)
    depth = model.predict([(np.full((64, 96, 3), 90, np.uint8), PinholeCamera.from_hfov(96, 64, 60))])[0].depth
    assert depth is not None and np.isfinite(depth).all()
    curve = model.card.text["training"]["curve"]  # type: ignore[attr-defined]
    assert curve[0]["val_abs_rel"] == pytest.approx(rows[0]["val_abs_rel"], rel=1e-3)


def test_resumed_run_equals_one_that_never_stopped(tmp_path: Path) -> None:
    """Killed within an epoch, resumed with loading processes: log and weights are the same to the last bit."""
    settings = small_settings()
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train_small(settings, whole)
    for step in (7, 10):  # within the third epoch, and within the first of the second resolution
        with pytest.raises(Killed):
            train_small(settings, stopped, resume=(stopped / "last.ckpt").exists(), callbacks=[KillAt(step)])
    resumed = train_small(replace(settings, loader=replace(settings.loader, workers=1)), stopped, resume=True)
    assert len(resumed.rows) == settings.epochs
    assert (stopped / "log.csv").read_text() == (whole / "log.csv").read_text()
    expected, got = (read_checkpoint(folder / "last.ckpt") for folder in (whole, stopped))
    assert expected["global_step"] == got["global_step"] == 3 * 3 + 2 * 2
    for name, value in expected["state_dict"].items():
        assert torch.equal(value, got["state_dict"][name]), name
    assert expected["lr_schedulers"] == got["lr_schedulers"]
    assert read_checkpoint(whole / "best.ckpt")["rows"] == read_checkpoint(stopped / "best.ckpt")["rows"]


def test_best_is_chosen_at_the_last_resolution_alone(tmp_path: Path) -> None:
    train_small(small_settings(), tmp_path)
    rows = _rows(tmp_path / "log.csv")
    best = read_checkpoint(tmp_path / "best.ckpt")["rows"][-1]
    assert best["val_abs_rel"] == pytest.approx(min(row["val_abs_rel"] for row in rows[3:]), rel=1e-5)
    weights = weights_of(tmp_path / "best.ckpt")
    averaged = read_checkpoint(tmp_path / "best.ckpt")["state_dict"]
    assert all(torch.equal(value, averaged[f"averaged.module.{name}"]) for name, value in weights.items())


def test_patience_ends_a_run_that_does_not_get_better(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = small_settings(stages=[Stage(64, 32, 2, 6, 1)], validation=ValidationSettings(2, panels=0, patience=1))
    settings = replace(settings, optimizer=replace(settings.optimizer, lr=1e-12, ema_decay=0.0, weight_decay=0.0))
    epochs = len(train_small(settings, tmp_path).rows)
    assert epochs < 6 and "1 epochs without a better AbsRel" in capsys.readouterr().err
    assert len(train_small(settings, tmp_path, resume=True).rows) == epochs  # no patience comes back


def test_a_run_of_other_settings_is_not_resumed(tmp_path: Path) -> None:
    settings = small_settings(stages=[Stage(32, 32, 2, 1, 1)])
    train_small(settings, tmp_path)
    for other, says in (
        (replace(settings, seed=9), "seed was 11 and is 9"),
        (replace(settings, loss=replace(settings.loss, kind="mse")), "loss.kind was 'berhu'"),
    ):
        with pytest.raises(ConfigError, match=f"a run of other settings: {says}") as raised:
            train_small(other, tmp_path, resume=True)
        assert "\n" not in str(raised.value)
    assert load_settings(tmp_path / "settings.yaml") == settings  # which the message names
    with pytest.raises(ConfigError, match="holds a run"):
        train_small(settings, tmp_path)
    with pytest.raises(ConfigError, match=r"no .*last.ckpt to resume"):
        train_small(settings, tmp_path / "other", resume=True)


def test_a_loss_that_is_no_number_names_the_files(tmp_path: Path) -> None:
    settings = small_settings(stages=[Stage(32, 32, 2, 1, 2)])
    settings = replace(settings, optimizer=replace(settings.optimizer, lr=float("inf"), warmup_steps=0, clip_norm=0.0))
    with pytest.raises(DataError, match=r"loss of step 1 is nan: look at made\[\d\], made\[\d\]; .*lower optimizer.lr"):
        train_small(settings, tmp_path)


class BadDraws(MadeDraws):
    """Made-up scenes of which every draw met a file that cannot be read."""

    def __getitem__(self, key: Any) -> Drawn:
        return replace(super().__getitem__(key), bad=(Problem("list.csv:3", "cut off"),))


def test_bad_samples_are_counted_and_named_until_there_are_too_many(tmp_path: Path) -> None:
    good = made_data(4, 96, 64)
    settings = small_settings(stages=[Stage(32, 32, 2, 2, 1)], validation=ValidationSettings(2, panels=0))
    bad = replace(good, train=BadDraws(4, 0, 96, 64), bad_minimum=4)
    rows = train(settings, UnetTask(settings, pretrained=False), bad, tmp_path / "few").rows
    assert [row["bad"] for row in rows] == [2, 4]
    shown = (tmp_path / "few" / "bad_samples.txt").read_text()
    assert "4 of 6 draws" in shown and "list.csv:3: cut off" in shown  # training and validation
    wrong = replace(good, validation={"made": BadDraws(4, 9, 96, 64)}, bad_minimum=4)
    rows = train(settings, UnetTask(settings, pretrained=False), wrong, tmp_path / "validation").rows
    assert [row["bad"] for row in rows] == [2, 4]
    with pytest.raises(DataError, match=r"too many bad samples: .*list.csv:3: cut off"):
        train(settings, UnetTask(settings, pretrained=False), replace(bad, bad_minimum=1), tmp_path / "many")


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = small_settings(stages=[Stage(32, 32, 2, 2, 1)])
    with pytest.raises(Killed):
        train_small(settings, tmp_path, callbacks=[KillAt(1)])
    before = (tmp_path / "last.ckpt").read_bytes()

    def full(file: BinaryIO, _: Any) -> None:
        if Path(file.name).name.startswith(".last.ckpt"):
            file.write(before[:1000])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with (
        monkeypatch.context() as patched,
        pytest.raises(DataError, match=r"last.ckpt: No space left .*free some space"),
    ):
        patched.setattr("mono_depth_recon.atomic._write_synced", full)
        train_small(settings, tmp_path, resume=True)
    assert (tmp_path / "last.ckpt").read_bytes() == before
    assert not list(tmp_path.glob(".*part"))


def test_broken_checkpoints_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_bytes(b"nothing")
    torch.save(3, tmp_path / "b.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "c.ckpt")
    torch.save({"state_dict": [1]}, tmp_path / "d.ckpt")
    torch.save({"state_dict": None}, tmp_path / "e.ckpt")
    torch.save({"state_dict": {"network.a": 3}}, tmp_path / "f.ckpt")
    torch.save({"weights": [1]}, tmp_path / "g.ckpt")
    for name, says in (
        ("a", "is truncated or not a checkpoint"),
        ("b", "holds int"),
        ("c", "holds no network"),
        ("d", "holds no network"),
        ("e", "holds no network"),
        ("f", "must hold tensors by name"),
        ("g", "must hold tensors by name, got list"),
        ("none", "cannot be read"),
    ):
        with pytest.raises(ModelError, match=says):
            weights_of(tmp_path / f"{name}.ckpt")


def test_a_new_run_can_start_from_old_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a checkpoint, from one of before Lightning, and from a card; another network is refused."""
    settings = small_settings(stages=[Stage(64, 32, 2, 1, 1)])
    train_small(settings, tmp_path / "run")
    weights = weights_of(tmp_path / "run" / "best.ckpt")
    torch.save({"weights": weights}, tmp_path / "best.pt")
    assert all(torch.equal(value, weights[name]) for name, value in weights_of(tmp_path / "best.pt").items())
    assert export_main([str(tmp_path / "run" / "best.ckpt"), "--output", str(tmp_path), "--no-onnx"]) == 0
    from_card = weights_of(tmp_path / "unetpp_mobile.json")
    assert all(torch.allclose(value.float(), weights[name].float(), atol=1e-3) for name, value in from_card.items())
    capsys.readouterr()
    assert main(["--smoke", "--init", str(tmp_path / "best.pt"), "--output", str(tmp_path / "new")]) == 1
    said = capsys.readouterr().err
    assert "holds another network" in said and said.count("\n") == 1


def test_a_card_says_what_its_weights_began_with(tmp_path: Path) -> None:
    """Attribution and licence of the embedded card go on through two runs to the card of the second."""
    settings = replace(
        load_settings(MOBILE),
        **{name: getattr(small_settings(), name) for name in ("data", "loader", "validation")},
        stages=[Stage(32, 32, 2, 1, 1)],
    )
    first = Origin.of_file(EMBEDDED)
    train_small(settings, tmp_path / "one", origin=first)
    train_small(settings, tmp_path / "two", origin=Origin.of_file(tmp_path / "one" / "last.ckpt"))
    assert "which began with the weights of unetpp_mobile" in (tmp_path / "two" / "start.txt").read_text()
    assert export_main([str(tmp_path / "two" / "last.ckpt"), "--output", str(tmp_path), "--no-onnx"]) == 0
    card = json.loads((tmp_path / "unetpp_mobile.json").read_text())
    assert "began with the weights of unetpp_mobile" in card["training"]["start"]
    assert "CC BY 4.0" in card["licence"] and any("TUM RGB-D" in line for line in card["attribution"])


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_an_ended_run_leaves_no_process(tmp_path: Path, by: signal.Signals) -> None:
    """Neither the loading processes nor their server, killed or by Ctrl-C, which reaches all and says how to go on."""
    mark = f"loader.cache={tmp_path}"
    write_nyu_csv(tmp_path / "nyu_depth_v2", ["a_0001", "b_0002", "c_0003"], 4)
    command = [
        sys.executable,
        "-m",
        "training.train_unetpp",
        *PAPER,
        "--data",
        str(tmp_path),
        "--output",
        str(tmp_path / "run"),
        *SMALL_NETWORK,
        "threads=1",
        "network.input_width=64",
        "network.input_height=32",
        "validation.panels=0",
        "loader.workers=1",
        "data.shares=34 33 33",
        mark,
        "stages=[{width: 64, height: 32, batch: 2, epochs: 1000}]",
    ]
    with (
        (tmp_path / "said").open("w") as said,
        subprocess.Popen(
            command,
            cwd=ROOT,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        ) as run,
    ):
        try:
            _wait(lambda: (tmp_path / "run" / "last.ckpt").exists() or run.poll() is not None)
            assert run.poll() is None and len(_session(run.pid)) >= 3  # itself, the server, a loader
            run.kill() if by == signal.SIGKILL else os.killpg(run.pid, by)
            run.wait()
            _wait(lambda: not _session(run.pid))
        finally:
            for pid in _session(run.pid):
                os.kill(pid, signal.SIGKILL)
    if by == signal.SIGINT:
        words = (tmp_path / "said").read_text()
        assert "interrupted: --resume continues after the last whole epoch" in words
        assert "Traceback" not in words, words[-3000:]


def _session(leader: int) -> list[int]:
    """The living processes of a session, whoever their parents are."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, session, *_ = stat.read_text().rpartition(")")[2].split()
            if int(session) == leader and state != "Z":
                found.append(int(stat.parent.name))
    return found


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def test_two_processes_share_each_batch(tmp_path: Path) -> None:
    """DistributedDataParallel under torchrun on files in NYU's format: one log, every frame once per epoch."""
    write_nyu_csv(tmp_path / "nyu_depth_v2", ["a_0001", "b_0002", "c_0003"], 4)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        "0",
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        "localhost:0",
        "-m",
        "training.train_unetpp",
        *PAPER,
        "--data",
        str(tmp_path),
        "--output",
        str(tmp_path / "run"),
        *SMALL_NETWORK,
        "threads=1",
        "network.input_width=64",
        "network.input_height=32",
        "validation.panels=1",
        "loader.workers=0",
        "data.shares=34 33 33",
        f"loader.cache={tmp_path}",
        "stages=[{width: 64, height: 32, batch: 2, epochs: 2}]",
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Warning" not in done.stderr and "recommended" not in done.stderr, done.stderr[-2000:]
    rows = _rows(tmp_path / "run" / "log.csv")
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [row["step"] for row in rows] == [2, 4]  # 4 frames in batches of 2, one of each batch by each process
    assert all(math.isfinite(value) for row in rows for value in row.values())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--config", "nowhere.yaml"], "cannot be read"),
        (["--resume", "--smoke"], "to resume"),
        (["optimizer.momentum=0.9"], "'optimizer.momentum' does not exist"),
        (["optimizer.lr"], "expected KEY=VALUE"),
        ([*PAPER, "--data", "/nowhere"], "/nowhere"),
        ([*PAPER, "--check", "--data", "/nowhere"], "/nowhere"),
        ([*PAPER, "--check", "--data", "/nowhere", "network.encoder=resnet999"], "cannot build encoder 'resnet999'"),
    ],
)
def test_command_says_in_one_line_what_is_wrong(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--output", str(tmp_path / "run"), f"loader.cache={tmp_path}"]) == 1
    shown = capsys.readouterr()
    assert says in shown.err + shown.out
    assert "Traceback" not in shown.err


def test_check_reads_the_data_and_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_nyu_csv(tmp_path / "nyu_depth_v2", ["a_0001", "b_0002", "c_0003"])
    words = [*PAPER, "--check", "--data", str(tmp_path), "data.shares=34 33 33", "--output", str(tmp_path / "run")]
    assert main(words) == 0
    broken = next((tmp_path / "nyu_depth_v2").rglob("a_0001_out/2.png"))
    broken.write_bytes(broken.read_bytes()[:60])
    assert main(words) == 1
    assert "nyu2_train.csv:2" in capsys.readouterr().out
    assert not (tmp_path / "run" / "last.ckpt").exists()


def test_a_start_tells_of_frames_that_are_missing(tmp_path: Path) -> None:
    """Few of many do not stop it; where none is left, one is named."""
    write_nyu_csv(tmp_path / "nyu_depth_v2", ["a_0001", "b_0002", "c_0003"])
    source = {"kind": "nyu_csv", "path": str(tmp_path / "nyu_depth_v2"), "split": "scene"}
    settings = small_settings(data={"shares": "34 33 33", "sources": [source]})
    settings = replace(settings, loader=replace(settings.loader, cache=str(tmp_path / "cache")))
    next((tmp_path / "nyu_depth_v2").rglob("b_0002_out/1.jpg")).unlink()
    lines = open_run_data(settings, None).lines
    assert any(line.startswith("bad frame: ") and "nyu2_train.csv:4" in line for line in lines)
    for depth in (tmp_path / "nyu_depth_v2").rglob("*.png"):
        depth.write_bytes(depth.read_bytes()[:60])
    with pytest.raises(DataError, match=r"too many bad frames: .*; the first is .*nyu2_train.csv:4"):
        open_run_data(settings, None)


def test_mixed_precision_without_a_gpu_is_float32_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    logs, said = [], []
    for precision in ("float32", "mixed"):
        settings = small_settings(precision=precision, stages=[Stage(64, 32, 2, 1)])
        torch.manual_seed(0)
        module = train(settings, UnetTask(settings, pretrained=False), made_data(4, 64, 32), tmp_path / precision)
        assert module.trainer.precision == "32-true"
        logs.append(_rows(tmp_path / precision / "log.csv"))
        said.append(capsys.readouterr().err.count("precision mixed: no GPU here, this run computes in float32"))
    assert said == [0, 1]
    for name, value in logs[0][0].items():
        assert logs[1][0][name] == pytest.approx(value, rel=1e-4), name


def test_the_small_set_is_read_as_it_was_rendered(tmp_path: Path) -> None:
    source = NyuCsv("small", write_small_set(tmp_path, 2, 2, (64, 48)))
    assert {split: len(frames) for split, frames in source.official().items()} == {"train": 2, "test": 2}
    for i in range(len(source)):
        sample = source[i]
        assert sample.rgb.shape == (48, 64, 3) and sample.depth is not None
        assert 0.2 < np.nanmin(sample.depth) < np.nanmedian(sample.depth) < 8

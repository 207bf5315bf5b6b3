"""Searches and ablations: what they try, that they go on after a stop, and what they write."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

torch = pytest.importorskip("torch")
pytest.importorskip("segmentation_models_pytorch")
pytest.importorskip("lightning")
optuna = pytest.importorskip("optuna")

from small_training import MOBILE, small_settings  # noqa: E402

from mono_depth_recon.camera import PinholeCamera  # noqa: E402
from mono_depth_recon.errors import ConfigError, DataError  # noqa: E402
from training.ablation import WHOLE, Plan, Scores, read_plan, study, table  # noqa: E402
from training.frames import RunData, made_data  # noqa: E402
from training.settings import LossSettings, Settings, Stage, ValidationSettings, load_settings, plain  # noqa: E402
from training.study import Choice, Study, log_axis, read_space  # noqa: E402
from training.tune import main, tune_recipe  # noqa: E402
from training.tune_clouds import Predicted, cleaned, defaults, mean_figure  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
PLAN = MOBILE.with_name("ablation.yaml")
FIXED = {"seed": 3, "threads": 1, "loss": {"kind": "silog"}}
SPACE = {
    "x": Choice(low=-2.0, high=2.0),
    "rate": Choice(low=1e-4, high=1e-1, log=True),
    "kind": Choice(choices=("a", "b")),
    "n": Choice(low=1, high=9, whole=True),
}


def _bowl(trial: optuna.Trial, values: dict[str, Any]) -> float:
    if values["kind"] == "b" and values["x"] > 1:
        raise DataError("the loss is nan")
    for step in range(3):
        trial.report(values["x"] ** 2 + 3 - step, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return float(values["x"] ** 2)


def test_a_stopped_study_goes_on_and_leaves_a_plot(tmp_path: Path) -> None:
    first = Study(tmp_path, "bowl", SPACE, minimise=True, settings=FIXED)
    first.run(_bowl, 3)
    again = Study(tmp_path, "bowl", SPACE, minimise=True, settings=FIXED)
    assert len(again.finished) == 3
    best = again.run(_bowl, 7)
    assert len(again.finished) == 7
    assert best.value == min(trial.value for trial in again.completed)
    assert len({trial.params["x"] for trial in again.finished}) == 7  # nothing is tried twice
    assert (tmp_path / "study.png").stat().st_size > 5000
    with pytest.raises(ConfigError, match="holds a study of bowl, not of other"):
        Study(tmp_path, "other", SPACE, minimise=True, settings=FIXED)


def test_a_study_takes_no_trials_of_other_settings(tmp_path: Path) -> None:
    Study(tmp_path, "bowl", {}, minimise=True, settings={"seed": 1})  # has no trial yet, and so nothing to mix
    Study(tmp_path, "bowl", SPACE, minimise=True, settings=FIXED).run(_bowl, 1)
    Study(tmp_path, "bowl", SPACE, minimise=True, settings={**FIXED, "threads": 8})  # changes no figure
    wider = {**SPACE, "x": Choice(low=-2.0, high=3.0)}
    for space, fixed, says in (
        (SPACE, {**FIXED, "loss": {"kind": "mse"}}, "loss.kind was 'silog' and is 'mse'"),
        (SPACE, {**FIXED, "model": {"name": "a"}}, "model.name was None and is 'a'"),
        (wider, FIXED, "space.x.high was 2.0 and is 3.0"),
    ):
        with pytest.raises(ConfigError, match=f"study.db holds a run of other settings: {says}; choose another") as got:
            Study(tmp_path, "bowl", space, minimise=True, settings=fixed)
        assert "\n" not in str(got.value)


@pytest.mark.parametrize(("low", "high"), [(1e-4, 5e-3), (0.005, 0.05), (1e-6, 1.0)])
def test_the_numbers_of_a_log_axis_stand_apart(low: float, high: float) -> None:
    figure = Figure(figsize=(4.2, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([low, high], [0, 1], "o")
    log_axis(axes, np.log10(high / low))
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    inside = [
        label.get_window_extent(renderer)
        for tick, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
        if low <= tick <= high
    ]
    assert len(inside) >= 2 and not axes.get_xticklabels(minor=True)
    assert all(left.x1 < right.x0 for left, right in pairwise(inside))


def test_a_study_without_any_value_says_so(tmp_path: Path) -> None:
    def fails(*_: Any) -> float:
        raise DataError("the loss is nan")

    with pytest.raises(DataError, match="none of 2 trials gave a value"):
        Study(tmp_path, "fails", SPACE, minimise=False, settings=FIXED).run(fails, 2)


def test_spaces_that_ship_vary_settings_that_exist() -> None:
    tree = plain(load_settings(MOBILE.with_name("metric.yaml")))
    for name in read_space(MOBILE.with_name("search.yaml")):
        group, key = name.split(".")
        assert key in tree[group], name
    assert set(read_space(MOBILE.with_name("search_clouds.yaml"))) <= set(defaults())


@pytest.mark.parametrize(
    "text",
    [
        "a: 3",
        "a: {low: 1}",
        "a: {low: 2, high: 1}",
        "a: {choices: []}",
        "a: {low: 0, high: 1, log: true}",
        "a: {low: 0, high: 1, step: 2}",
        "[]",
    ],
)
def test_wrong_spaces_are_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_space(tmp_path / "space.yaml")
    assert "\n" not in str(raised.value)


def test_the_recipe_is_searched_and_the_best_is_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.tune.open_run_data", lambda *_: made_data(4, 96, 64))
    settings = small_settings(stages=[Stage(32, 32, 2, 2, 2)], validation=ValidationSettings(2, panels=0))
    space = {"optimizer.lr": Choice(low=1e-4, high=1e-2, log=True), "loss.kind": Choice(choices=("log_l1", "silog"))}
    best = tune_recipe(plain(settings), MOBILE, space, tmp_path, 2)
    found = load_settings(best)
    assert replace(found, optimizer=settings.optimizer, loss=settings.loss) == settings
    assert 1e-4 <= found.optimizer.lr <= 1e-2 and found.loss.kind in ("log_l1", "silog")
    assert {path.name for path in tmp_path.glob("trial_*")} == {"trial_0000", "trial_0001"}
    number = best.read_text().split(" with the values of trial ")[1][0]
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("trial_*/*.ckpt")} == {
        f"trial_000{number}/best.ckpt",
        f"trial_000{number}/last.ckpt",
    }
    with pytest.raises(ConfigError, match="seed was 11 and is 12; choose another --output"):
        tune_recipe({**plain(settings), "seed": 12}, MOBILE, space, tmp_path, 3)
    with pytest.raises(ConfigError, match="cannot vary data"):
        tune_recipe(plain(settings), MOBILE, {"data.root": Choice(choices=("a", "b"))}, tmp_path / "other", 1)
    for name, choice, said in (
        ("optimizer.lr", Choice(low=1e-4, high=1e3, log=True), "optimizer.lr must be"),
        ("loss.kind", Choice(choices=("log_l1", "huber")), "huber"),
    ):
        with pytest.raises(ConfigError, match=said):
            tune_recipe(plain(settings), MOBILE, {**space, name: choice}, tmp_path / "other", 1)
        assert not (tmp_path / "other").exists()
    with pytest.raises(ConfigError, match="'optimizer.momentum' does not exist"):
        tune_recipe(plain(settings), MOBILE, {"optimizer.momentum": Choice(choices=(1,))}, tmp_path / "other", 1)


def _noisy_wall() -> Predicted:
    """A wall 2 m away with a step of 1 m, flying pixels between and outliers in front; the true points are clean."""
    rng = np.random.default_rng(0)
    camera = PinholeCamera.from_hfov(96, 64, 60)
    depth = np.full((64, 96), 2.0, np.float32)
    depth[:, 48:] = 3.0
    rays = np.stack(np.broadcast_arrays(camera.rays[0][None, :], camera.rays[1][:, None], np.float32(1)), axis=-1)
    truth = (rays * depth[..., None]).reshape(-1, 3)
    depth[:, 46:50] = np.linspace(2.1, 2.9, 4)
    speck = rng.random(depth.shape) < 0.01
    depth[speck] = 0.8
    return Predicted(depth, camera, truth)


def test_the_clean_up_of_clouds_is_measured_in_3d() -> None:
    frame = _noisy_wall()
    off = dict.fromkeys(defaults(), 0)
    worse, better = (
        mean_figure([frame], {**off, **values}, "chamfer")
        for values in ({}, {"filter.edge_threshold": 0.08, "mesh.outlier_neighbors": 20, "mesh.outlier_std": 1.0})
    )
    assert better < worse
    assert len(cleaned(frame, {**off, "mesh.voxel_size": 0.1})) < len(cleaned(frame, off)) == frame.depth.size
    with pytest.raises(DataError, match="leaves no point"):
        cleaned(replace(frame, depth=np.full_like(frame.depth, np.nan)), off)


def test_clouds_are_searched_on_validation_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.tune_clouds.open_run_data", lambda *_: made_data(8, 96, 64))
    (tmp_path / "space.yaml").write_text("mesh.voxel_size: {low: 0.02, high: 0.1}\nmesh.outlier_std: {low: 1, high: 3}")
    words = [
        "--clouds",
        "--config",
        str(MOBILE),
        "--trials",
        "2",
        "--space",
        str(tmp_path / "space.yaml"),
        "--figure",
        "chamfer",
        "--output",
        str(tmp_path / "run"),
        "validation.frames=1",
        "threads=1",
    ]
    assert main(words) == 0
    best = Path(capsys.readouterr().out.splitlines()[-1])
    mesh = yaml.safe_load(best.read_text())["/**"]["ros__parameters"]["mesh"]
    assert 0.02 <= mesh["voxel_size"] <= 0.1
    assert "by default" in best.read_text().splitlines()[0]
    assert main([*words[:-2], "validation.frames=2", "threads=1"]) == 1
    assert "validation.frames was 1 and is 2; choose another --output" in capsys.readouterr().err
    assert main([*words, "--checkpoint", "other.json"]) == 1
    assert "model.checkpoint was '' and is 'other.json'" in capsys.readouterr().err
    (tmp_path / "space.yaml").write_text("mesh.depth: {low: 1, high: 3}")
    assert main(words) == 1
    assert "has no setting 'mesh.depth'" in capsys.readouterr().err
    (tmp_path / "space.yaml").write_text("mesh.voxel_size: {low: 0.02, high: 100.0}")
    assert main([*words, "--output", str(tmp_path / "other")]) == 1
    assert "mesh.voxel_size must be" in capsys.readouterr().err and not (tmp_path / "other").exists()


def test_the_plan_of_the_ablation_leaves_out_one_ingredient_each() -> None:
    plan = read_plan(PLAN, quick=True, words={"optimizer.lr": "0.01"})
    whole = plan.variants[WHOLE][0]
    assert whole.optimizer.lr == 0.01 and whole.rooms.rooms == 4
    for name, (variant,) in plan.variants.items():
        differing = [key for key, value in plain(variant).items() if value != plain(whole)[key]]
        assert len(differing) == (name != WHOLE), name
        assert variant.data == whole.data
    assert whole.loss == LossSettings("silog", 0.5, 4)
    long = read_plan(PLAN, quick=False, words={})
    assert [settings.seed for settings in long.variants[WHOLE]] == [1, 2]
    assert [settings.seed for _, settings in long.runs[:2]] == [1, 1]


def test_words_change_the_ablation_without_undoing_it() -> None:
    plan = read_plan(
        PLAN,
        quick=True,
        words={
            "optimizer.ema_decay": "0.9",
            "seeds": "[5, 3]",
            "stages": "[{width: 32, height: 32, batch: 2, epochs: 7, steps: 4}]",
        },
    )
    assert [settings.seed for settings in plan.variants[WHOLE]] == [5, 3]
    assert {settings.optimizer.ema_decay for _, settings in plan.runs} == {0.9, 0.0}
    assert plan.variants["without EMA of weights"][1].optimizer.ema_decay == 0
    assert {(settings.stages[0].epochs, settings.stages[0].steps) for _, settings in plan.runs} == {(7, 4)}
    for words, says in (
        ({"seed": "3"}, r"seeds=\[3\]"),
        ({"seeds": "3"}, "list of different whole numbers"),
        ({"seeds": "[1, 1]"}, "list of different"),
        ({"seeds": "[]"}, "list of different"),
        ({"loss.gradient_weight": "0.0"}, "'without gradient term' would be the same"),
    ):
        with pytest.raises(ConfigError, match=says):
            read_plan(PLAN, quick=False, words=words)


def _small_plan(folder: Path, **words: str) -> Plan:
    """A plan of two variants and two seeds that trains in no time."""
    small = small_settings(stages=[Stage(32, 32, 2, 1, 1)], validation=ValidationSettings(1, panels=0))
    (folder / "small.yaml").write_text(yaml.safe_dump(plain(small)))
    (folder / "plan.yaml").write_text(
        yaml.safe_dump(
            {
                "recipe": "small.yaml",
                "seeds": [1, 2],
                "changes": {"loss.kind": "silog", "loss.gradient_weight": 0.5},
                "quick": {},
                "ingredients": {"gradient term": {"loss.gradient_weight": 0.0}},
            }
        )
    )
    return read_plan(
        folder / "plan.yaml", quick=False, words={name.replace("__", "."): text for name, text in words.items()}
    )


def _opener(_: Settings, __: Path | None) -> RunData:
    return made_data(4, 96, 64)


def test_an_ablation_of_one_seed_at_a_time_is_collected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "runs"
    for seeds in ("[2]", "[1]"):
        parts = study(_small_plan(tmp_path, seeds=seeds), output, _opener, f"seeds={seeds}")
        assert {tuple(each.seeds) for each in parts.values()} == {(float(seeds[1]),)}
    monkeypatch.setattr("training.ablation.train", lambda *_, **__: pytest.fail("everything is trained already"))
    scores = study(_small_plan(tmp_path), output, _opener, "python -m training.ablation")
    assert {tuple(each.seeds) for each in scores.values()} == {(1, 2)}
    assert scores[WHOLE].abs_rel[0] == parts[WHOLE].abs_rel[0] != scores[WHOLE].abs_rel[1]
    text = (output / "ablation.md").read_text()
    assert text.startswith(table(scores))
    assert "\nMade by `python -m training.ablation` (" in text
    assert (output / "seed_2" / "without_gradient_term" / "commit.txt").read_text().strip() in text
    assert [row.split(",")[:2] for row in (output / "ablation.csv").read_text().splitlines()[1:]] == [
        ["0", "1"],
        ["0", "2"],
        ["1", "1"],
        ["1", "2"],
    ]
    assert study(_small_plan(tmp_path, threads="2"), output, _opener) == scores  # changes no figure
    with pytest.raises(ConfigError, match="holds a run of other settings: optimizer.lr was .* is 0.5; .*--output"):
        study(_small_plan(tmp_path, optimizer__lr="0.5"), output, _opener)


def test_the_table_counts_worth_against_the_whole_recipe() -> None:
    lines = table(
        {WHOLE: Scores([0.1, 0.12], [0.9, 0.9], [5, 5]), "without a": Scores([0.2, 0.16], [0.8, 0.7], [3, 4])}
    )
    assert "| without a | 0.1800 | +0.0700 | 0.0400 | 0.7500 | 3.5 |" in lines

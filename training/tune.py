"""Searches settings: `python -m training.tune --config RECIPE.yaml --data DATA --output runs/tune --trials 30`.

Each trial trains the recipe with other values of what --space lets vary; trials that lag behind are stopped early
(median of the others). The study is stored in OUTPUT/study.db: the same command resumes it. OUTPUT/best.yaml is
the recipe with the best values, for training.train_unetpp; study.png shows all trials. Of a trial that is not the best
so far the checkpoints are removed, logs and curves stay. With --clouds the clean-up of clouds is searched instead (edge
filter, voxel grid, outliers), against 3D figures of the validation frames.
"""

from __future__ import annotations

import argparse
import copy
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import optuna
import torch
from lightning.pytorch.callbacks import Checkpoint

from mono_depth_recon.errors import ConfigError

from .checkpoints import SCORE
from .command import CONFIGS, add_run_flags, changes_of, check, exit_code
from .frames import RunData, open_run_data
from .module import DepthTraining
from .network import UnetTask
from .runner import train
from .settings import Settings, overridden, plain, settings_of
from .settings_text import assignments, read_tree
from .study import BEST, Choice, Study, Values, read_space, write_best
from .tune_clouds import FIGURES, tune_clouds


class Report(Checkpoint):
    """Reports the score of every epoch to the study, and ends a trial that lags behind."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Called when the epoch's row is there."""
        assert isinstance(module, DepthTraining), "runs train nothing else"
        self._trial.report(module.rows[-1][SCORE], trainer.current_epoch)
        if self._trial.should_prune():
            raise optuna.TrialPruned


def tune_recipe(tree: Any, config: Path, space: dict[str, Choice], output: Path, trials: int) -> Path:
    """Searches over a recipe's tree of plain values; returns the file of the best one. Raises MonoDepthError."""
    settings = _checked(tree, config, space)
    if any(name.split(".")[0] in ("data", "loader") for name in space):
        raise ConfigError("a search cannot vary data and loader: all trials must see the same frames")
    study = Study(output, SCORE, space, minimise=True, settings=plain(settings))
    data = open_run_data(settings, output)

    def objective(trial: optuna.Trial, values: Values) -> float:
        """The figure of a run with these values."""
        return _trial_score(trial, _settings(tree, values, config), data, _folder(output, trial.number))

    best = study.run(objective, trials, lambda number: _keep_checkpoints(output, number))
    write_best(
        output / BEST,
        plain(_settings(tree, best.params, config)),
        f"{config.name} with the values of trial {best.number}: {SCORE} {best.value:.4g}",
    )
    return output / BEST


def _folder(output: Path, trial: int) -> Path:
    return output / f"trial_{trial:04d}"


def _keep_checkpoints(output: Path, best: int | None) -> None:
    """Removes the checkpoints of all trials but the best, also those of killed trials."""
    for checkpoint in output.glob("trial_*/*.ckpt"):
        if best is None or checkpoint.parent != _folder(output, best):
            checkpoint.unlink()


def _trial_score(trial: optuna.Trial, settings: Settings, data: RunData, folder: Path) -> float:
    """The best score of a run at the last resolution."""
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(settings.seed)
    module = train(settings, UnetTask(settings, pretrained=True), data, folder, callbacks=[Report(trial)])
    last = settings.stages[-1].epochs
    return min(row[SCORE] for row in module.rows[-last:])


def _settings(tree: Any, values: Values, config: Path) -> Settings:
    words = {name: str(value) for name, value in values.items()}
    return settings_of(overridden(copy.deepcopy(tree), words), config, Settings)


def _checked(tree: Any, config: Path, space: Mapping[str, Choice]) -> Settings:
    """The recipe with the first value of all that varies; every other choice and end is tried beside those."""
    first = {name: choice.extremes[0] for name, choice in space.items()}
    for name, choice in space.items():
        for other in choice.extremes[1:]:
            _settings(tree, {**first, name: other}, config)
    return _settings(tree, first, config)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_flags(parser, CONFIGS / "metric.yaml", Path("runs/tune"))
    parser.add_argument("--trials", type=int, default=30, help="trials in all, earlier ones counted (default: 30)")
    parser.add_argument("--space", type=Path, help="YAML of what varies (default: search.yaml, or search_clouds.yaml)")
    parser.add_argument("--clouds", action="store_true", help="search the clean-up of clouds, not the recipe")
    parser.add_argument("--model", default="unetpp_mobile", help="--clouds: whose depth (default: unetpp_mobile)")
    parser.add_argument("--checkpoint", default="", help="--clouds: its weights, as model.checkpoint")
    parser.add_argument(
        "--figure",
        choices=list(FIGURES),
        default="fscore_5cm",
        help="--clouds: what is made best (default: fscore_5cm)",
    )
    return parser.parse_intermixed_args(argv)


def run(arguments: argparse.Namespace) -> Path | int:
    """What the command line asks for. Raises MonoDepthError."""
    if arguments.trials < 1:
        raise ConfigError(f"--trials must be at least 1, got {arguments.trials}")
    tree = overridden(read_tree(arguments.config), changes_of(arguments))
    settings = settings_of(tree, arguments.config, Settings)
    if arguments.check:
        return check(settings)
    space = read_space(arguments.space or CONFIGS / ("search_clouds.yaml" if arguments.clouds else "search.yaml"))
    if arguments.clouds:
        return tune_clouds(
            settings, arguments.model, arguments.checkpoint, arguments.figure, space, arguments.output, arguments.trials
        )
    if twice := sorted(space.keys() & assignments(arguments.changes).keys()):
        raise ConfigError(
            f"{twice[0]} is searched, so that {twice[0]}=... changes nothing: leave it out here or in --space"
        )
    return tune_recipe(tree, arguments.config, space, arguments.output, arguments.trials)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; expected failures end in one line."""
    return exit_code(lambda: run(parse(argv)))


if __name__ == "__main__":
    sys.exit(main())

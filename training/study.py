"""A search by Optuna that can be stopped and resumed: SQLite study, progress, a plot and the best values as YAML."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState
from tqdm import tqdm

from mono_depth_recon.atomic import writable_folder, write_atomically
from mono_depth_recon.errors import ConfigError, DataError

from .module import check_same
from .settings_text import read_tree

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Values: TypeAlias = dict[str, Any]
Objective: TypeAlias = Callable[[optuna.Trial, Values], float]
DATABASE, PLOT, BEST = "study.db", "study.png", "best.yaml"
_SETTINGS = "settings"  # of a study, beside its trials
_STARTUP = 3  # trials that are never pruned
_COLUMNS = 3  # of the plot


@dataclass(frozen=True)
class Choice:
    """What one setting may be: `choices`, or a number from `low` to `high`, on a `log` scale, `whole` ones only."""

    choices: tuple[Any, ...] = ()
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    whole: bool = False

    @property
    def plain(self) -> dict[str, Any]:
        """The plain values of a file of `read_space`."""
        if self.choices:
            return {"choices": list(self.choices)}
        return {name: getattr(self, name) for name in ("low", "high", "log", "whole")}

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Every choice, or both ends of the range."""
        return self.choices or ((round(self.low), round(self.high)) if self.whole else (self.low, self.high))

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """The value that a trial tries."""
        if self.choices:
            return trial.suggest_categorical(name, list(self.choices))
        if self.whole:
            return trial.suggest_int(name, round(self.low), round(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)


def read_space(path: Path) -> dict[str, Choice]:
    """What a YAML file lets vary: dotted settings with `choices`, or `low` and `high`. Raises ConfigError."""
    tree = read_tree(path)
    if not isinstance(tree, dict) or not tree:
        raise ConfigError(f"{path}: expected settings, such as 'optimizer.lr: {{low: 0.0001, high: 0.01, log: true}}'")
    return {str(name): _choice(value, f"{path}: {name}") for name, value in tree.items()}


def _choice(tree: Any, where: str) -> Choice:
    known = {each.name for each in fields(Choice)}
    if isinstance(tree, dict) and set(tree) == {"choices"} and isinstance(tree["choices"], list) and tree["choices"]:
        return Choice(choices=tuple(tree["choices"]))
    numbers = isinstance(tree, dict) and all(isinstance(tree.get(end), int | float) for end in ("low", "high"))
    if not numbers or set(tree) - known or not tree["low"] < tree["high"] or (tree.get("log") and tree["low"] <= 0):
        raise ConfigError(
            f"{where}: expected {{choices: [...]}} or {{low: LESS, high: MORE}}, perhaps with log: true "
            f"(then above 0) or whole: true, got {tree!r}"
        )
    return Choice(**tree)


class Study:
    """Trials in `output`/study.db, valued by `figure`; trials of other settings or another space cannot be mixed in.

    `settings` are the plain values that every trial has, "seed" among them. Raises ConfigError where earlier trials had
    others that matter (`module.check_same`).
    """

    def __init__(
        self, output: Path, figure: str, space: Mapping[str, Choice], minimise: bool, settings: Mapping[str, Any]
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.output, self.figure, self.space, self.minimise = writable_folder(output), figure, space, minimise
        storage = optuna.storages.RDBStorage(f"sqlite:///{(output / DATABASE).resolve()}")
        others = sorted(set(optuna.get_all_study_names(storage)) - {figure})
        if others:
            raise ConfigError(
                f"{output / DATABASE} holds a study of {others[0]}, not of {figure}: choose another --output"
            )
        self._study = optuna.create_study(
            storage=storage,
            study_name=figure,
            direction="minimize" if minimise else "maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=1),
        )
        self._check({**settings, "space": {name: choice.plain for name, choice in space.items()}})
        self._study.sampler = optuna.samplers.TPESampler(
            seed=settings["seed"] + len(self.finished), n_startup_trials=_STARTUP
        )

    @property
    def finished(self) -> list[FrozenTrial]:
        """Trials that have ended, including pruned ones; killed ones do not count."""
        return self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))

    @property
    def completed(self) -> list[FrozenTrial]:
        """Trials with a value."""
        return [trial for trial in self.finished if trial.state == TrialState.COMPLETE]

    def run(
        self,
        objective: Objective,
        trials: int,
        tidy: Callable[[int | None], None] = lambda best: None,
    ) -> FrozenTrial:
        """Tries until `trials` are finished, earlier ones counted; returns the best. DataError where none has a value.

        An objective that meets a DataError (a loss that is no number) ends as a pruned trial. `tidy` is called after
        each with the number of the best trial so far, None while none has a value.
        """
        with tqdm(total=trials, initial=min(trials, len(self.finished)), desc="trials", unit="trial") as bar:
            while len(self.finished) < trials:
                self._study.optimize(lambda trial: self._try(objective, trial), n_trials=1)
                bar.update()
                tidy(self.best.number if self.completed else None)
                if self.completed:
                    bar.set_postfix(best=f"{self.best.value:.4g}")
                write_atomically(self.output / PLOT, [self._plot()])
        if not self.completed:
            raise DataError(f"none of {trials} trials gave a value: see {self.output}, or search elsewhere")
        return self.best

    @property
    def best(self) -> FrozenTrial:
        """The trial with the best value so far."""
        return self._study.best_trial

    def _check(self, settings: Mapping[str, Any]) -> None:
        if self._study.get_trials(deepcopy=False):
            check_same(
                self._study.user_attrs.get(_SETTINGS, {}),
                settings,
                f"{self.output / DATABASE} holds",
                "choose another --output",
            )
        else:
            self._study.set_user_attr(_SETTINGS, settings)

    def _plot(self) -> bytes:
        return draw(self.finished, self.figure, self.space, self.minimise)

    def _try(self, objective: Objective, trial: optuna.Trial) -> float:
        values = {name: choice.suggest(trial, name) for name, choice in self.space.items()}
        try:
            return objective(trial, values)
        except DataError as error:
            tqdm.write(f"trial {trial.number}: {error}")
            raise optuna.TrialPruned from error


def write_best(path: Path, tree: Any, comment: str) -> None:
    """Writes settings as YAML under a comment line."""
    text = yaml.safe_dump(tree, sort_keys=False)
    write_atomically(path, [f"# {comment}\n{text}".encode()])


def draw(trials: Sequence[FrozenTrial], figure_name: str, space: Mapping[str, Choice], minimise: bool) -> bytes:
    """PNG: value of every trial and the best so far, then value over each setting; crosses are pruned trials."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(space)
    done = [trial for trial in trials if trial.value is not None and trial.state == TrialState.COMPLETE]
    cut = [
        (trial, list(trial.intermediate_values.values())[-1])
        for trial in trials
        if trial.state == TrialState.PRUNED and trial.intermediate_values
    ]
    rows = -(-(1 + len(names)) // _COLUMNS)
    figure = Figure(figsize=(4.2 * _COLUMNS, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes, name in zip(panels, ["trial", *names], strict=False):
        for found, style, words in (([(each, each.value) for each in done], "o", "finished"), (cut, "x", "pruned")):
            if not found:
                continue
            at = [each.number if name == "trial" else each.params.get(name) for each, _ in found]
            shown = [str(value) if isinstance(value, str | bool) else value for value in at]
            axes.plot(shown, [value for _, value in found], style, label=words)
        axes.set(xlabel=name, ylabel=figure_name)
        if name in space and space[name].log:
            log_axis(axes, math.log10(space[name].high / space[name].low))
        axes.grid(alpha=0.3)
    values = np.array([each.value for each in done], np.float64)
    best = (np.minimum if minimise else np.maximum).accumulate(values)
    panels[0].step([trial.number for trial in done], best, where="post", label="best so far")
    panels[0].legend()
    for axes in panels[1 + len(names) :]:
        axes.set_visible(False)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=100, format="png")
    return picture.getvalue()


def log_axis(axes: Axes, decades: float) -> None:
    """A logarithmic x axis with few enough labels not to overlap."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3) if decades < 3 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())

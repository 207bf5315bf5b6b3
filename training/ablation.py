"""What each ingredient of the recipe contributes on synthetic rooms: `python -m training.ablation --output RUNS`.

Trains the recipe of training/configs/ablation.yaml whole, and once without each ingredient, for every seed; the same
command goes on after a stop. RUNS/ablation.md and ablation.csv hold the table: figures of the best epoch on rooms that
no run trained on. Several processes may share RUNS, each with seeds of its own (`seeds=[1]`, `seeds=[2]`): the command
with all seeds then only collects. `--quick` checks within minutes that everything works.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from mono_depth_recon.atomic import writable_folder, write_atomically
from mono_depth_recon.errors import ConfigError

from .checkpoints import LAST, SCORE
from .command import CONFIGS, exit_code
from .frames import RunData, open_run_data
from .module import check_same
from .network import UnetTask
from .run_log import write_csv
from .runner import train
from .settings import Settings, load_settings, overridden, plain, settings_of
from .settings_text import assignments, read_tree

WHOLE = "everything"
RESULT = "result.json"
_KEYS = {"recipe", "seeds", "changes", "quick", "ingredients"}
Opener = Callable[[Settings, Path | None], RunData]


@dataclass(frozen=True)
class Plan:
    """The settings of every variant by name, for each seed in order."""

    variants: Mapping[str, list[Settings]]

    @property
    def runs(self) -> list[tuple[str, Settings]]:
        """All runs, seed after seed, so that a stopped study has whole rows."""
        return [
            (name, settings)
            for row in zip(*self.variants.values(), strict=True)
            for name, settings in zip(self.variants, row, strict=True)
        ]


@dataclass
class Scores:
    """Figures of a variant, one of each seed: AbsRel and delta1 of the best epoch, and how many epochs it took."""

    abs_rel: list[float] = field(default_factory=list)
    delta1: list[float] = field(default_factory=list)
    epochs: list[float] = field(default_factory=list)
    seeds: list[float] = field(default_factory=list)


def read_plan(path: Path, quick: bool, words: Mapping[str, str]) -> Plan:
    """The runs that a YAML file describes; `words` change all of them; `seeds` chooses the seeds.

    An ingredient is removed last, so that no word restores it. Raises ConfigError.
    """
    tree = read_tree(path)
    if not isinstance(tree, dict) or set(tree) != _KEYS:
        raise ConfigError(f"{path}: expected the keys {', '.join(sorted(_KEYS))}")
    seeds = _seeds(tree, quick, words)
    recipe = path.with_name(str(tree["recipe"]))
    whole = overridden(read_tree(recipe), _as_words(tree["changes"]))
    whole = overridden(whole, _as_words(tree["quick"]) if quick else {})
    whole = overridden(whole, {key: text for key, text in words.items() if key != "seeds"})
    variants = {WHOLE: {}, **{f"without {name}": without for name, without in tree["ingredients"].items()}}
    plan = Plan(
        {
            name: [_settings(whole, {**without, "seed": seed}, recipe) for seed in seeds]
            for name, without in variants.items()
        }
    )
    _check_ingredients(plan)
    return plan


def _seeds(tree: dict[str, Any], quick: bool, words: Mapping[str, str]) -> list[int]:
    if "seed" in words:
        raise ConfigError(f"an ablation has several seeds: set them as seeds=[{words['seed']}]")
    given = {key: text for key, text in words.items() if key == "seeds"}
    seeds = overridden(tree, given)["seeds"]
    numbers = isinstance(seeds, list) and all(type(seed) is int for seed in seeds)
    if not numbers or not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds must be a list of different whole numbers, such as seeds=[1, 2], got {seeds!r}")
    return seeds[:1] if quick and not given else list(seeds)


def _as_words(changes: Mapping[str, Any]) -> dict[str, str]:
    return {key: json.dumps(value) for key, value in changes.items()}  # JSON is YAML


def _settings(tree: Any, changes: Mapping[str, Any], recipe: Path) -> Settings:
    return settings_of(overridden(copy.deepcopy(tree), _as_words(changes)), recipe, Settings)


def _check_ingredients(plan: Plan) -> None:
    whole = plan.variants[WHOLE][0]
    for name, (settings, *_) in plan.variants.items():
        if settings.data != whole.data:
            raise ConfigError(f"'{name}' changes data: all variants must see the same frames")
        if name != WHOLE and settings == whole:
            raise ConfigError(
                f"'{name}' would be the same as {WHOLE}: the changed recipe has no such ingredient; undo "
                "the change, or take the ingredient out of --config"
            )


def study(plan: Plan, output: Path, opener: Opener = open_run_data, command: str = "") -> dict[str, Scores]:
    """Trains what is not finished yet; the scores of all variants. Raises MonoDepthError.

    `command` is named in the table. Each seed has its own folder with everything its runs write.
    """
    runs = {_folder(output, name, settings): (name, settings) for name, settings in plan.runs}
    for folder, (_, settings) in runs.items():  # before any is trained
        _check_stored(folder, settings)
    scores = {name: Scores() for name in plan.variants}
    opened: dict[int, RunData] = {}
    for folder, (name, settings) in tqdm(runs.items(), "runs"):
        if not (folder / RESULT).is_file():
            if settings.seed not in opened:  # variants differ in no frame
                opened[settings.seed] = opener(settings, writable_folder(folder.parent))
            _train(settings, opened[settings.seed], folder)
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        scores[name].seeds.append(float(settings.seed))
        scores[name].abs_rel.append(result[SCORE])
        scores[name].delta1.append(result["val_delta1"])
        scores[name].epochs.append(result["epochs"])
        _write(scores, output, _origin(command, runs))
    return scores


def _folder(output: Path, name: str, settings: Settings) -> Path:
    return output / f"seed_{settings.seed}" / re.sub(r"\W+", "_", name).strip("_")


def _check_stored(folder: Path, settings: Settings) -> None:
    """ConfigError where a folder holds a run, finished or not, that these settings did not train."""
    stored = folder / "settings.yaml"
    if stored.is_file():
        check_same(plain(load_settings(stored)), plain(settings), f"{folder} holds", "choose another --output")


def _train(settings: Settings, data: RunData, folder: Path) -> None:
    """Trains a run to its end and keeps the row of its best epoch."""
    torch.manual_seed(settings.seed)
    task = UnetTask(settings, pretrained=True)
    rows = train(settings, task, data, folder, resume=(folder / LAST).exists()).rows
    best = {**min(rows, key=lambda row: row[SCORE]), "epochs": float(len(rows))}
    write_atomically(folder / RESULT, [json.dumps(best).encode()])


def _origin(command: str, folders: Iterable[Path]) -> str:
    """What made the table: command, code and settings of the runs that are there."""
    files = [folder / "commit.txt" for folder in folders]
    commits = sorted({file.read_text(encoding="utf-8").strip() for file in files if file.is_file()})
    return (
        f"Made by `{command}` ({', '.join(commits)}); each run's settings are in "
        "`seed_SEED/VARIANT/settings.yaml` beside this file."
    )


def table(scores: Mapping[str, Scores]) -> str:
    """Markdown: mean over the seeds, and how far AbsRel is from that of the whole recipe."""
    whole = scores[WHOLE]
    lines = [
        "| recipe | AbsRel | worth (AbsRel without it, minus with it) | spread of AbsRel over seeds | delta1 | "
        "epochs |",
        "| --- " * 6 + "|",
    ]
    for name, each in scores.items():
        if not each.abs_rel:
            continue
        seeds = len(each.abs_rel)
        worth = "" if each is whole else f"{np.mean(each.abs_rel) - np.mean(whole.abs_rel[:seeds]):+.4f}"
        lines.append(
            f"| {name} | {np.mean(each.abs_rel):.4f} | {worth} | {np.ptp(each.abs_rel):.4f} | "
            f"{np.mean(each.delta1):.4f} | {np.mean(each.epochs):.1f} |"
        )
    return "\n".join(lines)


def _write(scores: Mapping[str, Scores], output: Path, origin: str) -> None:
    write_atomically(output / "ablation.md", [f"{table(scores)}\n\n{origin}\n".encode()])
    rows = [
        {"variant": float(number), "seed": seed, "abs_rel": abs_rel, "delta1": delta1, "epochs": epochs}
        for number, each in enumerate(scores.values())
        for seed, abs_rel, delta1, epochs in zip(each.seeds, each.abs_rel, each.delta1, each.epochs, strict=True)
    ]
    write_csv(output / "ablation.csv", rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; expected failures end in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=CONFIGS / "ablation.yaml", help="what is trained")
    parser.add_argument(
        "changes", nargs="*", metavar="KEY=VALUE", help="change a setting of all runs, or the seeds: seeds=[1]"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/ablation"), help="folder of the runs and the table")
    parser.add_argument("--quick", action="store_true", help="few rooms, few steps, one seed")
    arguments = parser.parse_intermixed_args(argv)
    command = shlex.join(["python", "-m", "training.ablation", *(sys.argv[1:] if argv is None else argv)])
    return exit_code(
        lambda: table(
            study(
                read_plan(arguments.config, arguments.quick, assignments(arguments.changes)),
                arguments.output,
                command=command,
            )
        )
    )


if __name__ == "__main__":
    sys.exit(main())

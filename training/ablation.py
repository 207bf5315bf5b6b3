"""What each ingredient of the better recipe is worth on synthetic rooms: `python -m training.ablation --output RUNS`.

Trains the recipe of training/configs/ablation.yaml whole, and once without each ingredient, for every seed; the same
command goes on after a stop. RUNS/ablation.md and ablation.csv hold the table: figures of the best epoch on rooms that
no run trained on. `--quick` sees in some minutes that everything works.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
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
from .network import UnetTask
from .run_log import write_csv
from .runner import train
from .settings import Settings, assignments, overridden, read_tree, settings_of

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
        return [(name, settings) for row in zip(*self.variants.values(), strict=True)
                for name, settings in zip(self.variants, row, strict=True)]


@dataclass
class Scores:
    """Figures of a variant, one of each seed: AbsRel and delta1 of the best epoch, and how many epochs it took."""

    abs_rel: list[float] = field(default_factory=list)
    delta1: list[float] = field(default_factory=list)
    epochs: list[float] = field(default_factory=list)


def read_plan(path: Path, quick: bool, words: Mapping[str, str]) -> Plan:
    """The runs that a YAML file describes; `words` change all of them. Raises ConfigError."""
    tree = read_tree(path)
    if not isinstance(tree, dict) or set(tree) != _KEYS:
        raise ConfigError(f"{path}: expected the keys {', '.join(sorted(_KEYS))}")
    recipe = path.with_name(str(tree["recipe"]))
    changes = {**tree["changes"], **(tree["quick"] if quick else {})}
    seeds = tree["seeds"][:1] if quick else tree["seeds"]
    variants = {WHOLE: {}, **{f"without {name}": without for name, without in tree["ingredients"].items()}}
    return Plan({name: [_settings(recipe, {**changes, **without, "seed": seed}, words) for seed in seeds]
                 for name, without in variants.items()})


def _settings(recipe: Path, changes: Mapping[str, Any], words: Mapping[str, str]) -> Settings:
    told = {key: json.dumps(value) for key, value in changes.items()}  # JSON is YAML
    return settings_of(overridden(copy.deepcopy(read_tree(recipe)), {**told, **words}), recipe, Settings)


def study(plan: Plan, output: Path, opener: Opener = open_run_data) -> dict[str, Scores]:
    """Trains what is not finished yet; the scores of all variants. Raises MonoDepthError."""
    scores = {name: Scores() for name in plan.variants}
    data = opener(plan.runs[0][1], writable_folder(output))  # variants differ in no frame
    for name, settings in tqdm(plan.runs, "runs"):
        folder = output / re.sub(r"\W+", "_", name) / f"seed_{settings.seed}"
        result = _finished(settings, data, folder)
        scores[name].abs_rel.append(result[SCORE])
        scores[name].delta1.append(result["val_delta1"])
        scores[name].epochs.append(result["epochs"])
        _write(scores, output)
    return scores


def _finished(settings: Settings, data: RunData, folder: Path) -> dict[str, float]:
    """The row of the best epoch of a run, trained where it is not there."""
    done = folder / RESULT
    if not done.is_file():
        torch.manual_seed(settings.seed)
        task = UnetTask(settings, pretrained=True)
        rows = train(settings, task, data, folder, resume=(folder / LAST).exists()).rows
        best = {**min(rows, key=lambda row: row[SCORE]), "epochs": float(len(rows))}
        write_atomically(done, [json.dumps(best).encode()])
    result: dict[str, float] = json.loads(done.read_text(encoding="utf-8"))
    return result


def table(scores: Mapping[str, Scores]) -> str:
    """Markdown: mean over the seeds, and how far AbsRel is from that of the whole recipe."""
    whole = scores[WHOLE]
    lines = ["| recipe | AbsRel | worth (AbsRel without it, minus with it) | spread of AbsRel over seeds | delta1 | "
             "epochs |", "| --- " * 6 + "|"]
    for name, each in scores.items():
        if not each.abs_rel:
            continue
        seeds = len(each.abs_rel)
        worth = "" if each is whole else f"{np.mean(each.abs_rel) - np.mean(whole.abs_rel[:seeds]):+.4f}"
        lines.append(f"| {name} | {np.mean(each.abs_rel):.4f} | {worth} | {np.ptp(each.abs_rel):.4f} | "
                     f"{np.mean(each.delta1):.4f} | {np.mean(each.epochs):.1f} |")
    return "\n".join(lines)


def _write(scores: Mapping[str, Scores], output: Path) -> None:
    write_atomically(output / "ablation.md", [f"{table(scores)}\n".encode()])
    rows = [{"variant": float(number), "seed": float(seed), "abs_rel": each.abs_rel[seed],
             "delta1": each.delta1[seed], "epochs": each.epochs[seed]}
            for number, each in enumerate(scores.values()) for seed in range(len(each.abs_rel))]
    write_csv(output / "ablation.csv", rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; expected failures end in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=CONFIGS / "ablation.yaml", help="what is trained")
    parser.add_argument("changes", nargs="*", metavar="KEY=VALUE", help="change a setting of all runs")
    parser.add_argument("--output", type=Path, default=Path("runs/ablation"), help="folder of the runs and the table")
    parser.add_argument("--quick", action="store_true", help="few rooms, few steps, one seed")
    arguments = parser.parse_intermixed_args(argv)
    return exit_code(lambda: table(study(
        read_plan(arguments.config, arguments.quick, assignments(arguments.changes)), arguments.output)))


if __name__ == "__main__":
    sys.exit(main())

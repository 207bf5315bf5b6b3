"""Trains a U-Net++, by default the embedded one: `python -m training.train_unetpp --data FOLDER --output runs/unetpp`.

Writes into the output folder: settings.yaml (effective) and commit.txt, log.csv, last.pt (resume continues
exactly there) and best.pt (the averaged weights with the best validation at the card's input size).
Several processes share each batch under `torchrun --nproc-per-node 2 -m training.train_unetpp ...`.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import torch.distributed
import yaml
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from mono_depth_recon.errors import ConfigError, MonoDepthError

from .batches import make_batch
from .losses import depth_loss
from .network import build_network, log_depth
from .settings import AugmentSettings, Settings, Stage, load_settings, settings_of
from .sources import Sources, made_sources, open_sources
from .validation import validate


class Trainer:
    """The plain loop: optimiser steps, averaged weights, validation, log and checkpoints."""

    def __init__(self, settings: Settings, sources: Sources, output: Path, pretrained: bool = False) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.sources, self.output = settings, sources, output
        self.module = build_network(settings.network, pretrained).to(memory_format=torch.channels_last)
        average = _averaging(settings.optimiser.ema_decay)
        self.averaged = AveragedModel(self.module, multi_avg_fn=average, use_buffers=True)
        decay = settings.optimiser.weight_decay
        self.optimiser = torch.optim.AdamW(self.module.parameters(), weight_decay=decay, fused=True)
        self.worker, self.workers = 0, 1
        if torch.distributed.is_initialized():
            self.worker, self.workers = torch.distributed.get_rank(), torch.distributed.get_world_size()
        self.step = 0
        self.best = math.inf
        self.rows: list[dict[str, float]] = []

    def run(self) -> None:
        """Trains from the current step to the end of the last stage."""
        losses: list[float] = []
        progress = tqdm(total=self.settings.steps, initial=self.step, unit="step", mininterval=2,
                        disable=self.worker > 0)
        with ThreadPoolExecutor(1) as maker, progress as bar:
            batch = self._submit(maker, self.step)
            while self.step < self.settings.steps:
                images, targets = batch.result()
                batch = self._submit(maker, self.step + 1)
                losses.append(self._optimise(images, targets))
                self.step += 1
                bar.update()
                bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
                if self.step % self.settings.validate_every == 0 or self.step == self.settings.steps:
                    if self.worker == 0:
                        self._validate(sum(losses) / len(losses))
                    losses.clear()

    def _submit(self, maker: ThreadPoolExecutor, step: int) -> Future[tuple[torch.Tensor, torch.Tensor]]:
        return maker.submit(make_batch, self.sources.train, self.settings, step, self.worker, self.workers)

    def _optimise(self, images: torch.Tensor, targets: torch.Tensor) -> float:
        self.module.train()
        torch.manual_seed((self.settings.seed * 1_000_003 + self.step) * self.workers + self.worker)  # of dropout
        loss_settings = self.settings.loss
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.settings, self.step)
        loss = depth_loss(log_depth(self.module, images, self.settings.bfloat16), targets,
                          loss_settings.gradient_weight, loss_settings.gradient_scales)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._share_gradients()
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.settings.optimiser.clip_norm)
        self.optimiser.step()
        self.averaged.update_parameters(self.module)
        return loss.item()

    def _share_gradients(self) -> None:
        if self.workers > 1:
            gradients = [p.grad for p in self.module.parameters() if p.grad is not None]
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            torch.distributed.all_reduce(flat, torch.distributed.ReduceOp.SUM)
            for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(mean.view_as(gradient) / self.workers)

    def _validate(self, loss: float) -> None:
        stage, network = self.settings.stage_at(self.step - 1), self.settings.network
        scores = validate(self.averaged.module, self.sources.validation, self.settings, stage.width, stage.height)
        self.rows.append({"step": self.step, "loss": loss, **scores})
        write_log(self.output / "log.csv", self.rows)
        tqdm.write("  ".join(f"{key} {value:.4g}" for key, value in self.rows[-1].items()))
        mean = sum(scores.values()) / len(scores)
        if (stage.width, stage.height) == (network.input_width, network.input_height) and mean < self.best:
            self.best = mean
            save({"weights": self.averaged.module.state_dict(), "step": self.step, "scores": scores},
                 self.output / "best.pt")
        save(self.state(), self.output / "last.pt")

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs to go on as if nothing had happened."""
        return {"settings": dataclasses.asdict(self.settings), "step": self.step, "best": self.best, "rows": self.rows,
                "module": self.module.state_dict(), "averaged": self.averaged.state_dict(),
                "optimiser": self.optimiser.state_dict()}

    def restore(self, path: Path) -> None:
        """Continues a run; its stages may have changed, everything else must be as it was (ConfigError)."""
        state = torch.load(path, weights_only=True)
        if dataclasses.replace(settings_of(state["settings"], path), stages=[]) != dataclasses.replace(
                self.settings, stages=[]):
            raise ConfigError(f"{path} belongs to a run of other settings: resume with those of "
                              f"{self.output / 'settings.yaml'}, or start a new run with --init")
        self.step, self.best, self.rows = state["step"], state["best"], state["rows"]
        self.module.load_state_dict(state["module"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])

    def initialise(self, path: Path) -> None:
        """Starts from the averaged weights of a best.pt or last.pt, at step 0."""
        state = torch.load(path, weights_only=True)
        averaged = {name.removeprefix("module."): value for name, value in state.get("averaged", {}).items()
                    if name != "n_averaged"}
        weights = state.get("weights", averaged)
        self.module.load_state_dict(weights)
        self.averaged.module.load_state_dict(weights)


def _averaging(decay: float) -> Callable[[Any, Any, Any], None]:
    """EMA whose memory grows with the number of steps up to `decay`, so that it forgets the random start."""
    def average(averaged: Any, current: Any, count: Any) -> None:
        get_ema_multi_avg_fn(min(decay, (1 + float(count)) / (10 + float(count))))(averaged, current, count)

    return average


def learning_rate(settings: Settings, step: int) -> float:
    """Linear warm-up, then constant up to the last stage, which is a half cosine down to zero.

    Earlier stages may so be cut short or lengthened on resume: what was done stays what it would have been.
    """
    peak, warmup, last = settings.optimiser.learning_rate, settings.optimiser.warmup_steps, settings.stages[-1].steps
    if step < warmup:
        return peak * (step + 1) / warmup
    share = max(0.0, (step - (settings.steps - last)) / last)
    return peak * 0.5 * (1 + math.cos(math.pi * share))


def save(state: dict[str, Any], path: Path) -> None:
    """torch.save that never leaves half a file."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def write_log(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """The whole log as CSV; a resumed run rewrites it without the rows that a kill had left beyond its checkpoint."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def smoke_settings(settings: Settings) -> tuple[Settings, Sources]:
    """A short run on made-up scenes that need no data: the loss must fall by a large factor."""
    off = {field.name: type(getattr(settings.augment, field.name))(0) for field in dataclasses.fields(AugmentSettings)}
    changes: dict[str, Any] = {
        "seed": 1, "rooms_share": 0.0, "validate_every": 30, "bfloat16": False, "stages": [Stage(96, 64, 8, 120)],
        "augment": AugmentSettings(**off | {"full_frame": 1.0, "smallest_window": 1.0, "flip": 0.5}),
        "network": dataclasses.replace(settings.network, input_width=96, input_height=64),
        "optimiser": dataclasses.replace(settings.optimiser, warmup_steps=10, ema_decay=0.9)}
    return dataclasses.replace(settings, **changes), made_sources(64, 96, 64)


def describe_run(settings: Settings, output: Path) -> None:
    """Writes the effective settings and the commit of the code beside the run."""
    output.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(dataclasses.asdict(settings), sort_keys=False)
    (output / "settings.yaml").write_text(text, encoding="utf-8")
    command = ["git", "describe", "--always", "--dirty"]
    git = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    (output / "commit.txt").write_text(git.stdout if git.returncode == 0 else "not a git checkout\n", encoding="utf-8")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path(__file__).parent / "configs" / "unetpp_mobile.yaml",
                        help="settings (default: those of the embedded model)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="change one setting, such as optimiser.learning_rate=0.001")
    data = os.environ.get("MONO_DEPTH_RECON_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None,
                        help="folder that holds tum/ (default: MONO_DEPTH_RECON_DATA)")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "mono_depth_recon",
                        help="folder for prepared frames")
    parser.add_argument("--output", type=Path, default=Path("runs/unetpp_mobile"), help="folder of this run")
    parser.add_argument("--init", type=Path, help="start from the weights of this best.pt or last.pt")
    parser.add_argument("--resume", action="store_true", help="continue the run in --output where it stopped")
    parser.add_argument("--smoke", action="store_true", help="a short run on made-up scenes, to see that it learns")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; expected failures end in one line."""
    arguments = parse(argv)
    try:
        settings = load_settings(arguments.config, dict(pair.partition("=")[::2] for pair in arguments.set))
        torch.set_num_threads(settings.threads)
        if "WORLD_SIZE" in os.environ:  # set by torchrun
            torch.distributed.init_process_group("gloo")
        if arguments.smoke:
            settings, sources = smoke_settings(settings)
        else:
            sources = open_sources(settings, arguments.data, arguments.cache)
        given = arguments.resume or arguments.init
        trainer = Trainer(settings, sources, arguments.output, pretrained=not (given or arguments.smoke))
        if arguments.resume:
            trainer.restore(arguments.output / "last.pt")
        elif arguments.init:
            trainer.initialise(arguments.init)
        if trainer.worker == 0:
            describe_run(settings, arguments.output)
        trainer.run()
    except (MonoDepthError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

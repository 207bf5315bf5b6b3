"""Fine-tunes a published model: `python -m training.finetune --data DATA --output RUN model.name=glpn_nyu`.

Data, losses, logs and words like `optimizer.lr=0.0001` are those of training.train_unetpp. optimizer.backbone_lr is the
share of the rate that the pretrained backbone learns with, 0 freezes it. RUN/model is a folder that `model.checkpoint`
takes. Relative models learn with a scale- and shift-invariant loss.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from .checkpoints import BEST, start_from
from .command import CONFIGS, RESUME, add_run_flags, changes_of, check, exit_code
from .frames import RunData, open_run_data
from .loading import start_processes
from .runner import train
from .settings import FinetuneSettings, load_run
from .transformer_task import TransformerTask

MODEL = "model"


def finetune(settings: FinetuneSettings, data: RunData, output: Path, resume: bool = False) -> Path:
    """Trains and returns the folder of the model of the best epoch. Raises MonoDepthError."""
    torch.manual_seed(settings.seed)
    task = TransformerTask(settings)
    train(settings, task, data, output, resume)
    if not int(os.environ.get("RANK", "0")):
        start_from(task.network, output / BEST)
        task.save(output / MODEL)
    return output / MODEL


def run(arguments: argparse.Namespace) -> Path | int:
    """What the command line asks for. Raises MonoDepthError."""
    settings = load_run(arguments.config, FinetuneSettings, changes_of(arguments))
    if arguments.check:
        return check(settings)
    start_processes(settings)
    return finetune(settings, open_run_data(settings, arguments.output), arguments.output, arguments.resume)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; expected failures end in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_flags(parser, CONFIGS / "finetune.yaml", Path("runs/finetune"))
    parser.add_argument("--resume", action="store_true", help=RESUME)
    return exit_code(lambda: run(parser.parse_intermixed_args(argv)))


if __name__ == "__main__":
    sys.exit(main())

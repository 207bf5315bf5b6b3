"""Fine-tunes a published model: `python -m training.finetune --data DATA --output RUN model.name=glpn_nyu`.

Data, losses, logs and words like `optimizer.lr=0.0001` are those of training.train_unetpp. optimizer.backbone_lr is the
share of the rate that the pretrained backbone learns with, 0 freezes it. RUN/model is a folder that `model.checkpoint`
takes. Relative models learn with a loss that forgives scale and shift.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from mono_depth_recon.errors import MonoDepthError

from .checkpoints import BEST, start_from
from .frames import RunData, open_run_data
from .runner import train
from .settings import FinetuneSettings, load_run
from .train_unetpp import CONFIGS, add_run_flags, changes_of, check
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


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; expected failures end in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_flags(parser, CONFIGS / "finetune.yaml", Path("runs/finetune"))
    arguments = parser.parse_intermixed_args(argv)
    try:
        settings = load_run(arguments.config, FinetuneSettings, changes_of(arguments))
        if arguments.check:
            return check(settings)
        data = open_run_data(settings, arguments.output)
        print(finetune(settings, data, arguments.output, arguments.resume))
    except MonoDepthError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

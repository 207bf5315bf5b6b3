"""Trains a U-Net++: `python -m training.train_unetpp --config training/configs/metric.yaml --data FOLDER --output RUN`.

Words like `optimizer.lr=0.001 data.sources.0.rooms=20` change single settings. RUN gets settings.yaml (effective) and
commit.txt, log.csv, speed.csv, curves.png, panels/, tensorboard/, last.ckpt (--resume continues exactly there) and
best.ckpt. Several processes share each batch under `torchrun --nproc-per-node 2 -m training.train_unetpp ...`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from .checkpoints import start_from, start_from_part
from .command import CONFIGS, RESUME, add_run_flags, changes_of, check, exit_code
from .frames import RunData, made_data, open_run_data
from .loading import start_processes
from .network import UnetTask, check_network
from .origin import Origin
from .runner import train
from .settings import (
    AugmentSettings,
    LoaderSettings,
    LossSettings,
    Settings,
    Stage,
    ValidationSettings,
    load_settings,
)


def smoke_settings(settings: Settings) -> tuple[Settings, RunData]:
    """A short run of the settings' network on made-up scenes that need no data: the loss must fall clearly."""
    changes: dict[str, Any] = {
        "precision": "float32",
        "stages": [Stage(96, 64, 8, 4, 30)],
        "data": {},
        "augment": AugmentSettings(flip=0.5),
        "loader": LoaderSettings(workers=0),
        "loss": LossSettings("log_l1", 0.5),
        "validation": ValidationSettings(frames=16, panels=2),
        "network": replace(settings.network, input_width=96, input_height=64, encoder_weights="none"),
        "optimizer": replace(
            settings.optimizer, lr=0.002, schedule="warmup_cosine", warmup_steps=10, ema_decay=0.9, clip_norm=1.0
        ),
    }
    return replace(settings, **changes), made_data(64, 96, 64)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_flags(parser, CONFIGS / "unetpp_mobile.yaml", Path("runs/unetpp_mobile"))
    parser.add_argument("--resume", action="store_true", help=RESUME)
    parser.add_argument("--init", type=Path, help="start from the weights of this checkpoint or card (.json)")
    parser.add_argument(
        "--init-part",
        action="store_true",
        help="take from --init what has the name and shape of a tensor of the network; the others start at random",
    )
    parser.add_argument("--smoke", action="store_true", help="a short run on made-up scenes, to check that it learns")
    return parser.parse_intermixed_args(argv)


def run(arguments: argparse.Namespace) -> int:
    """What the command line asks for. Raises MonoDepthError."""
    settings = load_settings(arguments.config, changes_of(arguments))
    pretrained = not (arguments.resume or arguments.init)
    if not arguments.smoke:
        check_network(settings.network, pretrained)  # before data that may take minutes to prepare
    if arguments.check:
        return check(settings)
    if arguments.smoke:
        settings, data = smoke_settings(settings)
    else:
        start_processes(settings)
        data = open_run_data(settings, arguments.output)
    torch.manual_seed(settings.seed)
    task = UnetTask(settings, pretrained)
    if arguments.init and arguments.init_part:
        print(start_from_part(task.network, arguments.init), file=sys.stderr)
    elif arguments.init:
        start_from(task.network, arguments.init)
    origin = Origin.of_file(arguments.init) if arguments.init else None
    train(settings, task, data, arguments.output, arguments.resume, origin=origin)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; expected failures end in one line."""
    return exit_code(lambda: run(parse(argv)))


if __name__ == "__main__":
    sys.exit(main())

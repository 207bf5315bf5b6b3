"""One run from settings, task and frames: what every training command shares."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy

from mono_depth_recon.errors import ConfigError

from .batches import Task
from .checkpoints import LAST, AtomicFiles, Keeper, check_resumable
from .frames import RunData
from .loading import FrameLoading
from .module import DepthTraining
from .origin import Origin
from .run_log import RunLog, Speed, describe_run
from .settings import FinetuneSettings, RunSettings


def train(
    settings: RunSettings,
    task: Task,
    data: RunData,
    output: Path,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    origin: Origin | None = None,
) -> DepthTraining:
    """Trains to the end of the last stage, or continues where last.ckpt in `output` stopped. Raises MonoDepthError.

    Under torchrun every process shares each batch (DistributedDataParallel). `output` then holds settings.yaml,
    commit.txt, start.txt (where there is an `origin`), log.csv, speed.csv, curves.png, panels/, tensorboard/,
    last.ckpt and best.ckpt.
    """
    last = output / LAST
    if last.exists() != resume:
        raise ConfigError(
            f"{output} holds a run: continue it with --resume, or choose another --output"
            if not resume
            else f"there is no {last} to resume: start without --resume"
        )
    if resume:
        check_resumable(last, settings)
    torch.set_num_threads(settings.threads)
    loading = FrameLoading(settings, data, task.prepare)
    module = DepthTraining(settings, task, loading.schedule, data.ledger(), origin.state() if origin else None)
    if not int(os.environ.get("RANK", "0")):
        describe_run(settings, output, origin.text if origin else "")
        print("\n".join([*data.lines, *_precision_note(settings)]), file=sys.stderr)
    own = [Keeper(output), RunLog(output, loading), Speed(output), Progress(refresh_rate=10)]
    trainer = L.Trainer(
        max_epochs=settings.epochs,
        callbacks=[*own, *callbacks],
        plugins=[AtomicFiles()],
        logger=TensorBoardLogger(output, name="", version="tensorboard"),
        log_every_n_steps=10,
        **computation(settings),
    )
    fit(trainer, module, loading, last if resume else None)
    return module


def fit(trainer: L.Trainer, module: DepthTraining, loading: FrameLoading, checkpoint: Path | None = None) -> None:
    """Runs a trainer that was made with `computation`, without the warnings that are known to mean nothing here."""
    torch.backends.cudnn.benchmark = torch.cuda.is_available()  # convolutions are chosen by timing them
    torch.utils.deterministic.fill_uninitialized_memory = not torch.cuda.is_available()  # takes time for each tensor
    with warnings.catch_warnings():
        for message in _KNOWN:
            warnings.filterwarnings("ignore", message)
        trainer.fit(module, datamodule=loading, ckpt_path=str(checkpoint) if checkpoint else None)


def computation(settings: RunSettings) -> dict[str, Any]:
    """Lightning's arguments for how a step computes, and where."""
    return {
        "precision": _precision(settings),
        "gradient_clip_val": settings.optimizer.clip_norm or None,
        "num_sanity_val_steps": 0,
        "reload_dataloaders_every_n_epochs": 1,
        "use_distributed_sampler": False,
        "deterministic": "warn",
        "enable_model_summary": False,
        **_devices(settings),
    }


class Progress(TQDMProgressBar):
    """Lightning's progress bar without the name of the log folder."""

    def get_metrics(self, trainer: L.Trainer, module: L.LightningModule) -> dict[str, Any]:
        """What stands behind the bar."""
        return {name: value for name, value in super().get_metrics(trainer, module).items() if name != "v_num"}

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Ends the line of the progress bars; after an interruption, prints how to resume."""
        for bar in (self._val_progress_bar, self._train_progress_bar):
            if bar is not None:
                bar.close()
        if isinstance(exception, KeyboardInterrupt):
            print("interrupted: --resume continues after the last whole epoch", file=sys.stderr)


_KNOWN = (
    ".*does not have many workers.*",
    ".*smaller than the logging interval.*",
    ".*reload_dataloaders.*",
    ".*lr_scheduler.step.*before.*optimizer.step.*",
    ".*treespec.*is deprecated.*",
    ".*sync_dist=True.*",
)  # the figures of an epoch are those of all processes already
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # the devices are in the log anyway


def _precision(settings: RunSettings) -> Any:
    if not torch.cuda.is_available():
        return "32-true"
    return {"mixed": "16-mixed", "mixed_bfloat16": "bf16-mixed"}.get(settings.precision, "32-true")


def _precision_note(settings: RunSettings) -> list[str]:
    if not settings.precision.startswith("mixed") or torch.cuda.is_available():
        return []
    return [
        f"precision {settings.precision}: no GPU here, this run computes in float32 "
        "(bfloat16 can be many times slower on a CPU)"
    ]


def _devices(settings: RunSettings) -> dict[str, Any]:
    """Lightning's arguments for this machine, or for the processes that torchrun started."""
    gpu = torch.cuda.is_available()
    accelerator = "gpu" if gpu else "cpu"
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes == 1:
        return {"accelerator": accelerator, "devices": 1}
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    unused = isinstance(settings, FinetuneSettings)  # transformers' heads have unused layers
    strategy = DDPStrategy(process_group_backend="nccl" if gpu else "gloo", find_unused_parameters=unused)
    return {"accelerator": accelerator, "devices": local, "num_nodes": processes // local, "strategy": strategy}

"""Measures a recipe's training here: `python -m training.throughput --config training/configs/metric.yaml --data DATA`.

Prints images per second of loading and augmentation alone, of the steps alone (the same batch again and again) and of
both, each for --seconds; of both the share of time that the device waits for data, and the time from the start of the
command to the end of the first step. Nothing is written; words like `loader.workers=8` change single settings.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from mono_depth_recon.errors import ConfigError

from .batches import Batch
from .command import CONFIGS, add_data_flags, changes_of, exit_code
from .frames import RunData, open_run_data
from .loading import FrameLoading, start_processes
from .module import DepthTraining
from .network import UnetTask
from .runner import computation, fit
from .settings import Settings, load_settings

WARM_UP = 5  # steps that are not counted: kernels are chosen, loading processes start
LONGEST_S = 3600
STEPS = 10**6  # of an epoch: more than are made


@dataclass(frozen=True)
class Rate:
    """`images` in `seconds`, of which the device had nothing to do for `waited`."""

    images: int
    seconds: float
    waited: float = 0.0

    @property
    def per_second(self) -> float:
        """Images a second."""
        return self.images / self.seconds


class Mark:
    """A moment in the work of a device: on a GPU when it gets there, on a CPU now."""

    def __init__(self, device: torch.device) -> None:
        self._event = torch.cuda.Event(enable_timing=True) if device.type == "cuda" else None
        self._now = time.perf_counter()
        if self._event is not None:
            self._event.record()

    def since(self, earlier: Mark) -> float:
        """Seconds from `earlier` to this; waits until the device is there."""
        if self._event is None or earlier._event is None:
            return self._now - earlier._now
        self._event.synchronize()
        return earlier._event.elapsed_time(self._event) / 1000


class Meter(Callback):
    """Times the steps of a run after the warm-up, and ends it after `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._device = torch.device("cpu")
        self._begins: list[Mark] = []
        self._ends: list[Mark] = []
        self._images = 0
        self._stop = math.inf
        self.first_step = math.nan

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """The device is known."""
        self._device = module.device

    def begin(self) -> None:
        """A batch is there, and the device has not touched it."""
        self._begins.append(Mark(self._device))

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *rest: Any) -> None:
        """A step is given to the device."""
        self._ends.append(Mark(self._device))
        steps = len(self._ends)
        if steps == 1:
            self._ends[0].since(self._begins[0])
            self.first_step = process_age()
        if steps == WARM_UP:
            self._stop = time.perf_counter() + self._seconds
        if steps > WARM_UP:
            self._images += len(rest[1])
        if steps > WARM_UP and time.perf_counter() > self._stop:
            trainer.should_stop = True

    def rate(self) -> Rate:
        """Of the steps after the warm-up."""
        ends, begins = self._ends[WARM_UP - 1 :], self._begins[WARM_UP : len(self._ends)]
        waited = sum(max(0.0, begin.since(end)) for end, begin in zip(ends, begins, strict=False))
        return Rate(self._images, ends[-1].since(ends[0]), waited)


class MeasuredTraining(DepthTraining):
    """A training whose epochs end without a row."""

    def on_train_epoch_end(self) -> None:
        """Nothing is measured but time."""


class MeasuredLoading(FrameLoading):
    """Batches whose arrival a meter notes: those of the recipe, or `repeated` again and again."""

    meter: Meter
    repeated: Batch | None = None

    def train_dataloader(self) -> Any:
        """The batches of the first epoch."""
        return Repeated(self.repeated) if self.repeated is not None else super().train_dataloader()

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """A batch is there, and the device has not touched it."""
        self.meter.begin()
        return batch

    def alone(self, seconds: float) -> tuple[Rate, Batch]:
        """Batches as they come to the device and are made there, without a step, and one of them; after a run."""
        assert self.trainer is not None, "a run came before"
        device = self.trainer.strategy.root_device
        batches = (self.on_after_batch_transfer(each.to(device), 0) for each in self.train_dataloader())
        batch = next(itertools.islice(batches, WARM_UP - 1, None))
        begin, count = Mark(device), 0
        stop = time.perf_counter() + seconds
        while not count or time.perf_counter() < stop:
            count += len(next(batches))
        return Rate(count, Mark(device).since(begin)), batch


@dataclass(frozen=True)
class Repeated:
    """An epoch of one batch."""

    batch: Batch

    def __len__(self) -> int:
        return STEPS

    def __iter__(self) -> Iterator[Batch]:
        return itertools.repeat(self.batch, STEPS)


def measure(settings: Settings, data: RunData, seconds: float) -> str:
    """The lines that the command prints, of the first stage of the settings."""
    stage = replace(settings.stages[0], epochs=1, steps=STEPS)
    settings = replace(settings, stages=[stage])
    torch.set_num_threads(settings.threads)
    task = UnetTask(settings, pretrained=False)
    loading = MeasuredLoading(settings, data, task.prepare)
    first_step, whole = _run(settings, task, data, loading, seconds)
    alone, loading.repeated = loading.alone(seconds)
    _, steps = _run(settings, task, data, loading, seconds)
    waits = f"the device waits {whole.waited / whole.seconds:.1%}"
    return "\n".join(
        [
            f"{stage.width}x{stage.height}, batches of {stage.batch}, {settings.precision}, on {device_name()}",
            f"augmentation alone  {alone.per_second:8.0f} images/s",
            f"step alone          {steps.per_second:8.0f} images/s",
            f"whole               {whole.per_second:8.0f} images/s, {waits}",
            f"first step after    {first_step:8.1f} s",
        ]
    )


def device_name() -> str:
    """What trains here."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"


def _run(
    settings: Settings, task: UnetTask, data: RunData, loading: MeasuredLoading, seconds: float
) -> tuple[float, Rate]:
    """Trains until the meter has seen enough; the age of the process at the end of the first step, and the rate."""
    loading.meter = meter = Meter(seconds)
    trainer = L.Trainer(
        max_epochs=1,
        callbacks=[meter],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        limit_val_batches=0,
        **computation(settings),
    )
    fit(trainer, MeasuredTraining(settings, task, loading.schedule, data.ledger()), loading)
    return meter.first_step, meter.rate()


def process_age() -> float:
    """Seconds since this process started, imports included."""
    started = int(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_flags(parser, CONFIGS / "unetpp_mobile.yaml")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement (default: 20)")
    return parser.parse_intermixed_args(argv)


def run(arguments: argparse.Namespace) -> str:
    """What the command line asks for. Raises MonoDepthError."""
    if not 0 <= arguments.seconds <= LONGEST_S:
        raise ConfigError(f"--seconds must be 0 to {LONGEST_S}, got {arguments.seconds:g}")
    settings = load_settings(arguments.config, changes_of(arguments))
    start_processes(settings)
    return measure(settings, open_run_data(settings, None), arguments.seconds)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; expected failures end in one line."""
    return exit_code(lambda: run(parse(argv)))


if __name__ == "__main__":
    sys.exit(main())

"""From frames to batches: which frames an epoch shows, loaded by processes beside the training.

Every batch is a function of (seed, draw), so that a resumed run and any number of workers see the same ones.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import wait
from typing import Any, NamedTuple

import cv2
import lightning as L
import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from mono_depth_recon.datasets.dataset import Part, Problem
from mono_depth_recon.datasets.mixture.mixture import Mixture
from mono_depth_recon.datasets.mixture.tolerant import Drawn, TolerantFrames
from mono_depth_recon.errors import ConfigError
from mono_depth_recon.frames import Sample

from .augment import augment, resized, seen_by
from .batches import Batch, DevicePreparation, Loaded, Preparation, collate
from .changes import draw_changes, random_view
from .device_augment import Bank, changed_batch
from .device_frames import HeldPart, Source, delivered, free_memory, hold, read_source
from .frames import Draws, RunData
from .recipes import Recipe, RecipeBatch, collate_recipes
from .settings import AugmentSettings, RunSettings, Stage

TURNED = "_turned"


class Draw(NamedTuple):
    """Draw number `place` of a pass over the data, at width x height pixels."""

    turn: int
    place: int
    width: int
    height: int


class View(NamedTuple):
    """A validation frame of a source by number, whole or as a turned view, at width x height pixels."""

    source: str
    frame: int
    turned: bool
    width: int
    height: int


class Schedule:
    """How many batches the epochs have, and which draws make them."""

    def __init__(self, settings: RunSettings, draws: int) -> None:
        self.settings, self._draws = settings, draws

    def steps(self, epoch: int) -> int:
        """Batches of an epoch (from 0)."""
        stage = self.settings.stage_at(epoch)
        return stage.steps or max(1, self._draws // stage.batch)

    @property
    def total_steps(self) -> int:
        """Batches of all epochs."""
        return sum(map(self.steps, range(self.settings.epochs)))

    @property
    def last_stage_steps(self) -> int:
        """Batches of the last stage."""
        return self.settings.stages[-1].epochs * self.steps(self.settings.epochs - 1)

    def batches(self, epoch: int, rank: int = 0, ranks: int = 1) -> Iterator[list[Draw]]:
        """The part of each batch of an epoch that process `rank` of `ranks` loads."""
        stage = self.settings.stage_at(epoch)
        first = sum(self.settings.stage_at(e).batch * self.steps(e) for e in range(epoch))
        before = sum(map(self.steps, range(epoch)))
        for step in range(self.steps(epoch)):
            start, size = first + step * stage.batch, stage.size_at(before + step)
            yield [
                Draw(*divmod(number, self._draws), *size) for number in range(start + rank, start + stage.batch, ranks)
            ]


class EpochBatches(Sampler[list[Draw]]):
    """The batches of the epoch that `epoch` names, for a DataLoader."""

    def __init__(self, schedule: Schedule, rank: int, ranks: int) -> None:
        self._schedule, self._rank, self._ranks = schedule, rank, ranks
        self.epoch = 0

    def __len__(self) -> int:
        return self._schedule.steps(self.epoch)

    def __iter__(self) -> Iterator[list[Draw]]:
        return self._schedule.batches(self.epoch, self._rank, self._ranks)


class TrainingFrames(Dataset[Loaded]):
    """Augmented frames as arrays, by Draw."""

    def __init__(self, draws: Draws, prepare: Preparation, augmentation: AugmentSettings, seed: int) -> None:
        self._draws, self._prepare, self._augmentation, self._seed = draws, prepare, augmentation, seed

    def __getitem__(self, draw: Draw) -> Loaded:
        drawn = self._draws[(draw.turn, draw.place)]
        rng = np.random.default_rng((self._seed, draw.turn, draw.place))
        sample = augment(drawn.sample, draw.width, draw.height, self._augmentation, rng)
        return _loaded(drawn, sample, "", self._prepare)


class TrainingRecipes(Dataset[Recipe]):
    """The same draws for a device that augments: what changes, and the frame or its place on the device; by Draw."""

    def __init__(
        self,
        draws: Draws,
        prepare: DevicePreparation,
        augmentation: AugmentSettings,
        seed: int,
        held: Mapping[str, HeldPart],
    ) -> None:
        self._draws, self._prepare, self._augmentation, self._seed = draws, prepare, augmentation, seed
        self._held = held

    def __getitem__(self, draw: Draw) -> Recipe:
        (frame, camera), origin, bad = self._drawn((draw.turn, draw.place))
        rng = np.random.default_rng((self._seed, draw.turn, draw.place))
        changes = draw_changes(camera, draw.width, draw.height, self._augmentation, rng)
        noise_seed = int(rng.integers(2**62))
        return Recipe(frame, camera, changes, self._prepare.scale(changes.camera), noise_seed, origin, bad)

    def _drawn(self, key: tuple[int, int]) -> tuple[Source, str, tuple[Problem, ...]]:
        if isinstance(self._draws, TolerantFrames):
            return self._draws.first_good(key, self._read)
        drawn = self._draws[key]
        return delivered(drawn.sample), drawn.origin, drawn.bad

    def _read(self, part: Part, i: int) -> tuple[Source | None, str]:
        held = self._held.get(part.name)
        return read_source(part, i) if held is None else held.read(i)


class ValidationFrames(Dataset[Loaded]):
    """Frames as they are, and views of them turned as augmentation turns them, always the same; by View."""

    def __init__(self, sources: Mapping[str, Draws], prepare: Preparation, augmentation: AugmentSettings) -> None:
        self._sources, self._prepare, self._augmentation = sources, prepare, augmentation

    def __getitem__(self, view: View) -> Loaded:
        drawn = self._sources[view.source][view.frame]
        return _loaded(
            drawn, self.sample(drawn.sample, view), view.source + (TURNED if view.turned else ""), self._prepare
        )

    def sample(self, sample: Sample, view: View) -> Sample:
        """What the view shows of a frame."""
        if not view.turned:
            return resized(sample, view.width, view.height)
        rng = np.random.default_rng((view.frame, 11))
        return seen_by(sample, *random_view(sample.camera, view.width, view.height, self._augmentation, rng))


def _loaded(drawn: Drawn, sample: Sample, source: str, prepare: Preparation) -> Loaded:
    return Loaded(prepare(sample), drawn.origin, source, drawn.bad)


def validation_views(sources: Mapping[str, Draws], settings: RunSettings, stage: Stage) -> list[View]:
    """At most `validation.frames` of each source, evenly chosen, and turned views of the same frames if asked."""
    return [
        View(name, round(i), turned, stage.width, stage.height)
        for name, frames in sources.items()
        for turned in ((False, True) if settings.validation.turned else (False,))
        for i in np.linspace(0, len(frames) - 1, min(len(frames), settings.validation.frames))
    ]


class FrameLoading(L.LightningDataModule):
    """The loaders of the epoch that the trainer is in."""

    def __init__(self, settings: RunSettings, data: RunData, prepare: Preparation) -> None:
        super().__init__()
        self.settings, self.frames = settings, data
        self.schedule = Schedule(settings, len(data.train))
        self._prepare = prepare
        self._banks: list[Bank] = []
        self.validation = ValidationFrames(data.validation, prepare, settings.augment)
        self._loader: DataLoader[Any] | None = None

    def train_dataloader(self) -> DataLoader[Any]:
        """The batches of the current epoch; the loading processes stay from epoch to epoch."""
        assert self.trainer is not None, "Lightning asks for loaders while it trains"
        if self._loader is None:
            ranks = self.trainer.world_size
            if any(stage.batch % ranks for stage in self.settings.stages):
                raise ConfigError(f"stages.batch is shared by {ranks} processes: each must be a multiple of {ranks}")
            sampler = EpochBatches(self.schedule, self.trainer.global_rank, ranks)
            self._loader = self._new(*self._training(), sampler, persistent=True)
        batches = self._loader.batch_sampler
        assert isinstance(batches, EpochBatches), "the loader was made here"
        batches.epoch = self.trainer.current_epoch
        return self._loader

    def val_dataloader(self) -> DataLoader[Loaded]:
        """This process's share of the validation views, at the size of the current stage."""
        assert self.trainer is not None, "Lightning asks for loaders while it trains"
        stage = self.settings.stage_at(self.trainer.current_epoch)
        views = validation_views(self.frames.validation, self.settings, stage)
        mine = views[self.trainer.global_rank :: self.trainer.world_size]
        size = max(1, stage.batch // self.trainer.world_size)
        batches = [mine[i : i + size] for i in range(0, len(mine), size)]
        return self._new(self.validation, collate, batches, persistent=False)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """A batch of recipes, on the device, as the Batch that they make."""
        return self.made(batch) if isinstance(batch, RecipeBatch) else batch

    def made(self, batch: RecipeBatch) -> Batch:
        """The images and targets of recipes on the device."""
        assert isinstance(self._prepare, DevicePreparation), "others are given no recipes"
        rgb, depth = changed_batch(batch, self._banks)
        images, targets = self._prepare.on_device(rgb, depth, batch.scales)
        return Batch(images, targets, batch.scales, batch.origins, [""] * len(batch), batch.bad)

    def _training(self) -> tuple[Dataset[Any], Callable[[Any], Any]]:
        """What loads training frames for the trainer's device, and what makes batches of them; says what lies there."""
        assert self.trainer is not None, "Lightning asks for loaders while it trains"
        device, wanted = self.trainer.strategy.root_device, self.settings.loader.device_frames
        chosen = self.frames.train, self._prepare, self.settings.augment, self.settings.seed
        if wanted == "never" or (wanted == "auto" and device.type == "cpu"):
            return TrainingFrames(*chosen), collate
        if not isinstance(self._prepare, DevicePreparation):
            if wanted == "always":
                raise ConfigError("loader.device_frames must be auto or never: this model's images are made on the CPU")
            return TrainingFrames(*chosen), collate
        self._banks, held, line = hold(_parts(self.frames.train), device, free_memory(device))
        if not self.trainer.global_rank:
            print(line, file=sys.stderr)
        return TrainingRecipes(chosen[0], self._prepare, *chosen[2:], held), collate_recipes

    def _new(
        self, frames: Dataset[Any], together: Callable[[Any], Any], batches: object, persistent: bool
    ) -> DataLoader[Any]:
        import torch

        workers = self.settings.loader.workers
        return DataLoader(
            frames,
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=together,
            persistent_workers=persistent and workers > 0,
            worker_init_fn=_begin,
            pin_memory=torch.cuda.is_available(),
            multiprocessing_context=_processes() if workers else None,
        )


def _parts(draws: Draws) -> list[Part]:
    mixture = draws.frames if isinstance(draws, TolerantFrames) else None
    return mixture.parts if isinstance(mixture, Mixture) else []


def start_processes(settings: RunSettings) -> None:
    """Starts the server of the loading processes, whose libraries load while the training opens its data."""
    if settings.loader.workers:
        _processes()
        multiprocessing.forkserver.ensure_running()


def _processes() -> Any:
    """Loading processes come from a server that has no threads: a fork of the training takes their locks along."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _begin(_: int) -> None:
    """Of a loading process: one thread for images, and an end with the training.

    The server and its processes hold each other's pipes: where the training is killed, neither sees the other end.
    """
    cv2.setNumThreads(0)
    training = multiprocessing.parent_process()
    assert training is not None, "loading processes have a parent"
    threading.Thread(target=_end_with, args=(training.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)

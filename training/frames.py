"""The frames of a run: what `mono_depth_recon.datasets` reads, or made-up scenes that need no data (smoke run)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mono_depth_recon.atomic import writable_folder
from mono_depth_recon.datasets.dataset import Part
from mono_depth_recon.datasets.mixture.checking import check_data
from mono_depth_recon.datasets.mixture.tolerant import BadSampleLedger, Drawn, TolerantFrames
from mono_depth_recon.datasets.mixture.training_data import open_training_data
from mono_depth_recon.paths import expanded, user_cache

from .kept_frames import keep
from .settings import LoaderSettings, RunSettings
from .sources import made_scene

CHECKED_FRAMES = 4  # of each source, before every training
SHOWN = 10  # bad frames that are listed at the start


class Draws(Protocol):
    """The training frames: draw (pass, index) of `len` draws in a pass, a pure function of the two and the seed."""

    def __len__(self) -> int:
        """Draws of one pass over the data."""

    def __getitem__(self, key: Any, /) -> Drawn:
        """The frame of (pass, index), and the bad frames that were skipped for it."""


@dataclass(frozen=True)
class RunData:
    """Training draws and, by name, the validation frames of each source; `lines` describes them for the log."""

    train: Draws
    validation: Mapping[str, Draws]
    lines: list[str]
    bad_share: float
    bad_minimum: int

    def ledger(self) -> BadSampleLedger:
        """A new count of bad samples."""
        return BadSampleLedger(self.bad_share, self.bad_minimum)


def open_run_data(settings: RunSettings, output: Path | None) -> RunData:
    """Opens what `settings.data` names, after a quick check; writes the split to `output`. Raises MonoDepthError."""
    if output is not None:
        writable_folder(output)
    report = check_data(settings.data, settings.seed, output, CHECKED_FRAMES)
    report.raise_if_bad()
    data = open_training_data(settings.data, settings.seed, output)
    for part in [*data.train.parts, *data.validation.values()]:
        _keep(part, settings.loader, settings.threads)
    return RunData(
        TolerantFrames(data.train),
        {name: TolerantFrames(part) for name, part in data.validation.items()},
        [*data.lines(), *report.bad_lines(SHOWN)],
        data.settings.bad_share,
        data.settings.bad_minimum,
    )


def cache_folder(settings: LoaderSettings) -> Path:
    """Where prepared frames are kept: `loader.cache`, or the user's cache folder."""
    return expanded(settings.cache) if settings.cache else user_cache()


def _keep(part: Part, settings: LoaderSettings, processes: int) -> None:
    if part.is_rendered or len(part) <= settings.keep_frames:
        keep(part, cache_folder(settings), max(1, processes, settings.workers))


class MadeDraws:
    """`count` made-up scenes in memory, every pass in an order of its own."""

    def __init__(self, count: int, first_seed: int, width: int, height: int) -> None:
        self._scenes = [made_scene(first_seed + i, width, height) for i in range(count)]

    def __len__(self) -> int:
        return len(self._scenes)

    def __getitem__(self, key: Any) -> Drawn:
        place, name = key, f"made[{key}]"
        if isinstance(key, tuple):
            place = int(np.random.default_rng((key[0], 5)).permutation(len(self))[key[1]])
            name = f"made[{place}]"
        return Drawn(self._scenes[place], name, ())


def made_data(count: int, width: int, height: int) -> RunData:
    """Made-up scenes: `count` to train on and a quarter as many to validate."""
    validation = MadeDraws(max(1, count // 4), 10_000, width, height)
    return RunData(MadeDraws(count, 0, width, height), {"made": validation}, [f"{count} made-up scenes"], 0.0, 0)

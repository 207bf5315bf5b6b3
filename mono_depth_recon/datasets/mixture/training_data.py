"""The entry point to training data: opens the sources of a configuration, splits them and mixes them.

data = open_training_data({"root": "/data", "sources": [{"kind": "nyu_csv", "path": "nyu_data"}]}, seed=7)
sample = data.train[epoch, index]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError
from ..dataset import SPLITS, Dataset, Part
from ..kind import SourceSettings
from ..table import KINDS
from .mixture import Mixture
from .settings import DataSettings, data_settings
from .splits import SplitFile, parse_shares, split_source

SPLIT_FILE = "splits.txt"


@dataclass(frozen=True)
class TrainingData:
    """What a run trains, validates and tests on; it can be pickled, and each process opens files for itself.

    `validation` and `test` hold the parts by the name of their source. `notes` are one-line messages for the user.
    """

    settings: DataSettings
    train: Mixture
    validation: dict[str, Part]
    test: dict[str, Part]
    notes: list[str]

    def lines(self) -> list[str]:
        """A table: scenes and frames of every split of every source, its share of the training draws, and the notes."""
        train = {part.name: part for part in self.train.parts}
        lines = [f"{'source':20}" + "".join(f"{split:>24}" for split in SPLITS)]
        for source in self.settings.sources:
            parts = [by_name.get(source.name) for by_name in (train, self.validation, self.test)]
            cells = ["-" if part is None else f"{len(part)} of {len(part.scenes())} scenes" for part in parts]
            lines.append(f"{source.name:20}" + "".join(f"{cell:>24}" for cell in cells))
        shares = ", ".join(
            f"{part.name} {quota}" for part, quota in zip(self.train.parts, self.train.quotas, strict=True)
        )
        return [*lines, f"an epoch draws {len(self.train)}: {shares}", *self.notes]


def open_training_data(tree: object, seed: int, run_folder: Path | None = None) -> TrainingData:
    """The data of a configuration's section `data`, a tree of plain values (`source_settings`).

    The scenes of each split are read from data.split_file (or splits.txt in `run_folder`) and written there where they
    are new. Raises ConfigError, DataError and CalibrationError, each one line.
    """
    settings = data_settings(tree)
    file = split_file(settings, run_folder)
    opened = [(source, open_source(settings, source)) for source in settings.sources]
    shares = parse_shares(settings.shares)
    parts = [(source, split_source(frames, source, shares, seed, file)) for source, frames in opened]
    data = assembled(settings, parts, seed, [note for _, frames in opened for note in notes_of(frames)])
    file.write(split_comment(settings, seed))
    return data


def split_file(settings: DataSettings, run_folder: Path | None) -> SplitFile:
    """The configured split file, else that of the run; without either, splits are not kept."""
    if settings.split_file:
        return SplitFile(settings.file(settings.split_file))
    return SplitFile(None if run_folder is None else run_folder / SPLIT_FILE)


def split_comment(settings: DataSettings, seed: int) -> str:
    """How the scenes of a split file were chosen."""
    return f"new scenes drawn with seed {seed}, shares {settings.shares}"


def notes_of(source: Dataset) -> list[str]:
    """Messages about a source for the user."""
    gaps = source.gaps
    left_out = [f"{source.name}: {len(gaps)} left out, the first is {gaps[0]}"] if gaps else []
    return [*source.notes, *left_out]


def assembled(
    settings: DataSettings, parts: list[tuple[SourceSettings, dict[str, Part]]], seed: int, notes: list[str]
) -> TrainingData:
    """The data of split sources. DataError without training or without validation data."""
    by_split = {split: [(source, found[split]) for source, found in parts if split in found] for split in SPLITS}
    for split in SPLITS[:2]:
        if not by_split[split]:
            raise DataError(
                f"no source has a {split} part: every one is empty there; change data.shares or the split of a source"
            )
    train = Mixture(
        [part for _, part in by_split["train"]],
        [source.weight for source, _ in by_split["train"]],
        seed,
        settings.epoch_frames,
    )
    validation, test = ({part.name: part for _, part in by_split[split]} for split in SPLITS[1:])
    return TrainingData(settings, train, validation, test, notes)


def open_source(settings: DataSettings, source: SourceSettings) -> Dataset:
    """The frames of one source. Raises DataError, ConfigError or CalibrationError."""
    return KINDS[source.kind].from_settings(source, settings.file)

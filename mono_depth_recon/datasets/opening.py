"""The entry point to every data set, recognised by what is at its path; `table` lists the kinds."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..paths import checked
from ..printing import alternatives
from .dataset import Dataset
from .kind import DatasetKind, OpenOptions
from .table import KINDS
from .tum import NO_POSES

__all__ = ["OpenOptions", "depth_notes", "open_dataset", "understood"]

ALL = "all"
_PART = re.compile(r"(.+):\d+:\d+", re.DOTALL)
_USUAL = (0.045, 0.5)  # of max_depth, where the median depth lies: a wrong factor is 4 to 20 times off
_LIKELY = (0.06, 0.45)
_FACTORS = (1000.0, 5000.0, 256.0, 10000.0, 1.0)  # millimetres, TUM, KITTI, tenths of millimetres, metres
_FOR_ALL = ("rectified", "need_depth", "split")  # options that no kind refuses


def open_dataset(path: Path | str, options: OpenOptions | None = None) -> Dataset:
    """The data set at `path`; of one with an official split the test part, unless `options.split` names another.

    Its `notes` name what was unreadable, chosen or suspicious. Raises DataError where the path is of no known kind or
    has no frames, CalibrationError where no camera is known, ConfigError for a part that the split does not have.
    """
    path, options = checked(Path(path)), options or OpenOptions()
    kind = kind_of(path, options)
    _check_options(path, kind, options)
    dataset = _chosen_part(kind.open(path, options), options.split)
    dataset.notes += depth_notes(dataset)
    return dataset


def kind_of(path: Path, options: OpenOptions) -> DatasetKind:
    """The kind of the data set at `path`, by its name and layout. Raises DataError where it has none."""
    kind = next((row for row in KINDS.values() if row.recognises(path, options)), None)
    if kind is None:
        what = "is no recording or other data set" if path.exists() else "does not exist"
        if (part := _PART.fullmatch(str(path))) and Path(part[1]).exists():
            what = f"does not exist, and a part of {part[1]} is not taken here"
        raise DataError(f"{path} {what}: expected {understood()}")
    return kind


def understood() -> str:
    """What a path may be, in words."""
    return alternatives([row.text for row in KINDS.values()], ", or ")


def _check_options(path: Path, kind: DatasetKind, options: OpenOptions) -> None:
    """DataError for an option that was given but has no meaning for this kind."""
    for field in fields(OpenOptions):
        value = getattr(options, field.name)
        idle = value == field.default or (field.name, value) == ("poses", NO_POSES)
        if not idle and field.name not in (*kind.takes, *_FOR_ALL):
            takers = alternatives([row.name for row in KINDS.values() if field.name in row.takes], " and ")
            raise DataError(
                f"{path}: {field.name} can be given for data sets of kind {takers} only, this is one of {kind.name}"
            )


def _chosen_part(dataset: Dataset, split: str) -> Dataset:
    if split == ALL or (not split and "test" not in dataset.splits):
        return dataset
    return dataset.part(split or "test")


def depth_notes(dataset: Dataset) -> list[str]:
    """What is suspicious about the depth of the frame in the middle: a median that few scenes have, and the cause.

    No note where that frame cannot be read or has no depth.
    """
    try:
        depth = dataset[len(dataset) // 2].depth
    except DataError:
        return []
    known = np.isfinite(depth) if depth is not None else np.zeros(0, np.bool_)
    if depth is None or not known.any():
        return []
    median = float(np.median(depth[known]))
    low, high = (share * dataset.max_depth for share in _USUAL)
    if low <= median <= high:
        return []
    return [
        f"{dataset.path}: median depth is {median:.3g} m, which is rare (usual: {low:g} to "
        f"{high:g} m){_likely(median, dataset)}"
    ]


def _likely(median: float, dataset: Dataset) -> str:
    factor = dataset.per_metre(len(dataset) // 2)
    low, high = (share * dataset.max_depth for share in _LIKELY)
    fitting = [each for each in _FACTORS if low <= median * factor / each <= high]
    if not fitting:
        return ": see the depth of the recording"
    if fitting[0] == factor:
        return ""
    return (
        f": depth_factor is {factor:g} per metre, likely is {fitting[0]:g} "
        f"(median {median * factor / fitting[0]:.2g} m)"
    )

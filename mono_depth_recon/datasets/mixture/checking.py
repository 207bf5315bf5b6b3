"""Everything that is wrong with training data, reported with file and line before a run begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import DataError, MonoDepthError
from ...paths import names_file
from ..dataset import Dataset, Part, Problem
from ..depth_units import IMPLAUSIBLE, DepthSize, set_problem
from ..kind import SourceSettings
from .settings import DataSettings, data_settings
from .splits import SplitFile, parse_shares, split_source
from .tolerant import read_checked
from .training_data import assembled, notes_of, open_source, split_file

Progress = Callable[[int, int, str], None]
_RENDERED = 2  # frames of a rendered source that are checked: they come from a seed, not from a disk


@dataclass
class CheckReport:
    """What a check found.

    `faults` concern a whole source, a split or the unit of a set; `bad` single frames, of which a run may meet some:
    `too_many` are the sources that have more than data.bad_share and data.bad_minimum allow. `frames` counts what was
    read of each source, `notes` are messages that are not problems, `splits` a table.
    """

    frames: dict[str, int] = field(default_factory=dict)
    faults: list[Problem] = field(default_factory=list)
    bad: list[Problem] = field(default_factory=list)
    too_many: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[Problem]:
        """Everything that is wrong, the most general first."""
        return [*self.faults, *self.too_many, *self.bad]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, not even one frame."""
        return not self.problems

    def lines(self, limit: int = 20) -> list[str]:
        """The printed report: splits, notes, up to `limit` problems, and a verdict."""
        read = ", ".join(f"{count} of {name}" for name, count in self.frames.items()) or "none"
        problems = [str(problem) for problem in self.problems[:limit]]
        if len(self.problems) > limit:
            problems.append(f"and {len(self.problems) - limit} more")
        verdict = "nothing is wrong" if self.ok else f"{len(self.problems)} problem{'s' * (len(self.problems) > 1)}"
        return [*self.splits, *self.notes, *problems, f"frames read: {read}; {verdict}"]

    def bad_lines(self, limit: int) -> list[str]:
        """Up to `limit` bad frames, one to a line, and how many more there are."""
        more = [f"and {len(self.bad) - limit} more bad frames"] if len(self.bad) > limit else []
        return [f"bad frame: {problem}" for problem in self.bad[:limit]] + more

    def raise_if_bad(self) -> None:
        """DataError where a run must not begin: with the first problem and the number of the others."""
        if self.faults or self.too_many:
            first, *others = self.problems
            raise DataError(f"{first}" + (f" (and {len(others)} more problems)" if others else ""))


def check_data(
    tree: object,
    seed: int,
    run_folder: Path | None = None,
    frames_per_source: int | None = None,
    progress: Progress = lambda done, total, name: None,
) -> CheckReport:
    """Opens all sources of a section `data`, splits them, looks for every file and reads the frames.

    `frames_per_source` None reads every frame, a number that many, evenly spread. `progress(done, total, name)` is
    called after each frame. Nothing is written. Raises ConfigError for a wrong configuration; problems of the data
    are in the report: an explicit check looks at `ok`, a run starts with `raise_if_bad`.
    """
    settings, report = data_settings(tree), CheckReport()
    shares = parse_shares(settings.shares)
    file, parts = _split_file(settings, run_folder, report), []
    for source in settings.sources:
        try:
            frames = open_source(settings, source)
        except MonoDepthError as error:
            report.faults.append(Problem(source.name, str(error)))
            continue
        report.notes += notes_of(frames)
        try:
            parts.append((source, split_source(frames, source, shares, seed, file)))
        except MonoDepthError as error:
            report.faults.append(Problem(source.name, str(error).removeprefix(f"{source.name}: ")))
        _check_frames(frames, settings, frames_per_source, report, progress)
    if len(parts) == len(settings.sources):
        _check_assembly(settings, parts, seed, report)
    return report


def _split_file(settings: DataSettings, run_folder: Path | None, report: CheckReport) -> SplitFile:
    """The split file; where it is malformed, an empty one."""
    try:
        return split_file(settings, run_folder)
    except DataError as error:
        report.faults.append(Problem("split file", str(error)))
        return SplitFile(None)


def _check_assembly(
    settings: DataSettings, parts: list[tuple[SourceSettings, dict[str, Part]]], seed: int, report: CheckReport
) -> None:
    try:
        report.splits += assembled(settings, parts, seed, []).lines()
    except MonoDepthError as error:
        report.faults.append(Problem("data", str(error)))


def _check_frames(
    source: Dataset, settings: DataSettings, wanted: int | None, report: CheckReport, progress: Progress
) -> None:
    """Looks for the files of all frames, and reads `wanted` of those that have theirs."""
    missing = _missing_files(source)
    there = [i for i in range(len(source)) if i not in missing]
    chosen = _spread(there, _RENDERED if source.is_rendered else wanted)
    sizes: dict[float, list[DepthSize]] = {}
    broken: list[Problem] = []
    for done, i in enumerate(chosen, 1):
        sample, problem = read_checked(source, i)
        size = None if sample is None or sample.depth is None else DepthSize.of(sample.depth)
        if size is not None:
            sizes.setdefault(source.per_metre(i), []).append(size)
        if problem:
            broken.append(Problem(source.origin(i), problem))
        progress(done, len(chosen), source.name)
    report.frames[source.name] = len(chosen)
    measured = (
        {} if source.is_rendered else sizes
    )  # rendered depth is exact, and two views are not representative of a set
    units = [set_problem(found, source.max_depth, per_metre) for per_metre, found in measured.items()]
    report.faults += [Problem(source.name, text) for text in units if text]
    if any(units):  # reported once, for the set
        broken = [problem for problem in broken if not problem.text.startswith(IMPLAUSIBLE)]
    lost = [*source.gaps, *missing.values()]
    report.bad += [*lost, *broken]
    # with few frames, a single broken one means little
    if (
        len(lost) > max(settings.bad_minimum, settings.bad_share * len(source))
        or len(broken) == len(chosen)
        or len(broken) > max(1, settings.bad_share * len(chosen))
    ):
        report.too_many.append(
            Problem(
                source.name,
                f"too many bad frames: {len(lost)} of {len(source)} lack a file, "
                f"{len(broken)} of {len(chosen)} that were read are bad; the first is "
                f"{(*lost, *broken)[0]}",
            )
        )


def _spread(frames: list[int], wanted: int | None) -> list[int]:
    """`wanted` of the frames, from the first to the last; None is all of them."""
    if wanted is None or wanted >= len(frames):
        return frames
    return [frames[k] for k in np.linspace(0, len(frames) - 1, wanted).round().astype(int)]


def _missing_files(source: Dataset) -> dict[int, Problem]:
    """The frames that lack a file."""
    missing = {}
    for i in range(len(source)):
        file = next((each for each in source.files(i) if not names_file(each)), None)
        if file is not None:
            text = "is missing" if str(file) == source.origin(i) else f"names {file}, which is missing"
            missing[i] = Problem(source.origin(i), text)
    return missing

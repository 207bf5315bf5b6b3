"""Everything that is wrong with training data, said with file and line before a run begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import DataError, MonoDepthError
from .depth_units import DepthSize, frame_problem, set_problem
from .frame_source import FrameSource, Problem, SourcePart
from .source_settings import DataSettings, SourceSettings, data_settings
from .splits import SplitFile, parse_shares, split_source
from .training_data import assembled, notes_of, open_source, split_file

Progress = Callable[[int, int, str], None]
_RENDERED = 2  # frames of a rendered source that are looked at: they follow from a seed, not from a disk


@dataclass
class CheckReport:
    """What a check found: `frames` read of each source, `problems`, remarks that are no problems, the splits."""

    frames: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def lines(self, limit: int = 20) -> list[str]:
        """The report for people: splits, remarks, up to `limit` problems, and a verdict."""
        read = ", ".join(f"{count} of {name}" for name, count in self.frames.items()) or "none"
        problems = [str(problem) for problem in self.problems[:limit]]
        if len(self.problems) > limit:
            problems.append(f"and {len(self.problems) - limit} more")
        verdict = "nothing is wrong" if self.ok else f"{len(self.problems)} problems"
        return [*self.splits, *self.notes, *problems, f"frames read: {read}; {verdict}"]

    def raise_if_bad(self) -> None:
        """DataError with the first problem and the number of the others."""
        if self.problems:
            more = f" (and {len(self.problems) - 1} more problems)" if len(self.problems) > 1 else ""
            raise DataError(f"{self.problems[0]}{more}")


def check_data(tree: object, seed: int, run_folder: Path | None = None, frames_per_source: int | None = None,
               progress: Progress = lambda done, total, name: None) -> CheckReport:
    """Opens all sources of a section `data`, splits them, looks for every file and reads the frames.

    `frames_per_source` None reads every frame, a number that many, evenly spread. `progress(done, total, name)` is
    called after each frame. Nothing is written. Raises ConfigError for a wrong configuration; what is wrong with the
    data stands in the report.
    """
    settings, report = data_settings(tree), CheckReport()
    shares = parse_shares(settings.shares)
    file, parts = _split_file(settings, run_folder, report), []
    for source in settings.sources:
        try:
            frames = open_source(settings, source)
        except MonoDepthError as error:
            report.problems.append(Problem(source.name, str(error)))
            continue
        report.notes += notes_of(frames)
        report.problems += frames.gaps
        try:
            parts.append((source, split_source(frames, source, shares, seed, file)))
        except MonoDepthError as error:
            report.problems.append(Problem(source.name, str(error).removeprefix(f"{source.name}: ")))
        _check_frames(frames, frames_per_source, report, progress)
    if len(parts) == len(settings.sources):
        _check_assembly(settings, parts, seed, report)
    return report


def _split_file(settings: DataSettings, run_folder: Path | None, report: CheckReport) -> SplitFile:
    """The split file; where it is malformed, an empty one."""
    try:
        return split_file(settings, run_folder)
    except DataError as error:
        report.problems.append(Problem("split file", str(error)))
        return SplitFile(None)


def _check_assembly(settings: DataSettings, parts: list[tuple[SourceSettings, dict[str, SourcePart]]], seed: int,
                    report: CheckReport) -> None:
    try:
        report.splits += assembled(settings, parts, seed, []).lines()
    except MonoDepthError as error:
        report.problems.append(Problem("data", str(error)))


def _check_frames(source: FrameSource, wanted: int | None, report: CheckReport, progress: Progress) -> None:
    """Looks for the files of all frames, and reads `wanted` of those that have theirs."""
    missing = dict(_missing_files(source))
    report.problems += [Problem(source.origin(i), f"names {file}, which is missing" if str(file) != source.origin(i)
                                else "is missing") for i, file in missing.items()]
    there = [i for i in range(len(source)) if i not in missing]
    wanted = min(_RENDERED if source.is_rendered else len(there), len(there) if wanted is None else wanted)
    chosen = [there[k] for k in np.unique(np.linspace(0, len(there) - 1, wanted).round().astype(int))] if there else []
    sizes: dict[float, list[DepthSize]] = {}
    broken: list[Problem] = []
    for done, i in enumerate(chosen, 1):
        problem = _frame_problem(source, i, sizes)
        if problem:
            broken.append(Problem(source.origin(i), problem))
        progress(done, len(chosen), source.name)
    report.frames[source.name] = len(chosen)
    units = [] if source.is_rendered else [
        Problem(source.name, text) for per_metre, found in sizes.items()
        if (text := set_problem(found, source.max_depth, per_metre))]
    report.problems += [*units, *broken]


def _missing_files(source: FrameSource) -> Iterator[tuple[int, Path]]:
    for i in range(len(source)):
        for file in source.files(i):
            if not file.is_file():
                yield i, file
                break


def _frame_problem(source: FrameSource, i: int, sizes: dict[float, list[DepthSize]]) -> str:
    """What is wrong with frame i; the size of its depth is added to those of its factor."""
    try:
        depth = source[i].depth
    except MonoDepthError as error:
        return str(error).removeprefix(f"{source.origin(i)}: ")
    size = None if depth is None else DepthSize.of(depth)
    if size is not None:
        sizes.setdefault(source.per_metre(i), []).append(size)
    return frame_problem(depth, source.max_depth, source.per_metre(i))

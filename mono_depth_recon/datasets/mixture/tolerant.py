"""Training past bad samples: each is replaced, counted and named, and too many of them stop the run."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from ...errors import DataError, MonoDepthError
from ...frames import Sample
from ..dataset import Dataset, Part, Problem
from ..depth_units import frame_problem

_ATTEMPTS = 20
_TAIL_BYTES = 4096  # some programs append a little after the end of an image

Key_contra = TypeVar("Key_contra", contravariant=True)
Read = TypeVar("Read")


class Places(Protocol[Key_contra]):
    """A Mixture (keys are (epoch, index)) or a Part (keys are indices)."""

    def __len__(self) -> int:
        """How many draws there are."""

    def places(self, key: Key_contra, /) -> Iterator[tuple[Part, int]]:
        """The frame at the key, then its substitutes."""


@dataclass(frozen=True)
class Drawn:
    """A good sample, its origin, and the bad ones that were skipped before it."""

    sample: Sample
    origin: str
    bad: tuple[Problem, ...] = ()


class TolerantFrames(Generic[Key_contra]):
    """Frames of which the bad ones are replaced by others of the same source, deterministically.

    Bad is what cannot be read, has no known depth, or depth that cannot be in metres. The replacement is a
    function of the key, so that a resumed run gets the same. DataError where one after another is bad.
    """

    def __init__(self, frames: Places[Key_contra]) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, key: Key_contra) -> Drawn:
        return Drawn(*self.first_good(key, lambda part, i: read_checked(part.source, part.frames[i])))

    def first_good(
        self, key: Key_contra, read: Callable[[Part, int], tuple[Read | None, str]]
    ) -> tuple[Read, str, tuple[Problem, ...]]:
        """What `read` makes of the first good frame at the key, its origin, and the bad ones before it.

        `read` gives None where frame i of a part cannot be read, and what is wrong with it (empty: nothing).
        """
        bad: list[Problem] = []
        for (part, i), _ in zip(self.frames.places(key), range(_ATTEMPTS), strict=False):
            made, problem = read(part, i)
            if made is not None and not problem:
                return made, part.origin(i), tuple(bad)
            bad.append(Problem(part.origin(i), problem))
        raise DataError(f"{len(bad)} samples in a row are bad, the last is {bad[-1]}: run the check of the data")


def read_checked(source: Dataset, i: int) -> tuple[Sample | None, str]:
    """Frame i of a source, None where it cannot be read, and what is wrong with it (empty: nothing)."""
    try:
        sample = source[i]
    except MonoDepthError as error:
        return None, str(error).removeprefix(f"{source.origin(i)}: ")
    cut = next((file for file in source.files(i) if is_cut_short(file)), None)
    if cut is not None:
        return None, f"{cut} is cut short: its end is missing"
    return sample, frame_problem(sample.depth, source.max_depth, source.per_metre(i))


def is_cut_short(file: Path) -> bool:
    """Whether a PNG or JPEG lacks its end; decoders accept such a file silently."""
    ending = {".png": b"IEND", ".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9"}.get(file.suffix.lower())
    if ending is None or not file.is_file():
        return False
    with file.open("rb") as stream:
        stream.seek(-min(_TAIL_BYTES, file.stat().st_size), os.SEEK_END)
        return ending not in stream.read()


class BadSampleLedger:
    """The bad samples of a run: how many draws met one, and which they were.

    `share` of all draws may be bad, and `minimum` in any case; above both, `add` raises DataError with their names.
    """

    def __init__(self, share: float = 0.01, minimum: int = 20) -> None:
        self.share, self.minimum = share, minimum
        self.drawn = 0
        self.met: Counter[str] = Counter()
        self.problems: dict[str, str] = {}

    @property
    def count(self) -> int:
        """How many draws hit a bad sample."""
        return self.met.total()

    def add(self, drawn: int, bad: Iterable[Problem]) -> None:
        """Counts `drawn` more draws and what was bad among them."""
        self.drawn += drawn
        for problem in bad:
            self.met[problem.where] += 1
            self.problems[problem.where] = problem.text
        if self.count > max(self.minimum, self.share * self.drawn):
            raise DataError(
                f"too many bad samples: {'; '.join(self.lines(5))}. Repair them, or raise data.bad_share "
                f"({self.share:g}) or data.bad_minimum ({self.minimum})"
            )

    def lines(self, limit: int = 20) -> list[str]:
        """The bad samples, the most frequent first; no line where all were good."""
        if not self.count:
            return []
        lines = [f"{self.count} of {self.drawn} draws hit a bad sample ({len(self.met)} different ones)"]
        lines += [f"{where}: {self.problems[where]} ({times} times)" for where, times in self.met.most_common(limit)]
        more = len(self.met) - limit
        return [*lines, f"and {more} more"] if more > 0 else lines

    def state(self) -> dict[str, Any]:
        """All counts as plain values, for a checkpoint."""
        return {"drawn": self.drawn, "met": dict(self.met), "problems": dict(self.problems)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Restores the counts of `state`."""
        self.drawn, self.met = int(state["drawn"]), Counter(state["met"])
        self.problems = dict(state["problems"])

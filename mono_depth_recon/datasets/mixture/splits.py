"""Which frames train, validate and test: by scene (seeded, kept in a file), by the publisher, or along a recording.

A split file has one line per scene, `split<tab>source<tab>scene`; `#` begins a comment.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...atomic import writable_folder, write_atomically
from ...errors import ConfigError, DataError
from ...printing import encoded, one_line
from ...text import read_text
from ..dataset import SPLITS, Dataset, Part
from ..joined import RecordingSettings
from ..kind import SourceSettings

Shares = tuple[float, float, float]


class SplitFile:
    """The scenes of each source by split, read from a file where it exists; new ones are kept by `write`.

    Raises DataError with file and line where a line is malformed.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.scenes: dict[str, dict[str, str]] = {}  # source -> scene -> split
        self.was_read = path is not None and path.is_file()
        if path is not None and self.was_read:
            self._read(path)
        self._changed = False

    def _read(self, path: Path) -> None:
        try:
            lines = read_text(path).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read ({error}): expected a split file") from error
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            fields = [field.strip() for field in line.split("\t")]
            if len(fields) != 3 or fields[0] not in SPLITS:
                raise DataError(
                    f"{path}:{number}: expected '{'|'.join(SPLITS)}<tab>source<tab>scene', got '{line[:80]}'"
                )
            split, source, scene = fields
            if self.scenes.setdefault(source, {}).setdefault(scene, split) != split:
                raise DataError(f"{path}:{number}: scene '{scene}' of {source} is in two splits: keep it in one")

    def of(self, source: Dataset, frames: Sequence[int], shares: Shares, seed: int) -> dict[str, list[int]]:
        """`frames` of a source by split, as the file has them; a source it does not list is split anew by scene."""
        counts = Counter(source.scene(i) for i in frames)
        if source.name not in self.scenes:
            try:
                self.scenes[source.name] = split_scenes(counts, shares, seed, source.name)
            except DataError as error:
                raise DataError(f"{source.name}: {error}") from error
            self._changed = True
        chosen = self.scenes[source.name]
        unknown = next((scene for scene in counts if scene not in chosen), None)
        if unknown is not None:
            raise DataError(
                f"{self.path}: does not assign scene '{unknown}' of {source.name} to a split: add "
                "its line, or remove the file to split anew"
            )
        return {split: [i for i in frames if chosen[source.scene(i)] == split] for split in SPLITS}

    def write(self, comment: str) -> None:
        """Writes new splits, extending a file that was read. DataError where its folder cannot be written."""
        if self.path is None or not self._changed:
            return
        lines = ["# split<tab>source<tab>scene", f"# {comment}"]
        for source, scenes in sorted(self.scenes.items()):
            lines += [
                "\t".join((split, source, scene))
                for split in SPLITS
                for scene in sorted(scenes)
                if scenes[scene] == split
            ]
        for name in (*self.scenes, *(scene for scenes in self.scenes.values() for scene in scenes)):
            if one_line(name) != name or name.strip() != name:
                raise DataError(
                    f"{self.path}: cannot hold the name '{one_line(name)}': rename it (UTF-8, one line, no blank at "
                    "its ends)"
                )
        writable_folder(self.path.parent)
        write_atomically(self.path, ["\n".join([*lines, ""]).encode()])
        self._changed = False


def split_scenes(counts: Mapping[str, int], shares: Shares, seed: int, name: str = "") -> dict[str, str]:
    """The split of every scene, so that the frames (`counts` per scene) come near to the shares.

    Drawn from `seed` and `name`; every split whose share is not 0 gets a scene. DataError where there are too few.
    """
    wanted = [split for split, share in zip(SPLITS, shares, strict=True) if share > 0]
    if len(counts) < len(wanted):
        if not counts:
            raise DataError(
                f"no frame is left for {', '.join(wanted)}: an official test part is kept as it is; add the training "
                "part"
            )
        raise DataError(
            f"{len(counts)} scenes ({', '.join(sorted(counts))}) cannot be split into {', '.join(wanted)}: a "
            "split would be empty; add scenes, or choose another split"
        )
    total = sum(counts.values())
    missing = {split: share * total for split, share in zip(SPLITS, shares, strict=True) if share > 0}
    scenes = sorted(counts)
    np.random.default_rng((seed, zlib.crc32(encoded(name)))).shuffle(scenes)
    chosen: dict[str, str] = {}
    for left, scene in zip(range(len(scenes), 0, -1), scenes, strict=True):
        without = [split for split in wanted if split not in chosen.values()]
        open_to = without if len(without) == left else wanted
        split = max(open_to, key=lambda each: missing[each])
        chosen[scene] = split
        missing[split] -= counts[scene]
    return chosen


def parse_shares(text: str) -> Shares:
    """Three numbers, training first, as parts of 1. ConfigError where they are not three or training has none."""
    try:
        numbers = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) != 3 or min(numbers) < 0 or not 0 < numbers[0] < float("inf"):
        raise ConfigError(f"data.shares must be three numbers, training first, as '80 10 10', got '{text}'")
    total = sum(numbers)
    return numbers[0] / total, numbers[1] / total, numbers[2] / total


def parse_positions(text: str, what: str) -> list[range]:
    """Ranges of '0-40,60-100', both ends included. ConfigError."""
    ranges = []
    for part in filter(None, (word.strip() for word in text.split(","))):
        first, _, last = part.partition("-")
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            raise ConfigError(f"{what}: positions must be like '0-40,60-100', got '{text}'")
        ranges.append(range(int(first), int(last) + 1))
    return ranges


def split_source(
    source: Dataset, settings: SourceSettings, shares: Shares, seed: int, file: SplitFile
) -> dict[str, Part]:
    """The parts of a source by split, by its settings; those without frames are left out.

    Raises DataError where a requested split has no frames, ConfigError.
    """
    frames = _frames_by_split(source, settings, shares, seed, file)
    return {split: Part(source, split, chosen) for split, chosen in frames.items() if chosen}


def _frames_by_split(
    source: Dataset, settings: SourceSettings, shares: Shares, seed: int, file: SplitFile
) -> dict[str, list[int]]:
    how = settings.split
    given = isinstance(settings, RecordingSettings) and settings.train + settings.validation + settings.test
    if given and how != "positions":
        raise ConfigError(f"{source.name}: train, validation and test are positions: set split: positions")
    if how in SPLITS:
        return {how: list(range(len(source)))}
    if how == "official":
        return _official(source, shares, seed, file)
    if how == "time":
        return _stretches(source, shares)
    if isinstance(settings, RecordingSettings) and how == "positions":
        return _by_position(source, settings)
    return file.of(source, source.pool(), shares, seed)


def _official(source: Dataset, shares: Shares, seed: int, file: SplitFile) -> dict[str, list[int]]:
    """Publishers give no validation part: it is taken from the training part, by scene."""
    frames = source.official()
    if "validation" not in frames and frames.get("train") and shares[1] > 0:
        whole = shares[0] + shares[1]
        parts = file.of(source, frames["train"], (shares[0] / whole, shares[1] / whole, 0.0), seed)
        frames = {**frames, "train": parts["train"], "validation": parts["validation"]}
    empty = next((split for split, chosen in frames.items() if not chosen), None)
    if empty is not None:
        raise DataError(f"{source.name}: the {empty} part of the official split is empty")
    return frames


def _stretches(source: Dataset, shares: Shares) -> dict[str, list[int]]:
    """Each scene cut in order: its beginning trains, its end tests. Neighbours at a cut look alike."""
    scenes: dict[str, list[int]] = {}
    for i in source.pool():
        scenes.setdefault(source.scene(i), []).append(i)
    parts: dict[str, list[int]] = {split: [] for split in SPLITS}
    for frames in scenes.values():
        ends = [round(len(frames) * sum(shares[:k])) for k in range(4)]
        for split, first, last in zip(SPLITS, ends[:-1], ends[1:], strict=True):
            parts[split] += frames[first:last]
    for split, share in zip(SPLITS, shares, strict=True):
        if share > 0 and not parts[split]:
            raise DataError(
                f"{source.name}: {len(source.pool())} frames leave the {split} part empty: add frames, or "
                "choose another split"
            )
    return parts


def _by_position(source: Dataset, settings: RecordingSettings) -> dict[str, list[int]]:
    texts = {"train": settings.train, "validation": settings.validation, "test": settings.test}
    wanted = {split: parse_positions(text, f"{source.name}.{split}") for split, text in texts.items()}
    if len({source.scene(i) for i in range(len(source))}) > 1:
        raise ConfigError(f"{source.name}: positions are those of one recording, the path names several")
    positions = source.positions
    parts = {
        split: [i for i, place in enumerate(positions) if any(place in each for each in ranges)]
        for split, ranges in wanted.items()
    }
    for split, ranges in wanted.items():
        if ranges and not parts[split]:
            raise DataError(
                f"{source.name}: the {split} part is empty: no pair is at positions {texts[split]}, "
                f"the recording has {positions[0]} to {positions[-1]}"
            )
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        both = set(parts[one]) & set(parts[other])
        if both:
            raise ConfigError(f"{source.name}: position {positions[min(both)]} is in {one} and in {other}")
    return parts

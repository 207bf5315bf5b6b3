"""Text lists whose lines begin with a stamp: rgb.txt, depth.txt (`stamp file`), groundtruth.txt (`stamp pose`).

A stamp is in seconds, or in whole nanoseconds of 19 digits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..errors import DataError
from ..paths import names_file
from ..poses import Trajectory, checked_numbers
from ..text import comma_advice, read_text, separator_advice

_NANOSECOND_DIGITS = 19  # of a time since 2001
_LAST_S = 1e11  # no recording is later: the unit is another one
_NAMED_LINES = 5
_Row = TypeVar("_Row")


@dataclass(frozen=True)
class Entry:
    """One line of rgb.txt or depth.txt: its stamp in seconds and its file."""

    stamp: float
    file: Path


def read_list(path: Path, notes: list[str], missing_ok: bool = False) -> list[Entry]:
    """Entries of a list file (`stamp file`, `#` comments), in file order; file names are relative to the list.

    DataError where a line is malformed or, unless `missing_ok`, names a file that is not there. A last line that was
    cut off is left out, with a note.
    """

    def entry(number: int, text: str) -> Entry:
        stamp, name = _fields(path, number, text, "stamp file")
        file = path.parent / name
        if not missing_ok and not names_file(file):
            wrong = "is no regular file" if os.path.exists(file) else "is missing: copy it"  # of names of any length
            raise DataError(f"{path}:{number}: names {file}, which {wrong}, or remove the line")
        seconds = _stamp(path, number, stamp)
        if not math.isfinite(seconds):
            raise DataError(f"{path}:{number}: expected finite numbers, got '{stamp}'")
        return Entry(seconds, file)

    entries = [each for _, each in _rows(path, entry, notes)]
    if not entries:
        raise DataError(f"{path}: expected lines 'stamp file', got none")
    return entries


def read_trajectory(path: Path, notes: list[str]) -> Trajectory:
    """Reads `stamp tx ty tz qx qy qz qw` lines in any order; DataError with file and line where one is malformed.

    Lines that are no pose (NaN, a quaternion of another length than 1), repeat a stamp or were cut off at the end of
    the file are left out, with a note.
    """

    def numbers(number: int, text: str) -> tuple[float, list[float]]:
        stamp, *fields = _fields(path, number, text, "stamp tx ty tz qx qy qz qw")
        return _stamp(path, number, stamp), [_number(path, number, field) for field in fields]

    poses: dict[float, tuple[float, ...]] = {}
    left_out = []
    for number, (stamp, row) in _rows(path, numbers, notes):
        try:
            pose = checked_numbers(row)
        except DataError:
            pose = None
        if pose is None or not math.isfinite(stamp) or stamp in poses:
            left_out.append(str(number))
        else:
            poses[stamp] = pose
    if not poses:
        raise DataError(f"{path}: expected lines 'stamp tx ty tz qx qy qz qw' with unit quaternions, got none")
    if left_out:
        notes.append(
            f"{path}: {len(left_out)} lines are left out, as no pose or of a stamp that was there before: line "
            f"{', '.join(left_out[:_NAMED_LINES])}{', ...' * (len(left_out) > _NAMED_LINES)}"
        )
    trajectory = Trajectory()
    for stamp in sorted(poses):
        trajectory.add(stamp, poses[stamp])
    return trajectory


def out_of_range(source: str, poses: tuple[float, float], frames: Sequence[float]) -> list[str]:
    """A note where the poses (first and last stamp) and the frames do not overlap in time; else no note."""
    first, last = min(frames), max(frames)
    if poses[0] <= last and first <= poses[1]:
        return []
    return [
        f"{source}: no frame has a pose: the poses are from {poses[0]:.3f} to {poses[1]:.3f} s, the frames from "
        f"{first:.3f} to {last:.3f} s"
    ]


def _rows(path: Path, parsed: Callable[[int, str], _Row], notes: list[str]) -> list[tuple[int, _Row]]:
    """(line number from 1, parsed line) of every line that is neither empty nor a comment.

    A recorder that lost its power leaves half a line, or zeros, at the end: they are left out, with a note.
    """
    text = _text(path)
    whole = text.rstrip("\0")
    lines = [(number, line) for number, line in enumerate(whole.splitlines(), 1) if line.split("#")[0].strip()]
    rows = []
    for number, line in lines:
        try:
            rows.append((number, parsed(number, line.split("#")[0])))
        except DataError:
            if number != lines[-1][0] or whole.endswith("\n") or not rows:
                raise
            notes.append(f"{path}: 1 line is left out, cut off at the end of the file: line {number}")
    if len(whole) < len(text):
        notes.append(f"{path}: {text.count(chr(0))} zero bytes at the end of the file are left out")
    return rows


def _fields(path: Path, number: int, text: str, expected: str) -> list[str]:
    fields, count = text.split(), len(expected.split())
    if len(fields) != count:
        raise DataError(f"{path}:{number}: expected '{expected}', got {len(fields)} fields{separator_advice(text)}")
    return fields


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except OSError as error:
        belongs = ": a TUM folder has rgb.txt and depth.txt" if path.name in ("rgb.txt", "depth.txt") else ""
        raise DataError(f"{path} cannot be read ({error.strerror}){belongs}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected text, got bytes that are not UTF-8 ({error.reason})") from error


def _stamp(path: Path, number: int, text: str) -> float:
    if text.isdecimal() and len(text) == _NANOSECOND_DIGITS:
        return int(text) / 10**9
    stamp = _number(path, number, text)
    if abs(stamp) > _LAST_S and math.isfinite(stamp):
        raise DataError(f"{path}:{number}: a stamp must be in seconds, or in nanoseconds of 19 digits, got '{text}'")
    return stamp


def _number(path: Path, number: int, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise DataError(
            f"{path}:{number}: expected numbers, got '{text[:60]}'{comma_advice(text) or separator_advice(text)}"
        ) from error

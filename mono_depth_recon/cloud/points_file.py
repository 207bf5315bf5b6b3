"""Files of points: PLY, or text with x, y and z first in every line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..arrays import Matrix
from ..errors import DataError
from ..paths import regular_file
from ..text import read_text

_LARGEST = 2**31  # bytes of binary points
_LARGEST_TEXT = 2**28
_LARGEST_HEADER = 2**20
_MOST_POINTS = 20_000_000
_TYPES = {
    "char": "i1",
    "int8": "i1",
    "uchar": "u1",
    "uint8": "u1",
    "short": "i2",
    "int16": "i2",
    "ushort": "u2",
    "uint16": "u2",
    "int": "i4",
    "int32": "i4",
    "uint": "u4",
    "uint32": "u4",
    "float": "f4",
    "float32": "f4",
    "double": "f8",
    "float64": "f8",
}
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}


def read_points(path: Path) -> Matrix:
    """Points (N, 3) float64 of a .ply file, or of text: numbers separated by commas or spaces, a heading, # comments.

    Raises DataError, with the file and what is wrong, where it cannot be read or holds no points.
    """
    try:
        points = _of_ply(path) if path.suffix.lower() == ".ply" else _of_text(read_text(path))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{path}: expected points as PLY or as lines of x y z: {error}") from error
    if not len(points):
        raise DataError(f"{path}: expected points, the file has none")
    return points


def _of_text(text: str) -> Matrix:
    rows: list[list[float]] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = re.split(r"[,;\s]+", line.split("#")[0].strip())
        if words == [""]:
            continue
        try:
            rows.append([float(word) for word in words[:3]])
        except ValueError:
            if rows:
                raise ValueError(f"line {number} has no three numbers") from None
            continue  # a heading
        if len(words) < 3:
            raise ValueError(f"line {number} has no three numbers")
    return np.array(rows, np.float64).reshape(-1, 3)


def _of_ply(path: Path) -> Matrix:
    with regular_file(path).open("rb") as file:
        head, mark, _ = file.read(_LARGEST_HEADER).partition(b"end_header")
        lines = [line.split() for line in head.decode("ascii", "replace").splitlines()]
        if not mark or not lines or lines[0] != ["ply"]:
            raise ValueError("it has no header of a PLY file")
        count, fields = _vertices(lines)
        if not 0 <= count <= _MOST_POINTS:
            raise ValueError(f"it announces {count} points, at most {_MOST_POINTS} are read")
        form = next((line[1] for line in lines if len(line) == 3 and line[0] == "format"), "")
        file.seek(len(head) + len(mark))
        file.readline(_LARGEST_HEADER)
        if form == "ascii":
            made = _ascii_points(file, count, fields)
        elif form in _ORDERS:
            made = _binary_points(file, count, np.dtype([(name, _ORDERS[form] + kind) for name, kind in fields]))
        else:
            raise ValueError(f"its format is '{form}', of ascii, {', '.join(_ORDERS)}")
    if len(made) < count:
        raise ValueError(f"it ends after {len(made)} of {count} points")
    return made


def _ascii_points(file: BinaryIO, count: int, fields: list[tuple[str, str]]) -> Matrix:
    body = file.read(_LARGEST_TEXT + 1)
    if len(body) > _LARGEST_TEXT:
        raise ValueError(f"it has more than {_LARGEST_TEXT} bytes of text: save it as a binary PLY")
    text = [line.split() for line in body.decode("ascii", "replace").splitlines()[:count]]
    places = [[name for name, _ in fields].index(axis) for axis in "xyz"]
    made = [[float(line[place]) for place in places] for line in text if len(line) >= len(fields)]
    return np.array(made, np.float64).reshape(-1, 3)


def _binary_points(file: BinaryIO, count: int, row: np.dtype[Any]) -> Matrix:
    if count * row.itemsize > _LARGEST:
        raise ValueError(f"it announces {count * row.itemsize} bytes of points, at most {_LARGEST} are read")
    body = file.read(count * row.itemsize)
    vertices: Any = np.frombuffer(body, row, len(body) // row.itemsize)
    return np.stack([vertices[axis].astype(np.float64) for axis in "xyz"], axis=1)


def _vertices(lines: list[list[str]]) -> tuple[int, list[tuple[str, str]]]:
    """How many vertices the header announces, and their fields. Raises ValueError where these are no points."""
    elements = [place for place, line in enumerate(lines) if line[:1] == ["element"]]
    if not elements or lines[elements[0]][1:2] != ["vertex"] or len(lines[elements[0]]) != 3:
        raise ValueError("its first element is not 'vertex'")
    end = elements[1] if len(elements) > 1 else len(lines)
    fields = []
    for line in lines[elements[0] + 1 : end]:
        if line[:1] == ["property"]:
            if len(line) != 3 or line[1] not in _TYPES:
                raise ValueError(f"the property '{' '.join(line[1:])}' of its vertices is not known")
            fields.append((line[2], _TYPES[line[1]]))
    if missing := {"x", "y", "z"} - {name for name, _ in fields}:
        raise ValueError(f"its vertices have no {min(missing)}")
    return int(lines[elements[0]][2]), fields

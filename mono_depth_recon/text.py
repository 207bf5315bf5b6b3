"""Text files as editors and spreadsheets write them."""

from __future__ import annotations

import codecs
import csv
import errno
import io
import os
import re
from collections.abc import Collection
from pathlib import Path

from .paths import regular_file

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UNMARKED: dict[tuple[bool, ...], str] = {  # in ASCII text the bytes that are 0 give the encoding away
    (False, True, True, True): "UTF-32",
    (True, True, True, False): "UTF-32",
    (False, True, False, True): "UTF-16 without a byte order mark",
    (True, False, True, False): "UTF-16 without a byte order mark",
}
_LONGEST = 256 * 2**20
_DECIMAL_COMMA = re.compile(r"(?<![\w,.])-?\d+,\d+(?![\w,.])")


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark; the mark is left out.

    Raises OSError, also for more than 256 MiB, and UnicodeDecodeError where it is neither.
    """
    with regular_file(path).open("rb") as file:
        if os.fstat(file.fileno()).st_size > _LONGEST:
            raise OSError(errno.EFBIG, f"a text file may have at most {_LONGEST >> 20} MiB", str(path))
        data = file.read()
    if other := _other_encoding(data):
        raise UnicodeDecodeError("utf-8", data[:4], 0, len(data[:4]), f"it is {other}: save it as UTF-8")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def csv_rows(path: Path, columns: Collection[str] = ()) -> list[dict[str, str]]:
    """The rows of a CSV file by its heading; lines without text are left out.

    Raises OSError, UnicodeDecodeError, and ValueError (one line) where one of `columns` is missing or a row has more or
    fewer fields than the heading.
    """
    reader = csv.reader(io.StringIO(read_text(path)))
    try:
        heading, *rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))] or [(1, [])]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error
    if missing := [name for name in columns if name not in heading[1]]:
        raise ValueError(f"no column '{missing[0]}' in the heading '{','.join(heading[1])[:60]}'")
    for line, row in rows:
        if len(row) != len(heading[1]):
            raise ValueError(f"line {line}: {len(row)} fields, the heading has {len(heading[1])}")
    return [dict(zip(heading[1], row, strict=True)) for _, row in rows]


def _other_encoding(data: bytes) -> str:
    """The name of an encoding that is not read, empty where there is no sign of one."""
    if data.startswith(_UTF_32):
        return "UTF-32"
    marked = any(data.startswith(mark) for mark, _ in _MARKS)
    return "" if marked else _UNMARKED.get(tuple(byte == 0 for byte in data[:4]), "")


def separator_advice(text: str) -> str:
    """What to do about a line whose fields are separated by ';' or ','; empty where they are not."""
    for separator in ";,":
        if separator in text and not (separator == "," and _DECIMAL_COMMA.search(text)):
            return f": separate the fields by spaces, not by '{separator}'"
    return ""


def comma_advice(text: str) -> str:
    """What to do about numbers with a decimal comma in a line; empty where there are none."""
    return ": write decimal points, not commas" if _DECIMAL_COMMA.search(text) else ""

"""Text files as editors and spreadsheets write them."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from .paths import regular_file

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_DECIMAL_COMMA = re.compile(r"(?<![\w,.])-?\d+,\d+(?![\w,.])")


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark; the mark is left out.

    Raises OSError, and UnicodeDecodeError where it is neither.
    """
    data = regular_file(path).read_bytes()
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def comma_advice(text: str) -> str:
    """What to do about numbers with a decimal comma in a line; empty where there are none."""
    return ": write decimal points, not commas" if _DECIMAL_COMMA.search(text) else ""

"""Text from outside, made fit for every output.

The name of a file is bytes, and Python keeps those that are not UTF-8 as lone surrogates. Neither C++ libraries nor
UTF-8 take them: OpenCV even ends the process. `printable` and `encoded` write them as escapes, the byte E9 as \\xe9.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterable

_ESCAPED = "mono_depth_recon.escaped"
_LONGEST, _BEGINNING, _END = 2000, 1300, 600  # letters of a message
_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]")


def printable(text: str) -> str:
    """`text` with an escape in place of each lone surrogate; any other text as it is."""
    return encoded(text).decode("utf-8")


def one_line(text: str) -> str:
    """`printable(text)` with escapes for line breaks and other control characters: for names within a line."""
    return _CONTROL.sub(lambda match: _escape(match[0]), printable(text))


def readable(text: str) -> str:
    """`text` on one line, with escapes for control characters; the middle of more than 2000 letters is left out.

    For messages, which repeat what came from outside, and whose beginning and end say what to do about it.
    """
    line = _CONTROL.sub(lambda match: _escape(match[0]), text)
    if len(line) <= _LONGEST:
        return line
    return f"{line[:_BEGINNING]}... ({len(line) - _BEGINNING - _END} letters left out) ...{line[-_END:]}"


def encoded(text: str) -> bytes:
    """The UTF-8 of `printable(text)`: for files of text."""
    return text.encode("utf-8", _ESCAPED)


def encoded_json(text: str) -> bytes:
    """JSON as UTF-8, with JSON's own escapes for lone surrogates: reading it gives the same text again."""
    return text.encode("utf-8", "backslashreplace")


def escape_on(*streams: object) -> None:
    """Makes these text streams write an escape for what their encoding cannot, rather than raise UnicodeEncodeError."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPED)


def _escapes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_escape, error.object[error.start : error.end])), error.end


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # stands for a byte that is not UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


codecs.register_error(_ESCAPED, _escapes)


def alternatives(words: Iterable[str], last: str = " or ") -> str:
    """The words as an enumeration: 'a, b or c'."""
    *first, final = words
    return last.join([*([", ".join(first)] if first else []), final])

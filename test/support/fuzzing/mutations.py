"""Changes of bytes, of words in texts and of trees of plain values, as damage and malice make them."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

_WORD = re.compile(rb"[\w.+-]+")
_LONG, _DEEP = 100_000, 100_000
_ODD_WORDS = (
    *(b"", b"0", b"-1", b"nan", b"inf", b"-inf", b"1e400", b"1e-400", b"null", b"true", b"~", b"[]", b"{}", b"''"),
    *(b"9" * 19, b"9" * 401, b"9" * 5000, b"-" + b"9" * 401, b"2147483648", b"18446744073709551616"),
    *(b"x" * 300, b"x" * _LONG, b"../" * 40 + b"etc/passwd", b"/dev/zero", b"a/" * 3000 + b"b", b"\n", b"\0", b"\xff"),
    *("\N{LATIN SMALL LETTER E WITH ACUTE}".encode(), b"a\nb\rc", b"1,5", b"&a", b"*a", b"!!python/name:os.system"),
    *(b"2026-13-45", b"<script>", b"%s%n", b"-0.0"),
)
_ODD_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, -(10**400), 0.5, float("nan"), float("inf"), 1e308, 1e-320),
    *("", "x", "x" * 300, "x" * _LONG, "a\nb", "\0", "../../etc/passwd", "1", [], {}, [[]], [None], {"a": 1}, [1, "x"]),
)
_ODD_NUMBERS = (0, 1, -1, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """`data` after one to four changes; half of the time of texts and JSON by their words and values."""
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        data = choice(rng, _ways(data, rng))(data, rng)
    return data


def choice(rng: np.random.Generator, items: Any) -> Any:
    """One of `items`, which may be of any type."""
    return items[int(rng.integers(len(items)))]


def _ways(data: bytes, rng: np.random.Generator) -> tuple[Callable[[bytes, np.random.Generator], bytes], ...]:
    if rng.random() < 0.5:
        if data.lstrip()[:1] in (b"{", b"["):
            return (_other_value,)
        if b"\0" not in data[:4096]:
            return (_other_word, _other_word, _line_again, _deep)
    return (_flip, _flip, _cut, _without, _again, _number, _number, _other_word)


def _flip(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(len(data), size=int(rng.integers(1, 9))) if data else ():
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def _span(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    start = int(rng.integers(len(data) + 1))
    return start, start + int(2 ** rng.uniform(0, 12))


def _without(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def _again(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:end] * int(rng.integers(1, 20)) + data[end:]


def _number(data: bytes, rng: np.random.Generator) -> bytes:
    size = choice(rng, (1, 2, 4, 8))
    number = choice(rng, _ODD_NUMBERS) % 2 ** (8 * size)
    packed = struct.pack(f"{choice(rng, '<>')}{ {1: 'B', 2: 'H', 4: 'I', 8: 'Q'}[size] }", number)
    at = int(rng.integers(len(data) + 1))
    return data[:at] + packed + data[at + size :]


def _other_word(data: bytes, rng: np.random.Generator) -> bytes:
    words = list(_WORD.finditer(data[:200_000]))
    if not words:
        return data + choice(rng, _ODD_WORDS)
    word = choice(rng, words)
    return data[: word.start()] + choice(rng, _ODD_WORDS) + data[word.end() :]


def _line_again(data: bytes, rng: np.random.Generator) -> bytes:
    lines = data.split(b"\n")
    return b"\n".join([*lines, *[choice(rng, lines)] * int(rng.integers(1, 4))])


def _deep(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + choice(rng, (b"[", b'{"a":', b"- ", b"{")) * _DEEP + data[end:]


def _other_value(data: bytes, rng: np.random.Generator) -> bytes:
    """JSON with another value at one place, or one that is nested deeply."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return _other_word(data, rng)
    if rng.random() < 0.1:
        deep = int(rng.choice([500, 900, 3000, _DEEP]))
        text = json.dumps(other_value(tree, rng, "MARK"))
        return text.replace('"MARK"', "[" * deep + "]" * deep).encode()
    return json.dumps(other_value(tree, rng)).encode()


def other_value(tree: Any, rng: np.random.Generator, value: Any = ...) -> Any:
    """`tree` with `value`, or an odd one, at one place; or without that place."""
    if not isinstance(tree, dict | list) or not tree or rng.random() < 0.15:
        return choice(rng, _ODD_VALUES) if value is ... else value
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    key = choice(rng, keys)
    copy: Any = tree.copy()
    if value is ... and rng.random() < 0.1:
        del copy[key]
    else:
        copy[key] = other_value(tree[key], rng, value)
    return copy

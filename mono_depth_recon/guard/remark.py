"""One thing that is noticed of a frame."""

from __future__ import annotations

from typing import NamedTuple


class Remark(NamedTuple):
    """`kind` in a word or two, `text` with the numbers; `grave` makes the frame unreliable."""

    kind: str
    text: str
    grave: bool

"""Text files with byte order marks, in two encodings, with either line end; decimal commas."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from mono_depth_recon.text import comma_advice, read_text

TEXT = "# Größe\n1.5 rgb/1.png\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        codecs.BOM_UTF8 + TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
    ],
)
def test_text_is_read_without_its_mark(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    assert read_text(tmp_path / "a.txt") == TEXT


@pytest.mark.parametrize("data", [b"\xff", b"Gr\xf6\xdfe", codecs.BOM_UTF16_LE + b"\0"])
def test_what_is_no_text_raises(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(UnicodeDecodeError):
        read_text(tmp_path / "a.txt")


def test_decimal_commas_are_told_from_lists() -> None:
    for text in ("1,5", "525,4 539,2", "0 -0,25 1"):
        assert comma_advice(text)
    for text in ("1.5", "525.4,539.2", "525,0,319", "525, 539", "a,b", "rgb/1,5.png"):
        assert not comma_advice(text), text

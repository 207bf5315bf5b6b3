"""Text files with byte order marks, in two encodings, with either line end; decimal commas."""

from __future__ import annotations

import codecs
import re
import sys
from pathlib import Path

import pytest

from mono_depth_recon.text import comma_advice, csv_rows, read_text, separator_advice

NUL = "line 4: 1 fields, the heading has 2" if sys.version_info >= (3, 11) else "line 4: line contains NUL"  # by csv
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


@pytest.mark.parametrize("mark", [True, False])
@pytest.mark.parametrize(("encoding", "name"), [("utf-32", "UTF-32"), ("utf-16", "UTF-16 without a byte order mark")])
@pytest.mark.parametrize("order", ["le", "be"])
def test_encodings_that_are_not_read_are_named(
    tmp_path: Path, encoding: str, name: str, order: str, mark: bool
) -> None:
    if encoding == "utf-16" and mark:
        pytest.skip("that one is read")
    (tmp_path / "a.txt").write_bytes(("\ufeff" * mark + TEXT).encode(f"{encoding}-{order}"))
    with pytest.raises(UnicodeDecodeError, match=f"it is {name}: save it as UTF-8"):
        read_text(tmp_path / "a.txt")


def test_a_text_file_has_a_largest_size(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(256 * 2**20 + 1)  # sparse
    with pytest.raises(OSError, match="a text file may have at most 256 MiB"):
        read_text(tmp_path / "a.txt")


def test_separators_are_named() -> None:
    assert "not by ';'" in separator_advice("1,5;2,5;3") and "not by ','" in separator_advice("1.5,2.5,3")
    assert not separator_advice("1.5 2.5 3") and not separator_advice("1,5 2,5")


@pytest.mark.parametrize(
    "text",
    [
        'name,value\na,1\n"b\n\u2028c",2\n',
        'name,value\r\na,1\r\n"b\r\n\u2028c",2',
        '\ufeff\n  \nname,value\na,1\n\n"b\n\u2028c",2\n \n',
    ],
)
def test_rows_of_a_table(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode())
    rows = [{"name": "a", "value": "1"}, {"name": "b\n\u2028c", "value": "2"}]
    assert csv_rows(tmp_path / "a.csv", ("value",)) == rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column 'value' in the heading ''"),
        ("name;value\na;1\n", "no column 'value' in the heading 'name;value'"),
        ("name,value\na,1,5\n", "line 2: 3 fields, the heading has 2"),
        ("name,value\n\na,1\n\0\0\0", NUL),
    ],
)
def test_what_is_no_table_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        csv_rows(tmp_path / "a.csv", ("value",))

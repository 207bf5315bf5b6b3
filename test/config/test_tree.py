"""Dataclasses made from plain values, their text formats and flags: an error is one line that names its place."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mono_depth_recon.config import add_flag, build, param, parse_yaml, read_json, read_yaml, rows_of
from mono_depth_recon.errors import ConfigError

DIGITS = 10**399
BOTTOMLESS: Any = []
BOTTOMLESS.append(BOTTOMLESS)
NESTED = "[" * 5000


@dataclass(frozen=True)
class Part:
    """One item."""

    size: float = param(help="edge", unit="m", low=0.1, high=5)
    odd: bool = param(False, "an odd one")

    def __post_init__(self) -> None:
        if self.odd and self.size > 1:
            raise ConfigError(f"size of an odd one must be at most 1 m, got {self.size:g}")


@dataclass(frozen=True, kw_only=True)
class Whole:
    """Every kind of field."""

    count: int = param(help="how many", low=0, high=9)
    free: float = param(0.5, "any finite number")
    name: str = param("", "any text")
    colour: str = param("red", "one of two", choices=("red", "blue"))
    pair: tuple[float, float] = param((0.0, 1.0), "two numbers", low=0, high=1)
    counts: tuple[int, ...] = param((1,), "some numbers", low=1, high=9)
    part: Part = field(default_factory=lambda: Part(1.0))
    parts: Mapping[str, Part] = field(default_factory=dict)
    anything: Mapping[str, Any] = field(default_factory=dict)


def test_every_kind_of_field() -> None:
    tree = {
        "count": 3,
        "free": 2,
        "pair": [0, 1],
        "counts": [1, 2, 3],
        "part": {"size": 0.2},
        "parts": {"a": {"size": 1, "odd": True}},
        "anything": {"b": [None]},
    }
    made = build(Whole, tree)
    assert made == Whole(
        count=3,
        free=2.0,
        pair=(0.0, 1.0),
        counts=(1, 2, 3),
        part=Part(0.2),
        parts={"a": Part(1.0, True)},
        anything={"b": [None]},
    )
    assert type(made.free) is type(made.pair[0]) is float
    assert build(Whole, {"count": 1}) == Whole(count=1)
    assert build(Whole, {"count": 1, "more": 2}, ignore_unknown=True) == Whole(count=1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"count": True}, "count must be of type int, got True"),
        ({"count": 1.0}, "count must be of type int, got 1.0"),
        ({"count": None}, "count must be of type int, got None"),
        ({"count": []}, "count must be of type int, got []"),
        ({"count": DIGITS}, "count must be 0 to 9, got a whole number of about 400 digits"),
        ({"free": DIGITS}, "free must be a finite number, got a whole number of about 400 digits"),
        ({"free": math.nan}, "free must be a finite number, got nan"),
        ({"free": -math.inf}, "free must be a finite number, got -inf"),
        ({"free": True}, "free must be of type float, got True"),
        ({"free": []}, "free must be of type float, got []"),
        ({"free": BOTTOMLESS}, "free must be of type float, got [[[[...]]]]"),
        ({"name": 5}, "name must be of type str, got 5"),
        ({"colour": "rde"}, "colour must be one of red, blue, got 'rde'; did you mean 'red'?"),
        ({"colour": ""}, "colour must be one of red, blue, got ''"),
        ({"colour": "a\nb"}, "colour must be one of red, blue, got 'a\\nb'"),
        ({"pair": []}, "pair must be a list of 2, got []"),
        ({"pair": [0.0, math.inf]}, "pair.1 must be 0 to 1, got inf"),
        ({"pair": 0.5}, "pair must be a list of 2, got 0.5"),
        ({"counts": []}, "counts must be a list of one or more, got []"),
        ({"counts": [1, True]}, "counts.1 must be of type int, got True"),
        ({"counts": {}}, "counts must be a list of one or more, got {}"),
        ({"part": []}, "part must be a table of keys and values, got []"),
        ({"part": {}}, "missing setting: part.size"),
        ({"part": {"siez": 1}}, "missing setting: part.size; unknown setting 'part.siez'; did you mean 'size'?"),
        ({"part": {"size": 0}}, "part.size must be 0.1 to 5 m, got 0"),
        ({"part": {"size": 2, "odd": True}}, "part.size of an odd one must be at most 1 m, got 2"),
        ({"parts": {"a": {"size": BOTTOMLESS}}}, "parts.a.size must be of type float, got [[[[...]]]]"),
        ({"anything": []}, "anything must be a table of keys and values, got []"),
        ({"cuont": 1}, "unknown setting 'cuont'; did you mean 'count'?"),
        ({1: 1}, "unknown setting '1'"),
        ({"x\ny": 1}, "unknown setting 'x\\ny'"),
    ],
)
def test_errors_are_one_line(changes: dict[Any, Any], says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        build(Whole, {"count": 1, **changes}, "a.yaml")
    assert str(raised.value) == f"a.yaml: {says}"


@pytest.mark.parametrize("tree", [None, [], 5, "text", BOTTOMLESS])
def test_values_that_are_not_a_table(tree: object) -> None:
    with pytest.raises(ConfigError, match=r"a\.yaml: keys must be a table of keys and values, got "):
        build(Whole, tree, "a.yaml", noun="key")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"a: [1", "settings FILE must be YAML, line 1: expected ',' or ']'"),
        (b"a: 2020-13-45", "settings FILE must be YAML, got: month must be in 1..12"),
        (b"a: " + b"1" * 5000, "settings FILE must be YAML, got: Exceeds the limit"),
        (NESTED.encode(), "settings FILE must be YAML, got one that is nested too deeply"),
        (b"\xff\xff\x00", "settings FILE must be UTF-8 text, got: 'utf-8' codec"),
        (None, "settings FILE cannot be read (No such file or directory)"),
    ],
)
def test_files_that_are_not_yaml(text: bytes | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(ConfigError) as raised:
        read_yaml(path, "settings")
    assert str(raised.value).replace(str(path), "FILE").startswith(says) and "\n" not in str(raised.value)


def test_yaml_and_json_give_the_same_tree(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, 0.5, "x", true]}')
    assert read_json(tmp_path / "a.json", "card") == parse_yaml("a: [1, 0.5, x, true]", "text")
    with pytest.raises(ConfigError, match=r"card .*b\.json cannot be read \(No such file or directory\): make one"):
        read_json(tmp_path / "b.json", "card", "make one")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--count", str(DIGITS)], "count must be 0 to 9, got a whole number of about 400 digits"),
        (["--count", "1" * 5000], "invalid int value"),
        (["--count", "1.5"], "invalid int value: '1.5'"),
        (["--free", "1e400"], "free must be a finite number, got inf"),
        (["--free", "nan"], "free must be a finite number, got nan"),
        (["--colour", "blu"], "colour must be one of red, blue, got 'blu'; did you mean 'blue'?"),
    ],
)
def test_invalid_flags(flags: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    for row in rows_of(Whole):
        add_flag(parser, row, f"--{row.name}")
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(flags)
    assert ended.value.code == 2 and says in capsys.readouterr().err


def test_flags_are_named_after_their_parameter_and_state_valid_values() -> None:
    parser = argparse.ArgumentParser(prog="made")
    size, odd = rows_of(Part)
    name = next(row for row in rows_of(Whole) if row.name == "name")
    add_flag(parser, name)
    add_flag(parser, size, "--edge")
    add_flag(parser, odd, "--is-odd", switch=True)
    assert vars(parser.parse_args([])) == {}
    assert vars(parser.parse_args(["x", "--edge", "2", "--no-is-odd"])) == {"name": "x", "size": 2.0, "odd": False}
    text = parser.format_help()
    assert "edge [0.1 to 5 m]\n" in text and "an odd one (default: false)" in text

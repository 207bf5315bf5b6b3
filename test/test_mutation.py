"""The tools of `make mutation`: which files and tests, the copy of the code, the table; mutmut itself is not run."""

from __future__ import annotations

from typing import Any

import pytest
from mutation.__main__ import Outcome, main, table
from mutation.parts import PARTS
from mutation.tree import plain_properties
from processes import ROOT

SOURCE = '''
class Box:
    """A box."""

    sides = (2, 3)

    @property
    def area(self) -> int:
        """Of all."""
        width, height = self.sides
        return width * height

    @cached_property
    def token(self) -> object:
        return object()

    @classmethod
    def named(cls) -> str:
        return cls.__name__
'''


def test_every_file_and_test_is_there() -> None:
    for part in PARTS:
        for pattern in (*part.files, *part.tests):
            assert list(ROOT.glob(pattern)), f"{part.name}: no {pattern}"


def test_properties_are_written_without_a_decorator_and_stay_properties() -> None:
    plain = plain_properties(SOURCE)
    assert "@property" not in plain and "@cached_property" not in plain and "@classmethod" in plain
    names: dict[str, Any] = {}
    exec(f"from functools import cached_property\n{plain}", names)
    box = names["Box"]()
    assert box.area == 6 and box.named() == "Box" and box.token is box.token
    assert type(box).area.__doc__ == "Of all."
    assert plain_properties(plain) == plain


def test_the_table_counts() -> None:
    verdicts = {"a": "killed", "b": "killed", "c": "timeout", "d": "survived"}
    assert table([Outcome("camera", verdicts, {"d": "-x\n+y"}, 90)]).splitlines()[2:] == [
        "| camera | 90 | 4 | 2 | 1 | 1 | 75 % |"
    ]


def test_an_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "no such part"])
    assert "camera, alignment, cloud, metrics, conversions" in capsys.readouterr().err

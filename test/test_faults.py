"""The short form of `make faults`: files of killed writers are whole; and the tools themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.__main__ import main, table
from faults.full_disk import fill_disk, why_not
from faults.kills import Kills, kill_writer
from faults.writers import WRITERS


@pytest.mark.parametrize("name", ["mesh, PLY", "map"])
def test_files_of_killed_writers_are_whole(name: str) -> None:
    made = kill_writer(name, 6, 3)
    assert made.kills == 6 and not made.broken and made.left_behind == 0


@pytest.mark.parametrize("name", ["mesh, OBJ with texture", "map"])
def test_a_full_disk_is_said_and_leaves_the_old_file(name: str) -> None:
    if reason := why_not():
        pytest.skip(reason)
    made = fill_disk(name, 3, 2)
    assert made.tries == made.refused == 3 and not made.failed


def test_a_file_that_is_not_whole_is_noticed(tmp_path: Path) -> None:
    for writer in (each for each in WRITERS if each.name in ("mesh, PLY", "mesh, OBJ with texture", "map")):
        (folder := tmp_path / writer.name).mkdir()
        writer.prepare(folder)(7)
        writer.check(folder)
        file = max(folder.iterdir(), key=lambda path: path.stat().st_size)
        file.write_bytes(file.read_bytes()[:-1000])
        with pytest.raises(Exception):  # noqa: B017 - whatever a reader says
            writer.check(folder)


def test_the_table_counts() -> None:
    made = [Kills("a", 40, 12), Kills("b", 40, 3, ["x", "x"], 1)]
    assert table(made).splitlines()[2:] == [
        "| a | 40 | 12 | 0 | 0 |",
        "| b | 40 | 3 | 2 | 1 |",
        "| all | 80 | 15 | 2 | 1 |",
    ]
    assert [each.failed for each in made] == [False, True]


def test_an_unknown_kind_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "no such kind"])
    assert "mesh, PLY" in capsys.readouterr().err

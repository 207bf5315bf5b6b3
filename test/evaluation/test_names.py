"""What recordings are called in tables and folders, and how results find their recordings again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mono_depth_recon.cli import main
from mono_depth_recon.evaluation.plan import PartOfRecording, folder_of, names_part, recording_name
from mono_depth_recon.evaluation.tables import markdown_table
from mono_depth_recon.paths import names_entry
from mono_depth_recon.report.frames import recording_path
from mono_depth_recon.report.results import Results


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("v1.0_desk", "v1.0_desk"),
        ("rgbd_dataset_freiburg1_xyz.tgz", "rgbd_dataset_freiburg1_xyz"),
        ("desk.tar.gz", "desk"),
        ("v1.1_desk.bag", "v1.1_desk"),
        ("desk_0.db3.zstd", "desk_0"),
        ("2026-11-30T10.15.MCAP", "2026-11-30T10.15"),
        ("nyu_depth_v2_labeled.mat", "nyu_depth_v2_labeled"),
        (".bag", ".bag"),
        ("...bag", "...bag"),
        ("inner/..", "data"),
        ("/", "root"),
        (os.fsdecode(b"caf\xe9.bag"), "caf\\xe9"),
        ("two\nlines.bag", "two\\x0alines"),
    ],
)
def test_a_recording_has_the_name_of_its_file_without_the_ending(file: str, name: str) -> None:
    assert recording_name(Path("data") / file) == name


@pytest.mark.parametrize("label", ["..", ".", "../../x", "a/../b"])
def test_the_folder_of_a_model_is_one(label: str) -> None:
    assert names_entry(folder_of(label))


def test_a_table_holds_any_text_in_its_cells() -> None:
    assert markdown_table([("a|b", "c\nd")]) == "| a\\|b | c\\x0ad |\n| --- | --- |\n"


def test_results_of_earlier_versions_are_found_by_their_names(tmp_path: Path) -> None:
    """Their names ended at the first dot."""
    results = Results(tmp_path, [], {}, [], {"data": ["/data/v1.0_desk", "/data/room.bag"]}, [])
    assert recording_path(results, "v1") == recording_path(results, "v1.0_desk") == Path("/data/v1.0_desk")
    assert recording_path(results, "room") == Path("/data/room.bag") and recording_path(results, "v2") is None


def test_parts_are_distinguished_from_names_with_colons(tmp_path: Path) -> None:
    (tmp_path / "a:1:2").mkdir()
    assert names_part("desk:1:2") and not names_part("room:3") and not names_part("room:3:40")
    assert not names_part(str(tmp_path / "a:1:2")) and not names_part("desk")
    part = PartOfRecording.parse("room:3:0:2")
    assert (str(part.path), part.first, part.last) == ("room:3", 0, 2)


@pytest.mark.slow
def test_synthetic_rooms_are_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--protocols", "metric", "--no-report", "--model.runtime", "openvino", "--output", str(tmp_path)]
    assert main(["evaluate", "room:3:4", "room:4:0:1", *flags]) == 0
    shown = capsys.readouterr().out
    assert "### room:3:4" in shown and "### room:4" in shown
    assert "| unetpp_lite | 4 | 1 |" in shown and "| unetpp_lite | 2 | 1 |" in shown

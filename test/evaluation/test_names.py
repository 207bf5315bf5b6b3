"""What recordings are called in tables and folders, and how results find their recordings again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mono_depth_recon.evaluation.plan import recording_name
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
        (os.fsdecode(b"caf\xe9.bag"), "caf\\xe9"),
    ],
)
def test_a_recording_has_the_name_of_its_file_without_the_ending(file: str, name: str) -> None:
    assert recording_name(Path("data") / file) == name


def test_results_of_earlier_versions_are_found_by_their_names(tmp_path: Path) -> None:
    """Their names ended at the first dot."""
    results = Results(tmp_path, [], {}, [], {"data": ["/data/v1.0_desk", "/data/room.bag"]}, [])
    assert recording_path(results, "v1") == recording_path(results, "v1.0_desk") == Path("/data/v1.0_desk")
    assert recording_path(results, "room") == Path("/data/room.bag") and recording_path(results, "v2") is None

"""Reading measured on generated bags: every format, and one of 2 GB in constant memory (soak)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mono_depth_recon.benchmark.reading import MOST_BYTES, measure_bag, measure_reading, write_bag
from mono_depth_recon.cli import main
from mono_depth_recon.datasets.opening import open_dataset
from mono_depth_recon.errors import DataError


def test_every_format_is_written_whole_and_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["benchmark", "--reading", "13", "--output", str(tmp_path)])  # 6 frames
    printed = capsys.readouterr().out
    for form in ("ros1", "ros1-lz4", "ros2-sqlite3", "ros2-mcap"):
        assert f"reading {form}: peak memory" in printed and f"reading {form}: reading / recorded time" in printed
    assert "6 frames of 640x480" in printed and "limit 600 MB" in printed and "failed" not in printed
    assert status == int("  over  " in printed), "how fast this machine is decides the status, nothing else"


def test_the_bag_holds_what_a_camera_sends(tmp_path: Path) -> None:
    recording = open_dataset(write_bag(tmp_path, "ros1-lz4", 3))
    samples = list(recording)
    assert len(samples) == 3 and np.diff(recording.stamps) == pytest.approx([1 / 30] * 2, abs=1e-6)
    first, second = samples[0].depth, samples[1].depth
    assert first is not None and second is not None
    assert np.array_equal(second, np.roll(first, 3, axis=1)) and 1 < np.median(first) < 5
    assert len(np.unique(samples[0].rgb)) > 100


def test_a_bag_of_one_frame_is_refused() -> None:
    rows = list(measure_reading(2))
    assert len(rows) == 4 and all("at least 2 frames" in row.note and row.verdict == "failed" for row in rows)
    with pytest.raises(DataError, match="at least 2 frames"):
        write_bag(Path("nowhere"), "ros1", 1)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("form", ["ros1", "ros2-mcap"])
def test_two_gigabytes_in_constant_memory(tmp_path: Path, form: str) -> None:
    opening, reading, memory = measure_bag(form, write_bag(tmp_path, form, 940))
    assert "2021 MB" in opening.note or "2022 MB" in opening.note, opening.note
    assert reading.value is not None and reading.limit is not None, "whether it is fast enough, the benchmark says"
    assert memory.value is not None and memory.value < MOST_BYTES / 1e6

"""The cache of conversions: made once, made again where broken or outdated, whole or not at all, bounded."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import DEADLINE_S

from mono_depth_recon.errors import ModelError
from mono_depth_recon.models.runtimes import cache
from mono_depth_recon.models.runtimes.cache import cache_folder, cached, versions

KEY = {"what": "test", "identity": "abc", "versions": "some 1.0"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "mono_depth_recon" / "runtimes"


class Builder:
    """Writes a file and counts how often."""

    def __init__(self, content: bytes = b"converted") -> None:
        self.calls, self.content = 0, content

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        (folder / "model.bin").write_bytes(self.content)


def test_the_folder_follows_xdg(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == folder
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "mono_depth_recon" / "runtimes"


def test_an_entry_is_made_once(folder: Path) -> None:
    build = Builder()
    first, second = (cached("Intel/dpt: f32", KEY, build) for _ in range(2))
    assert build.calls == 1
    assert first == second
    assert first.parent == folder
    assert (first / "model.bin").read_bytes() == b"converted"


@pytest.mark.parametrize("part", ["what", "identity", "versions"])
def test_another_network_or_library_version_is_another_entry(part: str) -> None:
    build = Builder()
    cached("name", KEY, build)
    cached("name", {**KEY, part: "other"}, build)
    assert build.calls == 2


def _truncate(entry: Path) -> None:
    (entry / "model.bin").write_bytes(b"conv")


def _flip_a_bit(entry: Path) -> None:
    (entry / "model.bin").write_bytes(b"convertee")


def _remove_a_file(entry: Path) -> None:
    (entry / "model.bin").unlink()


def _cut_the_record(entry: Path) -> None:
    (entry / "entry.json").write_text('{"key": ')


def _write_another_record(entry: Path) -> None:
    (entry / "entry.json").write_text("[]")


def _outdate(entry: Path) -> None:
    record = entry / "entry.json"
    record.write_text(record.read_text().replace("some 1.0", "some 0.9"))


@pytest.mark.parametrize(
    "breaks", [_truncate, _flip_a_bit, _remove_a_file, _cut_the_record, _write_another_record, _outdate]
)
def test_a_broken_or_outdated_entry_is_made_again(breaks: Callable[[Path], None]) -> None:
    build = Builder()
    entry = cached("name", KEY, build)
    breaks(entry)
    assert cached("name", KEY, build) == entry
    assert build.calls == 2
    assert (entry / "model.bin").read_bytes() == b"converted"
    cached("name", KEY, build)
    assert build.calls == 2


def test_a_conversion_that_fails_leaves_nothing(folder: Path) -> None:
    def build(partial: Path) -> None:
        (partial / "half").write_bytes(b"x")
        raise ModelError("no")

    with pytest.raises(ModelError, match="no"):
        cached("name", KEY, build)
    assert list(folder.iterdir()) == []


def test_two_at_a_time_end_with_one_whole_entry(folder: Path) -> None:
    together = threading.Barrier(2, timeout=DEADLINE_S)

    def build(partial: Path) -> None:
        Builder()(partial)
        together.wait()

    threads = [threading.Thread(target=cached, args=("name", KEY, build)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert [(path / "model.bin").read_bytes() for path in folder.iterdir()] == [b"converted"]


def test_the_longest_unused_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LIMIT_BYTES", 3500)
    build = Builder(bytes(1000))
    entries = [cached("name", {**KEY, "identity": str(i)}, build) for i in range(3)]
    for age, entry in zip((30, 20, 10), entries, strict=True):
        os.utime(entry / "entry.json", (1e9 - age, 1e9 - age))
    cached("name", {**KEY, "identity": "0"}, build)  # used: the youngest now
    cached("name", {**KEY, "identity": "3"}, build)
    assert [entry.exists() for entry in entries] == [True, False, True]


def test_what_a_killed_process_left_is_removed_after_a_day(folder: Path) -> None:
    cached("name", KEY, Builder())
    old, new = folder / ".partial-old", folder / ".partial-new"
    for path in (old, new):
        path.mkdir()
    os.utime(old, (1e9, 1e9))
    cached("name", {**KEY, "identity": "other"}, Builder())
    assert not old.exists()
    assert new.exists()


def test_a_cache_that_cannot_be_written_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="cannot keep a conversion in .*XDG_CACHE_HOME"):
        cached("name", KEY, Builder())


def test_versions_without_importing() -> None:
    assert versions("numpy", "no_such_library_here").startswith("numpy ")
    assert versions("no_such_library_here") == "no_such_library_here missing"

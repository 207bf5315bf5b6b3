"""Temporary folders go with their process, or with the next one that makes such a folder."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from mono_depth_recon.temporary import TemporaryFolder


@pytest.fixture(autouse=True)
def below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_folder_is_there_until_its_end(tmp_path: Path) -> None:
    with TemporaryFolder() as folder:
        (folder / "deep").mkdir()
        (folder / "deep/file").write_bytes(b"x")
        assert folder.parent == tmp_path
    assert not list(tmp_path.iterdir())
    TemporaryFolder()
    assert not list(tmp_path.iterdir())  # removed with the object


def test_what_a_killed_process_left_goes_and_what_another_holds_stays(tmp_path: Path) -> None:
    left, held, other = (tmp_path / name for name in ("mono_depth_recon_held_a", "mono_depth_recon_held_b", "tmp_c"))
    for folder in (left, held, other):
        folder.mkdir()
        (folder / "unpacked").write_bytes(b"x")
    (tmp_path / "mono_depth_recon_held_link").symlink_to(other)
    os.mkfifo(tmp_path / "mono_depth_recon_held_pipe")
    lock = os.open(held, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with TemporaryFolder() as first, TemporaryFolder() as second:
        assert first.exists() and second.exists() and held.exists() and (other / "unpacked").exists()
        assert not left.exists()
    os.close(lock)


def test_a_folder_of_another_user_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / "mono_depth_recon_held_a"
    left.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: left.stat().st_uid + 1)
    with TemporaryFolder():
        assert left.exists()

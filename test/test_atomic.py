"""Files appear whole or not at all, and what killed processes left is tidied."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from mono_depth_recon import atomic
from mono_depth_recon.atomic import check_folder, write_atomically, write_together
from mono_depth_recon.errors import DataError


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process that has just started."""
    monkeypatch.setattr(atomic, "_tidied", set())


def test_what_killed_processes_left_goes_with_the_first_file(tmp_path: Path) -> None:
    left = [tmp_path / name for name in (".last.ckpt.4000000.part", ".a b\n.obj.1.part")]  # 1 lives, and writes nothing
    kept = [tmp_path / name for name in (".note.part", "mesh.ply.12.part", ".mesh.ply.x.part", ".last.ckpt.12.partial")]
    for file in (*left, *kept):
        file.write_bytes(b"half")
    write_atomically(tmp_path / "new.ply", [b"whole"])
    assert sorted(tmp_path.iterdir()) == sorted([*kept, tmp_path / "new.ply"])
    left[0].write_bytes(b"half")
    write_atomically(tmp_path / "other.ply", [b"whole"])
    assert left[0].exists()  # once a process: folders may be large


def test_a_pipe_or_a_link_that_is_named_as_a_leftover_is_not_opened(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    os.mkfifo(tmp_path / ".x.1.part")
    (tmp_path / ".y.1.part").symlink_to(victim)
    write_atomically(tmp_path / "new.ply", [b"whole"])
    assert (tmp_path / "new.ply").read_bytes() == b"whole" and len(list(tmp_path.iterdir())) == 4
    suffix = atomic.partial_suffix(os.getpid())
    os.mkfifo(tmp_path / f".pipe.ply{suffix}")
    (tmp_path / f".link.ply{suffix}").symlink_to(victim)
    for name in ("pipe.ply", "link.ply"):
        with pytest.raises(DataError, match=rf"cannot write .*{name}: "):
            write_atomically(tmp_path / name, [b"whole"])
    assert victim.read_bytes() == b"precious"


def test_a_file_that_is_being_written_stays(tmp_path: Path) -> None:
    busy = tmp_path / ".map.npz.4000000.part"
    with busy.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_atomically(tmp_path / "new.ply", [b"whole"])
        assert busy.exists()


def test_threads_that_write_one_file_leave_one_of_both_whole(tmp_path: Path) -> None:
    texts = [bytes([letter]) * 100_000 for letter in b"abcdefgh"]
    threads = [threading.Thread(target=write_atomically, args=(tmp_path / "a.txt", [text])) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a.txt").read_bytes() in texts and len(list(tmp_path.iterdir())) == 1


def test_processes_that_write_one_file_leave_one_of_both_whole(tmp_path: Path) -> None:
    texts = [bytes([letter]) * 1_000_000 for letter in b"ab"]
    processes = [
        multiprocessing.get_context("fork").Process(target=_write_often, args=(tmp_path, text)) for text in texts
    ]
    for process in processes:
        process.start()
    seen = set()
    while any(process.is_alive() for process in processes):
        with contextlib.suppress(FileNotFoundError):
            seen.add((tmp_path / "a.txt").read_bytes())
    assert seen <= set(texts) and (tmp_path / "a.txt").read_bytes() in texts
    assert [process.exitcode for process in processes] == [0, 0] and len(list(tmp_path.iterdir())) == 1


def _write_often(folder: Path, text: bytes) -> None:
    for _ in range(30):
        write_atomically(folder / "a.txt", [text])


def test_a_shorter_file_replaces_a_longer_leftover_of_this_process(tmp_path: Path) -> None:
    atomic._tidied.add(tmp_path)
    (tmp_path / f".a.txt{atomic.partial_suffix(atomic.os.getpid())}").write_bytes(b"long" * 100)
    write_atomically(tmp_path / "a.txt", [b"short"])
    assert (tmp_path / "a.txt").read_bytes() == b"short" and len(list(tmp_path.iterdir())) == 1


def test_of_several_files_none_is_written_where_one_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [(tmp_path / name, [name.encode()]) for name in ("a.jpg", "a.mtl", "a.obj")]
    (tmp_path / "a.mtl").write_bytes(b"old")
    synced: list[int] = []

    def full(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 3:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with (
        monkeypatch.context() as patched,
        pytest.raises(DataError, match=r"write .*a\.obj: Disk quota exceeded"),
    ):
        patched.setattr("os.fsync", full)
        write_together(files)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.mtl", b"old")]
    write_together(files)
    assert all(path.read_bytes() == path.name.encode() for path, _ in files) and len(list(tmp_path.iterdir())) == 3


def test_a_full_disk_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match=r"cannot write .*a\.txt: No space left on device; it needs 0\.0 MB"):
        write_atomically(tmp_path / "a.txt", [b"new"])
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.txt", b"old")]


def test_a_folder_is_checked_without_being_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_folder(tmp_path)
    check_folder(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"^cannot make the folder .*/file/a: .*/file is not a folder"):
        check_folder(tmp_path / "file" / "a")
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(DataError, match=f"^cannot write into the folder {tmp_path}: change its permissions or choose"):
        check_folder(tmp_path / "a")

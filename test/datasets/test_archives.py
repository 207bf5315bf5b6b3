"""TUM archives that would fill the disk or the memory: refused by their headers, nothing is left behind."""

from __future__ import annotations

import errno
import gzip
import io
import re
import subprocess
import sys
import tarfile
import tempfile
from io import FileIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from made_recordings import CAMERA, FORMATS, Scene
from processes import DEADLINE_S

from mono_depth_recon.datasets import limits
from mono_depth_recon.datasets.opening import OpenOptions, open_dataset
from mono_depth_recon.errors import CalibrationError, ConfigError, DataError


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which archives are unpacked."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def archive_of_zeros(path: Path, name: str, size: int, written: int) -> Path:
    """A .tgz whose only file claims `size` bytes, of which `written` are there."""
    info = tarfile.TarInfo(name)
    info.size = size
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(written >> 20):
            file.write(bytes(1 << 20))
    return path


@pytest.mark.parametrize("name", ["desk/rgb/1.png", "desk/other.bin"])
def test_an_archive_of_zeros_is_refused_before_it_is_unpacked(tmp_path: Path, temporary: Path, name: str) -> None:
    path = archive_of_zeros(tmp_path / "desk.tgz", name, 2**40, 1 << 25)
    with pytest.raises(DataError, match=r"desk\.tgz: expands to more than max_unpacked_bytes \(68719476736\)"):
        open_dataset(path)
    assert not list(temporary.iterdir())


def test_limits_are_of_all_files_and_of_the_disk(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = FORMATS["tgz"](tmp_path, Scene())
    with pytest.raises(DataError, match=r"more than max_unpacked_bytes \(50000\)"):
        open_dataset(path, OpenOptions(camera=CAMERA, max_unpacked_bytes=50_000))
    assert not list(temporary.iterdir())
    with monkeypatch.context() as full:
        disk = SimpleNamespace(total=100 << 30, free=(5 << 30) + 1000)
        full.setattr(limits.shutil, "disk_usage", lambda _: disk)
        with pytest.raises(DataError) as caught:
            open_dataset(path, OpenOptions(camera=CAMERA))
        said = (
            rf"needs \d+ more bytes in {temporary}\S*, where {disk.free} are free, of which {5 << 30} are kept: unpack"
        )
        assert re.search(said, str(caught.value))
        assert not list(temporary.iterdir())
    assert len(open_dataset(path, OpenOptions(camera=CAMERA, max_unpacked_bytes=500_000))) == 6


def test_a_share_of_the_disk_stays_free() -> None:
    assert [limits.kept_free(gigabytes << 30) >> 20 for gigabytes in (1, 10, 100, 4000)] == [256, 512, 5120, 8192]


def test_a_disk_that_fills_while_unpacking_is_no_damaged_archive(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The space was there when it was asked for; what was unpacked until then goes at once."""
    path = FORMATS["tgz"](tmp_path, Scene())
    writes = iter([None] * 8)

    def write(unpacked: limits.UnpackedFiles, out: FileIO, data: bytes) -> None:
        whole(unpacked, out if next(writes, "full") is None else Full(), data)

    class Full(io.RawIOBase):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    whole = limits.UnpackedFiles.write
    monkeypatch.setattr(limits.UnpackedFiles, "write", write)
    with pytest.raises(DataError, match=r"desk\.tgz: cannot be unpacked to .*\(No space left on device\): free some"):
        open_dataset(path, OpenOptions(camera=CAMERA))
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("form", ["tgz", "sqlite3_file"])
@pytest.mark.parametrize(
    ("options", "error"),
    [
        (OpenOptions(camera="freiburg7"), ConfigError),
        (OpenOptions(camera="5 5 3000 3000"), CalibrationError),
        (OpenOptions(camera=CAMERA, max_difference=1e-6), DataError),
    ],
)
def test_a_recording_that_is_refused_after_unpacking_leaves_nothing(
    tmp_path: Path, temporary: Path, options: OpenOptions, error: type[Exception], form: str
) -> None:
    path = FORMATS[form](tmp_path, Scene())
    with pytest.raises(error) as kept:  # which keeps the frames of the call
        open_dataset(path, options)
    assert not list(temporary.iterdir()), kept


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME], ids=["pax", "long name"])
def test_a_header_that_claims_gigabytes_is_not_read_into_memory(tmp_path: Path, kind: bytes) -> None:
    """tarfile reads extensions whole: 300 MB of zeros here, 300 kB on the disk."""
    whole = FORMATS["tgz"](tmp_path, Scene())
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, 300 << 20
    buffer = io.BytesIO(gzip.decompress(whole.read_bytes()))
    path = tmp_path / "extended.tgz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        with tarfile.open(fileobj=buffer) as archive:
            end = archive.getmembers()[-1]
        file.write(buffer.getvalue()[: end.offset_data + 512 * (-(-end.size // 512))])
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(300):
            file.write(bytes(1 << 20))
    code = (
        "import pathlib, sys\nfrom mono_depth_recon.datasets.opening import OpenOptions, open_dataset\n"
        "dataset = open_dataset(sys.argv[1], OpenOptions(camera=sys.argv[2]))\nprint(len(dataset), *dataset.notes)\n"
        "print(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
    )
    words = [sys.executable, "-c", code, str(path), CAMERA]
    done = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    text, kilobytes = done.stdout.strip().splitlines()
    assert text.startswith(f"6 {path}: the archive breaks off (a header of type")
    assert "claims 314572800 bytes); the part before it is used" in text
    assert int(kilobytes) < 250 << 10


@pytest.mark.parametrize("depth", [40, 2000])
def test_members_in_too_many_folders_are_left_out(tmp_path: Path, temporary: Path, depth: int) -> None:
    path = FORMATS["tgz"](tmp_path, Scene(frames=2))
    with tarfile.open(path) as whole, tarfile.open(tmp_path / "deep.tgz", "w:gz") as deep:
        member = tarfile.TarInfo("a/" * depth + "rgb/1.png")
        deep.addfile(member)
        for each in whole.getmembers():
            deep.addfile(each, whole.extractfile(each))
    recording = open_dataset(tmp_path / "deep.tgz", OpenOptions(camera=CAMERA))
    assert len(recording) == 2 and not recording.notes
    assert not any("a" in file.parts[-8:] for file in temporary.rglob("1.png"))


def test_an_archive_that_is_cut_off_before_its_images_is_one_line(tmp_path: Path, temporary: Path) -> None:
    path = FORMATS["tgz"](tmp_path, Scene(frames=2))
    with tarfile.open(path) as whole, tarfile.open(tmp_path / "desk.tar", "w") as plain:
        for each in whole.getmembers():
            plain.addfile(each, whole.extractfile(each))
    with tarfile.open(tmp_path / "desk.tar") as plain:
        first = next(each for each in plain.getmembers() if each.name.endswith(".png"))
    cut = (tmp_path / "desk.tar").read_bytes()[: first.offset_data + 100]
    (tmp_path / "desk.tar").write_bytes(cut)
    with pytest.raises(DataError, match="expected colour images, whose size the camera has, got none"):
        open_dataset(tmp_path / "desk.tar", OpenOptions(camera=CAMERA))
    assert not list(temporary.iterdir())

"""TUM archives that would fill the disk or the memory: refused by their headers, nothing is left behind."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from made_recordings import CAMERA, FORMATS, Scene
from processes import DEADLINE_S

from mono_depth_recon.datasets import limits
from mono_depth_recon.datasets.opening import OpenOptions, open_dataset
from mono_depth_recon.errors import DataError


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
    monkeypatch.setattr(limits, "KEPT_FREE_BYTES", 2**62)
    with pytest.raises(DataError, match="unpacking needs more space in .* than the .* bytes that are free"):
        open_dataset(path, OpenOptions(camera=CAMERA))
    monkeypatch.undo()
    assert len(open_dataset(path, OpenOptions(camera=CAMERA, max_unpacked_bytes=500_000))) == 6


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

"""TUM sequences as they are shipped: a .tgz of one folder, unpacked into a temporary place while it is read."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from ..camera import PinholeCamera
from ..config import param
from ..errors import ConfigError, DataError, MonoDepthError
from ..temporary import TemporaryFolder
from .bags.index import is_bag
from .dataset import Dataset, Recording
from .joined import RecordingSettings, joined
from .kind import DatasetKind, OpenOptions
from .limits import Limits, UnpackedFiles
from .tum import CAMERAS, DEPTH_PER_METRE, NO_POSES, TumFolder, camera_of_name

_LISTS = ("rgb.txt", "depth.txt", "groundtruth.txt")
_IMAGES = ("rgb", "depth")
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError, ValueError)
_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_LARGEST_EXTENSION = 1 << 20
_DEEPEST = 16  # folders of a TUM folder's archive: 2
_PIECE_BYTES = 1 << 20


class TumArchive(TumFolder):
    """A TUM folder in a tar archive (gz, bz2, xz or plain); what it unpacks is removed by `close`, or with the object.

    An archive that is cut short gives its complete pairs, with a note. The camera's preset follows from the name of the
    archive or of the folder inside. Raises DataError where there is no TUM folder in it.
    """

    def __init__(
        self,
        path: Path | str,
        camera: PinholeCamera | str | None = None,
        max_difference: float = 0.02,
        rectified: bool = False,
        depth_factor: float = DEPTH_PER_METRE,
        poses: str = "",
        limits: Limits | None = None,
    ) -> None:
        archive = Path(path)
        self._temporary = TemporaryFolder()
        self._close = self._temporary.remove
        if not camera and any(key in archive.name for key in CAMERAS):
            camera = camera_of_name(archive.name)
        try:
            problem = _unpack(archive, self._temporary.path, limits or Limits())
            self.folder = folder = self._folder(archive, problem)
            super().__init__(folder, camera, max_difference, rectified, depth_factor, poses, partial=bool(problem))
        except MonoDepthError:
            self._close()  # at once: what was unpacked may be large
            raise
        if problem:
            self.notes.insert(0, f"{archive}: {problem}; the part before it is used")
        self.path, self.name = archive, archive.name

    def origin(self, i: int) -> str:
        """The archive and the colour file in it."""
        return f"{self.path}: {self.files(i)[0].relative_to(self.folder)}"

    def reopening(self) -> Callable[[], Recording]:
        """The unpacked folder, without the maps that the camera has made."""
        camera = replace(self.camera)
        return partial(
            TumFolder, self.folder, camera, self.max_difference, self.rectified, self.per_metre(0), NO_POSES, True
        )

    def _folder(self, archive: Path, problem: str) -> Path:
        lists = sorted(self._temporary.path.rglob("rgb.txt"))
        if not lists:
            reason = f" ({problem} before that)" if problem else ""
            raise DataError(f"{archive}: expected a TUM folder in it, with rgb.txt and depth.txt, found none{reason}")
        return lists[0].parent

    def close(self) -> None:
        """Removes what was unpacked."""
        self._close()


def is_archive(path: Path) -> bool:
    """Whether the file is a tar archive, compressed or not; also one that is cut short."""
    try:
        with tarfile.open(path, "r:*", tarinfo=_BoundedInfo) as archive:
            return archive.next() is not None
    except _DAMAGED:
        return False


class _BoundedInfo(tarfile.TarInfo):
    """A header of an archive, whose extensions (long names, PAX) tarfile reads into memory as large as they claim."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _BoundedInfo:
        """As TarInfo. ReadError where the size cannot be."""
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0 or (info.type in _EXTENSIONS and info.size > _LARGEST_EXTENSION):
            raise tarfile.ReadError(f"a header of type {info.type!r} claims {info.size} bytes")
        return info


def _unpack(path: Path, target: Path, limits: Limits) -> str:
    """Writes lists and images of the archive below `target`; returns what is wrong with it (empty: nothing).

    Sizes are checked before anything of a file is decompressed. DataError where they exceed the limits.
    """
    unpacked = UnpackedFiles(path, target, limits)
    try:
        with tarfile.open(path, "r|*", tarinfo=_BoundedInfo) as archive:
            for member in archive:
                unpacked.add(max(member.size, 0))  # PAX may give any number
                if member.isfile() and _is_wanted(PurePosixPath(member.name)):
                    _write(archive, member, target, unpacked)
    except _DAMAGED as error:
        return f"the archive breaks off ({error})"
    return ""


def _is_wanted(name: PurePosixPath) -> bool:
    if name.is_absolute() or ".." in name.parts:  # nothing is written outside the temporary folder
        return False
    if len(name.parts) > _DEEPEST:
        return False
    return name.name in _LISTS or name.parent.name in _IMAGES


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path, unpacked: UnpackedFiles) -> None:
    """Writes one file, under another name until it is whole. DataError where the disk does not take it."""
    source = archive.extractfile(member)
    if source is None:
        return
    file = target / member.name
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".part")
    with source, partial.open("wb", buffering=0) as out:
        while piece := source.read(_PIECE_BYTES):
            unpacked.write(out, piece)
    partial.rename(file)


@dataclass(frozen=True)
class TumSettings(RecordingSettings):
    """TUM folders and archives."""

    kind = "tum"

    path: str = param("", "folder or archive; * and ? name several")


def open_tum(path: Path, options: OpenOptions) -> Recording:
    """The folder or archive at `path`. Raises DataError, CalibrationError."""
    factor = options.depth_factor or DEPTH_PER_METRE
    given = (path, options.camera, options.max_difference, options.rectified, factor, options.poses)
    return TumFolder(*given) if path.is_dir() else TumArchive(*given, options.limits)


def _of_settings(settings: TumSettings, file: Callable[[str], Path]) -> Dataset:
    path = file(settings.path)
    if path.exists() and is_bag(path):
        raise ConfigError(f"{path}: is of kind bag, not tum: change kind")
    return joined(settings, path, open_tum)


TUM = DatasetKind(
    "a TUM folder (rgb.txt, depth.txt) or its .tgz",
    TumSettings,
    lambda path, _: (path / "rgb.txt").is_file() or (path.is_file() and not is_bag(path) and is_archive(path)),
    open_tum,
    _of_settings,
    takes=("camera", "depth_factor", "max_difference", "poses", "max_unpacked_bytes"),
)

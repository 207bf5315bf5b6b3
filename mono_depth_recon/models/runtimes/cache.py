"""Conversions and measurements of networks that are kept between starts.

They lie in `mono_depth_recon/runtimes` of the user's cache folder (Linux: `$XDG_CACHE_HOME`, `~/.cache` where the
variable is empty), one folder per key, and may be deleted at any time. Together they take at most LIMIT_BYTES: the
least recently used go first.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ...errors import ModelError
from ...paths import user_cache

LIMIT_BYTES = 20_000_000_000
_RECORD = "entry.json"
_FORMAT = "1"  # of the entries; a change invalidates all of them
_PARTIAL = ".partial-"
_PARTIAL_AGE_S = 86_400  # older ones were left by a process that was killed

Key = Mapping[str, str]
_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where the entries lie."""
    return user_cache() / "runtimes"


def cached(name: str, key: Key, build: Callable[[Path], None]) -> Path:
    """The folder of the entry `key`; where it is missing or broken, `build(folder)` fills it.

    The folder's name begins with `name`. The folder appears whole or not at all. Nothing outside `key` may
    change the result: it must hold the versions of libraries. Raises ModelError where the cache cannot
    be written.
    """
    key = {**key, "format": _FORMAT}
    digest = hashlib.sha256(repr(sorted(key.items())).encode()).hexdigest()
    folder = cache_folder() / f"{_plain(name)}-{digest[:16]}"
    if _is_whole(folder, key):
        with contextlib.suppress(OSError):  # a cache that is shared read-only serves as well, unmarked
            os.utime(folder / _RECORD)
        return folder
    why = "is broken and is rebuilt" if folder.exists() else "is built once for this machine"
    _log.warning("%s %s; it can take minutes and is kept in %s", name, why, folder.parent)
    try:
        _fill(folder, key, build)
        with contextlib.suppress(FileNotFoundError):  # another process tidies at the same time
            _evict(keep=folder)
    except OSError as error:
        raise ModelError(
            f"cannot keep a conversion in {folder.parent} ({error.strerror or error}): free some space there, "
            "or let XDG_CACHE_HOME name a folder that can be written"
        ) from error
    return folder


def versions(*libraries: str) -> str:
    """Their versions as a text for a key; importing none of them."""
    return " ".join(f"{library} {_version(library)}" for library in libraries)


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)[-80:]


def _fill(folder: Path, key: Key, build: Callable[[Path], None]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=folder.parent))
    try:
        build(partial)
        record = {"key": dict(key), "files": {path.name: _checksum(path) for path in partial.iterdir()}}
        (partial / _RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
        _replace(partial, folder, key)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace(partial: Path, folder: Path, key: Key) -> None:
    """Renames `partial` to `folder`. Another process may have put the same entry there meanwhile: then that stays."""
    if folder.exists():
        shutil.rmtree(folder)
    try:
        partial.rename(folder)
    except OSError:
        if not _is_whole(folder, key):
            raise


def _is_whole(folder: Path, key: Key) -> bool:
    """Whether the entry is of this key and every file of it is as it was written."""
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        return bool(
            record["key"] == dict(key)
            and all(_checksum(folder / name) == stated for name, stated in record["files"].items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # missing, cut, or JSON of another form
        return False


def _checksum(path: Path) -> str:
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            crc = zlib.crc32(chunk, crc)
    return f"{path.stat().st_size} {crc:08x}"


def _evict(keep: Path) -> None:
    """Removes what killed processes left, and the least recently used entries over the limit."""
    for partial in keep.parent.glob(f"{_PARTIAL}*"):
        if time.time() - partial.stat().st_mtime > _PARTIAL_AGE_S:
            shutil.rmtree(partial, ignore_errors=True)
    total = 0
    for folder, size in _newest_first(keep.parent):
        total += size
        if total > LIMIT_BYTES and folder != keep:
            shutil.rmtree(folder, ignore_errors=True)


def _newest_first(parent: Path) -> Iterator[tuple[Path, int]]:
    used = sorted(((path.stat().st_mtime, path.parent) for path in parent.glob(f"[!.]*/{_RECORD}")), reverse=True)
    for _, folder in used:
        yield folder, sum(path.stat().st_size for path in folder.rglob("*"))

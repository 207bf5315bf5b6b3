"""Writers on a small disk that is full: a tmpfs in a mount namespace of its own, which needs no root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from mono_depth_recon.errors import MonoDepthError

from .writers import WRITERS, Writer

_DISK_BYTES = 64 << 20
_FILLER = "filler"
_UNSHARE = ("unshare", "--map-root-user", "--mount", "sh", "-c")


@dataclass
class Fills:
    """What became of one kind of file on a full disk: tries, those that were refused, and faults in words."""

    writer: str
    tries: int = 0
    refused: int = 0
    broken: list[str] = field(default_factory=list)
    left_behind: int = 0

    @property
    def failed(self) -> bool:
        """Whether a file was not whole, an unfinished one stayed, or something else than our error was raised."""
        return bool(self.broken or self.left_behind)


def why_not() -> str:
    """Why no small disk can be mounted here; empty if it can."""
    with tempfile.TemporaryDirectory() as place:
        try:
            _on_small_disk(Path(place), ["true"])
        except (OSError, subprocess.CalledProcessError) as error:
            return f"no tmpfs can be mounted here ({error})"
    return ""


def fill_disk(name: str, times: int, seed: int) -> Fills:
    """Lets the writer of that name write `times` times where too little is left."""
    with tempfile.TemporaryDirectory(prefix="full_disk_") as place:
        answer = Path(place) / "answer"
        (disk := Path(place) / "disk").mkdir()
        words = [sys.executable, "-m", "faults.full_disk", name, str(times), str(seed), str(disk), str(answer)]
        _on_small_disk(disk, words)
        tries, refused, left_behind, *broken = answer.read_text().split("\0")
        return Fills(name, int(tries), int(refused), broken, int(left_behind))


def _on_small_disk(disk: Path, words: Sequence[str]) -> None:
    mount = f'mount -t tmpfs -o size={_DISK_BYTES} tmpfs "$0" && exec "$@"'
    places = [str(Path(__file__).parents[1]), str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
    subprocess.run([*_UNSHARE, mount, str(disk), *words], check=True, env=environment)


def _fills(writer: Writer, disk: Path, times: int, rng: np.random.Generator) -> Fills:
    made, write = Fills(writer.name), writer.prepare(disk)
    write(0)
    needed = _DISK_BYTES - shutil.disk_usage(disk).free
    for version in range(1, times + 1):
        with _filled(disk, int(rng.uniform(0, 0.9) * needed)):
            made.refused += _refused(made, partial(write, version))
        made.tries += 1
        try:
            writer.check(disk)
        except Exception as error:  # noqa: BLE001 - whatever a reader says of a broken file
            made.broken.append(f"{type(error).__name__}: {error}")
        made.left_behind += len(list(disk.glob("**/.*.part")))
    write(times + 1)
    writer.check(disk)
    return made


@contextmanager
def _filled(disk: Path, left: int) -> Iterator[None]:
    """All but `left` bytes of the disk are used by another file."""
    filler = disk / _FILLER
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - left)
    try:
        yield
    finally:
        filler.unlink()


def _refused(made: Fills, write: Callable[[], object]) -> bool:
    """Whether the package said in one line that the disk is full."""
    try:
        write()
    except MonoDepthError as error:
        if "No space left" not in str(error) or "\n" in str(error):
            made.broken.append(f"the message does not name the cause in one line: {error}")
        return True
    except Exception as error:  # noqa: BLE001 - what else there is, is what is looked for
        made.broken.append(f"{type(error).__name__}: {error}")
    return False


def _main(name: str, times: str, seed: str, disk: str, answer: str) -> None:
    writer = next(each for each in WRITERS if each.name == name)
    made = _fills(writer, Path(disk), int(times), np.random.default_rng(int(seed)))
    Path(answer).write_text("\0".join(map(str, (made.tries, made.refused, made.left_behind, *made.broken))))


if __name__ == "__main__":
    _main(*sys.argv[1:])

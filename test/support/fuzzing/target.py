"""What is tried: a kind of file or message, how a sound one is made, and how the package reads it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .mutations import choice, mutated


@dataclass(frozen=True)
class Target:
    """A kind of input.

    `make(folder)` writes sound files, of which those that match one of `files` are changed, one at a try;
    `read(folder)` reads them. A message has no files: `read` gets the generator of random numbers instead, or None
    for the sound message.
    """

    name: str
    read: Callable[[Any], Any]
    make: Callable[[Path], object] | None = None
    files: tuple[str, ...] = ("*",)

    def prepare(self, folder: Path) -> None:
        """Writes the sound files, and reads them once: what cannot be read as it is would prove nothing."""
        if self.make is not None:
            self.make(folder)
        self.read(folder if self.make else None)

    def attempt(self, sound: Path, folder: Path, rng: np.random.Generator) -> None:
        """One try, in the empty folder `folder`. Whatever the package raises is raised."""
        if self.make is None:
            self.read(rng)
            return
        shutil.copytree(sound, folder, dirs_exist_ok=True)
        found = sorted({file for pattern in self.files for file in folder.glob(pattern) if file.is_file()})
        file = choice(rng, found)
        file.write_bytes(mutated(file.read_bytes(), rng))
        self.read(folder)

"""A reader that does what none may: one way at each try."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fuzzing.target import Target

from mono_depth_recon.errors import DataError


def _write_elsewhere() -> None:
    with contextlib.suppress(OSError):
        Path("/nowhere/file").write_text("x")


def _refuse_without_a_word() -> None:
    raise DataError("  ")


WAYS: tuple[Callable[[], object], ...] = (
    lambda: os.kill(os.getpid(), signal.SIGSEGV),
    lambda: threading.Event().wait(),
    lambda: np.ones(1 << 34, np.uint8),
    _write_elsewhere,
    lambda: os.system("true"),
    _refuse_without_a_word,
    lambda: None,
)


def _read(rng: np.random.Generator | None) -> None:
    if rng is not None:
        WAYS[_number(rng)]()


def _number(rng: np.random.Generator) -> int:
    """The number of the try, which is the last part of the seed."""
    entropy = rng.bit_generator.seed_seq.entropy  # type: ignore[attr-defined]
    return int(entropy[-1])


TARGETS = (Target("misbehaving", _read),)

"""What a runtime executes and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Batch = NDArray[np.float32]


@dataclass(frozen=True)
class Network:
    """A network as runtimes take it: (N, 3, rows, columns) float32 -> (N, 1, rows, columns) float32.

    `build` makes the torch module (float32, eval); runtimes that need none take `onnx`, a ready copy with free batch
    and image size, where there is one. `identity` changes with weights, architecture and published revision: cached
    conversions are kept under it. `stochastic`: the module draws random numbers (dropout) each time it runs, so that
    only torch can run it. `weights`: file or folder, for messages.
    """

    name: str
    identity: str
    build: Callable[[], Any]
    weights: Path
    onnx: Path | None = None
    stochastic: bool = False


class Runtime(Protocol):
    """Executes a network; shapes may change from call to call."""

    device: str

    def run(self, batch: Batch) -> Batch:
        """(N, 3, rows, columns) -> (N, 1, rows, columns), a fresh array."""

    def release_memory(self) -> None:
        """Gives back working memory until the next run."""

"""Numbers that a device computes while the CPU goes on: read once they are there, without waiting for the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class LateNumbers:
    """Passes tensors of one step on, as CPU tensors: of a GPU when the next step gives its own, of a CPU at once.

    A copy is queued behind the work that makes it; by the next step it is there, while the GPU is busy with more.
    """

    def __init__(self) -> None:
        self._waiting: tuple[torch.cuda.Event, list[Tensor], Callable[..., None]] | None = None

    def give(self, tensors: Sequence[Tensor], use: Callable[..., None]) -> None:
        """Calls `use` with the tensors, now or at the next `give` or `flush`; what it raises comes from there."""
        self.flush()
        if not tensors[0].is_cuda:
            use(*tensors)
            return
        copies = [torch.empty(each.shape, dtype=each.dtype, pin_memory=True) for each in tensors]
        for copy, each in zip(copies, tensors, strict=True):
            copy.copy_(each, non_blocking=True)
        there = torch.cuda.Event()
        there.record()
        self._waiting = there, copies, use

    def flush(self) -> None:
        """Passes on what waits."""
        if self._waiting is not None:
            (there, copies, use), self._waiting = self._waiting, None
            there.synchronize()
            use(*copies)

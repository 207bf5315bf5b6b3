"""Eager torch."""

from __future__ import annotations

from typing import Any

from .base import Batch


class TorchRuntime:
    """A torch module in eager float32 on the CPU."""

    device = "torch CPU f32"

    def __init__(self, module: Any, threads: int = 0) -> None:
        import torch

        if threads:
            torch.set_num_threads(threads)
        self._module = module.eval().to(memory_format=torch.channels_last)

    def run(self, batch: Batch) -> Batch:
        """(N, 3, rows, columns) -> (N, 1, rows, columns)."""
        import torch

        with torch.inference_mode():
            out: Batch = self._module(torch.from_numpy(batch).to(memory_format=torch.channels_last)).numpy()
        return out

    def release_memory(self) -> None:
        """Eager torch on the CPU keeps nothing between runs."""

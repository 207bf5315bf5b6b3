"""The moving average of the weights, kept on the device without a number that the CPU waits for."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class MovingAverage(AveragedModel):
    """Averages weights and buffers; its memory grows with the steps up to `decay`, so that it forgets the random start.

    The steps are counted on the CPU too: torch's own average reads its count from the device, twice a step.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, use_buffers=True)
        self.requires_grad_(False)
        self._decay = decay
        self._count: int | None = None

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Moves the average on by the weights of `model` after a step."""
        if self._count is None:
            self._count = int(self.n_averaged)  # of a run that is taken up
        pairs = list(zip(_tensors(self.module), _tensors(model), strict=True))
        moved = [(own, new) for own, new in pairs if self._count and own.is_floating_point()]
        for own, new in pairs:
            if not (self._count and own.is_floating_point()):
                own.copy_(new)
        if moved:
            average = get_ema_multi_avg_fn(min(self._decay, (1 + self._count) / (10 + self._count)))
            average([own for own, _ in moved], [new for _, new in moved], self._count)
        self.n_averaged += 1
        self._count += 1


def _tensors(module: nn.Module) -> list[Tensor]:
    return [each.detach() for each in chain(module.parameters(), module.buffers())]

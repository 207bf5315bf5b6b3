"""Several sources mixed by weight: which frame is drawn is a function of seed, epoch and index alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError
from ...frames import Sample
from ..dataset import Part

Indices = NDArray[np.int64]
_ORDER, _MIXTURE, _SPARE = 1, 2, 3  # streams of random numbers
_SPARES = 50


class Mixture:
    """Parts of sources, drawn by weight; `mixture[epoch, index]` is a Sample, `len` the draws of one epoch.

    An epoch holds every source in exact proportion (to one frame), shuffled. Each source is passed through
    repeatedly, in a new order each time and across epochs, so that all its frames are seen equally often. No generator
    has a state: workers, ranks and resumed runs agree without communication.
    Raises ConfigError where a weight is too small for an epoch.
    """

    def __init__(self, parts: Sequence[Part], weights: Sequence[float], seed: int, epoch_frames: int = 0) -> None:
        if seed < 0:
            raise ConfigError(f"seed must not be negative, got {seed}")
        self.parts, self.seed = list(parts), seed
        self.quotas = _quotas(weights, epoch_frames or sum(len(part) for part in parts))
        for part, quota in zip(self.parts, self.quotas, strict=True):
            if quota == 0:
                raise ConfigError(
                    f"{part.name}: its weight is too small, an epoch of {sum(self.quotas)} draws holds "
                    "none of it: raise the weight or data.epoch_frames"
                )

    def __len__(self) -> int:
        return sum(self.quotas)

    def pick(self, epoch: int, index: int) -> tuple[Part, int]:
        """The part and its frame at `index` (0 to len - 1) of an epoch (from 0)."""
        which, rank = self._slot(epoch, index)
        part, quota = self.parts[which], self.quotas[which]
        turn, place = divmod(epoch * quota + rank, len(part))
        return part, int(_order((self.seed, _ORDER, which, turn), len(part))[place])

    def places(self, key: tuple[int, int]) -> Iterator[tuple[Part, int]]:
        """The frame at (epoch, index), then substitutes from the same part should it be bad."""
        part, frame = self.pick(*key)
        yield part, frame
        yield from (
            (part, int(i)) for i in np.random.default_rng((self.seed, _SPARE, *key)).integers(len(part), size=_SPARES)
        )

    def origin(self, key: tuple[int, int]) -> str:
        """Where the frame at (epoch, index) is found."""
        part, frame = self.pick(*key)
        return part.origin(frame)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        part, frame = self.pick(*key)
        return part[frame]

    def _slot(self, epoch: int, index: int) -> tuple[int, int]:
        """Number of the part, and how many of its draws come before in this epoch."""
        if not 0 <= index < len(self) or epoch < 0:
            raise IndexError(f"draw {index} of {len(self)} in epoch {epoch}")
        at = int(_order((self.seed, _MIXTURE, epoch), len(self))[index])  # a place in the unshuffled row of parts
        ends = np.cumsum(self.quotas)
        which = int(np.searchsorted(ends, at, side="right"))
        return which, at - int(ends[which]) + self.quotas[which]


def _quotas(weights: Sequence[float], total: int) -> list[int]:
    """How many of `total` draws each part has: in proportion, the largest remainders rounded up."""
    exact = np.asarray(weights, np.float64) / np.sum(weights) * total
    quotas = np.floor(exact).astype(np.int64)
    quotas[np.argsort(quotas - exact, kind="stable")[: total - int(quotas.sum())]] += 1
    return [int(quota) for quota in quotas]


@lru_cache(maxsize=32)
def _order(key: tuple[int, ...], count: int) -> Indices:
    return np.random.default_rng(key).permutation(count)

"""How images reach a network and its maps come back, for runtimes that do both on their device."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..resampling import Separable

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class ImageWay:
    """From images (N, H, W, 3) uint8 to the network's input (N, 3, r, c), and from its maps to images of their size.

    All sizes are (columns, rows): `image` of the images, `network` of the input. `into()` resamples; then come `gain`
    and `bias` of the colours. `back(size)` gives, for maps of that size, the matrices of values and of what is known.
    A runtime keeps what it makes of them by `image` and `network`.
    """

    image: Size
    network: Size
    into: Callable[[], Separable]
    gain: Sequence[float]
    bias: Sequence[float]
    back: Callable[[Size], tuple[Separable, Separable]]


class Metres(NamedTuple):
    """Metres of a network's values: times `per_unit`, and `least` at least."""

    per_unit: float
    least: float = -math.inf

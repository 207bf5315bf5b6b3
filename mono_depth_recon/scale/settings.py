"""The settings of the sources: the parameters `scale.*` except the name of the source."""

from __future__ import annotations

from dataclasses import dataclass

from ..param import param


@dataclass(frozen=True)
class ScaleSettings:
    """From relative disparity to metres: 1 / depth = scale * disparity + shift."""

    scale: float = param(1.0, "fixed: 1/m per unit of disparity", unit="1/m", low=1e-9, high=1e9)
    shift: float = param(0.0, "fixed: inverse depth at disparity 0", unit="1/m", low=-1e3, high=1e3)
    smoothing: float = param(
        0.8, "reference: share of the previous fit kept in the new one; 0 = each frame on its own", low=0.0, high=0.99
    )

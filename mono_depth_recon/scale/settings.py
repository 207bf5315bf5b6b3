"""The settings of all sources: the group `scale` of the parameters."""

from __future__ import annotations

from dataclasses import dataclass

from ..param import param


@dataclass(frozen=True)
class ScaleSettings:
    """From relative disparity to metres: 1 / depth = scale * disparity + shift."""

    source: str = param("none", "name of the source")  # `config` adds help and choices from the table
    scale: float = param(1.0, "fixed: 1/m per unit of disparity", unit="1/m", low=1e-9, high=1e9)
    shift: float = param(0.0, "fixed: inverse depth at disparity 0", unit="1/m", low=-1e3, high=1e3)
    smoothing: float = param(
        0.8, "reference: share of the previous fit kept in the new one; 0 = each frame on its own", low=0.0, high=0.99
    )
    extrinsic: str = param(
        "",
        "points: pose of their frame in the camera's optical frame, 'x y z qx qy qz qw' in metres; empty = TF",
        live=False,
    )

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
        0.8,
        "share of the previous fits kept in a new one that differs by no more than noise; 0 = each frame on its own",
        low=0.0,
        high=0.99,
    )
    gate: float = param(
        0.3,
        "a fit that is in doubt, or of a single object, counts if it changes depth by no more than this share, else "
        "once three in a row agree; 0 = always",
        low=0.0,
        high=10.0,
    )
    timeout: float = param(
        2.0, "the last fit is used for so long where a frame has none; 0 = for ever", unit="s", low=0.0, high=3600.0
    )
    on_timeout: str = param(
        "withhold",
        "after scale.timeout: withhold = no depth, cloud and mesh; stale = depth by the last fit (of a metric model "
        "without any: as predicted), marked stale in scale and /diagnostics",
        choices=("withhold", "stale"),
    )
    correct_metric: str = param(
        "off",
        "correct the metres of a metric model by scale.source too: factor = 1 / depth is multiplied by scale; affine = "
        "and shift is added",
        choices=("off", "factor", "affine"),
    )
    extrinsic: str = param(
        "",
        "points: pose of their frame in the camera's optical frame, 'x y z qx qy qz qw' in metres; empty = TF",
        live=False,
    )

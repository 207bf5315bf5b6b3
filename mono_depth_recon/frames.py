"""What passes between the parts of the package: a sample of a data set, a model's prediction, a finished frame.

Arrays follow one convention everywhere: `rgb` (H, W, 3) uint8; `depth` (H, W) float32 metres along the
optical axis, NaN unknown, +Inf beyond range, never 0; `sigma` (H, W) float32 metres; `points`
(H, W, 4) float32 x right, y down, z forward (REP 103 optical frame) and rgb packed as PCL does;
(H, W, 5) with sigma.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .arrays import Depth, Factors, Mask, Matrix, Points, Rgb
    from .camera import PinholeCamera
    from .config import FilterConfig

_MOST_AGREE, _LARGE_RESIDUAL, _MOSTLY = 0.5, 0.15, 0.5  # of a fit that is in no doubt


@dataclass(frozen=True)
class Sample:
    """One colour image of a data set with what is known about it.

    `stamp` is in seconds; `T_world_camera` (4, 4) float64 maps camera points to the world;
    `depth` is the reference on the grid of `rgb`, where the data set has one.
    """

    rgb: Rgb
    camera: PinholeCamera
    depth: Depth | None = None
    stamp: float = 0.0
    name: str = ""
    T_world_camera: Matrix | None = None


@dataclass(frozen=True, eq=False)
class Finish:
    """What follows a prediction, for a model whose device does that too: filters and back-projection.

    `unknown` (H, W) are pixels that never have depth. With `points` the cloud is made of every `stride`-th row and
    column, in `out` if given (see `back_project`). `scaled`: a scale is fitted to the prediction before.
    """

    filter: FilterConfig
    unknown: Mask | None = None
    points: bool = True
    stride: int = 1
    out: Points | None = None
    scaled: bool = False


@dataclass(frozen=True)
class Finished:
    """What a device made of a `Finish`: the cloud, if asked for, and the least depth before the filters, maybe NaN.

    That of a prediction to which a scale was fitted is NaN: it was there to be looked at.
    """

    points: Points | None
    least: float


@dataclass(frozen=True, eq=False)
class Held:
    """What a device keeps of a prediction until a scale is fitted to it, the model's own `values`, and what follows."""

    finish: Finish
    values: object


@dataclass(frozen=True)
class Prediction:
    """What a model predicts for one image, at the size of that image (H, W).

    Exactly one of `depth` (metres) and `disparity` (relative inverse depth, larger = nearer, unknown
    scale and shift) is set, finite at every pixel; `sigma` is one standard deviation of that one, in its unit.
    The rest is set where the model provides it: `valid` (H, W) bool, false where its depth has no meaning; `sky`
    (H, W) bool, true where there is nothing within any range; `intrinsics` (3, 3) float64, the K that it estimates
    for the image, in pixels with centres at integers; `confidence` (H, W) float32 from 0 to 1, larger = more
    reliable, comparable within one model only. Where `finished` is set, the filters have been over `depth`, which is
    NaN and Inf as in a Frame.
    """

    depth: Depth | None = None
    disparity: Depth | None = None
    sigma: Depth | None = None
    valid: Mask | None = None
    sky: Mask | None = None
    intrinsics: Matrix | None = None
    confidence: Depth | None = None
    finished: Finished | None = None
    held: Held | None = None

    def __post_init__(self) -> None:
        if (self.depth is None) == (self.disparity is None):
            raise ValueError("a Prediction holds either depth or disparity")

    @property
    def values(self) -> Depth:
        """Depth or disparity, whichever is set."""
        values = self.disparity if self.depth is None else self.depth
        assert values is not None, "one of the two is set"
        return values


@dataclass(frozen=True)
class Scale:
    """What turns a disparity into metres: 1 / depth = scale * disparity + shift, both in 1/m.

    With `factors` (rows, columns) float32 that is multiplied by a smooth field over the image, whose values at the
    centres of a coarse grid they are, at any resolution (`alignment.spread`); equality of scales ignores them.
    For a fit, `inliers` is the share of the compared pixels that agree with it, `residual` their median relative
    difference of inverse depth and `unexplained` that over the one of a constant depth, all three without the field,
    and `remaining` is the residual that the field leaves; `held` is the number of frames
    and `age` the seconds since it was made. NaN and 0 where the numbers were set by hand or are not known.
    `stale`: it is older than `scale.timeout`; `reason`: why it is held; `source`: the `scale.source` it is from.
    """

    scale: float
    shift: float
    inliers: float = math.nan
    held: int = 0
    residual: float = math.nan
    unexplained: float = math.nan
    age: float = 0.0
    stale: bool = False
    source: str = ""
    reason: str = ""
    factors: Factors | None = field(default=None, compare=False)
    remaining: float = math.nan

    @property
    def applied(self) -> Scale:
        """The same, judged with its field: `residual` and `unexplained` are what it leaves."""
        if self.factors is None:
            return self
        unexplained = self.unexplained * self.remaining / max(self.residual, 1e-9)
        return replace(self, residual=self.remaining, unexplained=unexplained)

    @property
    def variation(self) -> float:
        """The largest relative change of inverse depth by the field; 0 without one."""
        return 0.0 if self.factors is None else float(abs(self.factors - 1).max())

    @property
    def doubt(self) -> str:
        """Why a fit may be wrong; empty for a good one. Image and evidence that show different things fit badly."""
        if self.inliers < _MOST_AGREE:
            return f"only {100 * self.inliers:.0f} % of the compared pixels agree"
        if self.residual > _LARGE_RESIDUAL:
            return f"the residual is {100 * self.residual:.0f} %"
        if self.unexplained > _MOSTLY:
            return f"the residual of {100 * self.residual:.0f} % is hardly below that of a constant depth"
        return ""


@dataclass(frozen=True)
class Judgement:
    """Whether a frame can be believed. `level` is OK, WARN (something is noticed) or ERROR (it is unreliable).

    `reason` says why in words, `kind` is the same without numbers; both are empty at OK. `figures` are what was
    measured, by name; `compared` tells whether there was a previous frame to compare with, `withheld` whether the frame
    has no depth for that `reason`.
    """

    level: Literal["OK", "WARN", "ERROR"] = "OK"
    reason: str = ""
    kind: str = ""
    compared: bool = False
    withheld: bool = False
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def gravity(self) -> int:
        """0 to 2: the level as a number."""
        return ("OK", "WARN", "ERROR").index(self.level)


@dataclass(frozen=True)
class Frame:
    """One fully processed image: all maps share the grid of `rgb` and its rectified `camera`.

    `depth` is None where a relative model has no way to metres, or an unreliable frame is withheld, and `no_metres` is
    the reason; `disparity` stays beside the depth that `scale` makes of it. `sigma` is in metres, NaN where depth is
    not finite; `points` is None unless asked for, has sigma as its fifth column by `cloud.sigma`, and is (1, N, 4) by
    `cloud.voxel_size`. `confidence` is the prediction's. `judgement` is None where `guard.enabled` is off. `timings`
    are seconds per step, in order.
    """

    rgb: Rgb
    camera: PinholeCamera
    depth: Depth | None = None
    disparity: Depth | None = None
    sigma: Depth | None = None
    confidence: Depth | None = None
    points: Points | None = None
    scale: Scale | None = None
    no_metres: str = ""
    judgement: Judgement | None = None
    timings: Mapping[str, float] = field(default_factory=dict)

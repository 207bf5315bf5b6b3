"""scale.source=ground_plane: the floor in view, by the camera's height above it and the direction of gravity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..alignment import MIN_PIXELS
from ..arrays import Depth
from ..camera import PinholeCamera
from ..errors import DataError
from ..frames import Scale
from .base import RelativeView
from .evidence import Evidence, Kind
from .fitted import FittedScale
from .settings import ScaleSettings

_UPWARD = -0.2  # of gravity along the image's y axis: a camera that looks straight down or up has 0
_FARTHEST_M = 12.0  # the floor farther away is too narrow in the image
_SAMPLES = 6000
_TRIALS, _JUDGES = 400, 800
_TOLERANCES = (0.04, 0.1)  # relative, of inverse depth; the next one where less than _MUCH of the view is floor
_MUCH, _LEAST = 0.3, 0.08
_REFITS, _INLIER_SIGMAS, _CLOSEST = 10, 2.5, 0.2
_BELOW = 5.0  # weight of pixels below a floor: nothing is, but for reflections and errors of the model
_CONTRADICTION = 1.4  # between floor and a metric model: a table seen from above is about half as far as the floor
_THIN = 8  # every n-th row and column, for the middle of the disparity
_NARROW = 0.2  # relative spread of the floor's inverse depth: a narrower band does not determine two numbers

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Ground:
    """`down`: unit vector (3,) of gravity in the optical frame of the raw image.

    `height` (m) of the camera above the floor, 0 where that is not known.
    """

    down: F64
    height: float = 0.0


GROUND: Kind[Ground] = Kind("ground", "the direction of gravity")


class GroundPlaneScale(FittedScale):
    """Scale and shift that put the floor at `scale.camera_height` below the camera, across gravity."""

    name = "ground_plane"
    help = "from the floor in view"
    remedy = "with TF from scale.base_frame to the camera, or scale.camera_height and scale.gravity"
    needs = (GROUND,)
    trusted = False

    @classmethod
    def needed(cls, settings: ScaleSettings) -> tuple[Kind[Any], ...]:
        """Nothing where the camera is level by assumption."""
        return () if settings.gravity == "level" else cls.needs

    def measure(self, view: RelativeView, evidence: Evidence, settings: ScaleSettings) -> Scale:
        """`fit_floor` with the gravity beside the image, or that of a level camera."""
        level = settings.gravity == "level"
        ground = level_ground(settings.camera_pitch) if level else self.required(evidence, GROUND)
        height = settings.camera_height or ground.height
        if not height > 0:
            raise DataError(
                "the height of the camera above the floor is not known: set scale.camera_height, or scale.base_frame "
                f"to a frame on the floor below the camera (got {ground.height:.3g} m)"
            )
        down = ground.down if view.camera.R is None else view.camera.R @ ground.down
        known_shift = 0.0 if view.metric and settings.correct_metric == "factor" else None
        fit = fit_floor(view.disparity, view.camera.rectified, down, height, known_shift)
        if view.metric:
            _check_metres(fit, view.disparity)
        return fit


def _check_metres(fit: Scale, disparity: Depth) -> None:
    """Raises DataError where the floor contradicts the metres of a metric model: a table is as level as a floor."""
    thin = disparity[::_THIN, ::_THIN]
    middle = float(np.nanmedian(thin))
    larger = middle / (fit.scale * middle + fit.shift)
    if not 1 / _CONTRADICTION < larger < _CONTRADICTION:
        raise DataError(
            f"the level surface in view makes depth {larger:.2f} times that of the model: a table may be taken for the "
            "floor; turn the camera to the floor, check scale.camera_height"
        )


def level_ground(pitch_deg: float) -> Ground:
    """Gravity of a camera without roll that looks `pitch_deg` below the horizon."""
    pitch = np.radians(pitch_deg)
    return Ground(np.array([0.0, np.cos(pitch), np.sin(pitch)]))


def fit_floor(
    disparity: Depth, camera: PinholeCamera, down: F64, height: float, known_shift: float | None = None
) -> Scale:
    """Scale and shift that make `disparity` (H, W) show a floor at `height` metres below `camera`, across `down` (3,).

    A floor has the inverse depth (ray . down) / height at each pixel below the horizon. Of the lines through random
    pairs of pixels the one counts that many pixels agree with and few lie below: floors are the lowest surface in
    view, so tables are none. Then least squares on the floor. `inliers` is the share of the floor of all pixels on it
    or below, `residual` the floor's; with `known_shift` (1/m) the scale alone is fitted. Deterministic.

    Raises DataError where gravity points to the top of the image or no floor is found.
    """
    if down[1] < _UPWARD:
        raise DataError(
            "gravity points to the top of the image: check that the IMU is not mounted upside down, its transform "
            "to the camera, and scale.base_frame"
        )
    d, w = _below_horizon(disparity, camera, down, height)
    tolerance = _TOLERANCES[-1]
    for tolerance in _TOLERANCES:
        scale, shift = _refined(d, w, tolerance, *_consensus(d, w, tolerance, known_shift), known_shift)
        relative = (scale * d + shift) / w - 1
        floor = np.abs(relative) <= tolerance
        if floor.mean() >= _MUCH:
            break
    if floor.mean() < _LEAST or floor.sum() < MIN_PIXELS or scale <= 0:
        raise DataError(
            f"no floor found {height:.2f} m below the camera: {100 * floor.mean():.0f} % of the pixels below the "
            "horizon agree: turn the camera to the floor, check scale.camera_height and gravity"
        )
    near, far = np.percentile(w[floor], (95, 5))
    if known_shift is None and near - far < _NARROW * np.median(w[floor]):
        raise DataError("too narrow a band of the floor is in view to determine the scale")
    below = relative < -tolerance
    residual = float(np.median(np.abs(relative[floor])))
    return Scale(scale, shift, float(floor.sum() / (floor.sum() + below.sum())), residual=residual)


def _below_horizon(disparity: Depth, camera: PinholeCamera, down: F64, height: float) -> tuple[F64, F64]:
    """Disparity (N,) and the inverse depth that a floor would have there, evenly thinned out."""
    step = max(1, round(float(np.sqrt(disparity.size / _SAMPLES))))
    x, y = (rays[step // 2 :: step].astype(np.float64) for rays in camera.rays)
    floor = (down[0] * x[None, :] + down[1] * y[:, None] + down[2]) / height
    d = disparity[step // 2 :: step, step // 2 :: step].astype(np.float64)
    counts = np.isfinite(d) & (floor > 1 / _FARTHEST_M)
    if counts.sum() < MIN_PIXELS:
        raise DataError("no floor in view: the horizon is at the bottom of the image or below; turn the camera down")
    return d[counts], floor[counts]


def _consensus(d: F64, w: F64, tolerance: float, known_shift: float | None) -> tuple[float, float]:
    """The line that most pixels agree with and few lie below, of those through random pairs."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, len(d), (2, _TRIALS))
    if known_shift is None:
        first, second = (each[d[first] != d[second]] for each in (first, second))
        scale = (w[first] - w[second]) / (d[first] - d[second])
        shift = w[first] - scale * d[first]
    else:
        first = first[d[first] > 0]
        scale, shift = (w[first] - known_shift) / d[first], np.full(len(first), known_shift)
    scale, shift = scale[scale > 0], shift[scale > 0]
    if not len(scale):
        raise DataError("expected a disparity that grows along the floor, it does not: is a floor in view?")
    judges = rng.integers(0, len(d), _JUDGES)
    per_tolerance = 1 / (w[judges] * tolerance)
    lines = np.stack([scale, shift], axis=1).astype(np.float32)
    at = np.stack([d[judges] * per_tolerance, per_tolerance]).astype(np.float32)
    relative = lines @ at - np.float32(1 / tolerance)
    score = np.maximum(1 - relative * relative, 0).mean(axis=1) - _BELOW * (relative < -2).mean(axis=1)
    best = int(np.argmax(score))
    return float(scale[best]), float(shift[best])


def _refined(
    d: F64, w: F64, tolerance: float, scale: float, shift: float, known_shift: float | None
) -> tuple[float, float]:
    """Least squares of the disparity on the floor, over w, with a tighter limit for small differences.

    The floor is exact and the model is not: a fit of w to the disparity would be too flat.
    """
    limit = tolerance
    for _ in range(_REFITS):
        relative = np.abs((scale * d + shift) / w - 1)
        floor = relative <= limit
        if floor.sum() < MIN_PIXELS:
            break
        share, one = d[floor] / w[floor], 1 / w[floor]
        if known_shift is None:
            slope, offset = np.linalg.lstsq(np.stack([np.ones_like(one), one], axis=1), share, rcond=None)[0].tolist()
        else:
            least = 1 - known_shift * one
            slope, offset = float(share @ least / (least @ least)), 0.0
        if slope <= 0:
            break
        scale, shift = 1 / slope, -offset / slope if known_shift is None else known_shift
        deviation = 1.4826 * float(np.median(relative[floor]))
        limit = float(np.clip(_INLIER_SIGMAS * deviation, _CLOSEST * tolerance, tolerance))
    return scale, shift

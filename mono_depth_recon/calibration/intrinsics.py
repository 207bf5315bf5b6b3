"""Intrinsics from views of a board (Zhang, TPAMI 2000; fisheye lenses: Kannala and Brandt, TPAMI 2006)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import PinholeCamera
from ..errors import CalibrationError
from .board import Sighting

MODELS = ("plumb_bob", "rational_polynomial", "equidistant")
LEAST_VIEWS = 5
_OUTLIER, _OUTLIER_PX = 3.0, 0.5  # times the median error of the views, and at least
_GOOD_PX = 1.0
_TILT_DEG = 12.0  # less and focal length and distance cannot be told apart
_CELLS, _COVERED = 4, 0.6  # of the image along each side; share of the cells that should have corners

_Tensor = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """A camera of `model`; the errors (px, root mean square) of the views that were used, by name.

    `left_out` are views that contradict the others. `notes` say what makes it weak.
    """

    camera: PinholeCamera
    errors_px: Mapping[str, float]
    left_out: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def rms_px(self) -> float:
        """Root mean square over the views."""
        return float(np.sqrt(np.mean(np.square(list(self.errors_px.values())))))


def calibrate(views: Mapping[str, Sighting], size: tuple[int, int], model: str = "plumb_bob") -> Calibration:
    """The camera of images of `size` (width, height) that saw a board in `views`, by name.

    Views that fit three times worse than the median are left out, and the rest is calibrated again. Raises
    CalibrationError for fewer than LEAST_VIEWS, or views from which no camera follows.
    """
    left_out: dict[str, float] = {}
    used = dict(views)
    while True:
        if len(used) < LEAST_VIEWS:
            raise CalibrationError(
                f"calibration needs at least {LEAST_VIEWS} views of the board that agree, got {len(used)}"
                f"{f' and {len(left_out)} that contradict them' if left_out else ''}: add images of the board at other "
                "places and tilts, and check its size"
            )
        camera, errors, tilts = _solved(used, size, model)
        limit = max(_OUTLIER * float(np.median(list(errors.values()))), _OUTLIER_PX)
        bad = {name: error for name, error in errors.items() if error > limit}
        if not bad:
            break
        left_out |= bad
        used = {name: view for name, view in used.items() if name not in bad}
    made = Calibration(_with_projection(camera), errors, left_out)
    return replace(made, notes=_weaknesses(made, list(used.values()), size, tilts))


def summary(made: Calibration) -> list[str]:
    """What a calibration found, in lines."""
    camera = made.camera
    lines = [f"{name}: left out, {error:.2f} px off" for name, error in made.left_out.items()]
    lines += [
        f"{len(made.errors_px)} views, corners {made.rms_px:.3f} px off (root mean square)",
        f"fx {camera.fx:.2f} fy {camera.fy:.2f} cx {camera.cx:.2f} cy {camera.cy:.2f} px, {camera.distortion_model} "
        + " ".join(f"{value:.5g}" for value in camera.D),
    ]
    return [*lines, *(f"look: {note}" for note in made.notes)]


def _solved(
    views: Mapping[str, Sighting], size: tuple[int, int], model: str
) -> tuple[PinholeCamera, dict[str, float], list[float]]:
    """The camera, the error of every view, and the tilt of every board in degrees."""
    import cv2

    solve = _fisheye if model == "equidistant" else _pinhole
    try:
        K, D, turns, errors = solve(list(views.values()), size, model)
        camera = PinholeCamera(*size, K, tuple(float(d) for d in D), model)
    except (cv2.error, CalibrationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CalibrationError(
            f"no {model} camera follows from these views ({reason}): add images of the board at other places and tilts"
        ) from error
    tilts = [float(np.degrees(np.arccos(min(1.0, abs(cv2.Rodrigues(turn)[0][2, 2]))))) for turn in turns]
    return camera, dict(zip(views, map(float, errors), strict=True)), tilts


def _pinhole(views: list[Sighting], size: tuple[int, int], model: str) -> tuple[_Tensor, _Tensor, Any, Any]:
    import cv2

    flags = cv2.CALIB_RATIONAL_MODEL if model == "rational_polynomial" else 0
    places, pixels = [view.places for view in views], [view.pixels for view in views]
    _, K, D, turns, _, _, _, errors = cv2.calibrateCameraExtended(places, pixels, size, None, None, flags=flags)
    return K, D.ravel()[: 8 if flags else 5], turns, errors.ravel()


def _fisheye(views: list[Sighting], size: tuple[int, int], _: str) -> tuple[_Tensor, _Tensor, Any, Any]:
    import cv2

    places = [view.places[None].astype(np.float64) for view in views]
    pixels = [view.pixels[None].astype(np.float64) for view in views]
    names = cv2 if hasattr(cv2, "CALIB_RECOMPUTE_EXTRINSIC") else cv2.fisheye  # since OpenCV 5, and before it
    flags = names.CALIB_RECOMPUTE_EXTRINSIC | names.CALIB_FIX_SKEW
    K, D = np.eye(3), np.zeros(4)
    _, K, D, turns, moves = cv2.fisheye.calibrate(places, pixels, size, K, D, flags=flags)
    errors = []
    for place, pixel, turn, move in zip(places, pixels, turns, moves, strict=True):
        seen, _ = cv2.fisheye.projectPoints(place, turn, move, K, D)
        errors.append(float(np.sqrt(np.mean(np.sum((seen - pixel) ** 2, axis=-1)))))
    return K, D.ravel(), turns, errors


def _with_projection(camera: PinholeCamera) -> PinholeCamera:
    """With P of an image without distortion that has no black border."""
    import cv2

    D = np.array(camera.D)
    if camera.distortion_model == "equidistant":
        P = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(camera.K, D, camera.size, np.eye(3), balance=0.0)
    else:
        P, _ = cv2.getOptimalNewCameraMatrix(camera.K, D, camera.size, 0.0)
    return replace(camera, P=P)


def _weaknesses(made: Calibration, views: list[Sighting], size: tuple[int, int], tilts: list[float]) -> list[str]:
    notes = []
    if made.rms_px > _GOOD_PX:
        notes.append(
            f"corners are {made.rms_px:.2f} px off: the board is not flat, images are blurred, or another --model fits"
        )
    if max(tilts) < _TILT_DEG:
        notes.append(
            "the board faces the camera in all views: tilt it by 20 to 45 degrees, or the focal length is a guess"
        )
    pixels = np.concatenate([view.pixels for view in views])
    cells = {tuple(cell) for cell in np.clip(pixels * _CELLS / size, 0, _CELLS - 1).astype(int).tolist()}
    if len(cells) < _COVERED * _CELLS**2:
        notes.append(
            f"corners were seen in {len(cells)} of {_CELLS**2} parts of the image: move the board into its corners, "
            "where distortion is largest"
        )
    return notes

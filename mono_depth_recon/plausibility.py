"""Whether the numbers of a camera from outside can belong to its image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .arrays import Matrix
from .camera import PinholeCamera
from .errors import CalibrationError

_FOCAL = 0.05, 100.0  # of the longer side: 169 and 0.6 degrees
_ASPECT = 4.0  # of the focal lengths; anamorphic lenses and half-height video have 2
_OTHER_SCALE = 1.35  # by which the image that K fits must differ to be another one
_SAME_RATIO = 0.05
_CORNER = 0.35  # of both sides, from the middle: there is no crop of this kind without a region of interest
_FAR = 0.2  # of a side, from the middle; alone it is harmless: sensors are cropped
_SAME_POINT = 0.02  # of a side, as lenses are centred
_RECTIFIED_SCALE = 5.0  # of P's focal lengths to K's: fisheye images are widened, some are zoomed
_LEAST_COSINE = 0.5  # of the angle between the optical axes before and after rectification
_REACH, _STRETCH = 0.5, 2.0  # of the distance to the corner that D must cover; of distances by D
_USUAL_SIZES = (
    *((320, 240), (640, 360), (640, 400), (640, 480), (800, 600), (848, 480), (960, 540), (1024, 768), (1280, 720)),
    *((1280, 800), (1280, 960), (1280, 1024), (1600, 1200), (1920, 1080), (1920, 1200), (2048, 1536), (2560, 1440)),
    *((2592, 1944), (3840, 2160), (4096, 3072)),
)


def plausible(camera: PinholeCamera, origin: str) -> PinholeCamera:
    """`camera`, if its K, D and P can belong to an image of its size.

    For numbers from outside; the camera of a crop may be anything. Raises CalibrationError, which begins with `origin`,
    where focal lengths are absurd or differ between K and P, the principal point lies outside the image or in its
    corner, the numbers fit an image of another size, R looks elsewhere, or D is no lens's.
    """
    for name, M in (("K", camera.K), ("P", camera.P)):
        oddity = "" if M is None else _oddity(M, camera.width, camera.height)
        if oddity:
            raise CalibrationError(f"{origin}: {name} {oddity}")
    oddity = _odd_scale_of_P(camera) or _odd_turn(camera) or _odd_distortion(camera)
    if oddity:
        raise CalibrationError(f"{origin}: {oddity}")
    return camera


def _odd_scale_of_P(camera: PinholeCamera) -> str:
    P = camera.rectified
    if all(1 / _RECTIFIED_SCALE <= p / k <= _RECTIFIED_SCALE for p, k in ((P.fx, camera.fx), (P.fy, camera.fy))):
        return ""
    return (
        f"P must have focal lengths like those of K, got fx={P.fx:g} fy={P.fy:g} and in K fx={camera.fx:g} "
        f"fy={camera.fy:g}: give both of this image, with decimal points"
    )


def _odd_turn(camera: PinholeCamera) -> str:
    """R turns the two images of a stereo pair to each other; about the optical axis it may turn by any angle."""
    cosine = 1.0 if camera.R is None else float(camera.R[2, 2])
    if cosine > _LEAST_COSINE:
        return ""
    degrees = float(np.degrees(np.arccos(max(cosine, -1.0))))
    return (
        f"R must turn the optical axis by less than 60 degrees, got {degrees:.0f}: give the rotation that rectifies, "
        "not a pose"
    )


def _odd_distortion(camera: PinholeCamera) -> str:
    """What is odd about D within the image: a ray that has no pixel, or pixels far from where a pinhole has them."""
    if not camera.is_distorted:
        return ""
    corner = float(
        np.hypot(
            max(camera.cx, camera.width - 1 - camera.cx) / camera.fx,
            max(camera.cy, camera.height - 1 - camera.cy) / camera.fy,
        )
    )
    fisheye, D = camera.distortion_model == "equidistant", np.array(camera.D)
    others = () if fisheye else (*D[2:4], *D[8:])  # tangential, thin prism, tilt in radians
    rising, stretch = _radial(D, corner, fisheye)
    reason = ""
    if rising < _REACH * corner:
        reason = f"points beyond {max(rising, 0.0) / corner:.0%} of the distance to the corner have no ray"
    elif stretch > _STRETCH or (stretch < 1 / _STRETCH and fisheye):
        reason = f"it moves points to {stretch:.2g} times their distance from the middle"
    elif np.abs(others).max(initial=0.0) > 1.0:
        reason = "tangential, prism and tilt coefficients are 1 at most"
    if not reason:
        return ""
    return f"D cannot be a lens's, {reason}, got {list(camera.D)} ({camera.distortion_model}): calibrate the camera"


def _radial(D: NDArray[np.float64], corner: float, fisheye: bool) -> tuple[float, float]:
    """How far the distorted distance from the middle rises, and its largest ratio to the undistorted one to `corner`.

    Distances are tangents, of a fisheye lens angles.
    """
    r = np.geomspace(1e-6, np.pi if fisheye else max(10.0, 10 * corner), 4000)  # a fisheye's angle
    k = D if fisheye else np.concatenate([D[:2], D[4:5]])
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what no lens has may have no number
        factor = 1 + sum(c * r ** (2 * n) for n, c in enumerate(k, 1))
        if len(D) >= 8:
            factor = factor / (1 + sum(c * r ** (2 * n) for n, c in enumerate(D[5:8], 1)))
        distorted = r * factor
        rises = np.diff(distorted) > 0
    falls = np.flatnonzero(~rises)
    end = int(falls[0]) + 1 if falls.size else len(r)
    inside = distorted[:end] <= corner
    inside[0] = True
    return float(distorted[end - 1]), float(factor[:end][inside].max(initial=1.0))


def _oddity(M: Matrix, width: int, height: int) -> str:
    """What is odd about intrinsics of an image of this size and what to do, empty where nothing is."""
    fx, fy, cx, cy = (float(value) for value in (M[0, 0], M[1, 1], M[0, 2], M[1, 2]))
    size, side = f"{width}x{height} pixels", max(width, height)
    if (fx, fy, cx, cy) == (1, 1, 0, 0):
        return "must not be the identity, the camera is not calibrated: calibrate it, or use its rectified images and P"
    if not all(_FOCAL[0] * side <= f <= _FOCAL[1] * side for f in (fx, fy)) or not 1 / _ASPECT <= fx / fy <= _ASPECT:
        return (
            f"must have focal lengths of {_FOCAL[0] * side:g} to {_FOCAL[1] * side:g} pixels that are alike, "
            f"got fx={fx:g} fy={fy:g} for {size}: give them in pixels of this image, with decimal points"
        )
    fits_width, fits_height = 2 * cx + 1, 2 * cy + 1
    if not (0 <= fits_width <= 2 * width and 0 <= fits_height <= 2 * height):
        return (
            f"must have its principal point in the image, got ({cx:g}, {cy:g}) for {size}: "
            "give the intrinsics of this image's size, with decimal points"
        )
    scales = fits_width / width, fits_height / height
    if abs(scales[0] - scales[1]) <= _SAME_RATIO * max(scales) and (
        min(scales) > _OTHER_SCALE or max(scales) < 1 / _OTHER_SCALE
    ):
        return (
            f"must be that of {size}, but with its principal point ({cx:g}, {cy:g}) it is that of about "
            f"{fits_width:.0f}x{fits_height:.0f}: give the intrinsics of this image's size"
        )
    return _odd_middle(cx, cy, width, height)


def _odd_middle(cx: float, cy: float, width: int, height: int) -> str:
    """What is odd about where the principal point lies in the image."""
    point = f"with its principal point ({cx:g}, {cy:g})"
    fits, off = (2 * cx + 1, 2 * cy + 1), (abs(cx - (width - 1) / 2) / width, abs(cy - (height - 1) / 2) / height)
    if min(off) > _CORNER:
        return (
            f"must have its principal point near the middle of {width}x{height} pixels, got ({cx:g}, {cy:g}): "
            "give the calibrated one"
        )
    if _alike(fits, (height, width)) and not _alike((width, height), (height, width), 5 * _SAME_POINT):
        return (
            f"must be that of {width}x{height} pixels, but {point} it is that of the turned image: "
            "cx and cy are exchanged, or the image is turned"
        )
    other = next((size for size in _USUAL_SIZES if _alike(fits, size)), None)
    if max(off) > _FAR and other is not None:
        return (
            f"must be that of {width}x{height} pixels, but {point} it is that of {other[0]}x{other[1]}: "
            "give the intrinsics of this image's size"
        )
    return ""


def _alike(size: tuple[float, float], other: tuple[float, float], share: float = 2 * _SAME_POINT) -> bool:
    """Whether two sizes differ by no more than this share of their sides."""
    return all(abs(a - b) <= share * b for a, b in zip(size, other, strict=True))

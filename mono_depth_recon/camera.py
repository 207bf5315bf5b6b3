"""The camera: intrinsics, distortion, rays, rectification, resize and crop.

Pixel centres lie at integer coordinates. Names and conventions are those of sensor_msgs/CameraInfo
and image_geometry: K (3, 3) of the raw image, D of `distortion_model`, R (3, 3) rectifying rotation,
P (3, 4) or (3, 3) of the rectified image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import Mask, Matrix, Rgb
from .errors import CalibrationError, DataError

# The names in sensor_msgs/distortion_models.hpp, with the lengths of D that OpenCV accepts.
DISTORTION_LENGTHS = {
    "plumb_bob": (4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
}
_HARMLESS = 1e-6  # difference to a matrix that rounding explains
_SMALLEST_FOCAL, _LARGEST_NUMBER = 1e-3, 1e9  # pixels; beyond them rays are not finite or not distinct
_REMAP_SIDE = 32766  # cv2.remap counts pixels in 16 bits


@dataclass(frozen=True, eq=False)
class PinholeCamera:
    """A pinhole camera with optional lens distortion and rectification.

    K is in pixels. `D` empty or all zero means no distortion. `P` None means that the rectified
    image keeps K. Raises CalibrationError where the numbers cannot be a camera.
    """

    width: int
    height: int
    K: Matrix
    D: tuple[float, ...] = ()
    distortion_model: str = "plumb_bob"
    R: Matrix | None = None
    P: Matrix | None = None

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            size = f"{self.width}x{self.height}"
            raise CalibrationError(f"camera size must be at least 1x1 pixels, got {size}: give that of the image")
        object.__setattr__(self, "K", _intrinsic_matrix(self.K, "K"))
        object.__setattr__(self, "D", _distortion(self.D, self.distortion_model))
        object.__setattr__(self, "R", _rotation(self.R))
        if self.P is not None:
            object.__setattr__(self, "P", _intrinsic_matrix(np.asarray(self.P, np.float64)[:, :3], "P"))

    @classmethod
    def from_intrinsics(
        cls,
        width: int,
        height: int,
        fx: float,
        fy: float,
        cx: float,
        cy: float,
        D: Sequence[float] = (),
        distortion_model: str = "plumb_bob",
    ) -> PinholeCamera:
        """A camera from focal lengths and principal point in pixels."""
        return cls(
            width, height, np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64), tuple(D), distortion_model
        )

    @classmethod
    def from_hfov(cls, width: int, height: int, hfov_deg: float) -> PinholeCamera:
        """Square pixels, principal point in the middle, horizontal field of view edge to edge in degrees."""
        if not 1.0 <= hfov_deg <= 170.0:
            raise CalibrationError(f"horizontal field of view must be 1 to 170 degrees, got {hfov_deg:g}")
        f = 0.5 * width / np.tan(np.radians(hfov_deg) / 2)
        return cls.from_intrinsics(width, height, f, f, (width - 1) / 2, (height - 1) / 2)

    @property
    def fx(self) -> float:
        """Horizontal focal length in pixels."""
        return float(self.K[0, 0])

    @property
    def fy(self) -> float:
        """Vertical focal length in pixels."""
        return float(self.K[1, 1])

    @property
    def cx(self) -> float:
        """Principal point, pixels from the centre of the leftmost column."""
        return float(self.K[0, 2])

    @property
    def cy(self) -> float:
        """Principal point, pixels from the centre of the top row."""
        return float(self.K[1, 2])

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.width, self.height

    @property
    def is_distorted(self) -> bool:
        """Whether the lens has any distortion."""
        return any(self.D)

    @property
    def is_rectified(self) -> bool:
        """Whether the image already follows the pinhole model: no distortion, no rotation, P = K."""
        return (
            not self.is_distorted
            and np.array_equal(self._R, np.eye(3))
            and (self.P is None or np.allclose(self.P, self.K, rtol=0, atol=_HARMLESS))
        )

    @property
    def _R(self) -> Matrix:
        return np.eye(3) if self.R is None else self.R

    @cached_property
    def rectified(self) -> PinholeCamera:
        """The distortion-free camera of the rectified image: P[:3, :3], or K where there is no P."""
        return (
            self if self.is_rectified else PinholeCamera(self.width, self.height, self.K if self.P is None else self.P)
        )

    @cached_property
    def rays(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """x / z of every column (W,) and y / z of every row (H,), float32, of the undistorted pinhole."""
        x = (np.arange(self.width) - self.cx) / self.fx
        y = (np.arange(self.height) - self.cy) / self.fy
        return x.astype(np.float32), y.astype(np.float32)

    @cached_property
    def rectification_maps(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Source column and row (H, W) float32 of every pixel of the rectified image (for cv2.remap).

        Finite: a ray that the lens cannot see, as one from behind it, is outside the raw image at (-1, -1).
        Raises CalibrationError for a side of more pixels than cv2.remap takes.
        """
        import cv2

        if max(self.size) > _REMAP_SIDE:
            raise CalibrationError(
                f"an image of {self.width}x{self.height} pixels cannot be rectified, a side may have {_REMAP_SIDE}: "
                "rectify it elsewhere or shrink it"
            )
        init = (
            cv2.fisheye.initUndistortRectifyMap
            if self.distortion_model == "equidistant"
            else cv2.initUndistortRectifyMap
        )
        D = np.array(self.D or (0.0,) * 4, np.float64)
        map_x, map_y = init(self.K, D, self._R, self.rectified.K, self.size, cv2.CV_32FC1)
        seen = np.isfinite(map_x) & np.isfinite(map_y)
        return np.where(seen, map_x, np.float32(-1)), np.where(seen, map_y, np.float32(-1))

    @cached_property
    def _fast_maps(self) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
        import cv2

        fixed, table = cv2.convertMaps(*self.rectification_maps, cv2.CV_16SC2)
        return fixed, table

    @cached_property
    def rectified_valid(self) -> Mask | None:
        """(H, W) bool: rectified pixels that the raw image covers; None where it covers all of them."""
        map_x, map_y = self.rectification_maps
        inside = (map_x >= 0) & (map_x <= self.width - 1) & (map_y >= 0) & (map_y <= self.height - 1)
        return None if inside.all() else inside

    def rectify(self, rgb: Rgb) -> Rgb:
        """Moves a colour image to the rectified grid, bilinear; black outside the raw image."""
        import cv2

        self.check_image(rgb)
        return cv2.remap(rgb, *self._fast_maps, cv2.INTER_LINEAR)

    def rectify_depth(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Moves a depth map to the rectified grid: nearest, so that no depth is invented; NaN outside.

        Depth stays Z of the raw camera; under a rotation R it would need the ray too: CalibrationError.
        """
        import cv2

        self.check_image(depth)
        if not np.array_equal(self._R, np.eye(3)):
            raise CalibrationError(
                "a depth map cannot be rectified under a rotation R: rectify both cameras, or give R = identity"
            )
        return cv2.remap(
            depth, *self.rectification_maps, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=float("nan")
        )

    def check_image(self, image: NDArray[np.generic]) -> None:
        """Raises DataError unless `image` (H, W, ...) has this camera's size."""
        if image.shape[:2] != (self.height, self.width):
            raise DataError(
                f"camera is {self.width}x{self.height}, image is {image.shape[1]}x{image.shape[0]}: "
                "publish the camera_info of this image size"
            )

    def resized(self, width: int, height: int) -> PinholeCamera:
        """The camera of the image resampled to width x height (cv2.resize: pixel areas are kept)."""
        scale = np.array([[width / self.width], [height / self.height], [1.0]])
        return self._transformed(width, height, lambda M: _scale_about_corner(M, scale))

    def cropped(self, x_px: int, y_px: int, width: int, height: int) -> PinholeCamera:
        """The camera of the window of width x height pixels whose top left pixel is (x_px, y_px)."""
        shift = np.array([[0, 0, x_px], [0, 0, y_px], [0, 0, 0]], np.float64)
        return self._transformed(width, height, lambda M: M - shift)

    def binned(self, x: int, y: int) -> PinholeCamera:
        """The camera after CameraInfo's binning: K and P divided, as image_geometry does it."""
        scale = np.array([[1 / x], [1 / y], [1.0]])
        return self._transformed(self.width // x, self.height // y, lambda M: M * scale)

    def mirrored(self) -> PinholeCamera:
        """The camera of the image with left and right exchanged; of an undistorted one (else CalibrationError)."""
        if self.is_distorted:
            raise CalibrationError("an image must be rectified before it is mirrored: its distortion is not symmetric")

        def mirror(M: Matrix) -> Matrix:
            M = M.copy()
            M[0, 2] = self.width - 1 - M[0, 2]
            return M

        return self._transformed(self.width, self.height, mirror)

    def _transformed(self, width: int, height: int, change: Callable[[Matrix], Matrix]) -> PinholeCamera:
        return replace(self, width=width, height=height, K=change(self.K), P=None if self.P is None else change(self.P))


def _scale_about_corner(M: Matrix, scale: Matrix) -> Matrix:
    scaled = M * scale
    scaled[:2, 2] += 0.5 * scale[:2, 0] - 0.5
    return scaled


def _intrinsic_matrix(value: ArrayLike, name: str) -> Matrix:
    M = np.array(value, np.float64)  # a copy: rays and maps are cached
    if M.shape != (3, 3) or not np.isfinite(M).all():
        raise CalibrationError(f"{name} must hold 3x3 finite numbers, got {M.tolist()}: calibrate the camera")
    fx, fy, cx, cy = M[0, 0], M[1, 1], M[0, 2], M[1, 2]
    if fx <= 0 or fy <= 0:
        raise CalibrationError(
            f"focal lengths in {name} must be positive, got fx={fx:g} fy={fy:g}: calibrate the camera"
        )
    if min(fx, fy) < _SMALLEST_FOCAL or np.abs(M).max() > _LARGEST_NUMBER:
        raise CalibrationError(f"{name} must be in pixels, got fx={fx:g} fy={fy:g} cx={cx:g} cy={cy:g}")
    exact = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    if not np.allclose(M, exact, rtol=0, atol=_HARMLESS):
        raise CalibrationError(f"{name} must have the form [fx 0 cx; 0 fy cy; 0 0 1], got {M.tolist()}")
    return exact


def _distortion(D: Sequence[float], model: str) -> tuple[float, ...]:
    values = tuple(float(d) for d in D)
    if not np.isfinite(values).all():
        raise CalibrationError(f"distortion must be finite, got {values}")
    if not any(values):
        return ()
    if model not in DISTORTION_LENGTHS:
        raise CalibrationError(f"distortion_model must be one of {', '.join(DISTORTION_LENGTHS)}, got '{model}'")
    lengths = DISTORTION_LENGTHS[model]
    length = next((n for n in reversed(lengths) if n <= len(values) and not any(values[n:])), None)
    if length is None:
        takes = " or ".join(map(str, lengths))
        raise CalibrationError(f"{model} takes {takes} coefficients, got {len(values)}: check D and distortion_model")
    return values[:length]  # drivers pad D with zeros


def _rotation(value: ArrayLike | None) -> Matrix | None:
    if value is None:
        return None
    R = np.asarray(value, np.float64).reshape(3, 3)
    if not R.any():  # uncalibrated drivers leave zeros
        return None
    if not np.allclose(R @ R.T, np.eye(3), atol=1e-3):
        raise CalibrationError(f"R must be a rotation, got {R.tolist()}")
    if np.linalg.det(R) < 0:
        raise CalibrationError(f"R must be a rotation, got a reflection (determinant -1): {R.tolist()}")
    return np.eye(3) if np.allclose(R, np.eye(3), rtol=0, atol=_HARMLESS) else R

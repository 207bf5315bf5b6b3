"""Image and depth files and the camera that took them: pixels as viewers show them, intrinsics from EXIF.

Images are turned upright by their EXIF orientation, as every viewer does; intrinsics belong to the upright image.
A camera from EXIF has square pixels and the principal point in the middle: turning the image keeps its focal length.
"""

from __future__ import annotations

import math
import struct
import warnings
from numbers import Real
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .arrays import Depth, Rgb
from .camera import PinholeCamera
from .decoding import MAX_MEGAPIXELS, StreamBits, decoded, eight_bits
from .errors import CalibrationError, DataError
from .paths import bounded_file, regular_file

# CIPA DCG-001: lenses are equivalent where the angle of view along the diagonal is the same; 36 mm x 24 mm film.
FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)

# Exif 2.32, section 4.6
_EXIF_IFD = 0x8769
_FOCAL_LENGTH, _FOCAL_LENGTH_35MM = 0x920A, 0xA405
_PIXEL_X, _PIXEL_Y = 0xA002, 0xA003
_PLANE_X_RESOLUTION, _PLANE_UNIT = 0xA20E, 0xA210
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}  # 2 (inch) is the default; 4 and 5 are in use beyond the standard
_READ = (_FOCAL_LENGTH, _FOCAL_LENGTH_35MM, _PIXEL_X, _PIXEL_Y, _PLANE_X_RESOLUTION, _PLANE_UNIT)

_ADDED_BYTES = 64 << 20  # profiles, previews, thumbnails

_NO_FOCAL = "give the camera with --intrinsics FX FY CX CY or --hfov DEGREES"


def read_photo(path: Path, max_megapixels: float = MAX_MEGAPIXELS, stream: StreamBits | None = None) -> Rgb:
    """The JPEG, PNG, TIFF, WebP, BMP or PNM image as (H, W, 3) uint8 RGB, upright. Raises DataError.

    Of more than 8 bits by `decoding.eight_bits`, as one of a `stream` where it is given.
    """
    import cv2

    data = _bytes(path, max_megapixels)
    image = decoded(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, str(path), max_megapixels)
    try:
        return cv2.cvtColor(eight_bits(image, stream), cv2.COLOR_BGR2RGB)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def read_grey(path: Path) -> NDArray[np.uint8]:
    """The image as (H, W) uint8 shades of grey, upright. Raises DataError."""
    import cv2

    return decoded(_bytes(path), cv2.IMREAD_GRAYSCALE, str(path)).astype(np.uint8, copy=False)


def read_depth(path: Path, per_metre: float = 1000.0, bits: int = 16) -> Depth:
    """Depth (H, W) float32 in metres along the optical axis, NaN unknown, from an image file of one channel.

    Integers (PNG or TIFF) of `bits` (8 or 16) hold `per_metre` units a metre, 0 unknown; floats (32-bit TIFF) hold
    metres. Raises DataError, for integers of another width too: they have another unit.
    """
    import cv2

    image = decoded(_bytes(path), cv2.IMREAD_UNCHANGED, str(path))
    if image.ndim != 2 or image.dtype not in (np.dtype(f"uint{bits}"), np.float32):
        raise DataError(
            f"{path}: depth must be one channel of {bits} bits (PNG) or of 32-bit floats (TIFF), "
            f"got {image.dtype} of shape {image.shape}"
        )
    depth: Depth = image.astype(np.float32)
    if image.dtype != np.float32:
        depth /= np.float32(per_metre)
    depth[~(depth > 0)] = np.nan
    return depth


def camera_from_exif(path: Path, width: int, height: int) -> PinholeCamera:
    """The camera of the upright image of width x height pixels, from the EXIF data of the JPEG file `path`.

    FocalLengthIn35mmFilm relates to the diagonal (CIPA), which also holds for images resized or turned; without it
    FocalLength and FocalPlaneXResolution are used. Raises CalibrationError where both are missing or the data is
    broken.
    """
    f = _focal_px(read_exif(path), width, height)
    if f is None:
        raise CalibrationError(
            f"{path} has no EXIF focal length (FocalLengthIn35mmFilm, or FocalLength with "
            f"FocalPlaneXResolution): {_NO_FOCAL}"
        )
    try:
        return PinholeCamera.from_hfov(width, height, math.degrees(2 * math.atan(0.5 * width / f)))
    except CalibrationError as error:
        raise CalibrationError(f"{path}: the EXIF focal length cannot be true ({error}): {_NO_FOCAL}") from error


def _focal_px(tags: dict[int, float], width: int, height: int) -> float | None:
    if tags.get(_FOCAL_LENGTH_35MM):  # 0 = unknown
        return tags[_FOCAL_LENGTH_35MM] / FILM_DIAGONAL_MM * math.hypot(width, height)
    unit = _UNIT_MM.get(int(tags.get(_PLANE_UNIT, 2)))
    if not (unit and tags.get(_FOCAL_LENGTH) and tags.get(_PLANE_X_RESOLUTION)):
        return None
    recorded = max(tags.get(_PIXEL_X, 0), tags.get(_PIXEL_Y, 0)) or max(width, height)
    return tags[_FOCAL_LENGTH] * tags[_PLANE_X_RESOLUTION] / unit * max(width, height) / recorded


def read_exif(path: Path) -> dict[int, float]:
    """Numbers of the EXIF data of a JPEG file by tag, empty where there is none (other formats: always).

    Damaged entries are left out. Raises DataError where the file cannot be read, CalibrationError where the data is
    so damaged that none of these numbers remains.
    """
    with warnings.catch_warnings(record=True) as damages:  # Pillow warns of damaged entries and goes on
        warnings.simplefilter("always")
        data = _exif_bytes(path)
        try:
            found = _exif_numbers(data)
        except (SyntaxError, ValueError, TypeError, KeyError, OSError, struct.error) as error:
            raise CalibrationError(f"{path}: the EXIF data is broken ({error}): {_NO_FOCAL}") from error
    if damages and not found:
        damage = " ".join(str(damages[0].message).split())
        raise CalibrationError(f"{path}: the EXIF data is broken ({damage}): {_NO_FOCAL}")
    return found


def _exif_bytes(path: Path) -> bytes:
    """The EXIF data of a JPEG file as it is stored; empty for another format.

    The class of the format and not Image.open, which refuses photos of more than 179 megapixels.
    """
    from PIL.JpegImagePlugin import JpegImageFile

    try:
        with open(regular_file(path), "rb") as file:
            data: bytes = JpegImageFile(file).info.get("exif", b"")
            return data
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except SyntaxError:  # what Pillow raises for another format, too
        return b""


def _exif_numbers(data: bytes) -> dict[int, float]:
    """The numbers of the tags in `_READ`; x/0, which means unknown, is left out."""
    from PIL.Image import Exif

    exif = Exif()
    exif.load(data)
    entries = exif.get_ifd(_EXIF_IFD)
    known = {tag: entries[tag] for tag in _READ if tag in entries}
    firsts = {tag: value[0] if isinstance(value, tuple) and value else value for tag, value in known.items()}
    return {tag: float(value) for tag, value in firsts.items() if isinstance(value, Real) and math.isfinite(value)}


def _bytes(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> bytes:
    try:
        return bounded_file(path, _most_bytes(max_megapixels)).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _most_bytes(megapixels: float) -> int:
    """What an image file of so many pixels may have: four channels of 16 bits, and what cameras add to a small one."""
    return int(megapixels * 8e6) + _ADDED_BYTES

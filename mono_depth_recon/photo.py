"""Image and depth files and the camera that took them: pixels as viewers show them, intrinsics from EXIF.

Images are turned upright by their EXIF orientation, as every viewer does; intrinsics belong to the upright image.
What EXIF gives has square pixels and the principal point in the middle, so that turning leaves the focal length.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .arrays import Depth, Rgb
from .camera import PinholeCamera
from .errors import CalibrationError, DataError

# CIPA DCG-001: lenses are equivalent where the angle of view along the diagonal is the same; 36 mm x 24 mm film.
FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)

# Exif 2.32, section 4.6
_EXIF_IFD = 0x8769
_FOCAL_LENGTH, _FOCAL_LENGTH_35MM = 0x920A, 0xA405
_PIXEL_X, _PIXEL_Y = 0xA002, 0xA003
_PLANE_X_RESOLUTION, _PLANE_UNIT = 0xA20E, 0xA210
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}  # 2 (inch) is the default; 4 and 5 are in use beyond the standard
_READ = (_EXIF_IFD, _FOCAL_LENGTH, _FOCAL_LENGTH_35MM, _PIXEL_X, _PIXEL_Y, _PLANE_X_RESOLUTION, _PLANE_UNIT)
_NUMBERS = {3: "H", 4: "L", 5: "LL"}  # SHORT, LONG, RATIONAL: the types of these tags

_NO_FOCAL = "give the camera with --intrinsics FX FY CX CY or --hfov DEGREES"


def read_photo(path: Path) -> Rgb:
    """The image of any format OpenCV reads, (H, W, 3) uint8 RGB, upright. Raises DataError."""
    import cv2

    data = np.frombuffer(_bytes(path), np.uint8)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error as error:  # sizes beyond OpenCV's limits
        raise DataError(f"{path} cannot be decoded: {error.err}") from error
    if image is None:
        raise DataError(
            f"{path} is not an image that can be read ({data.size} bytes): "
            "give a whole JPEG, PNG, TIFF, WebP or BMP file"
        )
    rgb: Rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return rgb


def read_depth(path: Path, per_metre: float = 1000.0, bits: int = 16) -> Depth:
    """Depth (H, W) float32 in metres along the optical axis, NaN unknown, from an image file of one channel.

    Integers (PNG or TIFF) of `bits` (8 or 16) hold `per_metre` units a metre, 0 unknown; floats (32-bit TIFF) hold
    metres. Raises DataError, for integers of another width too: they have another unit.
    """
    import cv2

    data = np.frombuffer(_bytes(path), np.uint8)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error as error:
        raise DataError(f"{path} cannot be decoded: {error.err}") from error
    if image is None:
        raise DataError(f"{path}: expected a depth image, got a file that cannot be decoded")
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
    FocalLength and FocalPlaneXResolution. Raises CalibrationError where neither is there or the data is broken.
    """
    try:
        tags = read_exif(path)
    except struct.error as error:
        raise CalibrationError(f"{path}: the EXIF data is broken ({error}): {_NO_FOCAL}") from error
    f = _focal_px(tags, width, height)
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

    Raises DataError where the file cannot be read, struct.error where the data is broken.
    """
    try:
        with open(path, "rb") as file:
            tiff = _exif_segment(file)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if tiff is None:
        return {}
    order = "<" if tiff[:2] == b"II" else ">"
    tags = dict(_entries(tiff, order, *struct.unpack_from(order + "L", tiff, 4)))
    return dict(_entries(tiff, order, int(tags[_EXIF_IFD]))) if _EXIF_IFD in tags else {}


def _exif_segment(jpeg: BinaryIO) -> bytes | None:
    """The TIFF structure of the first Exif APP1 segment before the scan."""
    if jpeg.read(2) != b"\xff\xd8":
        return None
    while (head := jpeg.read(4))[:1] == b"\xff" and len(head) == 4 and head[1] != 0xDA:
        body = jpeg.read(struct.unpack(">H", head[2:])[0] - 2)
        if head[1] == 0xE1 and body[:6] == b"Exif\0\0":
            return body[6:]
    return None


def _entries(tiff: bytes, order: str, offset: int) -> Iterator[tuple[int, float]]:
    """(tag, number) of the tags in `_READ` of one image file directory (TIFF 6.0, section 2)."""
    for i in range(*struct.unpack_from(order + "H", tiff, offset)):
        at = offset + 2 + 12 * i
        tag, kind, _ = struct.unpack_from(order + "HHL", tiff, at)
        if tag not in _READ or kind not in _NUMBERS:
            continue
        layout = struct.Struct(order + _NUMBERS[kind])
        where = at + 8 if layout.size <= 4 else struct.unpack_from(order + "L", tiff, at + 8)[0]
        value, *divisor = layout.unpack_from(tiff, where)
        if divisor != [0]:  # x/0 says that the camera does not know
            yield tag, value / divisor[0] if divisor else value


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error

"""Images and calibrations of bags: messages as `rosbags` deserialises them -> rgb, metres, cameras.

The messages are read by attribute, ROS 1 and ROS 2 alike; nothing of ROS is imported.
"""

from __future__ import annotations

import struct
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth, Rgb
from ..camera import PinholeCamera
from ..errors import CalibrationError, DataError

MILLIMETRES = 1000.0
DEPTH_ENCODINGS = ("16UC1", "32FC1", "mono16")
# encoding -> (channels, name of the conversion to RGB in OpenCV, which names a Bayer pattern by its second row)
_COLOUR: dict[str, tuple[int, str]] = {
    "rgb8": (3, ""),
    "bgr8": (3, "COLOR_BGR2RGB"),
    "8UC3": (3, "COLOR_BGR2RGB"),
    "rgba8": (4, "COLOR_RGBA2RGB"),
    "bgra8": (4, "COLOR_BGRA2RGB"),
    "mono8": (1, "COLOR_GRAY2RGB"),
    "8UC1": (1, "COLOR_GRAY2RGB"),
    "yuv422": (2, "COLOR_YUV2RGB_UYVY"),
    "uyvy": (2, "COLOR_YUV2RGB_UYVY"),
    "yuv422_yuy2": (2, "COLOR_YUV2RGB_YUYV"),
    "yuyv": (2, "COLOR_YUV2RGB_YUYV"),
    "bayer_rggb8": (1, "COLOR_BayerBG2RGB"),
    "bayer_bggr8": (1, "COLOR_BayerRG2RGB"),
    "bayer_gbrg8": (1, "COLOR_BayerGR2RGB"),
    "bayer_grbg8": (1, "COLOR_BayerGB2RGB"),
}
_DEPTH_HEADER = struct.Struct("<iff")  # compressed_depth_image_transport: format, quantisation a and b


def encoding_of(msg: Any) -> str:
    """`encoding` of an Image, `format` of a CompressedImage."""
    return str(msg.encoding if hasattr(msg, "encoding") else msg.format)


def is_depth(msg: Any, topic: str) -> bool:
    """Whether an Image or CompressedImage holds depth; 16-bit grey is depth where the topic says so."""
    if hasattr(msg, "encoding"):
        return msg.encoding in DEPTH_ENCODINGS[:2] or (msg.encoding == "mono16" and "depth" in topic.lower())
    return "compressedDepth" in msg.format or msg.format.split(";")[0].strip() in DEPTH_ENCODINGS


def rgb_of(msg: Any) -> Rgb:
    """Colour (H, W, 3) uint8 RGB of an Image or CompressedImage. DataError where it is malformed."""
    import cv2

    if not hasattr(msg, "encoding"):
        bgr = _decoded(np.asarray(msg.data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, msg.format)
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    if msg.encoding not in _COLOUR:
        raise DataError(f"colour image must have one of the encodings {', '.join(_COLOUR)}, got '{msg.encoding}'")
    channels, conversion = _COLOUR[msg.encoding]
    pixels = _pixels(msg, np.dtype(np.uint8), channels)
    return cv2.cvtColor(pixels, getattr(cv2, conversion)) if conversion else pixels.copy()


def depth_of(msg: Any, per_metre: float = MILLIMETRES) -> Depth:
    """Depth (H, W) float32 metres, NaN where it is missing; integers are divided by `per_metre`."""
    stored = _stored_depth(msg)
    metres: Depth = stored if stored.dtype == np.float32 else np.divide(stored, np.float32(per_metre), dtype=np.float32)
    metres[metres <= 0] = np.nan
    return metres


def _stored_depth(msg: Any) -> NDArray[Any]:
    """Float32 metres or integers, in an array of its own."""
    if not hasattr(msg, "encoding"):
        return _compressed_depth(np.asarray(msg.data, np.uint8), msg.format)
    if msg.encoding not in DEPTH_ENCODINGS:
        raise DataError(f"depth image must be 32FC1 (metres) or 16UC1, got '{msg.encoding}'")
    return _pixels(msg, np.dtype(np.float32 if msg.encoding == "32FC1" else np.uint16), 1)


def _compressed_depth(data: NDArray[np.uint8], form: str) -> NDArray[Any]:
    """PNG, after 12 bytes of header where compressedDepth says so; 32FC1 is inverse depth in 16 bits there."""
    import cv2

    if "rvl" in form.lower():
        raise DataError(f"compressed depth must be PNG, got '{form}': republish it as PNG or raw")
    framed = "compressedDepth" in form
    if framed and data.size < _DEPTH_HEADER.size:
        raise DataError(f"compressed depth must have a header of 12 bytes, got {data.size} bytes in all")
    stored = _decoded(data[_DEPTH_HEADER.size :] if framed else data, cv2.IMREAD_UNCHANGED, form)
    if stored.dtype != np.uint16 or stored.ndim != 2:
        raise DataError(f"compressed depth must be one channel of 16 bits, got {stored.dtype} of shape {stored.shape}")
    if not (framed and form.startswith("32FC1")):
        return stored
    _, a, b = _DEPTH_HEADER.unpack_from(data.tobytes())
    with np.errstate(divide="ignore", invalid="ignore"):
        metres = np.float32(a) / (stored.astype(np.float32) - np.float32(b))
    return np.where(stored > 0, metres, np.float32(0))


def _decoded(data: NDArray[np.uint8], flags: int, form: str) -> NDArray[Any]:
    import cv2

    image = cv2.imdecode(np.ascontiguousarray(data), flags) if data.size else None
    if image is None:
        raise DataError(f"compressed image must be a whole PNG or JPEG, got {data.size} bytes of format '{form}'")
    return image


def _pixels(msg: Any, dtype: np.dtype[Any], channels: int) -> NDArray[Any]:
    """(H, W) or (H, W, C) over the message's bytes, honouring step and byte order."""
    row, data = msg.width * channels * dtype.itemsize, np.asarray(msg.data, np.uint8)
    if msg.width < 1 or msg.height < 1 or msg.step < row or data.size < msg.step * msg.height:
        raise DataError(f"{msg.width}x{msg.height} {msg.encoding} image of step {msg.step} needs rows of {row} bytes "
                        f"and {msg.step * msg.height} bytes in all, got {data.size}")
    stored = dtype.newbyteorder("S") if bool(msg.is_bigendian) != (sys.byteorder == "big") else dtype
    strides = (msg.step, channels * dtype.itemsize, dtype.itemsize)
    pixels: NDArray[Any] = np.ndarray((msg.height, msg.width, channels), stored, np.ascontiguousarray(data),
                                     strides=strides)
    pixels = pixels.astype(dtype) if dtype.itemsize > 1 else pixels
    return pixels[..., 0] if channels == 1 else pixels


def camera_of_info(msg: Any, rectified: bool) -> PinholeCamera:
    """The camera of a CameraInfo, as its image is published: binning and region of interest count.

    `rectified`: P describes the image, D belongs to its past. Raises CalibrationError.
    """
    K, P = _field(msg, "k", (3, 3)), _field(msg, "p", (3, 4))
    if not K.any() and not P.any():
        raise CalibrationError("camera_info has K and P all zero: the camera is not calibrated; give its intrinsics")
    if rectified:
        camera = PinholeCamera(msg.width, msg.height, P[:, :3] if P.any() else K)
    else:
        D = tuple(np.asarray(getattr(msg, "d", getattr(msg, "D", ())), np.float64).tolist())
        camera = PinholeCamera(msg.width, msg.height, K, D, msg.distortion_model or "plumb_bob",
                               _field(msg, "r", (3, 3)), P[:, :3] if P.any() else None)
    roi = msg.roi
    if roi.width and roi.height:
        camera = camera.cropped(roi.x_offset, roi.y_offset, roi.width, roi.height)
    bins = max(1, msg.binning_x), max(1, msg.binning_y)
    return camera if bins == (1, 1) else camera.binned(*bins)


def _field(msg: Any, name: str, shape: tuple[int, int]) -> NDArray[np.float64]:
    """A matrix that ROS 1 writes in capitals."""
    values = getattr(msg, name) if hasattr(msg, name) else getattr(msg, name.upper())
    return np.asarray(values, np.float64).reshape(shape)

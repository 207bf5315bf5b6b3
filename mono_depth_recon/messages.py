"""Images and calibrations in messages -> rgb, metres, cameras: those of rclpy and those of bags (ROS 1 and ROS 2).

The messages are read by attribute; nothing of ROS is imported. Every malformed one raises DataError or
CalibrationError with one line.
"""

from __future__ import annotations

import struct
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Depth, Rgb
from .camera import PinholeCamera
from .errors import CalibrationError, DataError

MILLIMETRES = 1000.0
DEPTH_ENCODINGS = ("16UC1", "32FC1", "mono16")
# encoding -> (type, channels, conversion to RGB in OpenCV, which names a Bayer pattern by its second row)
_COLOUR: dict[str, tuple[str, int, str]] = {
    "rgb8": ("u1", 3, ""),
    "bgr8": ("u1", 3, "COLOR_BGR2RGB"),
    "rgba8": ("u1", 4, "COLOR_RGBA2RGB"),
    "bgra8": ("u1", 4, "COLOR_BGRA2RGB"),
    "mono8": ("u1", 1, "COLOR_GRAY2RGB"),
    "8UC1": ("u1", 1, "COLOR_GRAY2RGB"),
    "8UC3": ("u1", 3, "COLOR_BGR2RGB"),  # unnamed channels: OpenCV's order
    "mono16": ("u2", 1, "COLOR_GRAY2RGB"),
    "16UC1": ("u2", 1, "COLOR_GRAY2RGB"),
    "yuv422": ("u1", 2, "COLOR_YUV2RGB_UYVY"),
    "uyvy": ("u1", 2, "COLOR_YUV2RGB_UYVY"),
    "yuv422_yuy2": ("u1", 2, "COLOR_YUV2RGB_YUYV"),
    "yuyv": ("u1", 2, "COLOR_YUV2RGB_YUYV"),
    "bayer_rggb8": ("u1", 1, "COLOR_BayerBG2RGB"),
    "bayer_bggr8": ("u1", 1, "COLOR_BayerRG2RGB"),
    "bayer_gbrg8": ("u1", 1, "COLOR_BayerGR2RGB"),
    "bayer_grbg8": ("u1", 1, "COLOR_BayerGB2RGB"),
}
COLOUR_ENCODINGS = tuple(_COLOUR)
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
    """Colour (H, W, 3) uint8 RGB of an Image, for rgb8 a view of its data, or of a CompressedImage (JPEG, PNG).

    Honours step and is_bigendian; of 16 bits the upper 8 count.
    """
    import cv2

    if not hasattr(msg, "encoding"):
        bgr = _decoded(msg.data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, msg.format)
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    if msg.encoding not in _COLOUR:
        raise DataError(f"colour image must have one of the encodings {', '.join(_COLOUR)}, got '{msg.encoding}'")
    kind, channels, conversion = _COLOUR[msg.encoding]
    if channels == 2 and msg.width % 2:
        raise DataError(f"{msg.encoding} image must have an even width, got {msg.width}")
    pixels = _pixels(msg, np.dtype(kind), channels)
    if pixels.dtype != np.uint8:
        pixels = (pixels >> 8).astype(np.uint8)
    return cv2.cvtColor(pixels, getattr(cv2, conversion)) if conversion else pixels


def depth_of(msg: Any, per_metre: float = MILLIMETRES) -> Depth:
    """Depth (H, W) float32 metres of an Image or CompressedImage, in an array of its own.

    32FC1 is metres, integers are divided by `per_metre`; 0 and NaN become NaN, +Inf stays.
    """
    stored = _stored_depth(msg)
    metres: Depth = np.divide(stored, np.float32(1 if stored.dtype == np.float32 else per_metre), dtype=np.float32)
    metres[metres <= 0] = np.nan
    return metres


def _stored_depth(msg: Any) -> NDArray[Any]:
    """Float32 metres or integers."""
    if not hasattr(msg, "encoding"):
        return _compressed_depth(np.asarray(msg.data, np.uint8), msg.format)
    if msg.encoding not in DEPTH_ENCODINGS:
        raise DataError(f"depth image must be 32FC1 (metres) or 16UC1 (millimetres), got '{msg.encoding}'")
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


def _decoded(data: Any, flags: int, form: str) -> NDArray[Any]:
    import cv2

    stored = np.ascontiguousarray(data, np.uint8)
    image = cv2.imdecode(stored, flags) if stored.size else None
    if image is None:
        raise DataError(f"compressed image must be a whole JPEG or PNG, got {stored.size} bytes of format '{form}'")
    return image


def _pixels(msg: Any, dtype: np.dtype[Any], channels: int) -> NDArray[Any]:
    """The message's bytes as (H, W) or (H, W, C), without a copy where they have this machine's byte order."""
    if msg.width < 1 or msg.height < 1:
        raise DataError(f"image must have at least 1x1 pixels, got {msg.width}x{msg.height}")
    row = msg.width * channels * dtype.itemsize
    if msg.step < row:
        raise DataError(
            f"step of a {msg.width} pixels wide {msg.encoding} image must be at least {row} bytes, got {msg.step}"
        )
    if len(msg.data) < msg.step * msg.height:
        raise DataError(
            f"{msg.width}x{msg.height} {msg.encoding} image of step {msg.step} needs "
            f"{msg.step * msg.height} bytes, got {len(msg.data)}: the message is truncated"
        )
    swapped = dtype.itemsize > 1 and bool(msg.is_bigendian) != (sys.byteorder == "big")
    pixels: NDArray[Any] = np.ndarray(
        (msg.height, msg.width, channels),
        dtype.newbyteorder("S") if swapped else dtype,
        msg.data,
        strides=(msg.step, channels * dtype.itemsize, dtype.itemsize),
    )
    pixels = pixels.astype(dtype) if swapped else pixels
    return pixels[..., 0] if channels == 1 else pixels


def camera_of_info(msg: Any, rectified: bool) -> PinholeCamera:
    """The camera of a CameraInfo's image as published: region of interest and binning taken into account.

    `rectified`: the image is rectified, so P describes it and D belongs to its past (image_proc leaves D in the
    camera_info of image_rect). Raises CalibrationError.
    """
    K, P, D = _field(msg, "k").reshape(3, 3), _field(msg, "p").reshape(3, 4), _field(msg, "d")
    if not K.any() and not P.any():
        raise CalibrationError(
            "camera_info has K and P all zero: the camera is not calibrated; calibrate it "
            "(camera_calibration), or give its nominal intrinsics"
        )
    if not rectified:
        camera = PinholeCamera(
            msg.width,
            msg.height,
            K,
            tuple(D.tolist()),
            msg.distortion_model,
            _field(msg, "r").reshape(3, 3),
            P[:, :3] if P.any() else None,
        )
    elif D.any() and not P.any():
        raise CalibrationError(
            "camera_info of a rectified image must have P, got zeros: publish P, or have "
            "the image taken as raw (node: camera.input=raw)"
        )
    else:
        camera = PinholeCamera(msg.width, msg.height, P[:, :3] if P.any() else K)
    return _as_published(camera, msg)


def _as_published(camera: PinholeCamera, msg: Any) -> PinholeCamera:
    roi = msg.roi
    if roi.width and roi.height:
        if roi.x_offset + roi.width > msg.width or roi.y_offset + roi.height > msg.height:
            raise CalibrationError(
                f"camera_info region of interest {roi.width}x{roi.height}+{roi.x_offset}"
                f"+{roi.y_offset} must lie in {msg.width}x{msg.height}"
            )
        camera = camera.cropped(roi.x_offset, roi.y_offset, roi.width, roi.height)
    bins = max(1, msg.binning_x), max(1, msg.binning_y)
    return camera if bins == (1, 1) else camera.binned(*bins)


def _field(msg: Any, name: str) -> NDArray[np.float64]:
    """A field that ROS 1 writes in capitals."""
    return np.asarray(getattr(msg, name) if hasattr(msg, name) else getattr(msg, name.upper()), np.float64)

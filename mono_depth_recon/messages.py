"""Images and calibrations in messages -> rgb, metres, cameras: those of rclpy and those of bags (ROS 1 and ROS 2).

The messages are read by attribute; nothing of ROS is imported. Every malformed one raises DataError or
CalibrationError with one line.
"""

from __future__ import annotations

import math
import re
import struct
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Depth, Rgb
from .camera import PinholeCamera
from .decoding import MAX_MEGAPIXELS, StreamBits, decoded, decoded_jpeg, decoded_rvl, eight_bits, is_grey_png_of_16_bits
from .encoding import MILLIMETRES
from .errors import CalibrationError, DataError
from .plausibility import plausible

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
    "bayer_rggb16": ("u2", 1, "COLOR_BayerBG2RGB"),
    "bayer_bggr16": ("u2", 1, "COLOR_BayerRG2RGB"),
    "bayer_gbrg16": ("u2", 1, "COLOR_BayerGR2RGB"),
    "bayer_grbg16": ("u2", 1, "COLOR_BayerGB2RGB"),
}
COLOUR_ENCODINGS = tuple(_COLOUR)
BAYER_ENCODINGS = tuple(name for name in _COLOUR if name.startswith("bayer"))
_OF_DEPTH = ("confidence", "amplitude")  # of a depth camera, whatever its name
_NOT_DEPTH = (
    *("ir", "nir", "swir", "lwir", "thermal", "intensity", "reflectivity", "rgb", "color", "colour", "mono", "grey"),
    "gray",
)
_DEPTH_HEADER = struct.Struct("<iff")  # compressed_depth_image_transport: format, quantisation a and b


def encoding_of(msg: Any) -> str:
    """`encoding` of an Image, `format` of a CompressedImage."""
    return str(msg.encoding if hasattr(msg, "encoding") else msg.format)


def is_rectified(topic: str) -> bool:
    """Whether the name of an image topic says that its images are rectified.

    image_proc and drivers use image_rect, image_rect_color, imageRect, rect/image, rectified ..., with a transport
    after it. not_rectified and the like say the opposite. Of several the last counts: image_raw below /rect is raw.
    """
    words = _words(topic)
    for before, word in reversed(list(zip(["", *words], words, strict=False))):
        if word in ("rect", "rectified"):
            return before not in ("not", "no", "non", "un")
        if word == "raw" and before != "rect":
            return False
    return False


def is_depth(msg: Any, topic: str) -> bool:
    """Whether an Image or CompressedImage holds depth, by its encoding and the name of its topic.

    compressedDepth is depth. Infrared and confidence come in the same encodings: 32FC1 and 16UC1 are depth unless the
    name says one of these or colour, mono16 and an unnamed PNG (format "png") are where it says depth.
    """
    encoding, _, stored = (part.strip() for part in encoding_of(msg).partition(";"))
    if _is_framed(stored):
        return True
    if encoding in ("16UC1", "32FC1"):
        return _named_depth(topic) is not False
    unnamed = not hasattr(msg, "encoding") and not stored and encoding in ("", "png")
    is_16_bits = encoding == "mono16" or (unnamed and is_grey_png_of_16_bits(msg.data))
    return is_16_bits and _named_depth(topic) is True


def _is_framed(stored: str) -> bool:
    """Whether the second part of a CompressedImage's format is that of compressed_depth_image_transport."""
    return "compresseddepth" in stored.lower()


def _named_depth(topic: str) -> bool | None:
    """Whether the last part of a topic's name that says what its images are says depth; None where none does."""
    for part in reversed(topic.split("/")):
        words = _words(part)
        if not set(_OF_DEPTH).isdisjoint(words):
            return False
        if any(word.startswith("depth") for word in words):  # also aligned_depth_to_color
            return True
        if any(word in _NOT_DEPTH or word.startswith("infra") for word in words):
            return False
    return None


def _words(name: str) -> list[str]:
    """The words of a name in snake_case, camelCase or CAPITALS, in small letters and without numbers."""
    return [word.lower() for word in re.findall("[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def rgb_of(msg: Any, max_megapixels: float = MAX_MEGAPIXELS, stream: StreamBits | None = None) -> Rgb:
    """Colour (H, W, 3) uint8 RGB of an Image, for rgb8 a view of its data, or of a CompressedImage (JPEG, PNG).

    Honours step and is_bigendian; 16 bits become 8 by `decoding.eight_bits`, as one image of `stream` where it is
    given. A compressed image may have at most `max_megapixels`.
    """
    import cv2

    if not hasattr(msg, "encoding"):
        return _compressed_rgb(msg, max_megapixels, stream)
    if msg.encoding not in _COLOUR:
        raise DataError(f"colour image must have one of the encodings {', '.join(_COLOUR)}, got '{msg.encoding}'")
    kind, channels, conversion = _COLOUR[msg.encoding]
    if channels == 2 and msg.width % 2:
        raise DataError(f"{msg.encoding} image must have an even width, got {msg.width}")
    pixels = eight_bits(_pixels(msg, np.dtype(kind), channels), stream)
    return cv2.cvtColor(pixels, getattr(cv2, conversion)) if conversion else pixels


def _compressed_rgb(msg: Any, max_megapixels: float, stream: StreamBits | None) -> Rgb:
    """By `format` as image_transport writes it, "<encoding>; jpeg|png compressed <stored encoding>".

    Grey and Bayer images are stored with one channel. image_transport's own subscriber takes the decoded channels of
    colour images as RGB unless the stored encoding is bgr. Other publishers write "jpeg" or "png" alone.
    """
    import cv2

    encoding, _, stored = msg.format.partition(";")
    name = f"compressed image of format '{msg.format}'"
    jpeg = decoded_jpeg(msg.data, name, max_megapixels)  # in RGB, where OpenCV's are BGR
    image = decoded(msg.data, cv2.IMREAD_UNCHANGED, name, max_megapixels) if jpeg is None else jpeg
    pixels = eight_bits(image, stream)
    encoding = encoding.strip()
    if pixels.ndim == 2:
        is_mosaic = "bayer" in encoding.lower()
        if is_mosaic and encoding not in _COLOUR:
            raise DataError(
                f"Bayer images must have one of the encodings {', '.join(BAYER_ENCODINGS)}, got '{encoding}'"
            )
        return cv2.cvtColor(pixels, getattr(cv2, _COLOUR[encoding][2] if is_mosaic else "COLOR_GRAY2RGB"))
    pixels = np.ascontiguousarray(pixels[..., :3])
    exchanged = encoding.startswith(("rgb", "bgr")) and "compressed" in stored and "compressed bgr" not in stored
    return pixels if exchanged != (jpeg is not None) else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def depth_of(msg: Any, per_metre: float = MILLIMETRES, max_megapixels: float = MAX_MEGAPIXELS) -> Depth:
    """Depth (H, W) float32 metres of an Image or CompressedImage, in an array of its own.

    32FC1 is metres, integers are divided by `per_metre`; 0 and NaN become NaN, +Inf stays.
    """
    stored = _stored_depth(msg, max_megapixels)
    with np.errstate(invalid="ignore"):  # of a signalling NaN, which bytes may be
        metres: Depth = np.divide(stored, np.float32(1 if stored.dtype == np.float32 else per_metre), dtype=np.float32)
    metres[metres <= 0] = np.nan
    return metres


def _stored_depth(msg: Any, max_megapixels: float) -> NDArray[Any]:
    """Float32 metres or integers."""
    if not hasattr(msg, "encoding"):
        return _compressed_depth(bytes(msg.data), msg.format, max_megapixels)
    if msg.encoding not in DEPTH_ENCODINGS:
        raise DataError(f"depth image must be 32FC1 (metres) or 16UC1 (millimetres), got '{msg.encoding}'")
    return _pixels(msg, np.dtype(np.float32 if msg.encoding == "32FC1" else np.uint16), 1)


def _compressed_depth(data: bytes, form: str, max_megapixels: float) -> NDArray[Any]:
    """PNG, or as compressed_depth_image_transport writes it: 12 bytes of header, then PNG or RVL.

    32FC1 is inverse depth in 16 bits there, a / depth + b with a and b in the header, 0 unknown.
    """
    import cv2

    encoding, _, stored = form.partition(";")
    name, framed = f"compressed depth of format '{form}'", _is_framed(stored)
    if framed and len(data) < _DEPTH_HEADER.size:
        raise DataError(f"compressed depth must have a header of 12 bytes, got {len(data)} bytes in all")
    body = data[_DEPTH_HEADER.size :] if framed else data
    if framed and "rvl" in stored.lower():
        image: NDArray[Any] = decoded_rvl(body, name, max_megapixels)
    else:
        image = decoded(body, cv2.IMREAD_UNCHANGED, name, max_megapixels)
    if image.dtype != np.uint16 or image.ndim != 2:
        raise DataError(f"{name} must be one channel of 16 bits, got {image.dtype} of shape {image.shape}")
    if not (framed and encoding.strip() == "32FC1"):
        return image
    _, a, b = _DEPTH_HEADER.unpack_from(data)
    if not (math.isfinite(a) and math.isfinite(b)):
        raise DataError(f"{name} must have a finite quantisation in its header, got {a:g} and {b:g}")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        metres = np.float32(a) / (image.astype(np.float32) - np.float32(b))
    return np.where(image > 0, metres, np.float32(0))


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


def is_uncalibrated(msg: Any, rectified: bool) -> bool:
    """Whether a CameraInfo has no focal length for its image, as drivers publish it without a calibration."""
    return not _field(msg, "k")[0] and not (rectified and _field(msg, "p")[0])


def camera_of_info(msg: Any, rectified: bool) -> PinholeCamera:
    """The camera of a CameraInfo's image as published: region of interest and binning taken into account.

    `rectified`: the image is rectified, so P describes it and D belongs to its past (image_proc leaves D in the
    camera_info of image_rect). Raises CalibrationError.
    """
    K, P, D = _field(msg, "k").reshape(3, 3), _field(msg, "p").reshape(3, 4), _field(msg, "d")
    if not K[0, 0] and not P[0, 0]:
        raise CalibrationError(
            "camera_info has K and P all zero: the camera is not calibrated; calibrate it (mono-depth-recon "
            "calibrate), or give the node its horizontal field of view for a guess (camera.hfov)"
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
    return _as_published(plausible(camera, "camera_info"), msg)


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

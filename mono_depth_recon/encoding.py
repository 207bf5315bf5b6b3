"""Depth and colour as the bytes of compressed images, as the plugins of image_transport write them.

`decoding` and `messages` read them back.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Depth, Rgb
from .errors import DataError

MILLIMETRES = 1000.0
_HEADER = struct.Struct("<iff")  # compressed_depth_image_transport: format, quantisation a and b
_INVERSE_DEPTH = 0  # its only format
_FINEST = 100.0 * 101.0  # a at its default of depth_quantization
_LARGEST = 65535
_BLOCK = 2**15  # values: working memory that stays in the cache


def millimetres(depth: Depth) -> NDArray[np.uint16]:
    """Metres as rounded millimetres, 0 for unknown depth, below 0, beyond range or above 65.535 m."""
    rounded = np.rint(depth * np.float32(MILLIMETRES))
    with np.errstate(invalid="ignore"):
        rounded[~((rounded >= 0) & (rounded <= _LARGEST))] = 0
    return rounded.astype(np.uint16)


def compressed_depth(
    depth: Depth, encoding: str, kind: str, near_m: float, far_m: float, png_level: int = 1
) -> tuple[str, bytes]:
    """Format and data of a compressedDepth image of (H, W) metres; unknown depth and depth beyond range are 0.

    `encoding` 16UC1 is lossless millimetres. 32FC1 is inverse depth in 16 bits from `far_m` to `near_m` (both above 0),
    in steps of depth of z^2 / a, with a at most 10100: half a millimetre at 2 m; nearer depth is stored as the nearest
    possible. `kind` is png or rvl.
    """
    a = b = 0.0
    if encoding == "16UC1":
        values = millimetres(depth)
    else:
        a = min(_FINEST, (_LARGEST - 1) / (1 / near_m - 1 / far_m))
        b = 1.0 - a / far_m
        values = _inverse(depth, a, b, far_m)
    body = encoded_rvl(values) if kind == "rvl" else _encoded(".png", values, "IMWRITE_PNG_COMPRESSION", png_level)
    return f"{encoding}; compressedDepth {kind}", _HEADER.pack(_INVERSE_DEPTH, a, b) + body


def compressed_rgb(rgb: Rgb, kind: str, jpeg_quality: int = 95, png_level: int = 1) -> tuple[str, bytes]:
    """Format and data of a compressed image of (H, W, 3) uint8; `kind` is jpeg (quality 1 to 100) or png (0 to 9)."""
    import cv2

    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    if kind == "jpeg":
        data = _encoded(".jpg", bgr, "IMWRITE_JPEG_QUALITY", jpeg_quality)
    else:
        data = _encoded(".png", bgr, "IMWRITE_PNG_COMPRESSION", png_level)
    return f"rgb8; {kind} compressed bgr8", data


def encoded_rvl(image: NDArray[np.uint16]) -> bytes:
    """(H, W) uint16 as RVL after its width and height; `decoding.decoded_rvl` has the definition."""
    flat = image.ravel()
    known = flat != 0
    changes = np.flatnonzero(known[1:] != known[:-1]) + 1
    runs = np.diff(np.concatenate([[0], changes, [len(flat)]])).tolist()
    runs = [0, *runs] if known[0] else runs
    zeros, others = np.array(runs if len(runs) % 2 == 0 else [*runs, 0]).reshape(-1, 2).T
    steps = np.diff(flat[known].astype(np.int32), prepend=np.int32(0))
    values = np.empty(2 * len(zeros) + len(steps), np.int32)
    pairs = 2 * np.arange(len(zeros)) + np.cumsum(others) - others
    values[pairs], values[pairs + 1] = zeros, others
    values[np.arange(len(steps)) + np.repeat(2 * np.arange(1, len(zeros) + 1), others)] = (steps << 1) ^ (steps >> 31)
    return struct.pack("<II", image.shape[1], image.shape[0]) + _packed(values)


def _packed(values: NDArray[np.int32]) -> bytes:
    """Values as nibbles, which stand from the top of little-endian words of 32 bits."""
    parts = [_nibbles(values[at : at + _BLOCK]) for at in range(0, len(values), _BLOCK)]
    missing = -sum(map(len, parts)) % 8
    nibbles = np.concatenate([*parts, np.zeros(missing, np.uint8)])
    return (nibbles[::2] << 4 | nibbles[1::2]).view(">u4").astype("<u4").tobytes()


def _nibbles(values: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Each value as groups of three bits, the lowest first, all but the last with a fourth bit set."""
    counts = np.ones(len(values), np.uint8)
    for bits in range(3, int(values.max()).bit_length(), 3):
        counts += values >= 1 << bits
    ends = np.cumsum(counts, dtype=np.int32)
    place = np.arange(ends[-1], dtype=np.int32) - np.repeat(ends - counts, counts)
    rest = np.repeat(values, counts) >> 3 * place
    return (rest & 7).astype(np.uint8) | (rest > 7).view(np.uint8) << 3


def _inverse(depth: Depth, a: float, b: float, far_m: float) -> NDArray[np.uint16]:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        values = np.rint(np.float32(a) / depth + np.float32(b))
    values = np.minimum(np.where(depth < far_m, values, np.float32(0)), np.float32(_LARGEST))
    return values.astype(np.uint16)


def _encoded(suffix: str, image: NDArray[Any], option: str, value: int) -> bytes:
    import cv2

    done, data = cv2.imencode(suffix, image, [getattr(cv2, option), value])
    if not done:
        raise DataError(f"an image of shape {image.shape} cannot be stored as {suffix[1:]}")
    return data.tobytes()

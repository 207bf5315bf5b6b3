"""Encoded images to pixels: the only place where bytes from outside reach an image decoder.

A few bytes may announce an image that fills the memory, so its size is read from the header first.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import DataError

MAX_MEGAPIXELS = 100.0  # of photos and files of data sets
# The default of `camera.max_megapixels`: more than 8K. A few kilobytes can hold an image that, with its cloud and their
# messages, takes gigabytes of a node.
STREAM_MEGAPIXELS = 36.0
_FORMATS = "JPEG, PNG, TIFF, WebP, BMP or PNM"

_Size: TypeAlias = tuple[int, int] | None

_JPEG_NO_FRAME = {0xC4, 0xC8, 0xCC}  # within 0xC0 to 0xCF: tables, a reserved marker, arithmetic coding
_JPEG_NO_LENGTH = {0x00, 0x01, *range(0xD0, 0xD9)}
_TIFF_FIELDS = {3: "H", 4: "I", 16: "Q"}
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_GAP = rb"(?:\s|#[^\n]*\n)+"
_PNM = re.compile(rb"P[1-6fF]" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)")
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_RVL_NIBBLES = 11  # of a value of 32 bits


def decoded(data: Any, flags: int, name: str, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[Any]:
    """The pixels of an encoded image (bytes or uint8), by the `flags` of cv2.imdecode.

    Raises DataError, which begins with `name`, where the data is damaged or has more than `max_megapixels`.
    """
    import cv2

    raw = bytes(data)
    size = stated_size(raw)
    if size is not None:
        check_size(*size, name, max_megapixels)
    try:
        readable = size is not None and (not raw.startswith(_PNG) or _is_whole_png(raw))
        image = cv2.imdecode(np.frombuffer(raw, np.uint8), flags) if readable else None
    except cv2.error as error:
        raise DataError(f"{name} cannot be decoded: {' '.join(error.err.split())}") from error
    if image is None:
        raise DataError(f"{name} is not an image that can be read ({len(raw)} bytes): expected a whole {_FORMATS}")
    return image


def decoded_jpeg(data: Any, name: str, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8] | None:
    """(H, W, 3) RGB or (H, W) grey of a JPEG as it is stored; None of another image, or with other colours.

    By Pillow: libjpeg within OpenCV prints a line for every damaged image, and OpenCV fills up what cannot be decoded.
    Raises DataError, as `decoded`, also where the end is missing.
    """
    raw = bytes(data)
    if not raw.startswith(_JPEG) or (size := stated_size(raw)) is None:
        return None
    check_size(*size, name, max_megapixels)
    from PIL.JpegImagePlugin import JpegImageFile

    try:
        with JpegImageFile(io.BytesIO(raw)) as image:
            if image.mode not in ("L", "RGB"):
                return None
            image.load()  # older numpy swallows what this raises
            return np.array(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{name} is damaged ({len(raw)} bytes of JPEG): {error}") from error


def check_size(width: int, height: int, name: str, max_megapixels: float = MAX_MEGAPIXELS) -> None:
    """Raises DataError, which begins with `name`, where an image has more than `max_megapixels`."""
    if width * height > max_megapixels * 1e6:
        raise DataError(
            f"{name} has {width}x{height} pixels, more than {max_megapixels:g} megapixels: "
            "shrink it, or raise camera.max_megapixels of the node or of reconstruct"
        )


@dataclass
class StreamBits:
    """How many bits the 16-bit images of one stream have: the most that any of them needed so far, 0 before the first.

    One scale for the stream, so that its brightness does not change with the brightest pixel. It can only grow; `say`
    gets a line each time it does. Any thread may use it.
    """

    say: Callable[[str], None] | None = None
    _seen: set[int] = field(default_factory=set)

    @property
    def bits(self) -> int:
        """8, 10, 12, 14 or 16; 0 while no image of 16 bits has had a value above 0."""
        return max(self._seen, default=0)

    def holding(self, largest: int) -> int:
        """The bits of the stream, now that an image with this largest value belongs to it."""
        before, needed = self.bits, bits_of(largest)
        if largest > 0:
            self._seen.add(needed)
        if self.say is not None and 0 < before < needed:
            self.say(
                f"16-bit images have values up to {largest}: they count as {needed} bits from here on; those before "
                f"counted as {before} and are {1 << needed - before} times brighter"
            )
        return max(before, needed)


def bits_of(largest: int) -> int:
    """The smallest of 8, 10, 12, 14 and 16 bits that hold a value: cameras of 12 bits publish mono16 up to 4095."""
    return next(bits for bits in (8, 10, 12, 14, 16) if largest < 1 << bits)


def eight_bits(pixels: NDArray[Any], stream: StreamBits | None = None) -> NDArray[np.uint8]:
    """uint8 pixels as they are; the upper 8 of the bits of uint16 ones, which are `bits_of` their largest value.

    Images of a `stream` have its bits. Raises DataError for other types.
    """
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype != np.uint16:
        raise DataError(f"a colour image must have 8 or 16 bits a channel, got {pixels.dtype}: convert it")
    largest = int(pixels.max(initial=0))
    bits = bits_of(largest) if stream is None else stream.holding(largest)
    return (pixels >> bits - 8).astype(np.uint8)


def stated_size(data: bytes) -> _Size:
    """(width, height) in the header of a JPEG, PNG, TIFF, WebP, BMP or PNM image; None without a whole header."""
    for start, read in _READERS.items():
        if data.startswith(start):
            try:
                return read(data)
            except (struct.error, IndexError, OverflowError):
                return None
    return None


def _jpeg_size(data: bytes) -> _Size:
    """From the first frame header; garbage between segments is skipped, as libjpeg does it."""
    at = 2
    while (at := data.find(0xFF, at)) >= 0:
        while data[at] == 0xFF:  # fill bytes
            at += 1
        marker, at = data[at], at + 1
        if 0xC0 <= marker <= 0xCF and marker not in _JPEG_NO_FRAME:
            height, width = struct.unpack_from(">HH", data, at + 3)
            return width, height
        if marker not in _JPEG_NO_LENGTH:
            (length,) = struct.unpack_from(">H", data, at)
            at += max(length, 2)
    return None


def _png_size(data: bytes) -> _Size:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _is_whole_png(data: bytes) -> bool:
    """Whether no part that holds the image is cut off or has another checksum: libpng would print what it finds."""
    view, at = memoryview(data), len(_PNG)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 8 + length
        if end + 4 > len(data):
            return False
        if not kind[:1].islower() and zlib.crc32(view[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            return False
        if kind == b"IEND":
            return True
        at = end + 4
    return False


def is_grey_png_of_16_bits(data: Any) -> bool:
    """Whether encoded bytes begin as a PNG with one channel of 16 bits."""
    head = bytes(data[:26])
    return head.startswith(_PNG) and head[24:] == b"\x10\0"  # IHDR: bit depth, colour type


def _bmp_size(data: bytes) -> _Size:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return abs(width), abs(height)  # negative: from the top row down


def _webp_size(data: bytes) -> _Size:
    kind = data[12:16]
    if kind == b"VP8X":
        low = struct.unpack_from("<HBHB", data, 24)
        return 1 + low[0] + (low[1] << 16), 1 + low[2] + (low[3] << 16)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind != b"VP8 ":
        return None
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF  # above: how it is to be displayed


def _tiff_size(data: bytes) -> _Size:
    """From the first directory, of TIFF and BigTIFF."""
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in data[2:4]
    (at,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (entries,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
    at += 8 if big else 2
    found: dict[int, int] = {}
    for place in range(at, at + min(entries, 0xFFFF) * (20 if big else 12), 20 if big else 12):
        tag, kind = struct.unpack_from(order + "HH", data, place)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT) and kind in _TIFF_FIELDS:
            (found[tag],) = struct.unpack_from(order + _TIFF_FIELDS[kind], data, place + (12 if big else 8))
    return (found[_TIFF_WIDTH], found[_TIFF_HEIGHT]) if len(found) == 2 else None


def _pnm_size(data: bytes) -> _Size:
    match = _PNM.match(data[:4096])
    return (int(match[1][:10]), int(match[2][:10])) if match else None


_READERS: dict[bytes, Callable[[bytes], _Size]] = {
    _JPEG: _jpeg_size,
    _PNG: _png_size,
    b"RIFF": _webp_size,
    b"BM": _bmp_size,
    b"II*\0": _tiff_size,
    b"MM\0*": _tiff_size,
    b"II+\0": _tiff_size,
    b"MM\0+": _tiff_size,
    b"P": _pnm_size,
}


def decoded_rvl(data: bytes, name: str, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint16]:
    """(H, W) uint16 of an RVL depth image after its width and height (Wilson, Fast Lossless Depth Image Compression).

    Values are groups of nibbles with three bits each, the lowest first, of which all but the last have their upper bit
    set; nibbles stand from the top of little-endian words of 32 bits. A pair of values is a run of zeros and a run of
    others, which follow as zigzag differences to the last value that is not zero. Raises DataError, as `decoded`.
    """
    if len(data) < 8:
        raise DataError(f"{name} must begin with width and height, got {len(data)} bytes of RVL")
    width, height = struct.unpack_from("<II", data)
    check_size(width, height, name, max_megapixels)
    if not width or not height:
        raise DataError(f"{name} must have pixels, got {width}x{height}")
    values = _rvl_values(np.frombuffer(data, "<u4", len(data) // 4 - 2, 8))
    differences = (values >> 1) ^ -(values & 1)
    image, known = np.zeros(width * height, np.int64), np.zeros(width * height, np.bool_)
    at = pixel = 0
    while pixel < len(image) and at + 1 < len(values):
        start, count = pixel + int(values[at]), int(values[at + 1])
        at, pixel = at + 2 + count, start + count
        if pixel > len(image) or at > len(values):
            break
        image[start:pixel], known[start:pixel] = differences[at - count : at], True
    if pixel != len(image) or at > len(values):
        raise DataError(f"{name} is damaged: its RVL data does not fill {width}x{height} pixels")
    return np.where(known, np.cumsum(image), 0).astype(np.uint16).reshape(height, width)


def _rvl_values(words: NDArray[np.uint32]) -> NDArray[np.int64]:
    nibbles = (words[:, None] >> np.arange(28, -1, -4, dtype=np.uint32) & 0xF).ravel().astype(np.int64)
    ends = np.flatnonzero(nibbles < 8)
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.intp)[: len(ends)]
    lengths = ends - starts + 1
    endless = np.flatnonzero(lengths > _RVL_NIBBLES)
    whole = int(endless[0]) if len(endless) else len(ends)
    if not whole:
        return np.empty(0, np.int64)
    starts, lengths = starts[:whole], lengths[:whole]
    place = np.arange(int(lengths.sum())) - np.repeat(starts, lengths)
    return np.add.reduceat((nibbles[: len(place)] & 7) << 3 * place, starts)

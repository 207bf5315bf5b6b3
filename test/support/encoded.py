"""Encoded images by hand: headers that claim what they do not hold, and RVL as its paper defines it."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header claims width x height grey pixels, and whose data is one row of zeros."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(65))) + chunk(b"IEND", b"")
    )


def rvl_of(image: NDArray[np.uint16]) -> bytes:
    """The encoder of Wilson's paper, value by value, after the width and height that ROS puts before it."""
    nibbles: list[int] = []

    def put(value: int) -> None:
        while True:
            nibble, value = value & 7, value >> 3
            nibbles.append(nibble | 8 if value else nibble)
            if not value:
                return

    values, at, previous = image.ravel().tolist(), 0, 0
    while at < len(values):
        zeros = next((i for i, value in enumerate(values[at:]) if value), len(values) - at)
        at += zeros
        others = next((i for i, value in enumerate(values[at:]) if not value), len(values) - at)
        put(zeros)
        put(others)
        for value in values[at : at + others]:
            delta, previous = value - previous, value
            put(2 * delta if delta >= 0 else -2 * delta - 1)
        at += others
    nibbles += [0] * (-len(nibbles) % 8)
    words = (int("".join(f"{nibble:x}" for nibble in nibbles[i : i + 8]), 16) for i in range(0, len(nibbles), 8))
    return struct.pack("<II", image.shape[1], image.shape[0]) + b"".join(struct.pack("<I", word) for word in words)


def depth_with_holes(seed: int, share: float, shape: tuple[int, int] = (23, 37)) -> NDArray[np.uint16]:
    rng = np.random.default_rng(seed)
    image = rng.integers(1, 65536, shape).astype(np.uint16)
    image[rng.random(shape) < share] = 0
    return image

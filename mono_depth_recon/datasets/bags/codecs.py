"""Decompression of bags: bz2, lz4 and zstd in pieces, never to more bytes than a limit."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...errors import DataError
from ..limits import Limits, UnpackedFiles

PIECE_BYTES = 1 << 16
_STEP_BYTES = 1 << 22  # of output at a time
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def decompress(pieces: Iterable[bytes], codec: str, limit: int, of: str = "") -> tuple[bytes, str]:
    """Data of codec bz2, lz4 or zstd as far as it is whole, and what is wrong with it (empty: nothing).

    At most `limit` bytes are made; `of` says in a message where the limit comes from. DataError for another codec.
    """
    made, out = _decompressor(codec), bytearray()
    for piece in pieces:
        try:
            while True:
                out += made.decompress(piece, max_length=min(_STEP_BYTES, limit + 1 - len(out)))
                if len(out) > limit:
                    del out[limit:]
                    return bytes(out), f"has a {codec} block that expands to more than {limit} bytes{of}"
                if made.eof:
                    return bytes(out), ""
                if made.needs_input:
                    break
                piece = b""
        except _codec_errors() as error:
            return bytes(out), f"has a damaged {codec} block ({error})"
    return bytes(out), f"has an unfinished {codec} block"


def _decompressor(codec: str) -> Any:
    if codec == "bz2":
        import bz2

        return bz2.BZ2Decompressor()
    if codec == "lz4":
        try:
            from lz4.frame import LZ4FrameDecompressor
        except ImportError:
            raise needs_library() from None
        return LZ4FrameDecompressor()
    if codec == "zstd":
        return _zstd().ZstdDecompressor()
    raise DataError(f"compression of a bag must be bz2, lz4 or zstd, got '{codec[:60]}'")


def _codec_errors() -> tuple[type[Exception], ...]:
    errors: tuple[type[Exception], ...] = (OSError, EOFError, RuntimeError)  # of bz2 and lz4
    try:
        return (*errors, _zstd().ZstdError)
    except DataError:
        return errors


def _zstd() -> Any:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        raise needs_library() from None
    return zstd


def needs_library() -> DataError:
    """The error of a machine without the library that reads bags."""
    return DataError("bags need the library rosbags: pip install 'mono_depth_recon[datasets]'")


def is_zstd(head: bytes) -> bool:
    """Whether these first bytes are those of a zstd frame; a serialised message never starts with them."""
    return head[:4] == _ZSTD_MAGIC


def unpacked_message(data: bytes, limits: Limits) -> bytes:
    """A message, decompressed where the recorder compressed messages one by one (`compression_mode: message`).

    Raises DataError where it is damaged or larger than the limits allow.
    """
    if not is_zstd(data):
        return data
    advice = " (max_chunk_bytes): raise it if you trust the file"
    message, problem = decompress(_pieces(data), "zstd", limits.chunk_bytes, advice)
    if problem:
        raise DataError(f"message {problem}")
    return message


def message_head(data: bytes, count: int) -> bytes:
    """The first `count` bytes of a message that may be compressed; fewer where it is damaged or short."""
    return decompress(_pieces(data), "zstd", count)[0] if is_zstd(data) else data[:count]


def _pieces(data: bytes) -> Iterable[bytes]:
    return (data[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES))


def unpack_file(source: Path, target: Path, unpacked: UnpackedFiles) -> str:
    """Decompresses a .zstd file piece by piece; returns what is wrong with it (empty: nothing).

    DataError where it is larger than `unpacked` allows.
    """
    made = _decompressor("zstd")
    with source.open("rb") as packed, target.open("wb", buffering=0) as out:
        while piece := packed.read(PIECE_BYTES):
            while True:
                try:
                    data = made.decompress(piece, max_length=_STEP_BYTES)
                except _codec_errors() as error:
                    return f"has damaged zstd data ({error})"
                unpacked.add(len(data))
                unpacked.write(out, data)
                if made.eof:
                    return ""
                if made.needs_input:
                    break
                piece = b""
    return "ends in the middle of its zstd data"

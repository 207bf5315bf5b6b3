"""The errors this package raises on purpose: one line with what was expected, what was found, and what to do."""

from __future__ import annotations

import tokenize
import zipfile
import zlib

from .printing import readable


class MonoDepthError(Exception):
    """Root of the four kinds below; catch it to report any expected failure in one line.

    Its text is made `readable`: a message that repeats a text from outside stays one line of some length.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(readable(message))


class ConfigError(MonoDepthError):
    """A parameter, flag or file of settings is wrong."""


class ModelError(MonoDepthError):
    """A model, its weights or its runtime cannot be used."""


class DataError(MonoDepthError):
    """An image, depth map, cloud, file or data set is malformed."""


class CalibrationError(MonoDepthError):
    """Intrinsics are missing, malformed or do not belong to the image."""


# What zipfile and numpy raise for a damaged .npz, beside OSError: RuntimeError stands for encryption and methods
# that are not supported.
DAMAGED_NPZ = (
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    RuntimeError,
    MemoryError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)

"""Whether stored weights are numbers: some runtimes take NaN for 0 at a ReLU, and what follows looks like depth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError

# By the name of a type: how its values are read, and their bits of the exponent, all set where a value is not finite
_FORMATS: dict[str, tuple[Any, int]] = {
    "float16": (np.uint16, 0x7C00),
    "bfloat16": (np.uint16, 0x7F80),
    "float32": (np.uint32, 0x7F80_0000),
    "float64": (np.uint64, 0x7FF0_0000_0000_0000),
}
_VALUES = 1 << 20  # at a time


def not_finite(values: Any, dtype: str) -> str:
    """'NaN' or 'infinity' where the little-endian `values` (a buffer) hold one, NaN before infinity; else ''.

    Types other than float16, bfloat16, float32 and float64 have neither.
    """
    if dtype not in _FORMATS:
        return ""
    kind, exponent = _FORMATS[dtype]
    bits = np.frombuffer(values, np.dtype(kind).newbyteorder("<"))
    found = [each for part in _parts(bits) if (each := part[(part & kind(exponent)) == kind(exponent)]).size]
    if not found:
        return ""
    # shifted to the left by one, an infinity has its exponent and nothing else
    is_nan = any(((each << kind(1)) != kind(exponent << 1)).any() for each in found)
    return "NaN" if is_nan else "infinity"


def refused_weights(path: Path, tensor: str, what: str) -> ModelError:
    """The error for a file whose tensor holds `what`."""
    return ModelError(
        f"weights {path} must be finite, its '{tensor}' holds {what}: the file is damaged, or its training diverged; "
        "copy the file again, or use other weights"
    )


def _parts(bits: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (bits[start : start + _VALUES] for start in range(0, len(bits), _VALUES))

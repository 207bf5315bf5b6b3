"""safetensors files: whether one is whole, without torch, and its tensors."""

from __future__ import annotations

import json
import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..paths import regular_file
from .finite import not_finite, refused_weights

if TYPE_CHECKING:
    from torch import Tensor

_LONGEST_HEADER = 100_000_000  # bytes, the format's own limit
_FLOAT_TYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}


def check_safetensors(path: Path) -> None:
    """ModelError unless header and size of the file agree (https://github.com/huggingface/safetensors, Format)."""
    try:
        size = path.stat().st_size
        start, entries = read_header(path)
        ends = [entry["data_offsets"][1] for entry in entries.values()]
    except OSError as error:
        raise ModelError(f"weights {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise _broken(path) from error
    if size != start + max(ends, default=0):
        raise _broken(path)


def check_finite(path: Path) -> None:
    """ModelError where a tensor of the file is not finite, or the file is not whole."""
    check_safetensors(path)
    start, entries = read_header(path)
    with path.open("rb") as file:
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    for name, entry in entries.items():
        try:
            begin, end = (start + offset for offset in entry["data_offsets"])
            what = not_finite(whole[begin:end], _FLOAT_TYPES.get(entry["dtype"], ""))
        except (ValueError, KeyError, TypeError) as error:  # bytes that are no whole number of values, among others
            raise _broken(path) from error
        if what:
            raise refused_weights(path, name, what)


def read_header(path: Path) -> tuple[int, dict[str, Any]]:
    """Where the data begin in bytes, and by tensor `dtype`, `shape` and `data_offsets` (begin and end from there)."""
    with regular_file(path).open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        tree = json.loads(file.read(min(length, _LONGEST_HEADER)))
    return 8 + length, {name: entry for name, entry in tree.items() if name != "__metadata__"}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file. ModelError where it is missing, cut off or something else."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(regular_file(path))
    except OSError as error:
        why = "cannot be read" if path.exists() else "are missing"
        raise ModelError(f"weights {path} {why}: put the .safetensors file there") from error
    except SafetensorError as error:
        raise _broken(path) from error


def _broken(path: Path) -> ModelError:
    return ModelError(
        f"weights {path} must be a whole safetensors file, got {path.stat().st_size} bytes that are cut "
        "off or something else: copy the file again"
    )
